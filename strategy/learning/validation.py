"""Honest splits and honest bounds: purged walk-forward, an untouched final window, block bootstrap.

Labels overlap: the label of a row is known only some bars later. A row may teach only if its
label ended before the first row that judges, less an embargo; the order of time is never
shuffled; every symbol of an instant stands on one side.

Sources: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7; Kunsch, The
jackknife and the bootstrap for general stationary observations, Annals of Statistics (1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
