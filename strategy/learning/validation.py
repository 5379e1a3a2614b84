"""Honest splits and honest bounds: purged walk-forward, an untouched final window, means of dependent values.

Labels overlap: the label of a row is known only some bars later. A row may teach only if its
label ended before the first row that judges, less an embargo; the order of time is never
shuffled; every symbol of an instant stands on one side.

Sources: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7; Kunsch, The
jackknife and the bootstrap for general stationary observations, Annals of Statistics (1989);
Newey and West, Econometrica (1987), for neighbouring blocks; Ibragimov and Muller, Journal of
Business & Economic Statistics (2010), for t tests of few groups; Hall, On the removal of skewness by
transformation, Journal of the Royal Statistical Society B (1992).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from market_data.bars import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Split:
    """Rows that teach and rows that judge, as indices in time order."""

    train: IntArray
    test: IntArray


def final_split(time: IntArray, end: IntArray, fraction: float, embargo: int) -> Split:
    """The newest `fraction` of the rows judges the artifact; the purged rest teaches.

    Args:
        time: shape (n,), ascending, when each row was decided (epoch seconds).
        end: shape (n,), when each row's label was known.
        fraction: of the rows, between 0 and 1.
        embargo: seconds between the last label that teaches and the first row that judges.
    """
    first = time[int(len(time) * (1.0 - fraction))]
    return purged(time, end, first, np.iinfo(np.int64).max, embargo)


def purged(time: IntArray, end: IntArray, start: int, stop: int, embargo: int) -> Split:
    """Judges on rows with `start <= time < stop`; teaches on rows that ended before `start - embargo`."""
    test = np.flatnonzero((time >= start) & (time < stop))
    train = np.flatnonzero(end < start - embargo)
    return Split(train, test)


def walk_forward(time: IntArray, end: IntArray, folds: int, embargo: int) -> tuple[Split, ...]:
    """Expanding folds: the rows are cut into `folds + 1` parts by time, and each part but the first judges once."""
    edges = [int(time[int(len(time) * part / (folds + 1))]) for part in range(1, folds + 1)] + [int(time[-1]) + 1]
    return tuple(purged(time, end, edges[k], edges[k + 1], embargo) for k in range(folds))


def blocks_of(time: IntArray, length: int) -> IntArray:
    """Number of the block that holds each row, 0..k-1; blocks are `length` seconds of market time long."""
    _, block = np.unique(time // length, return_inverse=True)
    return np.asarray(block, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class BlockMean:
    """Mean of dependent values and how well it is known.

    A bootstrap of some thousand draws says nothing of levels such as 1 in 10,000; Student's t of
    block means does. Where losses are rarer and greater than gains, a sample that lacks some of them
    has too high a mean and too small an error: Hall's transformation answers for that. Where it
    would help, it is not used.

    Attributes:
        value: the mean; -inf without values.
        error: its standard error; inf where LEAST_BLOCKS are not filled.
        freedom: degrees of freedom of the error.
        skew: third cumulant of the standardised mean, at most 0.
    """

    value: float
    error: float
    freedom: float
    skew: float = 0.0

    def lower(self, alpha: float) -> float:
        """The bound that lies above the truth in a share `alpha` of all cases."""
        if not np.isfinite(self.error):
            return float("-inf")
        steps = -float(stdtrit(self.freedom, alpha))
        if self.skew < 0.0:
            third = self.skew / 3.0
            steps = float(np.cbrt(1.0 + 3.0 * third * (steps - self.skew / 6.0)) - 1.0) / third
        return self.value - steps * self.error

    def p_value(self, least: float) -> float:
        """Chance of such a mean, or a higher one, if the truth were `least`."""
        if not np.isfinite(self.error):
            return 1.0
        if self.error == 0.0:
            return 0.0 if self.value > least else 1.0
        steps = (self.value - least) / self.error
        if self.skew < 0.0:
            third = self.skew / 3.0
            steps = ((1.0 + third * steps) ** 3 - 1.0) / (3.0 * third) + self.skew / 6.0
        return float(stdtr(self.freedom, -steps))


UNKNOWN = BlockMean(float("-inf"), float("inf"), 1.0)
LEAST_BLOCKS = 4.0
LAG_PRICE = 1.5
"""By what an error that looks at neighbours too is less well known than one that does not."""


def block_mean(values: FloatArray, block: IntArray) -> BlockMean:
    """Mean of `values`, with an error that counts what depends on each other inside a block once.

    The mean is the ratio of the blocks' sums and counts; the variance is that of their residual
    sums, with the covariance of neighbours where it is positive: labels that overlap the edge of a
    block tie it to the next one. Blocks that hold few values count for as little: there are as many
    as evenly filled ones would give the same weight. Residuals sum to nothing and so fall short by
    one block in the variance and by two in the covariance.

    Args:
        values: shape (n,).
        block: shape (n,), number of each value's block; neighbours differ by one.
    """
    if len(values) == 0:
        return UNKNOWN
    sums, counts = np.bincount(block, weights=values), np.bincount(block).astype(np.float64)
    mean, even = float(sums.sum() / counts.sum()), float(counts.sum() ** 2 / (counts @ counts))
    if even < LEAST_BLOCKS:
        return replace(UNKNOWN, value=mean)
    residual = sums - mean * counts
    alone = float(residual @ residual)
    square = alone + 2.0 * max(0.0, float(residual[1:] @ residual[:-1]))
    error = np.sqrt(square * even / (even - 3.0)) / counts.sum()
    skew = min(0.0, float((residual**3).sum()) / alone**1.5) if alone > 0.0 else 0.0
    return BlockMean(mean, float(error), (even - 1.0) / LAG_PRICE, skew)


def bootstrap_means(values: FloatArray, block: IntArray, resamples: int, seed: int) -> FloatArray:
    """Means of `values` over resampled blocks, sorted ascending, shape (resamples,).

    Blocks are drawn whole, with replacement, so dependence inside a block is kept. The statistic
    is the ratio of the drawn sums and counts: blocks may hold different numbers of values.
    """
    sums = np.bincount(block, weights=values)
    counts = np.bincount(block).astype(np.float64)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(sums), np.full(len(sums), 1.0 / len(sums)), size=resamples).astype(np.float64)
    return np.asarray(np.sort((draws @ sums) / np.maximum(draws @ counts, 1.0)))


def lower_bound(values: FloatArray, block: IntArray, confidence: float, resamples: int, seed: int) -> float:
    """One-sided lower confidence bound of the mean of dependent values; -inf with fewer than two blocks."""
    if len(values) == 0 or block.min() == block.max():
        return float("-inf")
    _, dense = np.unique(block, return_inverse=True)
    means = bootstrap_means(values, np.asarray(dense, dtype=np.int64), resamples, seed)
    return float(np.quantile(means, 1.0 - confidence))


def log_loss_rows(p: FloatArray, kind: IntArray) -> FloatArray:
    """Negative log-likelihood of each row, shape (n,); `p` is (n, 3) in class order."""
    return -np.log(np.clip(p[np.arange(len(kind)), kind], 1e-9, 1.0))
