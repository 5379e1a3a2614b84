"""Closed bars: the one shape in which price history travels through the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RATES_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("tick_volume", "<u8"),
        ("spread", "<i4"),
        ("real_volume", "<u8"),
    ]
)
"""What `copy_rates_*` of a MetaTrader 5 terminal returns (60 bytes, packed)."""


class Timeframe(Enum):
    """A bar length; `seconds` of market time and the terminal's own `constant`."""

    M1 = (60, 1)
    M5 = (300, 5)
    M15 = (900, 15)
    M30 = (1800, 30)
    H1 = (3600, 16385)
    H4 = (14400, 16388)
    D1 = (86400, 16408)

    def __init__(self, seconds: int, constant: int) -> None:
        self.seconds = seconds
        self.constant = constant


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a source knows beside prices; unknown is missing, never zero."""

    volume: bool
    spread: bool

    def __and__(self, other: Capabilities) -> Capabilities:
        """What both sources know."""
        return Capabilities(self.volume and other.volume, self.spread and other.spread)


@dataclass(frozen=True, slots=True)
class Bars:
    """Closed bars of one symbol, oldest first, without duplicates.

    Attributes:
        symbol: the terminal's name of the instrument.
        timeframe: the length of each bar.
        time: shape (n,), UTC epoch seconds of the bar's OPEN, strictly increasing. Minutes
            without a tick have no bar, so rows are not minutes.
        open, high, low, close: shape (n,), BID prices.
        tick_volume: shape (n,), ticks in the bar; None where the source does not know it.
        spread: shape (n,), points; None where the source does not know it.
    """

    symbol: str
    timeframe: Timeframe
    time: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    tick_volume: FloatArray | None = None
    spread: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.time)

    @property
    def capabilities(self) -> Capabilities:
        """What this history knows beside prices."""
        return Capabilities(self.tick_volume is not None, self.spread is not None)

    def slice(self, start: int | None, stop: int | None) -> Bars:
        """Rows `start:stop` as views, by Python's slice rules."""
        part = slice(start, stop)
        return Bars(
            self.symbol,
            self.timeframe,
            self.time[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            None if self.tick_volume is None else self.tick_volume[part],
            None if self.spread is None else self.spread[part],
        )

    def tail(self, count: int) -> Bars:
        """The newest `count` bars, or all where there are fewer."""
        return self.slice(max(0, len(self) - count), None)

    def opened_at(self, index: int) -> datetime:
        """When bar `index` opened."""
        return datetime.fromtimestamp(int(self.time[index]), UTC)


def bars_from_rates(symbol: str, timeframe: Timeframe, rates: NDArray[np.void], known: Capabilities) -> Bars:
    """Bars from a rates array whose `time` is already UTC.

    Args:
        symbol: the terminal's name of the instrument.
        timeframe: the length of each bar.
        rates: shape (n,) of RATES_DTYPE, ascending.
        known: which of volume and spread the source really knows; the others are dropped.
    """
    return Bars(
        symbol,
        timeframe,
        rates["time"].astype(np.int64),
        rates["open"].astype(np.float64),
        rates["high"].astype(np.float64),
        rates["low"].astype(np.float64),
        rates["close"].astype(np.float64),
        # tick_volume is unsigned in the terminal: float before anyone subtracts.
        rates["tick_volume"].astype(np.float64) if known.volume else None,
        rates["spread"].astype(np.float64) if known.spread else None,
    )


def capabilities_of(rates: NDArray[np.void]) -> Capabilities:
    """What a long stretch of rates shows to be recorded: a column of zeros is an unknown one."""
    return Capabilities(bool(np.any(rates["tick_volume"] > 0)), bool(np.any(rates["spread"] > 0)))
