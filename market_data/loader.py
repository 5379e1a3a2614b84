"""Closed bars from a terminal: long history in chunks, the decision's window in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from config.errors import DataError, InsufficientHistory, TerminalCallFailed, TerminalDisconnected
from market_data.bars import Bars, Capabilities, Timeframe, bars_from_rates, capabilities_of

Rates = NDArray[np.void]

NEWEST_CLOSED = 1
"""Position of the newest closed bar; position 0 is still forming."""


class RatesSource(Protocol):
    """Where bars come from."""

    def rates(self, symbol: str, timeframe: Timeframe, start: int, count: int) -> Rates:
        """Bars by position from the newest, oldest first, of RATES_DTYPE with `time` in UTC."""
        ...


class BarLoader:
    """Closed bars of one timeframe; the bar that is still forming is never among them.

    Args:
        source: answers with rates; it may hold the interpreter while it does, so no call asks
            for more than a chunk.
        timeframe: bar length.
        chunk_bars: most bars asked for in one call of `history`.
        capabilities: what a source is known to record, by symbol; the rest is found out from
            the symbol's own history at its first use, and remembered.
    """

    def __init__(
        self, source: RatesSource, timeframe: Timeframe, chunk_bars: int, capabilities: Mapping[str, Capabilities] | None = None
    ) -> None:
        self._source = source
        self._timeframe = timeframe
        self._chunk_bars = chunk_bars
        self._known = dict(capabilities or {})

    def declare(self, symbol: str) -> Capabilities:
        """What the source records of a symbol beside prices.

        Raises:
            InsufficientHistory: there is no history from which to tell.
        """
        if symbol not in self._known:
            rates = self._fetch(symbol, NEWEST_CLOSED, self._chunk_bars)
            if len(rates) == 0:
                raise InsufficientHistory(symbol, 0, 1)
            self._known[symbol] = capabilities_of(rates)
        return self._known[symbol]

    def history(self, symbol: str, count: int, minimum: int = 1) -> Bars:
        """The newest closed bars, fetched in chunks.

        Args:
            symbol: exact name.
            count: most bars wanted.
            minimum: fewest bars that are of use.

        Raises:
            InsufficientHistory: the source has fewer than `minimum`.
            DataError: the source's times do not rise.
        """
        parts: list[Rates] = []
        have = 0
        for chunk in self._chunks(symbol, count):
            part = chunk if not parts else chunk[chunk["time"] < parts[-1]["time"][0]]
            if len(part):
                parts.append(part)
                have += len(part)
            if have >= count:
                break
        if have < minimum or not parts:
            raise InsufficientHistory(symbol, have, minimum)
        return self._bars(symbol, np.concatenate(parts[::-1])[-count:])

    def _chunks(self, symbol: str, count: int) -> Iterator[Rates]:
        """Chunks from the newest backwards, until the source has no more.

        A bar that closes between two calls moves all positions by one: the older chunk then
        repeats bars of the newer one, and never leaves a gap.
        """
        start, size = NEWEST_CLOSED, min(self._chunk_bars, count)
        while True:
            try:
                chunk = self._fetch(symbol, start, size)
            except TerminalDisconnected:
                raise
            except TerminalCallFailed:
                if start == NEWEST_CLOSED:
                    raise
                return  # a start beyond the oldest bar is a failed call, not an empty answer
            yield chunk
            if len(chunk) < size:
                return
            start += len(chunk)

    def window(self, symbol: str, count: int) -> Bars:
        """The newest `count` closed bars in one call; what a decision reads.

        Raises:
            InsufficientHistory: there are fewer.
            DataError: the source's times do not rise.
        """
        rates = self._fetch(symbol, NEWEST_CLOSED, count)
        if len(rates) < count:
            raise InsufficientHistory(symbol, len(rates), count)
        return self._bars(symbol, rates)

    def closed_since(self, symbol: str, last: int | None, count: int) -> Bars:
        """Closed bars that opened after `last`; may be empty.

        Args:
            symbol: exact name.
            last: UTC epoch seconds of the newest bar that the caller has; None: it has none.
            count: most bars wanted; where more have closed, the oldest of them are left out.
        """
        rates = self._fetch(symbol, NEWEST_CLOSED, count)
        return self._bars(symbol, rates if last is None else rates[rates["time"] > last])

    def _fetch(self, symbol: str, start: int, count: int) -> Rates:
        rates = self._source.rates(symbol, self._timeframe, start, count)
        times = np.ascontiguousarray(rates["time"])
        if len(times) > 1 and not (times[1:] > times[:-1]).all():
            raise DataError(f"{symbol}: bar times do not rise; reload the symbol's history in the terminal, or check BROKER_TIME_ZONE")
        return rates

    def _bars(self, symbol: str, rates: Rates) -> Bars:
        return bars_from_rates(symbol, self._timeframe, rates, self.declare(symbol))


def assert_fresh(bars: Bars, now: datetime, limit: timedelta) -> None:
    """Makes sure that a source is alive and that its clock is ours.

    Args:
        bars: closed bars.
        now: the current instant, aware.
        limit: how long ago the newest bar may have closed; over a weekend that is days.

    Raises:
        DataError: no bars, the newest closed longer ago, or it has not even closed yet.
    """
    if len(bars) == 0:
        raise DataError(f"{bars.symbol}: no bars at all; select the symbol in the terminal and wait for its history")
    closed = bars.opened_at(-1) + timedelta(seconds=bars.timeframe.seconds)
    if closed > now:
        raise DataError(f"{bars.symbol}: newest bar closes at {closed.isoformat()}, after now {now.isoformat()}; check BROKER_TIME_ZONE")
    if now - closed > limit:
        raise DataError(
            f"{bars.symbol}: newest bar closed {now - closed} ago, more than {limit}; the source is frozen or the market is shut"
        )
