"""Recorded quotes of one symbol, and the bars that they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.bars import Bars, FloatArray, IntArray, Timeframe


@dataclass(frozen=True, slots=True)
class Quotes:
    """Quotes, oldest first; several may share a millisecond.

    Attributes:
        symbol: the terminal's name of the instrument.
        time_msc: shape (n,), UTC epoch milliseconds, never falling.
        bid, ask: shape (n,), prices.
    """

    symbol: str
    time_msc: IntArray
    bid: FloatArray
    ask: FloatArray

    def __len__(self) -> int:
        return len(self.time_msc)


def quotes_from_ticks(symbol: str, ticks: NDArray[np.void]) -> Quotes:
    """Quotes of an importer's ticks; those whose bid lies above their ask are left out, since a terminal shows none such.

    Args:
        symbol: the terminal's name of the instrument.
        ticks: shape (n,) with `time_msc` (UTC), `bid`, `ask`, ascending.
    """
    sound = ticks[~(ticks["bid"] > ticks["ask"])]
    times = np.ascontiguousarray(sound["time_msc"], dtype=np.int64)
    return Quotes(symbol, times, np.ascontiguousarray(sound["bid"]), np.ascontiguousarray(sound["ask"]))


def first_of_bars(quotes: Quotes, timeframe: Timeframe) -> IntArray:
    """Index of the first quote of each bar, shape (bars,); stretches without a quote have no bar."""
    starts = quotes.time_msc // (timeframe.seconds * 1000)
    return np.flatnonzero(np.concatenate(([True], starts[1:] != starts[:-1]))).astype(np.int64)


def bars_of(quotes: Quotes, timeframe: Timeframe, point: float) -> Bars:
    """BID bars of at least one quote, with the number of quotes and the least spread of each.

    Args:
        quotes: n >= 1 quotes.
        timeframe: bar length; bars begin at its multiples in UTC.
        point: price units of one point, in which spreads are told.
    """
    first = first_of_bars(quotes, timeframe)
    last = np.append(first[1:], len(quotes)) - 1
    seconds = timeframe.seconds
    return Bars(
        quotes.symbol,
        timeframe,
        quotes.time_msc[first] // 1000 // seconds * seconds,
        quotes.bid[first],
        np.maximum.reduceat(quotes.bid, first),
        np.minimum.reduceat(quotes.bid, first),
        quotes.bid[last],
        (last - first + 1).astype(np.float64),
        np.minimum.reduceat(np.rint((quotes.ask - quotes.bid) / point), first),
    )
