"""Two versions of a slot on the same bars: what each would have made, and what that says of them.

A pure function of history. Every bar since the trial began whose label is known counts once; a
version makes the net R of the side it takes there, and nothing where it takes none. Blocks begin
with the trial and are BLOCK_LABELS label lengths long. Rows whose label reaches out of their block
are left out, so that no two blocks share a price move.

The newer version need not be better. It must not be worse by more than a margin a trade: two fits
of one recipe differ by a little, and to go back over that would only hold the slot up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from market_data.bars import FloatArray, IntArray
from strategy.learning.dataset import Dataset
from strategy.learning.recipes import side_result
from strategy.learning.sequential import crossing, wealth
from strategy.predictor import Forecasts

BLOCK_LABELS = 8
"""Label lengths in a block; the last one of them is lost to the cut between blocks."""

OPEN, WORSE, PROVEN, OVER = "open", "worse", "proven", "over"


@dataclass(frozen=True, slots=True)
class Blocks:
    """What two versions made in the whole blocks since a trial began; arrays of shape (k,).

    Attributes:
        number: of each block that has rows, ascending, counted from the trial's begin.
        bars: instants that were judged.
        newer, older: sum of each version's net R over the block's rows.
        newer_trades, older_trades: rows on which it takes a side.
    """

    number: IntArray
    bars: IntArray
    newer: FloatArray
    older: FloatArray
    newer_trades: IntArray
    older_trades: IntArray

    @property
    def next(self) -> int:
        """Number of the first block after these."""
        return int(self.number[-1]) + 1 if len(self.number) else 0

    def then(self, later: Blocks) -> Blocks:
        """These and the later ones."""
        return Blocks(*(np.concatenate([getattr(self, field.name), getattr(later, field.name)]) for field in fields(self)))


_EMPTY: IntArray = np.zeros(0, dtype=np.int64)
NO_BLOCKS = Blocks(_EMPTY, _EMPTY, np.zeros(0), np.zeros(0), _EMPTY, _EMPTY)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the blocks say.

    Attributes:
        outcome: OPEN, WORSE (than the margin allows), PROVEN (not so), or OVER (the time is up).
        bars: judged until then.
        newer, older: mean net R a trade until then; 0.0 without trades.
        against, speaks_for: wealth of those who bet on WORSE, and on PROVEN.
    """

    outcome: str
    bars: int = 0
    newer: float = 0.0
    older: float = 0.0
    against: float = 1.0
    speaks_for: float = 1.0

    def __str__(self) -> str:
        figures = f"{self.newer:+.3f} R a trade, the former version {self.older:+.3f} R"
        return f"{figures}, over {self.bars} bars; evidence against it {self.against:.2f}, for it {self.speaks_for:.2f}"


def net_r(data: Dataset, forecasts: Forecasts, threshold: float) -> FloatArray:
    """Net R of a version on every row, shape (n,); NaN where it takes no side."""
    return np.where(forecasts.expected_r >= threshold, side_result(data, forecasts.side), np.nan)


def block_seconds(horizon_bars: int, bar_seconds: int, labels: int = BLOCK_LABELS) -> int:
    """Length of a block of so many label lengths."""
    return labels * (horizon_bars + 1) * bar_seconds


def blocks_of_trial(
    time: IntArray, end: IntArray, newer: FloatArray, older: FloatArray, *, since: int, known_until: int, length: int, first: int = 0
) -> Blocks:
    """The whole blocks of a trial.

    Args:
        time: shape (n,), ascending, when each row's bar opened, UTC epoch seconds.
        end: shape (n,), when its label was known.
        newer: shape (n,), net R of the newer version, NaN where it takes no side.
        older: likewise.
        since: begin of the trial.
        known_until: opening time of the newest closed bar.
        length: of a block, seconds.
        first: number of the first block wanted.
    """
    block = (time - since) // length
    until = since + (block + 1) * length
    rows = (time >= since) & (block >= first) & (end <= until) & (until <= known_until)
    if not rows.any():
        return NO_BLOCKS
    number, place = np.unique(block[rows], return_inverse=True)
    distinct = np.concatenate([[True], np.diff(time[rows]) != 0])
    mine, theirs = newer[rows], older[rows]
    trades = _count(place, ~np.isnan(mine)), _count(place, ~np.isnan(theirs))
    return Blocks(number, _count(place, distinct), _sum(place, mine), _sum(place, theirs), *trades)


def gains(blocks: Blocks, margin: float) -> FloatArray:
    """By how much the newer version did better than it must, R, shape (k,).

    A trade that one version makes and the other does not is worth what the trades of both were
    worth on average in the blocks before: to trade more often is no merit in itself.

    Args:
        blocks: of a trial, from its begin.
        margin: R a trade by which the newer version may be worse.
    """
    trades = _before(blocks.newer_trades), _before(blocks.older_trades)
    both = (trades[0] > 0) & (trades[1] > 0)
    usual = np.where(both, (_before(blocks.newer) + _before(blocks.older)) / np.maximum(trades[0] + trades[1], 1), 0.0)
    spare = margin * (blocks.newer_trades + blocks.older_trades) / 2
    return np.asarray(blocks.newer - blocks.older - usual * (blocks.newer_trades - blocks.older_trades) + spare)


def judged(blocks: Blocks, *, alpha: float, margin: float, most_bars: int) -> Finding:
    """The verdict on a trial: the first thing that happened ends it, whenever one looks.

    Args:
        blocks: of the trial, from its begin.
        alpha: chance that WORSE is said of a version that is no worse than the margin allows, and
            PROVEN of one that is.
        margin: R a trade.
        most_bars: judged bars after which the trial is over.
    """
    gain = gains(blocks, margin)
    seen = np.cumsum(blocks.bars)
    over = int(np.searchsorted(seen, most_bars))
    found = {WORSE: crossing(-gain, alpha), PROVEN: crossing(gain, alpha), OVER: over if over < len(seen) else None}
    ends = {outcome: block for outcome, block in found.items() if block is not None}
    outcome = min(ends, key=lambda name: ends[name], default=OPEN)
    last = ends.get(outcome, len(seen) - 1)
    if last < 0:
        return Finding(OPEN)
    until = slice(0, last + 1)
    means = (_mean(blocks.newer[until], blocks.newer_trades[until]), _mean(blocks.older[until], blocks.older_trades[until]))
    return Finding(outcome, int(seen[last]), *means, float(wealth(-gain)[last]), float(wealth(gain)[last]))


def _before(values: NDArray[np.generic]) -> FloatArray:
    """Sum of the blocks before each, shape (k,)."""
    return np.asarray(np.concatenate([[0.0], np.cumsum(values)[:-1]])[: len(values)], dtype=np.float64)


def _mean(result: FloatArray, trades: IntArray) -> float:
    return float(result.sum() / trades.sum()) if trades.sum() else 0.0


def _sum(place: NDArray[np.intp], result: FloatArray) -> FloatArray:
    return np.asarray(np.bincount(place, weights=np.nan_to_num(result)), dtype=np.float64)


def _count(place: NDArray[np.intp], rows: NDArray[np.bool_]) -> IntArray:
    return np.asarray(np.bincount(place, weights=rows).astype(np.int64))
