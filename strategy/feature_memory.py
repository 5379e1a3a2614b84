"""Feature rows that a decision need not work out again: of sixty that it reads, one is new."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from market_data.bars import Bars
from strategy.features import WARMUP, compute, newest
from strategy.predictor import FeatureSchema, FeatureWindow


@dataclass(frozen=True, slots=True)
class _Known:
    """Rows of the newest bars, and the bars behind them."""

    bars: Bars
    window: FeatureWindow


class FeatureMemory:
    """The rows of every symbol's last window.

    It changes no digit of any row. A row depends on its own bar and the WARMUP before it, so it stands as long as
    those bars are the same; they are compared, because a terminal may correct a bar after it closed.
    """

    def __init__(self) -> None:
        self._last: dict[str, _Known] = {}

    def window(self, bars: Bars, schema: FeatureSchema) -> FeatureWindow:
        """Features of every bar behind the warm-up, shape (n - WARMUP, F); of every bar, without a number in them, where there are no more.

        Args:
            bars: closed bars, oldest first.
            schema: from `schema_for`.

        Raises:
            ValueError: the schema needs volume or spread that the bars do not have.
        """
        rows = len(bars) - WARMUP
        if rows <= 0:
            return compute(bars, schema)
        known = self._last.get(bars.symbol)
        new = rows if known is None or known.window.schema is not schema else _new(known, bars)
        fresh = [newest(bars, schema, new)] if new else []
        kept = [known.window.values[new - rows :]] if known is not None and new < rows else []
        window = FeatureWindow(schema, np.concatenate((*kept, *fresh)))
        self._last[bars.symbol] = _Known(bars, window)
        return window


def _new(known: _Known, bars: Bars) -> int:
    """How many of the newest rows have to be worked out: all of them, where what lies behind the others is not what it was."""
    before, rows = known.bars, len(bars) - WARMUP
    new = len(bars) - int(bars.time.searchsorted(before.time[-1], side="right"))
    overlap = len(bars) - new
    if rows - new > len(known.window.values) or overlap > len(before) or not _same(before, bars, overlap):
        return rows
    return min(new, rows)


def _same(before: Bars, bars: Bars, overlap: int) -> bool:
    """Whether the newest bars of one history are the oldest of the other, to the last bit."""
    if overlap <= 0 or before.capabilities != bars.capabilities:
        return False
    pairs = zip(_columns(before), _columns(bars), strict=True)
    return all(old is None or old[-overlap:].tobytes() == new[:overlap].tobytes() for old, new in pairs)


_columns = attrgetter("time", "open", "high", "low", "close", "tick_volume", "spread")
