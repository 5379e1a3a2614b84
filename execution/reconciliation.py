"""What became of an order whose outcome is unknown: matching it against what the venue shows.

Brokers overwrite and shorten comments, so a comment that still carries our key is proof, and
its absence is not. Where the comment is gone, cut short or the broker's own, then magic, symbol,
side, volume and time must all fit one candidate. A different comment is another order's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from config.errors import OutcomeUnknown
from execution.orders import Deal, OrderIntent, OrderResult, OrderState, Side
from execution.retcodes import NO_CHANGES, POSITION_CLOSED, retcode
from execution.translate import SIDES, utc_of
from market_data.clock import BrokerTime
from market_data.instruments import MAX_COMMENT, SymbolSpec

EARLIEST, LATEST = timedelta(minutes=-2), timedelta(minutes=10)
"""How far the venue's time of an order may lie from our time of its intent: clocks differ, and
a success may come long after the timeout."""

_DEAD_STATES = {2: "cancelled", 5: "rejected", 6: "expired"}
_BROKERS_OWN = frozenset({4, 5, 6})
"""Order reasons stop loss, take profit and stop out: never an order that we sent."""
_BROKERS_MARKS = ("[", "so ")
"""How comments begin that a broker wrote over ours: `[sl 1.0712]`, `so 49.8%`."""
_DUST = 1e-9


@dataclass(frozen=True, slots=True)
class Trace:
    """An order, or a position under the ticket of the order that opened it.

    Attributes:
        side: of the order; None for a pending order.
        volume: lots asked for (order) or open (position).
        price: open price of a position; 0.0 for an order.
        state: ORDER_STATE_* of an order; None for a position.
        position: that the order belongs to: its own ticket where it opened one; 0 where it is not told.
    """

    ticket: int
    symbol: str
    side: Side | None
    volume: float
    magic: int
    comment: str
    time: datetime
    price: float = 0.0
    state: int | None = None
    position: int = 0


def order_traces(intent: OrderIntent, orders: Iterable[Any], broker_time: BrokerTime) -> tuple[Trace, ...]:
    """Traces of the module's `TradeOrder` structs that carry an intent's magic and symbol, without those that the broker made itself."""
    return tuple(
        Trace(
            ticket=int(raw.ticket),
            symbol=str(raw.symbol),
            side=SIDES.get(int(raw.type)),
            volume=float(raw.volume_initial),
            magic=int(raw.magic),
            comment=str(raw.comment),
            time=utc_of(broker_time, raw.time_setup_msc),
            state=int(raw.state),
            position=int(raw.position_id),
        )
        for raw in orders
        if raw.magic == intent.magic and raw.symbol == intent.symbol and int(raw.reason) not in _BROKERS_OWN
    )


def match(intent: OrderIntent, traces: Iterable[Trace], known: Collection[int]) -> Trace | None:
    """The trace that an intent left, or None.

    Args:
        intent: as it was sent.
        traces: of one kind, orders or positions.
        known: tickets that are accounted for by other orders; they never match.

    Raises:
        OutcomeUnknown: where several fit and no comment tells them apart.
    """
    ours = [t for t in traces if t.magic == intent.magic and t.symbol == intent.symbol and t.ticket not in known]
    if intent.position:  # the order that opened the position did not close it
        ours = [t for t in ours if t.ticket != intent.position]
    named = [t for t in ours if t.comment == intent.key[:MAX_COMMENT]]
    fits = named or [t for t in ours if _could_be(intent, t) and (intent.position or t.position not in known)]
    if len(fits) > 1:
        raise OutcomeUnknown(intent.key, f"{intent.symbol}: orders {[t.ticket for t in fits]} all fit; resolve by hand")
    return fits[0] if fits else None


def _could_be(intent: OrderIntent, trace: Trace) -> bool:
    """Whether everything but the comment fits."""
    key = intent.key[:MAX_COMMENT]
    rewritten = key.startswith(trace.comment) or trace.comment.startswith(_BROKERS_MARKS)  # empty, cut short or a mark
    # An exit's direction follows from its position; only an entry's own side is compared.
    wrong_side = not intent.position and trace.side != intent.side
    in_time = EARLIEST <= trace.time - intent.created <= LATEST
    return in_time and rewritten and not wrong_side and trace.volume <= intent.volume + _DUST


def outcome(intent: OrderIntent, trace: Trace, deals: Sequence[Deal]) -> OrderResult:
    """What became of an intent, from its trace and the deals of its order.

    Args:
        intent: as it was sent.
        trace: the one that matches it.
        deals: of the order `trace.ticket`; may still be empty shortly after a fill.
    """
    if deals:
        volume = sum(deal.volume for deal in deals)
        price = sum(deal.volume * deal.price for deal in deals) / volume
        return _filled(intent, trace, deals[-1].ticket, price, volume)
    if trace.state is None:
        return _filled(intent, trace, 0, trace.price, trace.volume)
    if trace.state in _DEAD_STATES:
        return OrderResult(OrderState.REJECTED, 0, f"found at the venue: order {trace.ticket} {_DEAD_STATES[trace.state]}", trace.ticket)
    return OrderResult(OrderState.UNKNOWN, 0, f"order {trace.ticket} is in state {trace.state}, without a deal so far", trace.ticket)


def shown_stop(intent: OrderIntent, raws: Sequence[Any], spec: SymbolSpec) -> OrderResult:
    """What a position says about the stop it was to get: CONFIRMED, or REJECTED and free to be sent again.

    Args:
        intent: the change of the stop.
        raws: the module's `TradePosition` of that ticket; empty where it is closed.
        spec: of its symbol.
    """
    if not raws:
        return OrderResult(OrderState.REJECTED, POSITION_CLOSED, f"position {intent.position}: {retcode(POSITION_CLOSED)}")
    stop, target = float(raws[0].sl), float(raws[0].tp)
    if max(abs(stop - intent.sl), abs(target - intent.tp)) < spec.tick_size / 2:
        return OrderResult(OrderState.CONFIRMED, 0, f"position {intent.position} has its stop at {stop:g}", price=stop)
    return OrderResult(
        OrderState.REJECTED,
        0,
        f"position {intent.position} has its stop at {stop:g} and its target at {target:g}, not {intent.sl:g} and {intent.tp:g}",
    )


def stop_change(sent: OrderResult, shown: OrderResult) -> OrderResult:
    """What became of a change of the stop, from the venue's answer and from what the position shows.

    Positions may lag behind an answer: what was taken and is not shown yet is UNKNOWN, and a later
    look tells. That there was nothing to change is success.
    """
    if sent.state is OrderState.REJECTED and sent.retcode != NO_CHANGES:
        return sent
    return shown if shown.state is OrderState.CONFIRMED else OrderResult(OrderState.UNKNOWN, sent.retcode, shown.message)


def _filled(intent: OrderIntent, trace: Trace, deal: int, price: float, volume: float) -> OrderResult:
    state = OrderState.FILLED if volume >= intent.volume - _DUST else OrderState.PARTIAL
    return OrderResult(state, 0, f"found at the venue: order {trace.ticket}", trace.ticket, deal, price, volume)
