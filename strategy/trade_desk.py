"""The trade desk: sends each order once, follows it to its end, and keeps the journal's trades true.

The broker's books win. What was sent and not confirmed is looked for, never sent again; what the
broker closed meanwhile is journalled; positions with our magic are adopted, others left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from loguru import logger

from config.errors import OutcomeUnknown, RetryError
from execution.exits import ExitPolicy
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState, Position, Quote, Side
from execution.risk import Approved, Denied, Proposal, RiskGate, RiskState, TradingState, trading_day, trading_day_start
from market_data.bars import Bars
from market_data.instruments import SymbolSpec
from strategy.decision import Decision, DecisionOutcome, TradeEntry, TradeExit

GIVE_UP = timedelta(minutes=5)
"""How long a sent order may leave no trace before it is taken as never sent."""

EXIT_REASONS: Mapping[str, str] = {"sl": "stop", "tp": "target", "so": "stop_out"}


class Broker(Protocol):
    """What the desk asks of the terminal."""

    magic: int
    deviation: int

    def account(self) -> Account: ...
    def spec(self, symbol: str) -> SymbolSpec: ...
    def quote(self, symbol: str) -> Quote: ...
    def positions(self, symbol: str | None = None) -> tuple[Position, ...]: ...
    def deals_of(self, position: int) -> tuple[Deal, ...]: ...
    def profit_per_lot(self, side: Side, symbol: str, entry: float, exit_price: float) -> float: ...
    def margin_for(self, side: Side, symbol: str, volume: float, price: float) -> float: ...
    def send(self, intent: OrderIntent) -> OrderResult: ...
    def find(self, intent: OrderIntent, known: frozenset[int] = frozenset()) -> OrderResult | None: ...


class Ledger(Protocol):
    """What the desk writes to, and reads at start: the trade journal."""

    def record_intent(self, intent: OrderIntent, bar_time: datetime) -> None: ...
    def record_order(self, key: str, result: OrderResult) -> bool: ...
    def record_deal(self, deal: Deal) -> bool: ...
    def log_entry(self, entry: TradeEntry) -> bool: ...
    def log_exit(self, exit: TradeExit) -> bool: ...
    def record_equity(self, at: datetime, account: Account) -> bool: ...
    def open_trades(self) -> tuple[TradeEntry, ...]: ...
    def unresolved_orders(self) -> tuple[OrderIntent, ...]: ...
    def intent_for_bar(self, symbol: str, bar_time: datetime) -> OrderIntent | None: ...
    def last_loss(self, symbol: str) -> datetime | None: ...
    def equity_since(self, start: datetime) -> float | None: ...


class TradeDesk:
    """Entries, exits and reconciliation for one account.

    Args:
        commission: account currency per lot and side.
        sends: False records what would be sent and sends nothing (paper).
    """

    def __init__(self, broker: Broker, gate: RiskGate, policy: ExitPolicy, ledger: Ledger, *, commission: float, sends: bool) -> None:
        self._broker = broker
        self._gate = gate
        self._policy = policy
        self._ledger = ledger
        self._commission = commission
        self._sends = sends
        self.state = TradingState.ACTIVE
        self._open: dict[int, TradeEntry] = {}
        self._unresolved: dict[str, OrderIntent] = {}
        self._pending: dict[str, TradeEntry] = {}
        self._exit_reasons: dict[int, str] = {}
        self._losses: dict[str, datetime | None] = {}
        self._day_equity: tuple[datetime, float] | None = None
        self._equity_hour: datetime | None = None

    @property
    def open_trades(self) -> tuple[TradeEntry, ...]:
        """Trades that are open now, by ticket."""
        return tuple(self._open[ticket] for ticket in sorted(self._open))

    # --- start and every pass ---------------------------------------------------------------

    def start(self, now: datetime) -> None:
        """Takes over where the journal and the broker's books stand."""
        self._open = {entry.ticket: entry for entry in self._ledger.open_trades()}
        self._unresolved = {intent.key: intent for intent in self._ledger.unresolved_orders()}
        self.settle(now)
        for position in self._broker.positions():
            if position.ticket not in self._open:
                self._adopt(position)

    def settle(self, now: datetime) -> None:
        """Brings journal and broker together: unknown orders, closed positions, equity."""
        for intent in tuple(self._unresolved.values()):
            self._resolve(intent, now)
        if self._open:
            alive = {position.ticket for position in self._broker.positions()}
            for ticket in sorted(self._open.keys() - alive):
                self._close_out(self._open[ticket])
        self._note_equity(now)

    def _note_equity(self, now: datetime) -> None:
        """Equity once an hour, and at the start of every trading day."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        start = trading_day_start(now)
        new_day = self._day_equity is None or self._day_equity[0] != start
        if hour == self._equity_hour and not new_day:
            return
        account = self._broker.account()
        self._ledger.record_equity(now, account)
        self._equity_hour = hour
        if new_day:
            known = self._ledger.equity_since(start)
            self._day_equity = (start, account.equity if known is None else known)
            logger.debug("trading day {} opens with equity {:.2f}", trading_day(now), self._day_equity[1])

    # --- entries ----------------------------------------------------------------------------

    def enter(self, decision: Decision, bars: Bars, now: datetime) -> DecisionOutcome:
        """Acts on a decision that takes a side; says what came of it."""
        assert decision.side is not None  # noqa: S101  # the loop asks only then
        earlier = self._ledger.intent_for_bar(decision.symbol, decision.bar_time)
        if earlier is not None:
            return DecisionOutcome(decision, "recovered", "an order for this bar had been made before a restart", earlier.key)
        try:
            proposal, state = self._proposal(decision, decision.side), self._risk_state(decision.symbol, bars)
            review = self._review(proposal, state)
        except RetryError as error:
            return DecisionOutcome(decision, "denied", f"terminal: {error}")
        if isinstance(review, Denied):
            return DecisionOutcome(decision, "denied", f"{review.rule}: {review.detail}")
        if not self._sends:
            return DecisionOutcome(decision, "denied", f"dry_run: TRADE_MODE=paper sends nothing; would take {review.volume} lots")
        return self._send_entry(decision, proposal, review, now)

    def _proposal(self, decision: Decision, side: Side) -> Proposal:
        """Entry at the current quote with stop and target at the policy's distances."""
        quote, spec = self._broker.quote(decision.symbol), self._broker.spec(decision.symbol)
        round_trip = 2 * self._commission
        cost = quote.spread + round_trip / spec.risk_per_lot(1.0)
        stop = self._policy.stop_distance(decision.atr, cost, spec.stops_level * spec.point)
        entry = quote.ask if side is Side.LONG else quote.bid
        sl = spec.round_price(entry - side * stop)
        tp = spec.round_price(entry + side * self._policy.target_distance(stop))
        return Proposal(spec, side, entry, sl, tp, quote, round_trip)

    def _risk_state(self, symbol: str, bars: Bars) -> RiskState:
        return RiskState(
            trading=self.state,
            account=self._broker.account(),
            day_equity=self._day_equity[1] if self._day_equity else None,
            positions=self._broker.positions(),
            unresolved=sum(intent.symbol == symbol for intent in self._unresolved.values()),
            bars_since_loss=self._bars_since_loss(symbol, bars),
            margin_per_lot=None,
            profit_per_lot=None,
        )

    def _review(self, proposal: Proposal, state: RiskState) -> Approved | Denied:
        symbol, side = proposal.spec.name, proposal.side
        priced = replace(
            state,
            margin_per_lot=self._broker.margin_for(side, symbol, 1.0, proposal.entry),
            profit_per_lot=self._broker.profit_per_lot(side, symbol, proposal.entry, proposal.sl),
        )
        return self._gate.review(proposal, priced)

    def _bars_since_loss(self, symbol: str, bars: Bars) -> int | None:
        if symbol not in self._losses:
            self._losses[symbol] = self._ledger.last_loss(symbol)
        closed = self._losses[symbol]
        return None if closed is None else int((bars.time >= closed.timestamp()).sum())

    def _send_entry(self, decision: Decision, proposal: Proposal, approved: Approved, now: datetime) -> DecisionOutcome:
        intent = OrderIntent(
            key=entry_key(decision),
            symbol=decision.symbol,
            side=proposal.side,
            volume=approved.volume,
            price=proposal.entry,
            sl=proposal.sl,
            tp=proposal.tp,
            deviation=self._broker.deviation,
            magic=self._broker.magic,
            created=now,
            reason=decision.reason,
        )
        entry = TradeEntry(
            ticket=0,
            order_key=intent.key,
            symbol=intent.symbol,
            side=intent.side,
            volume=intent.volume,
            opened=now,
            bar_time=decision.bar_time,
            price=intent.price,
            sl=intent.sl,
            tp=intent.tp,
            risk_money=approved.risk_money,
            versions=decision.versions,
            expected_r=decision.expected_r,
            reason=decision.reason,
        )
        self._ledger.record_intent(intent, decision.bar_time)
        self._pending[intent.key] = entry
        result = self._broker.send(intent)
        self._follow(intent, result)
        actions = {OrderState.REJECTED: "rejected", OrderState.UNKNOWN: "unknown"}
        return DecisionOutcome(decision, actions.get(result.state, "sent"), result.message, intent.key)

    # --- what became of an order ------------------------------------------------------------

    def _follow(self, intent: OrderIntent, result: OrderResult) -> None:
        """Writes an order's state, and what follows from it."""
        self._ledger.record_order(intent.key, result)
        if result.state is OrderState.UNKNOWN:
            self._unresolved[intent.key] = intent
            logger.warning("{}: outcome of order {} is unknown ({}); entries wait", intent.symbol, intent.key, result.message)
            return
        self._unresolved.pop(intent.key, None)
        if result.state in (OrderState.FILLED, OrderState.PARTIAL) and intent.purpose == "entry":
            self._opened(intent, result)
        elif result.state is OrderState.REJECTED:
            self._pending.pop(intent.key, None)
            logger.warning("{}: order {} was refused: {} {}", intent.symbol, intent.key, result.retcode, result.message)

    def _opened(self, intent: OrderIntent, result: OrderResult) -> None:
        position = next(
            (p for p in self._broker.positions(intent.symbol) if result.order in (p.ticket, 0) or p.comment == intent.key), None
        )
        if position is None:
            # Opened and already closed, or history is late: the books decide at the next pass.
            logger.debug("{}: position of order {} is not open", intent.symbol, intent.key)
        draft = self._pending.pop(intent.key, None) or _entry_of(intent)
        ticket = position.ticket if position is not None else result.order
        share = result.volume / intent.volume if result.volume and intent.volume else 1.0
        entry = replace(
            draft,
            ticket=ticket,
            volume=result.volume or draft.volume,
            price=position.price_open if position is not None else result.price or draft.price,
            opened=position.opened if position is not None else draft.opened,
            risk_money=draft.risk_money * share,
        )
        self._keep(entry)
        logger.info(
            "{} {} {} lots at {:g}, stop {:g}, target {:g}, ticket {}",
            entry.symbol, entry.side.name.lower(), entry.volume, entry.price, entry.sl, entry.tp, ticket,
        )  # fmt: skip

    def _keep(self, entry: TradeEntry) -> None:
        self._ledger.log_entry(entry)
        self._open[entry.ticket] = entry
        for deal in self._broker.deals_of(entry.ticket):
            self._ledger.record_deal(deal)

    def _resolve(self, intent: OrderIntent, now: datetime) -> None:
        """Looks for an order whose outcome is unknown; after GIVE_UP without a trace it was never sent."""
        try:
            found = self._broker.find(intent, frozenset(self._open))
        except (RetryError, OutcomeUnknown) as error:
            logger.warning("order {} is still unknown: {}", intent.key, error)
            return
        if found is not None:
            self._follow(intent, found)
        elif now - intent.created >= GIVE_UP or intent.key not in self._pending:
            self._unresolved.pop(intent.key, None)
            self._pending.pop(intent.key, None)
            self._ledger.record_order(intent.key, OrderResult(OrderState.NOT_SENT, 0, "the venue has no trace of it"))

    def _adopt(self, position: Position) -> None:
        """A position of ours that the journal does not know: it is managed from now on."""
        risk = abs(self._broker.profit_per_lot(position.side, position.symbol, position.price_open, position.sl)) if position.sl else 0.0
        logger.warning("{}: adopted position {} that the journal did not know", position.symbol, position.ticket)
        self._keep(
            TradeEntry(
                ticket=position.ticket,
                order_key=position.comment,
                symbol=position.symbol,
                side=position.side,
                volume=position.volume,
                opened=position.opened,
                bar_time=position.opened,
                price=position.price_open,
                sl=position.sl,
                tp=position.tp,
                risk_money=risk * position.volume,
                versions={},
                expected_r=0.0,
                reason="adopted",
            )
        )

    # --- exits ------------------------------------------------------------------------------

    def manage(self, symbol: str, bars: Bars, now: datetime) -> None:
        """Closes what has reached its time limit."""
        for entry in self.open_trades:
            held = int((bars.time > entry.bar_time.timestamp()).sum())
            if entry.symbol == symbol and held >= self._policy.horizon:
                self.close(entry, "time", now)

    def close(self, entry: TradeEntry, reason: str, now: datetime) -> None:
        """Sends one closing order for a trade, unless one is already on its way."""
        if any(intent.position == entry.ticket for intent in self._unresolved.values()):
            return
        intent = OrderIntent(
            key=f"x{entry.ticket}-{int(now.timestamp()):x}",
            symbol=entry.symbol,
            side=entry.side.opposite,
            volume=entry.volume,
            price=0.0,
            sl=0.0,
            tp=0.0,
            deviation=self._broker.deviation,
            magic=self._broker.magic,
            created=now,
            purpose="exit",
            position=entry.ticket,
            reason=reason,
        )
        self._ledger.record_intent(intent, now)
        self._exit_reasons[entry.ticket] = reason
        result = self._broker.send(intent)
        self._follow(intent, result)
        if result.state in (OrderState.FILLED, OrderState.PARTIAL):
            self.settle(now)

    def _close_out(self, entry: TradeEntry) -> None:
        """Journals a trade that the broker's books show as closed; waits while its deals are late."""
        deals = self._broker.deals_of(entry.ticket)
        out = [deal for deal in deals if deal.entry != "in"]
        if not out or sum(deal.volume for deal in out) < entry.volume - 1e-9:
            return
        for deal in deals:
            self._ledger.record_deal(deal)
        exit_ = _exit_of(entry, deals, out, self._exit_reasons.pop(entry.ticket, "manual"))
        self._ledger.log_exit(exit_)
        del self._open[entry.ticket]
        if exit_.net < 0:
            self._losses[entry.symbol] = exit_.closed
        logger.info("{} closed by {} at {:g}, net {:+.2f}, ticket {}", entry.symbol, exit_.reason, exit_.price, exit_.net, entry.ticket)


