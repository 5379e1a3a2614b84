"""Looking after open positions: what the exit policy wants changed after a closed bar.

Nothing is remembered between bars: all follows from the position as the broker shows it now, its
deals, the trade as the journal has it and the newest closed bar. A restart repeats nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import numpy as np
from loguru import logger

from execution.exits import ClosedBar, ExitPolicy, Held, new_stop, part_due
from execution.orders import Deal, OrderIntent, Position, Quote, Side
from market_data.bars import Bars
from market_data.costs import spread_of
from market_data.instruments import SymbolSpec
from strategy.decision import TradeEntry
from strategy.features import atr
from strategy.stop_guard import Mend

_DUST = 1e-9


class Venue(Protocol):
    """What looking after a position asks of the terminal."""

    magic: int
    deviation: int

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        """Our own open positions."""
        ...

    def deals_of(self, position: int) -> tuple[Deal, ...]:
        """All deals of a position, oldest first; a new one may come late."""
        ...

    def spec(self, symbol: str) -> SymbolSpec:
        """The symbol as the broker describes it now."""
        ...

    def quote(self, symbol: str) -> Quote:
        """The latest tick."""
        ...


@dataclass(frozen=True, slots=True)
class Caretaker:
    """Makes the orders that a position needs after a bar; sends nothing itself.

    Attributes:
        commission: account currency per lot and side.
    """

    venue: Venue
    policy: ExitPolicy
    commission: float

    def partial(self, entry: TradeEntry, bars: Bars, now: datetime) -> OrderIntent | None:
        """The order that closes a part, once in a position's life; None where none is due."""
        position = self._position(entry) if self.policy.partial_r else None
        if position is None:
            return None
        spec = self.venue.spec(entry.symbol)
        held, bar = held_of(entry, position), closed_bar(bars, spec, position.side, self.commission)
        if not part_due(self.policy, held, bar):
            return None
        lots, why_not = partial_lots(self.policy, position.volume, self.venue.deals_of(entry.ticket), spec)
        if why_not:
            logger.info("{}: no part of {} is closed: {}", entry.symbol, entry.ticket, why_not)
        if lots == 0.0:
            return None
        return self._intent("partial", entry, position, lots, now, f"partial close at {self.policy.partial_r:g} R")

    def stop(self, entry: TradeEntry, bars: Bars, now: datetime) -> OrderIntent | None:
        """The change that brings a stop nearer; None where it stays, or has to wait."""
        position = self._position(entry) if self.policy.moves_stops else None
        if position is None:
            return None
        spec = self.venue.spec(entry.symbol)
        wanted = new_stop(self.policy, held_of(entry, position), closed_bar(bars, spec, position.side, self.commission))
        level = None if wanted is None else spec.round_price(wanted)
        if level is None or (position.sl and (level - position.sl) * position.side < spec.tick_size / 2):
            return None
        why_not = obstacle(spec, position, self.venue.quote(entry.symbol), level)
        if why_not is not None:
            logger.info("{}: the stop of {} waits to go to {:g}: {}", entry.symbol, entry.ticket, level, why_not)
            return None
        return self._intent("stop", entry, position, position.volume, now, f"stop from {position.sl:g} to {level:g}", level)

    def untended(self, entry: TradeEntry, bars: Bars) -> int:
        """On how many bars behind these a trade needs nothing: it has its stop, nobody moves that, and its time is not up."""
        return 0 if self.policy.manages or not entry.sl else max(0, self.policy.horizon - 1 - bars_held(entry, bars))

    def first_stop(self, position: Position, bars: Bars) -> float | None:
        """Where a position that has no stop gets one: as far from its open price as an entry's would be now.

        Returns:
            The level, price; None where it cannot be computed, or the price is beyond it or too near for the venue to take it.
        """
        spec, quote = self.venue.spec(position.symbol), self.venue.quote(position.symbol)
        bar = closed_bar(bars, spec, position.side, self.commission)
        distance = self.policy.stop_distance(bar.atr, bar.cost, quote.spread + spec.stops_level * spec.point)
        if not np.isfinite(distance):
            return None
        level = spec.round_price(position.price_open - position.side * distance)
        return level if level > 0 and obstacle(spec, position, quote, level) is None else None

    def mend(self, entry: TradeEntry, position: Position, mend: Mend, now: datetime) -> OrderIntent:
        """The change that gives a position what it is to have; its key differs from that of a stop moved at the same instant."""
        intent = self._intent("stop", entry, position, position.volume, now, mend.reason, mend.sl)
        return replace(intent, key=f"g{intent.key[1:]}", tp=mend.tp)

    def _position(self, entry: TradeEntry) -> Position | None:
        """The one read that everything of a step is computed from; None where the broker was faster."""
        return next((p for p in self.venue.positions(entry.symbol) if p.ticket == entry.ticket), None)

    def _intent(
        self, purpose: str, entry: TradeEntry, position: Position, volume: float, now: datetime, reason: str, level: float = 0.0
    ) -> OrderIntent:
        return OrderIntent(
            key=f"{purpose[0]}{entry.ticket}-{int(now.timestamp() * 1_000):x}",
            symbol=entry.symbol,
            side=position.side.opposite,
            volume=volume,
            price=0.0,
            sl=level,
            tp=position.tp if level else 0.0,
            deviation=self.venue.deviation,
            magic=self.venue.magic,
            created=now,
            purpose=purpose,
            position=entry.ticket,
            reason=reason,
        )


