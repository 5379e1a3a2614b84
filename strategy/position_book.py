"""The position book: what is open and what is not known yet, as the broker's books and the journal tell it.

The broker's books win. What was sent and not confirmed is looked for, never sent again; what the
broker closed meanwhile is journalled; positions with our magic are adopted, others left alone.
Every step may be cut short by a crash: `start` goes on from whatever the journal holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from loguru import logger

from config.errors import RetryError
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState, Position, Side
from strategy.decision import TradeEntry, TradeExit
from strategy.order_search import OrderRecords, OrderSearch, Venue

EXIT_REASONS: Mapping[str, str] = {"sl": "stop", "tp": "target", "so": "stop_out"}
_DUST = 1e-9


class Books(Venue, Protocol):
    """The broker's books."""

    def account(self) -> Account:
        """The account now; an error where the terminal shows another than ours."""
        ...

    def deals_of(self, position: int) -> tuple[Deal, ...]:
        """All deals of a position, oldest first; a new one may come late."""
        ...

    def profit_per_lot(self, side: Side, symbol: str, entry: float, exit_price: float) -> float:
        """Account currency that one lot makes."""
        ...


class Records(OrderRecords, Protocol):
    """The journal of orders, deals and trades."""

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

    def unlogged_fills(self) -> tuple[tuple[OrderIntent, OrderResult], ...]:
        """Entries that were filled and have no trade yet."""
        ...

    def planned(self, key: str) -> TradeEntry | None:
        """The trade that an entry order was to open."""
        ...

    def intent_of_ticket(self, ticket: int) -> OrderIntent | None:
        """Our intent behind an order ticket of the venue."""
        ...


Revision = Callable[[], int | None]


def unknown_revision() -> None:
    """Of a broker that does not say when its books change."""


class PositionBook:
    """Open trades and unresolved orders of one account.

    Args:
        broker: its books.
        records: the journal.
        revision: a number that grows with every change of the broker's books; None: it does not say.

    Attributes:
        held: our positions as the broker showed them last, by ticket.
    """

    def __init__(self, broker: Books, records: Records, revision: Revision = unknown_revision) -> None:
        self._broker = broker
        self._records = records
        self._revision = revision
        self._settled: int | None = None
        self._open: dict[int, TradeEntry] = {}
        self._search = OrderSearch(broker, records)
        self._astray: frozenset[int] = frozenset()
        self.held: dict[int, Position] = {}

    @property
    def open_trades(self) -> tuple[TradeEntry, ...]:
        """Trades that are open now, by ticket."""
        return tuple(self._open[ticket] for ticket in sorted(self._open))

    def unresolved(self, symbol: str) -> int:
        """What is not known on a symbol: outcomes of orders, and trades without a position whose deals are late."""
        astray = sum(self._open[ticket].symbol == symbol for ticket in self._astray & self._open.keys())
        return self._search.unresolved(symbol) + astray

    def closing(self, ticket: int) -> bool:
        """Whether an order that closes this position, or a part of it, is on its way."""
        return self._search.closing(ticket)

    def changing(self, ticket: int) -> bool:
        """Whether anything that concerns this position is on its way."""
        return self._search.changing(ticket)

    def start(self, now: datetime) -> None:
        """Takes over where the journal stands, and brings it up to the broker's books.

        A terminal that does not answer now is asked again by the next `settle`.
        """
        self._search.start(now)
        self._open = {entry.ticket: entry for entry in self._records.open_trades()}
        for intent, result in self._records.unlogged_fills():
            self._opened(intent, result)
        try:
            self.settle(now)
        except RetryError as error:
            logger.warning("the broker's books cannot be read yet: {}", error)
        for entry in self.open_trades:
            self._record_deals(entry.ticket)

    def settle(self, now: datetime) -> None:
        """Brings journal and broker together: unknown orders, closed positions, unknown positions.

        Raises:
            RetryError: the terminal does not answer, or shows another account, whose books tell nothing of ours.
        """
        revision = self._revision()
        if self._is_settled(revision):
            return  # the books are those that were read last
        hedging = self._broker.account().hedging
        claimed = {ticket: entry.order_key for ticket, entry in self._open.items()}
        for intent, result in self._search.look(now, claimed, hedging=hedging):
            self.follow(intent, result)
        self.held = held = {position.ticket: position for position in self._broker.positions()}
        for ticket in sorted(self._open.keys() - held.keys()):
            self._close_out(self._open[ticket])
        self._astray = frozenset(self._open.keys() - held.keys())
        for ticket in sorted(held.keys() - self._open.keys()):
            self._adopt(held[ticket])
        self._settled = revision

    def _is_settled(self, revision: int | None) -> bool:
        return revision is not None and revision == self._settled and not self._astray and self._search.idle

    @property
    def known(self) -> bool:
        """Whether everything that is open is known, and what `settle` finds next follows from prices and from orders to come."""
        return self._settled is not None and self._revision() is not None and not self._astray and self._search.idle

    @property
    def flat(self) -> bool:
        """Whether nothing is open or unknown, and nothing changes before somebody sends an order."""
        return not self._open and not self.held and self._is_settled(self._revision())

    # --- what became of an order ------------------------------------------------------------

    def begin(self, intent: OrderIntent) -> None:
        """Notes an order before it is sent: until `follow` knows better its outcome is unknown."""
        self._search.begin(intent)

    def follow(self, intent: OrderIntent, result: OrderResult) -> None:
        """Writes an order's state, and what follows from it."""
        news = self._records.record_order(intent.key, result)
        if result.state is OrderState.UNKNOWN:
            if news:
                logger.warning("{}: outcome of order {} is unknown ({}); entries wait", intent.symbol, intent.key, result.message)
            return
        if result.state in (OrderState.FILLED, OrderState.PARTIAL) and intent.purpose == "entry":
            self._opened(intent, result)
        elif result.state in (OrderState.FILLED, OrderState.PARTIAL) and intent.purpose == "partial":
            self._record_deals(intent.position)
        elif result.state is OrderState.REJECTED:
            logger.warning("{}: order {} was refused: {} {}", intent.symbol, intent.key, result.retcode, result.message)
        self._search.end(intent)  # last: where a step before it fails, the order is looked for again

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
        if self._search.unresolved(position.symbol):
            return  # it may be the one that an unresolved order opened
        plan = self._records.planned(position.comment) or self._planned_by_ticket(position.ticket)
        logger.warning("{}: adopted position {} that the journal did not know", position.symbol, position.ticket)
        if plan is None:
            self._keep(self._stranger(position))
            return
        self._claim(plan, position)
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

    def _claim(self, plan: TradeEntry, position: Position) -> None:
        """The order of a plan was taken as never sent, and here is its position."""
        if self._records.intent_of_ticket(position.ticket) is None:
            state = OrderState.FILLED if position.volume >= plan.volume - _DUST else OrderState.PARTIAL
            found = OrderResult(state, 0, "its position was found", position.ticket, 0, position.price_open, position.volume)
            self._records.record_order(plan.order_key, found)

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
        try:
            deals = self._broker.deals_of(entry.ticket)
        except RetryError as error:  # the other positions are looked after all the same
            logger.warning("{}: the deals of {} cannot be read yet: {}", entry.symbol, entry.ticket, error)
            return
        out = [deal for deal in deals if deal.entry != "in"]
        taken = sum(deal.volume for deal in deals if deal.entry == "in")
        if taken < entry.volume - _DUST or sum(deal.volume for deal in out) < taken - _DUST:
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
        ours = self._records.intent_of_ticket(last.order) or self._search.given_up(last.comment)
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
