"""Drift: does the market still look as it did when a model was taught, and does the model still hit?

Two tests, both pure functions of history, so that a restart or a replay finds what was found before.

- **Population stability index** of the features, of volatility and of the spread, between the rows up
  to a version's training end and the newest window. Neighbouring bars depend on each other, so a
  window of a stationary market scatters far more than the textbook's 0.25 allows for. Each column is
  therefore divided by what it usually is for windows of the same length, each measured against the
  rest of those rows; the mean of these ratios over the columns is about 1 where nothing changed.
- **Page-Hinkley** on the hit rate of the version's sided rows, in blocks that no label spans by more
  than half. The rows of its untouched final window say what is usual; the test adds up how far later
  blocks fall below.

Sources: Siddiqi, Credit Risk Scorecards (2006), ch. 9, for the index; Page, Continuous Inspection
Schemes, Biometrika 41 (1954), and Hinkley, Biometrika 58 (1971), for the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.bars import Bars, FloatArray, IntArray
from strategy.features import atr

BINS = 10
LEAST_WINDOWS = 4
"""Windows that the teaching rows must be long for, or nothing is known of how windows scatter."""
STEPS = 4
"""Starts of reference windows in one window's length."""
LEAST_INDEX = 0.05
"""Usual index of a column that hardly moves: less than a tenth is no change by anybody's book."""
SLOW_RANGE = 60
"""Bars of the average range that says how lively the market is."""
LEAST_BLOCKS = 20
"""Blocks with a side before the watched stretch, or nothing is known of what is usual."""
LEAST_DEVIATION = 0.2
"""Of the hits of a block, so that a model that never missed does not fall over its first loss."""
TOLERANCE = 0.5
"""Fall of the hit rate, in standard deviations of a block, that adds nothing to the statistic: half of the
fall that is to be found soonest. What is usual is known from some dozens of blocks, and never better than
to a tenth or two; a smaller tolerance takes that error for a fall."""

Table = NDArray[np.floating]


# --- what the market looks like -----------------------------------------------------------------

SURROUNDINGS = ("volatility", "spread")


def surroundings(bars: Bars, spread: FloatArray) -> tuple[Table, Table]:
    """What the scale-free features hide: how lively the market is, and how dear, columns of shape (n, 1).

    Args:
        bars: closed bars, oldest first.
        spread: shape (n,), price units.

    Returns:
        Average range over the price, NaN in its warm-up, and the spread as it is.
    """
    return (atr(bars, SLOW_RANGE) / bars.close)[:, None], spread[:, None]


