"""The trade desk: sends each order once, sizes entries through the risk gate, and ends trades in time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from loguru import logger

from config.errors import DataError, OutcomeUnknown, RetryError, SkipError
from execution.exits import ExitPolicy
from execution.orders import Account, OrderIntent, OrderResult, OrderState, Position, Quote, Side
from execution.risk import Approved, Denied, Proposal, RiskGate, RiskState, TradingState, trading_day, trading_day_start
from execution.translate import OrderCheck
from market_data.bars import Bars
from market_data.instruments import SymbolSpec
from strategy.decision import Decision, DecisionOutcome, TradeEntry, entry_key, planned_trade
from strategy.position_book import Books, PositionBook, Records, Revision, unknown_revision
from strategy.stop_guard import Mend, StopGuard
from strategy.stop_management import Caretaker, bars_held

EQUITY_EVERY = timedelta(hours=1)
"""Equity is recorded so often, at the first pass of every hour."""


class Broker(Books, Protocol):
    """What the desk asks of the terminal, beside its books."""

    magic: int
    deviation: int

    def account(self) -> Account:
        """The account now."""
        ...

    def spec(self, symbol: str) -> SymbolSpec:
        """The symbol as the broker describes it now."""
        ...

    def quote(self, symbol: str) -> Quote:
        """The latest tick."""
        ...

    def foreign_positions(self, symbol: str) -> int:
        """How many open positions on a symbol are not ours."""
        ...

    def margin_for(self, side: Side, symbol: str, volume: float, price: float) -> float:
        """Account currency that an order would bind."""
        ...

    def check(self, intent: OrderIntent) -> OrderCheck:
        """Asks the terminal whether an order would pass, its margin included; nothing is sent."""
        ...

    def send(self, intent: OrderIntent) -> OrderResult:
        """Sends an order once and never raises for what the terminal does."""
        ...


class Ledger(Records, Protocol):
    """What the desk writes to, and reads at start: the trade journal."""

    def record_intent(self, intent: OrderIntent, bar_time: datetime, plan: TradeEntry | None = None) -> None:
        """Writes an order before it is sent."""
        ...

    def record_equity(self, at: datetime, account: Account) -> bool:
        """Writes the account's state."""
        ...

    def intent_for_bar(self, symbol: str, bar_time: datetime) -> OrderIntent | None:
        """The entry that was intended on a bar."""
        ...

    def last_loss(self, symbol: str) -> datetime | None:
        """When the newest losing trade of a symbol closed."""
        ...

    def equity_since(self, start: datetime) -> float | None:
        """The first equity recorded at or after an instant."""
        ...


