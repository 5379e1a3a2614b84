"""Rates of one symbol in one timeframe, in server time, cut at the bar that is forming."""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import DataError
from execution.simulated import constants as mt5
from market_data.bars import RATES_DTYPE, FloatArray, IntArray

Rates = NDArray[np.void]

_MINUTE, _DAY, _WEEK = 60, 86_400, 604_800
_FIRST_SUNDAY = 259_200  # 1970-01-04, seconds after the epoch
TIMEFRAME_SECONDS = {
    **{getattr(mt5, f"TIMEFRAME_M{minutes}"): minutes * _MINUTE for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)},
    **{getattr(mt5, f"TIMEFRAME_H{hours}"): hours * 60 * _MINUTE for hours in (1, 2, 3, 4, 6, 8, 12)},
    mt5.TIMEFRAME_D1: _DAY,
    mt5.TIMEFRAME_W1: _WEEK,
    mt5.TIMEFRAME_MN1: 30 * _DAY,
}
"""Seconds of every timeframe constant; a month's is nominal."""


def bar_starts(server: IntArray, timeframe: int) -> IntArray:
    """Open time of the bar that holds each server stamp; weeks begin on Sunday, months on the first."""
    if timeframe == mt5.TIMEFRAME_MN1:
        return server.astype("datetime64[s]").astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)
    shift = _FIRST_SUNDAY if timeframe == mt5.TIMEFRAME_W1 else 0
    seconds = TIMEFRAME_SECONDS[timeframe]
    return (server - shift) // seconds * seconds + shift


_ROW = RATES_DTYPE.itemsize
_OPEN_AT = 8
_YOUNG = Struct("<ddddQi")

Young = tuple[float, float, float, float, int, int]
"""What a forming bar has shown so far: open, high, low, close, ticks, spread."""


class Series:
    """All bars of a timeframe, of which the first are visible; the last visible one may be forming.

    Args:
        base: shape (n,) of RATES_DTYPE, the feed's own bars, complete, server time ascending.
        first: shape (m,), for each bar of this series the index of its first base bar.
        rows: shape (m,) of RATES_DTYPE, the complete bars of this series.
    """

    def __init__(self, base: Rates, first: IntArray, rows: Rates) -> None:
        self._base, self._first, self.rows = base, first, rows
        self._own = rows is base
        self._bytes = np.ascontiguousarray(rows).view(np.uint8).data
        self.time: IntArray = np.ascontiguousarray(rows["time"])
        self._reach: tuple[FloatArray, FloatArray] | None = None

    @classmethod
    def native(cls, base: Rates) -> Series:
        """The feed's own timeframe."""
        return cls(base, np.arange(len(base), dtype=np.int64), base)

    @classmethod
    def aggregate(cls, base: Rates, timeframe: int) -> Series:
        """Longer bars made of base bars, aligned in the server's clock."""
        starts = bar_starts(base["time"], timeframe)
        first = np.flatnonzero(np.concatenate(([True], starts[1:] != starts[:-1]))).astype(np.int64)
        rows = np.zeros(len(first), RATES_DTYPE)
        last = np.concatenate((first[1:], [len(base)])) - 1
        rows["time"], rows["open"], rows["close"] = starts[first], base["open"][first], base["close"][last]
        rows["high"] = np.maximum.reduceat(base["high"], first)
        rows["low"] = np.minimum.reduceat(base["low"], first)
        rows["tick_volume"] = np.add.reduceat(base["tick_volume"], first)
        rows["spread"] = np.minimum.reduceat(base["spread"], first)
        return cls(base, first, rows)

    def visible(self, position: int) -> int:
        """How many bars exist when base bar `position` is the newest."""
        return position + 1 if self._own else int(np.searchsorted(self._first, position, side="right"))

    def visible_at(self, positions: IntArray) -> IntArray:
        """The same for many positions."""
        return positions + 1 if self._own else np.searchsorted(self._first, positions, side="right")

    def extremes(self, position: int, young: Young | None) -> tuple[float, float, float]:
        """Open, high and low of the last visible bar; see `read`."""
        newest = int(self._first[np.searchsorted(self._first, position, side="right") - 1])
        base = self._base
        high, low = (young[1], young[2]) if young is not None else (base["high"].item(position), base["low"].item(position))
        if newest == position:
            return (young[0] if young is not None else base["open"].item(position)), high, low
        if self._reach is None:
            self._reach = _so_far(base["high"], self._first, np.maximum), _so_far(base["low"], self._first, np.minimum)
        highs, lows = self._reach
        return base["open"].item(newest), max(high, highs.item(position - 1)), min(low, lows.item(position - 1))

    def read(self, start: int, stop: int, position: int, young: Young | None) -> Rates:
        """A copy of bars `start:stop` as they stand now.

        Args:
            start: first bar, not negative.
            stop: one past the last bar, at most `visible(position)`.
            position: index of the newest base bar.
            young: what that base bar has shown so far; None where it is complete.
        """
        if self._own:
            return self._copy_rows(start, stop, young if stop == position + 1 else None)
        window = self._copy_rows(start, stop, None)
        if start < stop == self.visible(position):
            window[-1] = self._newest(int(self._first[stop - 1]), stop - 1, position, young)
        return window

    def _copy_rows(self, start: int, stop: int, young: Young | None) -> Rates:
        """The hot path: bytes are copied at once, since NumPy copies packed records field by field."""
        if start >= stop:
            return np.zeros(0, RATES_DTYPE)
        data = bytearray(self._bytes[start * _ROW : stop * _ROW])
        if young is not None:
            _YOUNG.pack_into(data, len(data) - _ROW + _OPEN_AT, *young)
        return np.frombuffer(data, RATES_DTYPE)

    def _newest(self, first: int, bar: int, position: int, young: Young | None) -> Any:
        """A longer bar made of what its base bars have shown so far."""
        row = self.rows[bar].copy()
        parts = self._base[first : position + 1]
        newest = self._newest_own(position, young)
        earlier = parts[:-1]
        row["close"], row["high"], row["low"] = newest["close"], newest["high"], newest["low"]
        row["tick_volume"], row["spread"] = newest["tick_volume"], newest["spread"]
        if len(earlier):
            row["spread"] = min(row["spread"], earlier["spread"].min())
            row["high"], row["low"] = max(row["high"], earlier["high"].max()), min(row["low"], earlier["low"].min())
            row["tick_volume"] += earlier["tick_volume"].sum()
        return row

    def _newest_own(self, position: int, young: Young | None) -> Any:
        row = self._base[position].copy()
        if young is not None:
            row["open"], row["high"], row["low"], row["close"], row["tick_volume"], row["spread"] = young
        return row


def _so_far(column: FloatArray, first: IntArray, extreme: np.ufunc) -> FloatArray:
    """The extreme of each stretch up to each of its rows."""
    stretches = np.split(column, first[1:])
    reached: FloatArray = np.concatenate([extreme.accumulate(stretch) for stretch in stretches])
    return reached


def single_increasing(server: IntArray) -> NDArray[np.bool_]:
    """Which bars to keep so that server stamps increase.

    Markets that never close have bars in the hour that a server clock repeats; the repetition
    has no stamps of its own and is left out.
    """
    if len(server) == 0:
        raise DataError("a feed without bars; give at least one")
    peak = np.maximum.accumulate(server)
    return np.concatenate(([True], server[1:] > peak[:-1]))