@dataclass(frozen=True, slots=True)
class Population:
    """The rows up to a version's training end, by column.

    Attributes:
        names: of the F columns.
        edges: shape (F, BINS - 1), inner limits of bins that hold equal shares.
        shares: shape (F, BINS), of the rows in each bin.
        usual: shape (F,), mean index of a window of these rows.
        window: rows of a window.
    """

    names: tuple[str, ...]
    edges: FloatArray
    shares: FloatArray
    usual: FloatArray
    window: int


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a window has moved.

    Attributes:
        ratio: mean over the columns of index over usual index.
        column, index: the column that moved farthest, and its population stability index.
    """

    ratio: float
    column: str
    index: float


def population_of(names: Sequence[str], table: Table, window: int) -> Population | None:
    """What windows of these rows look like; None where the rows are not LEAST_WINDOWS of them long.

    Args:
        names: of the F columns.
        table: shape (n, F), oldest first; rows with a missing value are left out.
        window: rows of a window.
    """
    rows = _whole(table)
    if len(rows) < LEAST_WINDOWS * window:
        return None
    edges = np.quantile(rows, np.arange(1, BINS) / BINS, axis=0).T.astype(np.float64)
    codes = _codes(rows, edges)
    total = _counts(codes)
    starts = range(0, len(rows) - window + 1, max(1, window // STEPS))
    parts = (_counts(codes[start : start + window]) for start in starts)
    usual = np.mean([stability_index(_shares(total - part), _shares(part)) for part in parts], axis=0)
    return Population(tuple(names), edges, _shares(total), np.maximum(usual, LEAST_INDEX), window)


def shift_of(population: Population, table: Table) -> Shift | None:
    """How far the newest window has moved; None while there is no whole one."""
    rows = _whole(table)[-population.window :]
    if len(rows) < population.window:
        return None
    index = stability_index(population.shares, _shares(_counts(_codes(rows, population.edges))))
    ratio = index / population.usual
    worst = int(np.argmax(ratio))
    return Shift(float(ratio.mean()), population.names[worst], float(index[worst]))


def stability_index(expected: FloatArray, actual: FloatArray) -> FloatArray:
    """Population stability index over the last axis: the sum of (a - e) ln(a / e).

    >>> stability_index(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]))
    array([0.])
    >>> stability_index(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(3)
    array([0.275])
    """
    return np.asarray(((actual - expected) * np.log(actual / expected)).sum(axis=-1))


def _whole(table: Table) -> Table:
    return table[np.isfinite(table).all(axis=1)]


def _codes(rows: Table, edges: FloatArray) -> IntArray:
    """Bin of every value, counted through all columns, shape (n, F)."""
    return np.column_stack([np.searchsorted(limits, rows[:, at]) + BINS * at for at, limits in enumerate(edges)])


def _counts(codes: IntArray) -> IntArray:
    """Rows in each bin, shape (F, BINS)."""
    columns = codes.shape[1]
    return np.bincount(codes.ravel(), minlength=columns * BINS).reshape(columns, BINS)


def _shares(counts: IntArray) -> FloatArray:
    """Share of the rows in each bin; an empty bin counts half a row, so that its logarithm exists."""
    return np.asarray((counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 0.5 * BINS))


# --- how often a model hits ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hits:
    """How a version's hit rate has come along.

    Attributes:
        statistic: of Page and Hinkley at its end, standard deviations of a block.
        usual: hit rate over the blocks before the watched stretch.
        lately: hit rate over the blocks since the statistic last was 0.
        blocks: with a side, in the watched stretch.
    """

    statistic: float
    usual: float
    lately: float
    blocks: int


def hits_of(time: IntArray, result: FloatArray, block_seconds: int, since: int) -> Hits | None:
    """The test over a version's sided rows; None while it has too few of them before the watched stretch.

    Args:
        time: shape (n,), epoch seconds, any order; pooled symbols share their blocks.
        result: shape (n,), net R of the side taken.
        block_seconds: length of a block, two label lengths or more.
        since: first instant that is watched.
    """
    block, at = np.unique(time // block_seconds, return_inverse=True)
    rate = np.bincount(at, weights=result > 0) / np.bincount(at) if len(block) else np.zeros(0)
    start = int(np.searchsorted(block, since // block_seconds, side="left"))
    if start < LEAST_BLOCKS:
        return None
    deviation = max(LEAST_DEVIATION, float(rate[:start].std(ddof=1)))
    path = page_hinkley(rate, start, TOLERANCE * deviation) / deviation
    low = start + int(np.flatnonzero(path == 0)[-1])
    lately = rate[low:] if low < len(rate) else rate[start:]
    return Hits(float(path[-1]), float(rate[:start].mean()), float(lately.mean()) if len(lately) else float("nan"), len(rate) - start)


def page_hinkley(values: FloatArray, start: int, tolerance: float) -> FloatArray:
    """Statistic of Page and Hinkley for a fall of the mean, from `start` on; shape (n - start + 1,), first 0.

    The usual mean is that of all values up to and with each one, so the test follows a slow change
    and needs no figure from outside.

    >>> page_hinkley(np.array([1.0, 1.0, 1.0, 0.0, 0.0]), 2, 0.1).round(2)
    array([0.  , 0.  , 0.65, 1.15])
    """
    mean = np.cumsum(values) / np.arange(1, len(values) + 1)
    fallen = np.concatenate([[0.0], np.cumsum((mean - values - tolerance)[start:])])
    return np.asarray(fallen - np.minimum.accumulate(fallen))
