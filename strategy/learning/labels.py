"""Labels: what a long and a short trade from each bar would have made, costs included.

Two-sided triple barrier. The trade of row i is decided on closed bar i and enters at the next
bar's open: a long at the ask, a short at the bid. Barriers are watched over the `horizon` bars
that follow; what is open then leaves at the next open. A bar that opens beyond a barrier fills at
its open; both barriers inside one bar count as the stop. This is how the simulated terminal
fills, and how the loop trades. Where the policy moves stops or closes a part, it does so as the
loop does: after a bar has closed, at the next open, and only where the broker would take the stop
at that quote. The class asks for the target alone; a profit that a moved stop keeps is in R.

Source: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 3, made two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from execution.exits import ExitPolicy
from market_data.bars import Bars, FloatArray, IntArray

FLAT, LONG, SHORT = 0, 1, 2
"""Class codes, the order of every probability matrix."""

STRETCH = 8_192
"""Rows that are walked through their horizon together."""

NEVER = np.iinfo(np.int64).max
Value = TypeVar("Value", np.float64, np.int64)


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs.

    Attributes:
        spread: shape (n,), price units, of each bar.
        commission: of a round trip, price units per unit traded.
        least_stop: the broker's stops level, price units; it counts from the side of the quote at which the trade leaves.
        lot_value: account currency that one lot makes or loses per price unit.
    """

    spread: FloatArray
    commission: float
    least_stop: float
    lot_value: float = 1.0


@dataclass(frozen=True, slots=True)
class Labels:
    """One row per bar; rows that are not `known` hold NaN and class FLAT.

    Attributes:
        kind: FLAT, LONG or SHORT: the side whose trade reaches its target, the earlier one of two.
        r_long, r_short: net result in R, the distance of the stop.
        forward: return from the next open over the horizon, in ATR of row i.
        end: UTC epoch seconds when the last of these is known.
        known: whether the future that the label needs exists and the entry is not late.
        stop: distance of the stop, price units: what one R is.
        out_long, out_short: UTC epoch seconds, open of the bar in which that side's trade has ended.
    """

    kind: IntArray
    r_long: FloatArray
    r_short: FloatArray
    forward: FloatArray
    end: IntArray
    known: NDArray[np.bool_]
    stop: FloatArray
    out_long: IntArray
    out_short: IntArray


def label(bars: Bars, atr: FloatArray, costs: Costs, policy: ExitPolicy, max_entry_age: float) -> Labels:
    """Labels of every bar.

    Args:
        bars: closed bars, oldest first.
        atr: shape (n,), price units, known at each bar's close.
        costs: of the same bars.
        policy: where the trades end.
        max_entry_age: bars between a bar's open and the next one's beyond which the loop would
            veto the entry as stale; such rows are unknown.
    """
    count, horizon = len(bars), policy.horizon
    rows = np.arange(max(0, count - horizon - 1))
    late = (bars.time[rows + 1] - bars.time[rows]) > max_entry_age * bars.timeframe.seconds
    rows = rows[~late & (atr[rows] > 0)]
    stop = policy.stop_distance(atr[rows], costs.spread[rows + 1] + costs.commission, costs.spread[rows + 1] + costs.least_stop)
    target = policy.target_distance(stop)
    ask_bars = _Quotes(*(price + costs.spread for price in (bars.open, bars.high, bars.low, bars.close)))
    bid_bars = _Quotes(bars.open, bars.high, bars.low, bars.close)
    tending = _Tending(policy, atr, costs.spread + costs.commission, costs.least_stop) if policy.manages else None
    # A short is a long on prices turned upside down: it enters at the bid and leaves at the ask.
    long_move, long_hit, long_at = _first_touch(bid_bars, ask_bars.open[rows + 1], rows, stop, target, horizon, tending)
    short_move, short_hit, short_at = _first_touch(ask_bars.flipped(), -bid_bars.open[rows + 1], rows, stop, target, horizon, tending)
    forward = (bars.open[rows + horizon + 1] - bars.open[rows + 1]) / atr[rows]
    # Both targets in one bar (they are nearer than the stops) tell nothing of which came first: flat.
    first = np.where(long_hit, long_at, horizon + 1) - np.where(short_hit, short_at, horizon + 1)
    kind = np.where(first < 0, LONG, np.where(first > 0, SHORT, FLAT))
    known = np.zeros(count, dtype=np.bool_)
    known[rows] = True
    return Labels(
        kind=_place(count, rows, kind, FLAT),
        r_long=_place(count, rows, (long_move - costs.commission) / stop, np.nan),
        r_short=_place(count, rows, (short_move - costs.commission) / stop, np.nan),
        forward=_place(count, rows, forward, np.nan),
        end=_place(count, rows, bars.time[rows + horizon + 1], NEVER),
        known=known,
        stop=_place(count, rows, stop, np.nan),
        out_long=_place(count, rows, bars.time[rows + long_at], NEVER),
        out_short=_place(count, rows, bars.time[rows + short_at], NEVER),
    )


