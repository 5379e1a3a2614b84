"""Is one series above another? A paired test by betting that may be looked at after every block.

A gambler bets a share of his wealth on every block's difference, before he sees it. If the mean
difference is not above zero, no way of betting makes his wealth grow on average; that it ever
reaches 1 / alpha then has at most probability alpha, however often one looks (Ville's inequality).

Differences are measured in their own typical size so far, and cut at CUT of it either way: the game
needs bounds, and a single gap must not decide it. The hypothesis is about these cut differences.
Several gamblers with different courage share the wealth, so that none has to be chosen beforehand.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B
86 (2023); Ville, Etude critique de la notion de collectif (1939).
"""

from __future__ import annotations

import numpy as np

from market_data.bars import FloatArray

CUT = 3.0
"""Typical sizes at which a block's difference is cut."""

BURN_IN = 4
"""Blocks with any difference before the first bet: they say what is typical."""

COURAGE = (0.08, 0.16, 0.30)
"""Shares of the wealth that are bet on one typical size; CUT times the last stays below 1."""


def wealth(differences: FloatArray) -> FloatArray:
    """Wealth after every block of a gambler who bets that the mean difference is above zero.

    Args:
        differences: shape (n,), one a block, in order of time; blocks must not overlap.

    Returns:
        Shape (n,), positive; 1.0 until the first bet. Each value depends on the blocks up to its own.

    >>> [round(float(x), 1) for x in wealth(np.array([1.0, -1, 1, -1, 1, 1, 1, 1]))]
    [1.0, 1.0, 1.0, 1.0, 1.2, 1.4, 1.7, 2.0]
    """
    units = _in_typical_sizes(differences)
    bets = np.asarray(COURAGE)[:, None] * units  # (gamblers, blocks)
    return np.asarray(np.exp(np.cumsum(np.log1p(bets), axis=1)).mean(axis=0))


def crossing(differences: FloatArray, alpha: float) -> int | None:
    """Index of the first block at which the wealth reaches `1 / alpha`; None where it never did."""
    reached = np.flatnonzero(wealth(differences) >= 1.0 / alpha)
    return int(reached[0]) if len(reached) else None


def _in_typical_sizes(differences: FloatArray) -> FloatArray:
    """Each difference over the root mean square of those before it that are not zero, cut; 0 during the burn-in."""
    squares = np.concatenate([[0.0], np.cumsum(differences**2)[:-1]])
    seen = np.concatenate([[0], np.cumsum(differences != 0.0)[:-1]])
    typical = np.sqrt(squares / np.maximum(seen, 1))
    ready = (seen >= BURN_IN) & (typical > 0.0)
    units = np.divide(differences, typical, out=np.zeros(len(differences)), where=ready)
    return np.asarray(np.clip(units, -CUT, CUT))
