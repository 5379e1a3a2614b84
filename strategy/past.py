"""What feature families are written in: the bars behind the newest rows, and the few operations that they share.

Every series ends at the newest bar, whatever its length: a lag is a slice, and a sum reaches no
further back than its first row needs. `Past` answers for many rows in arrays, `Newest` for a row
that is alone in plain numbers, which take a tenth of the time of its arrays. Both do the same
operations in the same order, so a row has the same digits in a table of a year as at the close of its bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
import talib
from numpy.typing import NDArray

from market_data.bars import Bars, FloatArray, IntArray

Column = FloatArray | float
"""Values of R rows, (R,); where R is 1 a number."""


def true_range(bars: Bars) -> FloatArray:
    """Range of each bar together with the close before it, shape (n - 1,), price units.

    Source: Wilder, New Concepts in Technical Trading Systems (1978).
    """
    before = bars.close[:-1]
    ranges: FloatArray = np.maximum(bars.high[1:], before) - np.minimum(bars.low[1:], before)
    return ranges


def sums(series: FloatArray, period: int) -> FloatArray:
    """Sums of every `period` neighbours, shape (n - period + 1,).

    Window by window: a running sum carries the rounding of all it ever held, which leaves dust
    where a market that stands still has nothing, and other last digits in service than in training.
    """
    return np.correlate(series, _ones(period))


_SUMMED_IN_ORDER = 11
"""Longest window that NumPy's correlation adds up value by value; longer ones are dot products, which cost less by themselves."""


@cache
def _ones(period: int) -> FloatArray:
    return np.ones(period)


def extremes(of: np.ufunc, series: FloatArray, width: int) -> FloatArray:
    """Extremes of every `width` neighbours, shape (n - width + 1,), from those of half as many.

    Args:
        of: `np.maximum` or `np.minimum`.
        series: shape (n,).
        width: at least 1.
    """
    reach = 1
    while reach < width:
        step = min(reach, width - reach)
        series = of(series[step:], series[:-step])
        reach += step
    return series


class Past:
    """The newest R bars of a history, what lies behind them, and the series that several families need.

    Args:
        bars: closed bars, oldest first; more than R of them.
        rows: R, how many rows the families answer for.
        unit: bars of the ATR in which distances are measured.

    Attributes:
        now: where the R rows are, in any series that ends at the newest bar.
        true_range: shape (n - 1,), price units.
        step: from close to close, shape (n - 1,).
        path: length of each step, shape (n - 1,).
        span: from low to high, shape (n,).
        body: from open to close, shape (n,).
    """

    def __init__(self, bars: Bars, rows: int, unit: int) -> None:
        self.bars = bars
        self.rows = rows
        self.now = slice(-rows, None)
        self.true_range = true_range(bars)
        self.step = bars.close[1:] - bars.close[:-1]
        self.path = np.abs(self.step)
        self.span = bars.high - bars.low
        self.body = bars.close - bars.open
        self._unit = self._scale(unit)

    def _scale(self, period: int) -> Column:
        return self.mean(self.true_range, period)

    def since(self, bars: int) -> slice:
        """The slice of the R rows and the `bars` before them."""
        return slice(-self.rows - bars, None)

    def at(self, series: NDArray[Any], ago: int = 0) -> Any:
        """A series at the R rows, or so many bars before each, (R,)."""
        return series[-self.rows - ago : -ago or None]

    def sum(self, series: FloatArray, period: int) -> Column:
        """Sum of the last `period` values at each of the R rows."""
        return self.sums(series, period, 0)

    def mean(self, series: FloatArray, period: int) -> Column:
        """Average of the last `period` values at each of the R rows."""
        return self.sum(series, period) / period

    def sums(self, series: FloatArray, period: int, early: int) -> FloatArray:
        """As `sum`, and at the `early` rows before the R ones, (early + R,)."""
        return np.correlate(series[1 - self.rows - early - period :], _ones(period))

    def means(self, series: FloatArray, period: int, early: int) -> FloatArray:
        """As `mean`, and at the `early` rows before the R ones, (early + R,)."""
        return self.sums(series, period, early) / period

    def weighted(self, series: FloatArray, weights: FloatArray) -> Column:
        """As `sum`, each value times its weight; the last weight is the newest value's."""
        return np.correlate(series[1 - self.rows - len(weights) :], weights)

    def highest(self, series: FloatArray, period: int) -> Column:
        """Greatest of the last `period` values at each of the R rows."""
        found: FloatArray = talib.MAX(series, period)[self.now]
        return found

    def lowest(self, series: FloatArray, period: int) -> Column:
        """Least of the last `period` values at each of the R rows."""
        found: FloatArray = talib.MIN(series, period)[self.now]
        return found

    def last(self, happened: NDArray[np.bool_]) -> Any:
        """Number of the newest bar by each of the R rows at which something happened, -1 where there is none; `happened` ends at the newest bar."""
        count = len(self.bars)
        return np.maximum.accumulate(np.where(happened, np.arange(count - len(happened), count), -1))[self.now]

    @cached_property
    def row(self) -> Any:
        """Number of each of the R rows among the bars, (R,)."""
        return np.arange(len(self.bars) - self.rows, len(self.bars))

    @cached_property
    def bounds(self) -> IntArray:
        """When each bar opened, and last when the newest one closed, shape (n + 1,), UTC epoch seconds."""
        time = self.bars.time
        return np.concatenate((time, time[-1:] + self.bars.timeframe.seconds))

    # --- from series to columns -----------------------------------------------------------------

    def distance(self, end: Column, start: Column, bars: int = 1) -> Column:
        """How far a price went, in ATR and for `bars` bars: a random walk goes as far in any number of them.

        Not a number where nothing moved for so long that there is no unit.
        """
        return (end - start) / (self._unit * math.sqrt(bars))

    def share(self, part: Column, whole: Column, otherwise: float = 0.0) -> Column:
        """A part of a whole; `otherwise` where there is no whole."""
        return np.where(np.greater(whole, 0.0), part / whole, otherwise)

    def larger(self, one: Any, other: Any) -> Any:
        """The greater of two, row by row."""
        return np.maximum(one, other)

    def smaller(self, one: Any, other: Any) -> Any:
        """The lesser of two, row by row."""
        return np.minimum(one, other)

    def table(self, columns: Sequence[Column]) -> NDArray[np.float32]:
        """Columns side by side, (R, F); what is not finite is not a number."""
        table = np.empty((len(columns), self.rows), dtype=np.float32)
        for row, column in zip(table, columns, strict=True):
            row[:] = column
        np.copyto(table, np.nan, where=~np.isfinite(table))
        return table.T


