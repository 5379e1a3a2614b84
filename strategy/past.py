"""What feature families are written in: the bars behind the newest rows, and the kinds of column.

Every series ends at the newest bar, whatever its length: a lag is a slice, and a sum reaches no
further back than its first row needs. What costs at the close of a bar is the number of calls, not
the numbers; so families say what a column is made of, and `table_of` works all of one kind out
together. And a row that is alone is read by an index instead of a slice: the same family then
works in NumPy's scalars, which take a tenth of the time of its arrays and give the same digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import talib
from numpy.typing import NDArray

from market_data.bars import Bars, FloatArray, IntArray


def true_range(bars: Bars) -> FloatArray:
    """Range of each bar together with the close before it, shape (n - 1,), price units.

    Source: Wilder, New Concepts in Technical Trading Systems (1978).
    """
    ranges: FloatArray = talib.TRANGE(bars.high, bars.low, bars.close)[1:]
    return ranges


def sums(series: FloatArray, period: int) -> FloatArray:
    """Sums of every `period` neighbours, shape (n - period + 1,).

    Window by window: a running sum carries the rounding of all it ever held, which leaves dust
    where a market that stands still has nothing, and other last digits in service than in training.
    """
    return np.correlate(series, _ones(period))


@cache
def _ones(period: int) -> FloatArray:
    return np.ones(period)


class Past:
    """The newest R bars of a history, what lies behind them, and the series that several families need.

    Where R is 1, what is said here to have shape (R,) is a scalar.

    Args:
        bars: closed bars, oldest first; more than R of them.
        rows: R, how many rows the families answer for.

    Attributes:
        now: where the R rows are, in any series that ends at the newest bar.
        true_range: shape (n - 1,), price units.
        step: from close to close, shape (n - 1,).
        path: length of each step, shape (n - 1,).
        span: from low to high, shape (n,).
        body: from open to close, shape (n,).
    """

    def __init__(self, bars: Bars, rows: int) -> None:
        self.bars = bars
        self.rows = rows
        self.now: slice | int = slice(-rows, None) if rows > 1 else -1
        self.true_range = true_range(bars)
        self.step = bars.close[1:] - bars.close[:-1]
        self.path = np.abs(self.step)
        self.span = bars.high - bars.low
        self.body = bars.close - bars.open

    def ago(self, bars: int) -> slice | int:
        """Where the R rows are, `bars` earlier."""
        return slice(-self.rows - bars, -bars) if self.rows > 1 else -1 - bars

    def since(self, bars: int) -> slice:
        """The slice of the R rows and the `bars` before them."""
        return slice(-self.rows - bars, None)

    def sum(self, series: FloatArray, period: int, early: int = 0) -> FloatArray:
        """Sum of the last `period` values at each of the R rows, and at the `early` ones before them."""
        found = np.correlate(series[1 - self.rows - early - period :], _ones(period))
        return found if self.rows + early > 1 else found[0]

    def weighted(self, series: FloatArray, weights: FloatArray) -> FloatArray:
        """As `sum`, each value times its weight; the last weight is the newest value's."""
        return np.correlate(series[1 - self.rows - len(weights) :], weights)[self.now]

    def mean(self, series: FloatArray, period: int, early: int = 0) -> FloatArray:
        """Average of the last `period` values, as `sum`."""
        return self.sum(series, period, early) / period

    def highest(self, series: FloatArray, period: int) -> FloatArray:
        """Greatest of the last `period` values, (R,)."""
        return series[-period:].max() if self.rows == 1 else talib.MAX(series, period)[self.now]

    def lowest(self, series: FloatArray, period: int) -> FloatArray:
        """Least of the last `period` values, (R,)."""
        return series[-period:].min() if self.rows == 1 else talib.MIN(series, period)[self.now]

    @cached_property
    def bounds(self) -> IntArray:
        """When each bar opened, and last when the newest one closed, shape (n + 1,), UTC epoch seconds."""
        time = self.bars.time
        return np.concatenate((time, time[-1:] + self.bars.timeframe.seconds))

    @cached_property
    def row(self) -> IntArray:
        """Number of each of the R rows among the bars, (R,)."""
        return np.arange(len(self.bars))[self.now]

    @cached_property
    def nothing(self) -> FloatArray:
        """Zeros, (R,)."""
        return np.zeros(self.rows)[self.now]


# --- columns ------------------------------------------------------------------------------------


class Distance(NamedTuple):
    """How far a price went from `start` to `end`, in ATR and for `bars` bars: a random walk goes as far in any number of them."""

    end: FloatArray
    start: FloatArray
    bars: int = 1


class Share(NamedTuple):
    """A part of a whole; 0 where there is no whole."""

    part: FloatArray
    whole: FloatArray


Column = Distance | Share | FloatArray
"""What one column is made of, or its values as they are; every array is (R,)."""


def table_of(columns: Sequence[Column], unit: FloatArray) -> NDArray[np.float32]:
    """Values of columns, one below the other, (F, R).

    Args:
        columns: F of them.
        unit: the ATR in which distances are measured, (R,).
    """
    table = np.empty((len(columns), np.size(unit)), dtype=np.float32)
    for values, places, rows in _by_kind(tuple(map(type, columns))):
        table[rows] = values([columns[place] for place in places], unit)
    return table


@cache
def _by_kind(kinds: tuple[type, ...]) -> list[tuple[Callable[..., FloatArray], list[int], IntArray]]:
    """For each kind what works it out, and where its columns stand, as numbers and as an index."""
    ways = [_KINDS.get(kind, _as_they_are) for kind in kinds]
    found = [(values, [place for place, way in enumerate(ways) if way is values]) for values in (*_KINDS.values(), _as_they_are)]
    return [(values, places, np.array(places, dtype=np.int64)) for values, places in found if places]


def _distances(columns: Sequence[Distance], unit: FloatArray) -> FloatArray:
    ends, starts, bars = zip(*columns, strict=True)
    return (_rows(ends) - _rows(starts)) / (unit * _roots(bars))


@cache
def _roots(numbers: tuple[int, ...]) -> FloatArray:
    return np.sqrt(numbers)[:, None]


def _shares(columns: Sequence[Share], _: FloatArray) -> FloatArray:
    part, whole = map(_rows, zip(*columns, strict=True))
    return np.where(whole > 0, part / whole, 0.0)


def _as_they_are(columns: Sequence[FloatArray], _: FloatArray) -> FloatArray:
    return _rows(columns)


def _rows(series: Sequence[FloatArray]) -> FloatArray:
    """Series, or the scalars of one row, one below the other, (k, R)."""
    return np.array(series).reshape(len(series), -1)


_KINDS: dict[type, Callable[..., FloatArray]] = {Distance: _distances, Share: _shares}
