"""How alike two symbols have moved, from closed bars that are in memory anyway."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from market_data.bars import Bars, Capabilities

MIN_RETURNS = 60
"""Fewer common returns say nothing."""


def return_correlation(one: Bars, other: Bars) -> float | None:
    """Pearson correlation of log returns between the bars that both symbols have.

    Returns:
        Between -1 and 1; None where it cannot be told: fewer than MIN_RETURNS, or a price that
        did not move.
    """
    _, left, right = np.intersect1d(one.time, other.time, assume_unique=True, return_indices=True)
    if len(left) <= MIN_RETURNS:
        return None
    moves = [np.diff(np.log(bars.close[rows])) for bars, rows in ((one, left), (other, right))]
    if not all(np.isfinite(move).all() and move.std() > 0 for move in moves):
        return None
    return float(np.clip(np.corrcoef(np.stack(moves))[0, 1], -1.0, 1.0))


class BarSource(Protocol):
    """Closed bars."""

    def window(self, symbol: str, count: int) -> Bars:
        """The newest closed bars, oldest first."""
        ...

    def declare(self, symbol: str) -> Capabilities:
        """What the source records beside prices."""
        ...


class BarMemory:
    """A source of bars that remembers the last window of every symbol, so that nobody asks twice.

    Args:
        source: where the bars come from.
    """

    def __init__(self, source: BarSource) -> None:
        self._source = source
        self._last: dict[str, Bars] = {}

    def window(self, symbol: str, count: int) -> Bars:
        """The newest closed bars, oldest first."""
        bars = self._source.window(symbol, count)
        self._last[symbol] = bars
        return bars

    def declare(self, symbol: str) -> Capabilities:
        """What the source records beside prices."""
        return self._source.declare(symbol)

    def correlation(self, one: str, other: str) -> float | None:
        """Correlation of two symbols over their remembered windows; None where it cannot be told."""
        if one == other:
            return 1.0
        left, right = self._last.get(one), self._last.get(other)
        return None if left is None or right is None else return_correlation(left, right)