@dataclass(frozen=True, slots=True)
class _Quotes:
    """The side of the market at which a trade leaves."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray

    def flipped(self) -> _Quotes:
        return _Quotes(-self.open, -self.low, -self.high, -self.close)


@dataclass(frozen=True, slots=True)
class _Tending:
    """What the policy does with longs that a bar has left open.

    Attributes:
        atr, cost: shape (n,), price units, of each bar.
        least: the broker's stops level, price units.
    """

    policy: ExitPolicy
    atr: FloatArray
    cost: FloatArray
    least: float

    def moved(self, floor: FloatArray, entry: FloatArray, risk: FloatArray, quotes: _Quotes, bar: IntArray) -> FloatArray:
        """Stops from the next bar on; one that its open does not allow waits for a later bar."""
        wanted = self.policy.raised_stop(floor, entry, risk, quotes.close[bar], self.atr[bar], self.cost[bar])
        room = quotes.open[bar + 1] - wanted
        return np.where((room > 0) & (room >= self.least), wanted, floor)

    def banked(self, taken: FloatArray, entry: FloatArray, risk: FloatArray, quotes: _Quotes, bar: IntArray) -> FloatArray:
        """Move of the part that is closed, by row; NaN while none is."""
        due = np.isnan(taken) & self.policy.part_due(entry, risk, quotes.close[bar])
        return np.where(due, quotes.open[bar + 1] - entry, taken)

    def blended(self, taken: FloatArray, move: FloatArray) -> FloatArray:
        """Move of the whole volume: of the part that was closed early, and of the rest."""
        part = np.where(np.isnan(taken), 0.0, self.policy.partial_fraction)
        return np.where(part > 0, part * taken + (1.0 - part) * move, move)


def _first_touch(
    quotes: _Quotes, entry: FloatArray, rows: IntArray, stop: FloatArray, target: FloatArray, horizon: int, tending: _Tending | None
) -> tuple[FloatArray, NDArray[np.bool_], IntArray]:
    """As `_touched`, a stretch of rows at a time: few enough to stay in the processor's cache."""
    parts = [slice(first, first + STRETCH) for first in range(0, max(1, len(rows)), STRETCH)]
    touched = [_touched(quotes, entry[part], rows[part], stop[part], target[part], horizon, tending) for part in parts]
    moves, hits, ats = zip(*touched, strict=True)
    return np.concatenate(moves), np.concatenate(hits), np.concatenate(ats)


def _touched(
    quotes: _Quotes, entry: FloatArray, rows: IntArray, stop: FloatArray, target: FloatArray, horizon: int, tending: _Tending | None
) -> tuple[FloatArray, NDArray[np.bool_], IntArray]:
    """Move of a long to its last exit, whether that was the target, and after how many bars.

    The loop runs over the horizon, not over bars: each pass settles all rows at one age, and
    drops those that are done.
    """
    leave = quotes.open[rows + horizon + 1]
    hit = np.zeros(len(rows), dtype=np.bool_)
    at = np.full(len(rows), horizon + 1, dtype=np.int64)
    taken = np.full(len(rows), np.nan)
    # What follows holds the rows that are still open alone, all in the same order.
    open_, bar, floor, ceiling = np.arange(len(rows)), rows, entry - stop, entry + target
    for age in range(1, horizon + 1):
        bar = bar + 1
        first = quotes.open[bar]
        # The open comes before both extremes: what opens beyond the target is gone by then.
        stopped = (quotes.low[bar] <= floor) & (first < ceiling)
        reached = ~stopped & (quotes.high[bar] >= ceiling)
        done = stopped | reached
        gone, target_hit = open_[done], reached[done]
        leave[gone] = np.where(target_hit, np.maximum(first[done], ceiling[done]), np.minimum(first[done], floor[done]))
        hit[gone] = target_hit
        at[gone] = age
        open_, bar, floor, ceiling = open_[~done], bar[~done], floor[~done], ceiling[~done]
        if tending is not None and age < horizon:
            case = (entry[open_], stop[open_], quotes, bar)
            floor, taken[open_] = tending.moved(floor, *case), tending.banked(taken[open_], *case)
    move = leave - entry
    return (move if tending is None else tending.blended(taken, move)), hit, at


def _place(count: int, rows: IntArray, values: NDArray[Value], empty: float) -> NDArray[Value]:
    column = np.full(count, empty, dtype=values.dtype)
    column[rows] = values
    return column