class TradeDesk:
    """Entries and exits for one account.

    Args:
        commission: account currency per lot and side.
        symbols: on which decisions are made; trades on others are only brought to their end.
        blocked: why nothing may be opened on a symbol now, or None; asked with an empty name about all.
        revision: a number that grows with every change of the broker's books; None: it does not say.

    Attributes:
        state: ACTIVE until an unexpected error says otherwise; only a restart lifts what an error set.
        paused: no entries until somebody resumes.
    """

    def __init__(
        self,
        broker: Broker,
        gate: RiskGate,
        policy: ExitPolicy,
        ledger: Ledger,
        *,
        commission: float,
        symbols: Collection[str] = (),
        blocked: Callable[[str], str | None] = lambda symbol: None,
        revision: Revision = unknown_revision,
    ) -> None:
        self._broker = broker
        self._gate = gate
        self._policy = policy
        self._ledger = ledger
        self._commission = commission
        self._symbols = frozenset(symbols)
        self._blocked = blocked
        self._book = PositionBook(broker, ledger, revision)
        self._caretaker = Caretaker(broker, policy, commission)
        self._guard = StopGuard()
        self.state = TradingState.ACTIVE
        self.paused = False
        self._day_equity: tuple[datetime, float] | None = None
        self._equity_hour: datetime | None = None

    @property
    def trading(self) -> TradingState:
        """What the daemon may do now."""
        reducing = self.paused or self.blocked() is not None
        return TradingState.REDUCING if reducing and self.state is TradingState.ACTIVE else self.state

    def blocked(self, symbol: str = "") -> str | None:
        """Why the terminal allows no entry now, on a symbol or at all; None where it does."""
        return self._blocked(symbol)

    @property
    def open_trades(self) -> tuple[TradeEntry, ...]:
        """Trades that are open now, by ticket."""
        return self._book.open_trades

    def unresolved(self, symbol: str) -> int:
        """What is not known on a symbol; no entries until it is."""
        return self._book.unresolved(symbol)

    # --- start and every pass ---------------------------------------------------------------

    def start(self, now: datetime) -> None:
        """Takes over where the journal and the broker's books stand."""
        self._guard.take_over(self._ledger.open_trades())
        self._book.start(now)
        try:
            self._note_equity(now)
        except RetryError as error:
            logger.warning("the account cannot be read yet: {}", error)

    def settle(self, now: datetime) -> None:
        """Brings journal and broker together: unknown orders, closed positions, equity."""
        self._book.settle(now)
        self._protect(now)
        self._note_equity(now)

    def quiet_until(self, now: datetime) -> datetime:
        """When `settle` has something to do again, where no order is sent; now, where it may have at any time."""
        return now if self._equity_hour is None or not self._book.flat else self._equity_hour + EQUITY_EVERY

    def _protect(self, now: datetime) -> None:
        """Sets stops that the broker does not show, and closes what cannot be protected."""
        for entry in self.open_trades:
            position = self._book.held.get(entry.ticket)
            if position is not None and not self._book.changing(entry.ticket):
                self._secure(entry, position, now)

    def _secure(self, entry: TradeEntry, position: Position, now: datetime) -> None:
        verdict = self._guard.verdict(entry, position, now)
        if isinstance(verdict, Mend):
            logger.warning("{}: position {}: {}: setting them", entry.symbol, entry.ticket, verdict.reason)
            if (result := self._send_once(self._caretaker.mend(entry, position, verdict, now), now)) is not None:
                self._guard.answered(entry, result)
        elif verdict is not None:
            self._give_up(entry, now)

    def _give_up(self, entry: TradeEntry, now: datetime) -> None:
        logger.error("{}: position {} cannot be protected: closing it", entry.symbol, entry.ticket)
        self.close(entry, "unprotected", now)

    def _note_equity(self, now: datetime) -> None:
        """Equity once an hour, and so at the start of every trading day, which is that of an hour."""
        if self._equity_hour is not None and timedelta(0) <= now - self._equity_hour < EQUITY_EVERY:
            return
        start = trading_day_start(now)
        account = self._broker.account()
        self._ledger.record_equity(now, account)
        if self._day_equity is None or self._day_equity[0] != start:
            known = self._ledger.equity_since(start)
            self._day_equity = (start, account.equity if known is None else known)
            logger.debug("trading day {} opens with equity {:.2f}", trading_day(now), self._day_equity[1])
        self._equity_hour = now.replace(minute=0, second=0, microsecond=0)

    # --- entries ----------------------------------------------------------------------------

    def enter(self, decision: Decision, bars: Bars, now: datetime) -> DecisionOutcome:
        """Acts on a decision that takes a side; says what came of it."""
        assert decision.side is not None  # noqa: S101  # the loop asks only then
        earlier = self._ledger.intent_for_bar(decision.symbol, decision.bar_time)
        if earlier is not None:
            return DecisionOutcome(decision, "recovered", "an order for this bar had been made before a restart", earlier.key)
        trouble = self.blocked(decision.symbol)
        if trouble is not None:
            return DecisionOutcome(decision, "denied", f"terminal: {trouble}")
        try:
            proposal, state = self._proposal(decision, decision.side), self._risk_state(decision.symbol, bars)
            review = self._gate.review(proposal, state, partial(self._priced, proposal))
        except (RetryError, SkipError) as error:
            return DecisionOutcome(decision, "denied", f"terminal: {error}")
        if isinstance(review, Denied):
            return DecisionOutcome(decision, "denied", f"{review.rule}: {review.detail}")
        return self._send_entry(decision, proposal, review, now)

    def _proposal(self, decision: Decision, side: Side) -> Proposal:
        """Entry at the current quote with stop and target at the policy's distances."""
        quote, spec = self._broker.quote(decision.symbol), self._broker.spec(decision.symbol)
        if spec.problems() or not spec.tick_value_loss > 0:
            raise DataError(
                f"{spec.name}: tick value {spec.tick_value_loss}; {'; '.join(spec.problems()) or 'the symbol is still loading'}"
            )
        round_trip = 2 * self._commission
        cost = quote.spread + round_trip / spec.risk_per_lot(1.0)
        stop = self._policy.stop_distance(decision.atr, cost, quote.spread + spec.stops_level * spec.point)
        entry = quote.ask if side is Side.LONG else quote.bid
        sl = spec.round_price(entry - side * stop)
        tp = spec.round_price(entry + side * self._policy.target_distance(stop))
        return Proposal(spec, side, entry, sl, tp, quote, round_trip)

    def _risk_state(self, symbol: str, bars: Bars) -> RiskState:
        account = self._broker.account()
        return RiskState(
            trading=self.trading,
            account=account,
            day_equity=self._day_equity[1] if self._day_equity else None,
            positions=self._broker.positions(),
            unresolved=self._book.unresolved(symbol),
            bars_since_loss=self._bars_since_loss(symbol, bars),
            margin_per_lot=None,
            profit_per_lot=None,
            foreign=0 if account.hedging else self._broker.foreign_positions(symbol),
        )

    def _priced(self, proposal: Proposal, state: RiskState) -> RiskState:
        symbol, side = proposal.spec.name, proposal.side
        return replace(
            state,
            margin_per_lot=self._broker.margin_for(side, symbol, 1.0, proposal.entry),
            profit_per_lot=self._broker.profit_per_lot(side, symbol, proposal.entry, proposal.sl),
        )

    def _bars_since_loss(self, symbol: str, bars: Bars) -> int | None:
        """Counted in the window; before it every bar length counts, for there may have been a bar."""
        closed = self._ledger.last_loss(symbol)
        if closed is None:
            return None
        before_window = max(0.0, int(bars.time[0]) - closed.timestamp())
        return int((bars.time >= closed.timestamp()).sum()) + int(before_window // bars.timeframe.seconds)

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
        refusal = self._refusal(intent)
        if refusal is not None:
            return DecisionOutcome(decision, "denied", f"order_check: {refusal}")
        result = self._send(intent, decision.bar_time, planned_trade(intent, decision, approved.risk_money))
        actions = {OrderState.REJECTED: "rejected", OrderState.UNKNOWN: "unknown"}
        return DecisionOutcome(decision, actions.get(result.state, "sent"), result.message, intent.key)

    def _refusal(self, intent: OrderIntent) -> str | None:
        """Why the terminal would not take an entry; no answer is a no."""
        try:
            check = self._broker.check(intent)
        except (RetryError, SkipError) as error:
            return str(error)
        if not check.ok:
            return check.message
        return None if check.margin_free >= 0 else f"free margin would be {check.margin_free:.2f}"

    def _send(self, intent: OrderIntent, bar_time: datetime, plan: TradeEntry | None = None) -> OrderResult:
        """The one place that sends: on record before, followed up after."""
        self._ledger.record_intent(intent, bar_time, plan)
        self._book.begin(intent)
        result = self._broker.send(intent)
        self._book.follow(intent, result)
        return result

    # --- exits ------------------------------------------------------------------------------

    def manage(self, symbol: str, bars: Bars, now: datetime) -> None:
        """Closes what has reached its time limit, and looks after the rest.

        Trades on symbols that nobody decides on any more are closed in time as well, counted in
        these bars: a market that is closed does not use their time up.
        """
        for entry in self.open_trades:
            left_over = self._is_left_over(entry)
            if (entry.symbol == symbol or left_over) and bars_held(entry, bars) >= self._policy.horizon:
                self.close(entry, "time", now)
            elif entry.symbol == symbol or left_over:
                self._give_stop(entry, None if left_over else bars, now)
                if self._policy.manages and not left_over:
                    self._tend(entry, bars, now)

    def _is_left_over(self, entry: TradeEntry) -> bool:
        return bool(self._symbols) and entry.symbol not in self._symbols

    def untended(self, symbol: str, window: Callable[[], Bars]) -> int | None:
        """On how many bars to come `manage` has nothing to do, where no order is sent; 0 where that is not sure, None: on any.

        Args:
            symbol: of the bars.
            window: its newest ones; asked where a trade is open.
        """
        if not self._book.known or any(map(self._is_left_over, self.open_trades)):
            return 0
        return min((self._caretaker.untended(entry, window()) for entry in self.open_trades if entry.symbol == symbol), default=None)

    def _give_stop(self, entry: TradeEntry, bars: Bars | None, now: datetime) -> None:
        """Protects what was adopted without a stop; without bars of its symbol, or a level that the venue would take, it goes."""
        position = self._book.held.get(entry.ticket)
        if entry.sl or position is None or position.sl or self._book.changing(entry.ticket):
            return
        level = None if bars is None else self._caretaker.first_stop(position, bars)
        if level is None:
            self._give_up(entry, now)
        else:
            self._guard.owe(entry.ticket, level)
            self._secure(entry, position, now)

    def _tend(self, entry: TradeEntry, bars: Bars, now: datetime) -> None:
        """Closes a part and moves the stop, where the policy wants it; one thing in flight per position."""
        for step in (self._caretaker.partial, self._caretaker.stop):
            intent = None if self._book.changing(entry.ticket) else step(entry, bars, now)
            if intent is not None and (result := self._send_once(intent, bars.opened_at(-1))) is not None:
                logger.info("{}: {} of {}: {}", intent.symbol, intent.reason, intent.position, result.state.value)

    def _send_once(self, intent: OrderIntent, bar_time: datetime) -> OrderResult | None:
        """Sends what a repeated pass at the same instant, also after a restart, must not send again; None where it was sent before."""
        try:
            return self._send(intent, bar_time)
        except OutcomeUnknown as error:
            logger.warning("{}: not sent twice at one instant: {}", intent.symbol, error)
            return None

    def close(self, entry: TradeEntry, reason: str, now: datetime) -> None:
        """Sends one closing order for a trade, unless one is already on its way."""
        if self._book.closing(entry.ticket):
            return
        volume = sum(p.volume for p in self._broker.positions(entry.symbol) if p.ticket == entry.ticket)
        if not volume:
            return  # the broker was faster; `settle` journals it
        intent = OrderIntent(
            key=f"x{entry.ticket}-{int(now.timestamp() * 1_000):x}",
            symbol=entry.symbol,
            side=entry.side.opposite,
            volume=volume,
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
        result = self._send_once(intent, now)
        if result is not None and result.state in (OrderState.FILLED, OrderState.PARTIAL):
            self._book.settle(now)
