"""Is one series above another, or has it fallen? Tests by betting that may be looked at after every block.

A gambler bets a share of his wealth on every block's difference, before he sees it. If the mean
difference is not above zero, no way of betting makes his wealth grow on average; that it ever
reaches 1 / alpha then has at most probability alpha, however often one looks (Ville's inequality).

Differences are measured in their own typical size so far, and cut at CUT of it either way: the game
needs bounds, and a single gap must not decide it. The hypothesis is about these cut differences.
Several gamblers with different courage share the wealth, so that none has to be chosen beforehand.

`fallen` watches a series that was above zero once. There each gambler bets against it, and is given a
new start whenever his wealth was never lower: the wealth since then is Page's statistic. Where the
mean is zero it takes 1 / alpha blocks or more, on average, until the gamblers' mean reaches 1 / alpha
by luck; where it is above zero, far more. That holds for any series, whatever its blocks look like.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B
86 (2023); Ville, Etude critique de la notion de collectif (1939); Shin, Ramdas and Rinaldo,
E-detectors: a nonparametric framework for sequential change detection, New England Journal of
Statistics in Data Science 2 (2024); Page, Continuous inspection schemes, Biometrika 41 (1954).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market_data.bars import FloatArray

CUT = 3.0
"""Typical sizes at which a block's difference is cut."""

BURN_IN = 4
"""Blocks with any difference before the first bet: they say what is typical."""

COURAGE = (0.08, 0.16, 0.30)
"""Shares of the wealth that are bet on one typical size; CUT times the last stays below 1."""

_MOST_LOG = 700.0
"""Of a wealth that is still a number."""


def wealth(differences: FloatArray) -> FloatArray:
    """Wealth after every block of a gambler who bets that the mean difference is above zero.

    Args:
        differences: shape (n,), one a block, in order of time; blocks must not overlap.

    Returns:
        Shape (n,), positive; 1.0 until the first bet. Each value depends on the blocks up to its own.

    >>> [round(float(x), 1) for x in wealth(np.array([1.0, -1, 1, -1, 1, 1, 1, 1]))]
    [1.0, 1.0, 1.0, 1.0, 1.2, 1.4, 1.7, 2.0]
    """
    return np.asarray(np.exp(_log_wealth(_in_typical_sizes(differences))).mean(axis=0))


def crossing(differences: FloatArray, alpha: float) -> int | None:
    """Index of the first block at which the wealth reaches `1 / alpha`; None where it never did."""
    reached = np.flatnonzero(wealth(differences) >= 1.0 / alpha)
    return int(reached[0]) if len(reached) else None


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """Where a mean fell, and when that was found.

    Attributes:
        begin: index of the block with which it began, as far as can be told.
        found: index of the block after which the evidence was enough.
    """

    begin: int
    found: int


def evidence_of_fall(results: FloatArray, first: int = 0) -> FloatArray:
    """Evidence after every watched block that the mean is zero or below by now.

    Args:
        results: shape (n,), one a block, in order of time; blocks must not overlap.
        first: index of the first block that is watched; those before only say what is typical.

    Returns:
        Shape (n - first,), positive. Each value depends on the blocks up to its own.

    >>> [round(float(x), 1) for x in evidence_of_fall(np.array([1.0, -1, 1, 1, -1, 1, 1, 1, -1, -1, -1]), first=4)]
    [1.2, 1.0, 0.8, 0.8, 1.2, 1.4, 1.7]
    """
    since = _since_lowest(_log_against(results, first))
    return np.asarray(np.exp(np.minimum(since, _MOST_LOG)).mean(axis=0))


def fallen(results: FloatArray, alpha: float, first: int = 0) -> ChangePoint | None:
    """The first time at which the evidence of a fall reaches `1 / alpha`; None where it never did.

    Args:
        results: as for `evidence_of_fall`.
        alpha: one over the blocks between two false alarms, or fewer, where the mean is zero.
        first: likewise.
    """
    reached = np.flatnonzero(evidence_of_fall(results, first) >= 1.0 / alpha)
    if not len(reached):
        return None
    path = _log_against(results, first)[:, : reached[0] + 2]
    leader = path[_since_lowest(path)[:, -1].argmax(), :-1]
    begin = int(np.flatnonzero(leader == leader.min())[-1])
    return ChangePoint(first + begin, first + int(reached[0]))


def _log_against(results: FloatArray, first: int) -> FloatArray:
    """Log wealth of those who bet against the series from `first` on, shape (gamblers, n - first + 1), beginning with 0."""
    against = _log_wealth(-_in_typical_sizes(results)[first:])
    return np.concatenate([np.zeros((len(COURAGE), 1)), against], axis=1)


def _since_lowest(path: FloatArray) -> FloatArray:
    """Log wealth since each path was lowest before its last block, shape (gamblers, blocks)."""
    return np.asarray(path[:, 1:] - np.minimum.accumulate(path, axis=1)[:, :-1])


def _log_wealth(units: FloatArray) -> FloatArray:
    """Of every gambler after every block, shape (gamblers, blocks)."""
    return np.asarray(np.cumsum(np.log1p(np.asarray(COURAGE)[:, None] * units), axis=1))


def _in_typical_sizes(differences: FloatArray) -> FloatArray:
    """Each difference over the root mean square of those before it that are not zero, cut; 0 during the burn-in."""
    squares = np.concatenate([[0.0], np.cumsum(differences**2)[:-1]])
    seen = np.concatenate([[0], np.cumsum(differences != 0.0)[:-1]])
    typical = np.sqrt(squares / np.maximum(seen, 1))
    ready = (seen >= BURN_IN) & (typical > 0.0)
    units = np.divide(differences, typical, out=np.zeros(len(differences)), where=ready)
    return np.asarray(np.clip(units, -CUT, CUT))
