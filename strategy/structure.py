"""Marks that price has left behind: order blocks, fair-value gaps, and levels where stops rest.

Each is the newest event of its kind within REACH bars. What is told of it is how far the close
stands from its level, and how long ago it was; without one the distance is 0 and the age 1. Every
event is known at the close of its own bar, so nothing here reads the future. Distances are
positive on the side on which the market left them, for the mirrored market as for the market.

The names are those that discretionary traders use; the definitions are ours, chosen to be exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import talib
from numpy.typing import NDArray

from market_data.bars import FloatArray
from strategy.past import Column, Past

REACH = 100
"""Bars after which a mark is forgotten; with what an event itself looks back on, less than the warm-up."""

IMPULSE = 1.5
"""Body, in average true ranges of the 14 bars before, from which a candle is an impulse."""

SWEPT = 20
"""Bars whose highest high, or lowest low, a sweep reaches beyond."""


class _Mark(NamedTuple):
    """For each row, where its newest event is, whether there is one in reach, and its age, 0..1; every one is (R,)."""

    at: Any
    there: Any
    age: Column


def _newest(past: Past, happened: NDArray[np.bool_]) -> _Mark:
    """Newest event by each row. `happened` ends at the newest bar, whatever its length."""
    last = past.last(happened)
    since = past.row - last
    there = (last >= 0) & (since <= REACH)
    return _Mark(np.where(there, last, past.row), there, np.where(there, since, REACH) / REACH)


def _above(past: Past, mark: _Mark, level: FloatArray) -> Column:
    """How far the close stands above the mark's level; `level` is (n,)."""
    return past.distance(past.at(past.bars.close), _level(past, mark, level))


def _below(past: Past, mark: _Mark, level: FloatArray) -> Column:
    """How far the close stands below the mark's level."""
    return past.distance(_level(past, mark, level), past.at(past.bars.close))


def _level(past: Past, mark: _Mark, level: FloatArray) -> Any:
    return np.where(mark.there, level[mark.at], past.at(past.bars.close))


def order_blocks(past: Past) -> Iterable[Column]:
    """Distance from the last candle against the move before an impulse, up and down, and the ages of the impulses."""
    early = REACH
    usual = past.means(past.true_range[:-1], 14, early)
    body, before = past.body[past.since(early)], past.body[-past.rows - early - 1 : -1]
    up = _newest(past, (body > IMPULSE * usual) & (before < 0))
    down = _newest(past, (body < -IMPULSE * usual) & (before > 0))
    return _above(past, up, _earlier(past.bars.high, 1)), _below(past, down, _earlier(past.bars.low, 1)), up.age, down.age


def fair_value_gaps(past: Past) -> Iterable[Column]:
    """Distance from the near edge of the last gap that three candles left open, its width, and its age."""
    high, low = past.bars.high, past.bars.low
    over, under = _earlier(high, 2), _earlier(low, 2)
    up, down = _newest(past, low > over), _newest(past, high < under)
    yield from (_above(past, up, low), _below(past, down, high))
    yield from (_width(past, up, low - over), _width(past, down, under - high))
    yield from (up.age, down.age)


def _width(past: Past, mark: _Mark, width: FloatArray) -> Column:
    return past.distance(np.where(mark.there, width[mark.at], 0.0), 0.0)


def liquidity(past: Past) -> Iterable[Column]:
    """Distance from the extremes where stops rest, and from the last extreme that was swept: passed, and closed back inside."""
    high, low, close = past.bars.high, past.bars.low, past.bars.close
    top, bottom = _earlier(talib.MAX(high, SWEPT), 1), _earlier(talib.MIN(low, SWEPT), 1)
    above, below = _newest(past, (high > top) & (close < top)), _newest(past, (low < bottom) & (close > bottom))
    yield past.distance(past.highest(high, REACH), past.at(close))
    yield past.distance(past.at(close), past.lowest(low, REACH))
    yield from (_below(past, above, high), _above(past, below, low))
    yield from (above.age, below.age)


def _earlier(series: FloatArray, bars: int) -> FloatArray:
    """The value some bars ago, (n,); NaN, which is neither above nor below anything, where there is none."""
    shifted = np.full(len(series), np.nan)
    shifted[bars:] = series[:-bars]
    return shifted


ORDER_BLOCKS = ("block_up_distance", "block_down_distance", "block_up_age", "block_down_age")
FAIR_VALUE_GAPS = ("gap_up_distance", "gap_down_distance", "gap_up_width", "gap_down_width", "gap_up_age", "gap_down_age")
LIQUIDITY = ("pool_high_distance", "pool_low_distance", "sweep_high_distance", "sweep_low_distance", "sweep_high_age", "sweep_low_age")

SWAPPED = tuple(pair for names in (ORDER_BLOCKS, FAIR_VALUE_GAPS, LIQUIDITY) for pair in zip(names[::2], names[1::2], strict=True))
"""Columns that change places when the market is turned upside down."""
