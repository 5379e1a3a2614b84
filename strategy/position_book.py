"""The position book: what is open and what is not known yet, as the broker's books and the journal tell it.

The broker's books win. What was sent and not confirmed is looked for, never sent again; what the
broker closed meanwhile is journalled; positions with our magic are adopted, others left alone.
Every step may be cut short by a crash: `start` goes on from whatever the journal holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from loguru import logger

from config.errors import OutcomeUnknown, RetryError
from execution.orders import Deal, OrderIntent, OrderResult, OrderState, Position, Side
from strategy.decision import TradeEntry, TradeExit

GIVE_UP = timedelta(minutes=5)
"""How long an order is looked for without a trace before it is taken as never sent."""

EXIT_REASONS: Mapping[str, str] = {"sl": "stop", "tp": "target", "so": "stop_out"}
_DUST = 1e-9


class Books(Protocol):
    """The broker's books."""

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        """Our own open positions."""
        ...

    def deals_of(self, position: int) -> tuple[Deal, ...]:
        """All deals of a position, oldest first; a new one may come late."""
        ...

    def profit_per_lot(self, side: Side, symbol: str, entry: float, exit_price: float) -> float:
        """Account currency that one lot makes."""
        ...

    def find(self, intent: OrderIntent, known: frozenset[int] = frozenset()) -> OrderResult | None:
        """What became of an order; None where there is no trace of it."""
        ...


class Records(Protocol):
    """The journal of orders, deals and trades."""

    def record_order(self, key: str, result: OrderResult) -> bool:
        """Adds a state to an order; False where it is in that state already."""
        ...

    def record_deal(self, deal: Deal) -> bool:
        """Writes a deal once."""
        ...

    def log_entry(self, entry: TradeEntry) -> bool:
        """Writes an opened trade once."""
        ...

    def log_exit(self, exit: TradeExit) -> bool:
        """Closes a trade once."""
        ...

    def open_trades(self) -> tuple[TradeEntry, ...]:
        """Trades without an exit."""
        ...

    def unresolved_orders(self) -> tuple[OrderIntent, ...]:
        """Orders that may or may not exist at the venue."""
        ...

    def unlogged_fills(self) -> tuple[tuple[OrderIntent, OrderResult], ...]:
        """Entries that were filled and have no trade yet."""
        ...

    def planned(self, key: str) -> TradeEntry | None:
        """The trade that an entry order was to open."""
        ...

    def intent_of_ticket(self, ticket: int) -> OrderIntent | None:
        """Our intent behind an order ticket of the venue."""
        ...