def entry_key(decision: Decision) -> str:
    """Unique per symbol and bar: a bar can have one entry. At most 29 ASCII characters.

    >>> from datetime import UTC
    >>> entry_key(Decision("EURUSD", datetime(2024, 1, 2, tzinfo=UTC), Side.LONG, ""))
    'EURUSD-65935380L'
    """
    side = "L" if decision.side is Side.LONG else "S"
    name = decision.symbol.encode("ascii", "ignore").decode()[:18]
    return f"{name}-{int(decision.bar_time.timestamp()):x}{side}"


def _entry_of(intent: OrderIntent) -> TradeEntry:
    """A trade as far as its intent tells, for an order that a restart found filled."""
    return TradeEntry(
        ticket=0,
        order_key=intent.key,
        symbol=intent.symbol,
        side=intent.side,
        volume=intent.volume,
        opened=intent.created,
        bar_time=intent.created,
        price=intent.price,
        sl=intent.sl,
        tp=intent.tp,
        risk_money=0.0,
        versions={},
        expected_r=0.0,
        reason=intent.reason,
    )


def _exit_of(entry: TradeEntry, deals: tuple[Deal, ...], out: list[Deal], ours: str) -> TradeExit:
    volume = sum(deal.volume for deal in out)
    return TradeExit(
        ticket=entry.ticket,
        closed=out[-1].time,
        price=sum(deal.price * deal.volume for deal in out) / volume,
        reason=EXIT_REASONS.get(out[-1].reason, ours),
        gross=sum(deal.profit for deal in deals),
        commission=sum(deal.commission + deal.fee for deal in deals),
        swap=sum(deal.swap for deal in deals),
        net=sum(deal.net for deal in deals),
    )