class Newest(Past):
    """The newest bar alone, in plain numbers.

    Args:
        bars: closed bars, oldest first.
        unit: as for `Past`.
    """

    def __init__(self, bars: Bars, unit: int) -> None:
        super().__init__(bars, 1, unit)

    def _scale(self, period: int) -> Column:
        return self.mean(self.true_range, period) or math.nan  # plain numbers refuse to be divided by zero

    def at(self, series: NDArray[Any], ago: int = 0) -> Any:
        """See `Past.at`."""
        return series.item(-1 - ago)

    def sum(self, series: FloatArray, period: int) -> Column:
        """See `Past.sum`."""
        if period > _SUMMED_IN_ORDER:
            return float(series[-period:].dot(_ones(period)))
        return np.correlate(series[-period:], _ones(period)).item()

    def weighted(self, series: FloatArray, weights: FloatArray) -> Column:
        """See `Past.weighted`."""
        return np.correlate(series[-len(weights) :], weights).item()

    def highest(self, series: FloatArray, period: int) -> Column:
        """See `Past.highest`."""
        return float(np.maximum.reduce(series[-period:]))

    def lowest(self, series: FloatArray, period: int) -> Column:
        """See `Past.lowest`."""
        return float(np.minimum.reduce(series[-period:]))

    def last(self, happened: NDArray[np.bool_]) -> Any:
        """See `Past.last`."""
        found = happened.nonzero()[0]
        return found.item(-1) + len(self.bars) - len(happened) if len(found) else -1

    @cached_property
    def row(self) -> Any:
        """See `Past.row`."""
        return len(self.bars) - 1

    def share(self, part: Column, whole: Column, otherwise: float = 0.0) -> Column:
        """See `Past.share`."""
        return part / whole if whole > 0.0 else otherwise

    def larger(self, one: Any, other: Any) -> Any:
        """See `Past.larger`."""
        return other if one < other else one

    def smaller(self, one: Any, other: Any) -> Any:
        """See `Past.smaller`."""
        return other if one > other else one

    def table(self, columns: Sequence[Column]) -> NDArray[np.float32]:
        """See `Past.table`."""
        row = np.array(columns, dtype=np.float32)
        row[~np.isfinite(row)] = np.nan
        return row[None]