def bars_held(entry: TradeEntry, bars: Bars) -> int:
    """How many of these bars opened after the one that a trade was decided on."""
    return int((bars.time > entry.bar_time.timestamp()).sum())


def held_of(entry: TradeEntry, position: Position) -> Held:
    """A position with its first stop, which the journal knows and the broker has forgotten once it was moved."""
    return Held(position.side, position.price_open, (entry.price - entry.sl) * entry.side if entry.sl else 0.0, position.sl)


def closed_bar(bars: Bars, spec: SymbolSpec, side: Side, commission: float) -> ClosedBar:
    """The newest closed bar as a position of one side sees it; the same figures as in the labels.

    Args:
        bars: closed bars, oldest first, enough of them for the average true range.
        spec: of their symbol.
        side: of the position.
        commission: account currency per lot and side.
    """
    spread = float(spread_of(bars.slice(len(bars) - 1, len(bars)), spec.point)[0]) * spec.point
    bid = float(bars.close[-1])
    cost = spread + 2 * commission / spec.risk_per_lot(1.0) if spec.tick_value_loss > 0 else spread
    return ClosedBar(bid if side is Side.LONG else bid + spread, float(atr(bars)[-1]), cost)


def partial_lots(policy: ExitPolicy, volume: float, deals: tuple[Deal, ...], spec: SymbolSpec) -> tuple[float, str]:
    """Lots to close as a part; 0.0 where a part was closed before, or with the reason why it cannot be.

    Args:
        policy: what share.
        volume: lots that are open now.
        deals: of the position; they prove whether a part was closed before.
        spec: of its symbol.
    """
    opened = sum(deal.volume for deal in deals if deal.entry == "in")
    if not opened:
        return 0.0, "its deals are not shown yet"
    if volume < opened - _DUST:
        return 0.0, ""
    lots = spec.floor_lots(opened * policy.partial_fraction)
    if lots == 0.0 or volume - lots < spec.volume_min - _DUST:
        return 0.0, f"{policy.partial_fraction:g} of {opened:g} lots leaves less than {spec.volume_min:g} lots on a side"
    return lots, ""


def obstacle(spec: SymbolSpec, position: Position, quote: Quote, level: float) -> str | None:
    """Why the venue would not take a stop at `level` now; None where it would."""
    leaves = quote.bid if position.side is Side.LONG else quote.ask
    freeze = spec.freeze_level * spec.point
    if freeze and any(price and abs(leaves - price) <= freeze + _DUST for price in (position.sl, position.tp)):
        return f"the price {leaves:g} is within the freeze level of {spec.freeze_level} points"
    room = spec.points((leaves - level) * position.side)
    if room <= 0 or room < spec.stops_level - _DUST / spec.point:
        return f"the price {leaves:g} is {room:.1f} points away, the stops level is {spec.stops_level}"
    return None
