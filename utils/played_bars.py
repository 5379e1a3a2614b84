"""Closed bars of a simulated market from its own memory: the terminal's answers, without a copy for every question."""

from __future__ import annotations

from typing import Protocol

from config.errors import InsufficientHistory
from execution.simulated.series import Rates
from market_data.bars import Bars, Capabilities, IntArray, Timeframe, bars_from_rates
from market_data.clock import BrokerTime
from market_data.loader import BarLoader

BLOCK = 512
"""Bars that are worked out together: few enough that a new model wastes little, many enough that calls cost nothing."""


class Played(Protocol):
    """A simulated market, as far as it has been played and beyond."""

    def closed(self, symbol: str, timeframe: int) -> int:
        """How many bars of a timeframe have closed."""
        ...

    def closed_at(self, symbol: str, timeframe: int, instants: IntArray) -> IntArray:
        """How many will have closed at instants to come, UTC epoch milliseconds."""
        ...

    def instants(self, count: int) -> IntArray:
        """When the next bars open, at most `count` instants; none where recorded quotes are played or an order waits for its price."""
        ...

    def complete(self, symbol: str, timeframe: int, start: int, stop: int) -> Rates:
        """Bars `start:stop` of a timeframe as they will have closed, in server time; fewer at the end."""
        ...


class PlayedBars:
    """The loop's source of bars in a replay; what it returns ends at the newest closed bar, as the terminal's answer does.

    Args:
        market: the simulated one.
        loader: knows what the source records beside prices.
        timeframe: bar length.
        broker_time: the server's clock.
        reach: bars that a decision looks back on.
        limit: bars of a symbol from now on that may be decided; blocks beyond them are not worked out. None: all.
    """

    def __init__(
        self, market: Played, loader: BarLoader, timeframe: Timeframe, broker_time: BrokerTime, reach: int, limit: int | None = None
    ) -> None:
        self._market = market
        self._loader = loader
        self._timeframe = timeframe
        self._broker_time = broker_time
        self._reach = reach
        self._limit = limit
        self._ends: dict[str, int] = {}
        self._held: dict[str, tuple[int, int, Bars]] = {}

    def window(self, symbol: str, count: int) -> Bars:
        """The newest `count` closed bars.

        Raises:
            InsufficientHistory: there are fewer.
        """
        stop = self._market.closed(symbol, self._timeframe.constant)
        if stop < count:
            raise InsufficientHistory(symbol, max(stop, 0), count)
        first, end, bars = self._held.get(symbol, (0, 0, None))
        if bars is None or not (first <= stop - count and stop <= end):
            first, end, bars = self._hold(symbol, stop - count, count)
        return bars.slice(stop - count - first, stop - first)

    def declare(self, symbol: str) -> Capabilities:
        """What the source records beside prices."""
        return self._loader.declare(symbol)

    def newest(self, symbol: str) -> int:
        """When the newest closed bar opened, UTC epoch seconds."""
        return self.window(symbol, 1).time.item(-1)

    def instants(self, count: int) -> IntArray:
        """When the next bars open; see `Played`."""
        return self._market.instants(count)

    def closing(self, symbol: str, instants: IntArray) -> IntArray:
        """How many bars will have closed since now, at each of some instants to come."""
        frame = self._timeframe.constant
        return self._market.closed_at(symbol, frame, instants) - self._market.closed(symbol, frame)

    def block_of(self, symbol: str, time: int) -> int:
        """Number of the block that holds the newest closed bar; `time` is when it opened."""
        return (self._market.closed(symbol, self._timeframe.constant) - 1) // BLOCK

    def block(self, symbol: str, number: int) -> tuple[Bars, int]:
        """The bars of a block behind those that its decisions look back on, and how many these are; none beyond the limit."""
        start = number * BLOCK
        if self._limit is not None:
            end = self._ends.setdefault(symbol, self._market.closed(symbol, self._timeframe.constant) + self._limit)
            if start > end:
                return self._bars(symbol, end, end), 0
        first = max(0, start - self._reach)
        return self._bars(symbol, first, start + BLOCK), start - first

    def _hold(self, symbol: str, first: int, count: int) -> tuple[int, int, Bars]:
        """Keeps a stretch that serves many windows."""
        bars = self._bars(symbol, first, first + count + BLOCK)
        self._held[symbol] = first, first + len(bars), bars
        return self._held[symbol]

    def _bars(self, symbol: str, start: int, stop: int) -> Bars:
        rates = self._market.complete(symbol, self._timeframe.constant, start, stop).copy()
        rates["time"] = self._broker_time.to_utc(rates["time"])
        return bars_from_rates(symbol, self._timeframe, rates, self._loader.declare(symbol))