class PositionBook:
    """Open trades and unresolved orders of one account.

    Args:
        adopts: False leaves positions alone that the journal does not know (paper).
    """

    def __init__(self, broker: Books, records: Records, *, adopts: bool) -> None:
        self._broker = broker
        self._records = records
        self._adopts = adopts
        self._open: dict[int, TradeEntry] = {}
        self._unresolved: dict[str, OrderIntent] = {}
        self._sought_since: dict[str, datetime] = {}

    @property
    def open_trades(self) -> tuple[TradeEntry, ...]:
        """Trades that are open now, by ticket."""
        return tuple(self._open[ticket] for ticket in sorted(self._open))

    def unresolved(self, symbol: str) -> int:
        """Orders on a symbol whose outcome is not known."""
        return sum(intent.symbol == symbol for intent in self._unresolved.values())

    def closing(self, ticket: int) -> bool:
        """Whether an order that closes this position, or a part of it, is on its way."""
        return any(intent.position == ticket and intent.purpose != "stop" for intent in self._unresolved.values())

    def changing(self, ticket: int) -> bool:
        """Whether anything that concerns this position is on its way."""
        return any(intent.position == ticket for intent in self._unresolved.values())

    def start(self, now: datetime) -> None:
        """Takes over where the journal stands, and brings it up to the broker's books."""
        for intent in self._records.unresolved_orders():
            # From now, however old it is: a terminal that has just started may still load its history.
            self.begin(intent, now)
        self._open = {entry.ticket: entry for entry in self._records.open_trades()}
        for intent, result in self._records.unlogged_fills():
            self._opened(intent, result)
        self.settle(now)
        for entry in self.open_trades:
            self._record_deals(entry.ticket)

    def settle(self, now: datetime) -> None:
        """Brings journal and broker together: unknown orders, closed positions, unknown positions."""
        for intent in tuple(self._unresolved.values()):
            self._resolve(intent, now)
        held = {position.ticket: position for position in self._broker.positions()}
        for ticket in sorted(self._open.keys() - held.keys()):
            self._close_out(self._open[ticket])
        for ticket in sorted(held.keys() - self._open.keys()):
            self._adopt(held[ticket])

    # --- what became of an order ------------------------------------------------------------

    def begin(self, intent: OrderIntent, now: datetime) -> None:
        """Notes an order before it is sent: until `follow` knows better its outcome is unknown."""
        self._unresolved[intent.key] = intent
        self._sought_since[intent.key] = now

    def follow(self, intent: OrderIntent, result: OrderResult) -> None:
        """Writes an order's state, and what follows from it."""
        news = self._records.record_order(intent.key, result)
        if result.state is OrderState.UNKNOWN:
            if news:
                logger.warning("{}: outcome of order {} is unknown ({}); entries wait", intent.symbol, intent.key, result.message)
            return
        self._forget(intent)
        if result.state in (OrderState.FILLED, OrderState.PARTIAL) and intent.purpose == "entry":
            self._opened(intent, result)
        elif result.state in (OrderState.FILLED, OrderState.PARTIAL) and intent.purpose == "partial":
            self._record_deals(intent.position)
        elif result.state is OrderState.REJECTED:
            logger.warning("{}: order {} was refused: {} {}", intent.symbol, intent.key, result.retcode, result.message)

    def _forget(self, intent: OrderIntent) -> None:
        self._unresolved.pop(intent.key, None)
        self._sought_since.pop(intent.key, None)

    def _resolve(self, intent: OrderIntent, now: datetime) -> None:
        """Looks for an order whose outcome is unknown; after GIVE_UP without a trace it was never sent."""
        try:
            found = self._broker.find(intent, frozenset(self._open))
        except (RetryError, OutcomeUnknown) as error:
            logger.warning("order {} is still unknown: {}", intent.key, error)
            return
        if found is not None:
            self.follow(intent, found)
        elif now - self._sought_since[intent.key] >= GIVE_UP:
            logger.warning("{}: the venue has no trace of order {}: taken as never sent", intent.symbol, intent.key)
            self._records.record_order(intent.key, OrderResult(OrderState.NOT_SENT, 0, "the venue has no trace of it"))
            self._forget(intent)

    def _opened(self, intent: OrderIntent, result: OrderResult) -> None:
        position = self._position_of(intent, result)
        plan = self._records.planned(intent.key)
        ticket = position.ticket if position is not None else result.order
        if plan is None or not ticket:
            logger.warning("{}: order {} was filled under an unknown ticket; its position is adopted once seen", intent.symbol, intent.key)
            return
        self._keep(
            replace(
                plan,
                ticket=ticket,
                volume=result.volume or plan.volume,
                price=position.price_open if position is not None else result.price or plan.price,
                opened=position.opened if position is not None else plan.opened,
                risk_money=_share(plan, result.volume or plan.volume),
            )
        )

    def _position_of(self, intent: OrderIntent, result: OrderResult) -> Position | None:
        """The position of a filled entry; None where it is closed already, or not shown yet."""
        try:
            held = self._broker.positions(intent.symbol)
        except RetryError as error:
            logger.warning("{}: order {} was filled, its position cannot be read: {}", intent.symbol, intent.key, error)
            return None
        return next((p for p in held if result.order == p.ticket or p.comment == intent.key), None)

    def _adopt(self, position: Position) -> None:
        """A position of ours that the journal does not know: it is managed from now on."""
        if not self._adopts or self.unresolved(position.symbol):
            return  # it may be the one that an unresolved order opened
        plan = self._records.planned(position.comment) or self._planned_by_ticket(position.ticket)
        logger.warning("{}: adopted position {} that the journal did not know", position.symbol, position.ticket)
        if plan is None:
            self._keep(self._stranger(position))
            return
        self._keep(
            replace(
                plan,
                ticket=position.ticket,
                volume=position.volume,
                price=position.price_open,
                opened=position.opened,
                risk_money=_share(plan, position.volume),
            )
        )

    def _planned_by_ticket(self, ticket: int) -> TradeEntry | None:
        intent = self._records.intent_of_ticket(ticket)
        return self._records.planned(intent.key) if intent is not None else None

    def _stranger(self, position: Position) -> TradeEntry:
        """What a position says of itself; its risk is the loss at its stop as it stands now, 0 where that is not known."""
        lost = 0.0
        with suppress(RetryError):
            if position.sl:
                lost = -self._broker.profit_per_lot(position.side, position.symbol, position.price_open, position.sl)
        return TradeEntry(
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
            risk_money=max(0.0, lost) * position.volume,
            versions={},
            expected_r=0.0,
            reason="adopted",
        )

    def _keep(self, entry: TradeEntry) -> None:
        self._records.log_entry(entry)
        self._open[entry.ticket] = entry
        logger.info(
            "{} {} {} lots at {:g}, stop {:g}, target {:g}, ticket {}",
            entry.symbol, entry.side.name.lower(), entry.volume, entry.price, entry.sl, entry.tp, entry.ticket,
        )  # fmt: skip
        self._record_deals(entry.ticket)

    def _record_deals(self, ticket: int) -> None:
        """The deals so far; those that are late, or cannot be read now, come when the trade is closed."""
        try:
            deals = self._broker.deals_of(ticket)
        except RetryError as error:
            logger.debug("deals of {} cannot be read now: {}", ticket, error)
            return
        for deal in deals:
            self._records.record_deal(deal)

    # --- the end of a trade -----------------------------------------------------------------

    def _close_out(self, entry: TradeEntry) -> None:
        """Journals a trade that the broker's books show as closed; waits while its deals are late."""
        if self.closing(entry.ticket):
            return
        deals = self._broker.deals_of(entry.ticket)
        out = [deal for deal in deals if deal.entry != "in"]
        taken = sum(deal.volume for deal in deals if deal.entry == "in") or entry.volume
        if not out or sum(deal.volume for deal in out) < taken - _DUST:
            return
        for deal in deals:
            self._records.record_deal(deal)
        exit_ = _exit_of(entry, deals, out, self._exit_reason(out[-1]))
        self._records.log_exit(exit_)
        del self._open[entry.ticket]
        logger.info("{} closed by {} at {:g}, net {:+.2f}, ticket {}", entry.symbol, exit_.reason, exit_.price, exit_.net, entry.ticket)

    def _exit_reason(self, last: Deal) -> str:
        """The broker's reason, or that of our closing order; whoever else closed it did so by hand."""
        if last.reason in EXIT_REASONS:
            return EXIT_REASONS[last.reason]
        ours = self._records.intent_of_ticket(last.order)
        return ours.reason if ours is not None and ours.purpose == "exit" else "manual"


def _share(plan: TradeEntry, volume: float) -> float:
    """Money at risk where less, or more, was filled than planned."""
    return plan.risk_money * volume / plan.volume if plan.volume else plan.risk_money


def _exit_of(entry: TradeEntry, deals: tuple[Deal, ...], out: list[Deal], reason: str) -> TradeExit:
    volume = sum(deal.volume for deal in out)
    return TradeExit(
        ticket=entry.ticket,
        closed=out[-1].time,
        price=sum(deal.price * deal.volume for deal in out) / volume,
        reason=reason,
        gross=sum(deal.profit for deal in deals),
        commission=sum(deal.commission + deal.fee for deal in deals),
        swap=sum(deal.swap for deal in deals),
        net=sum(deal.net for deal in deals),
    )
