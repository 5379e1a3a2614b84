"""The market of one symbol from recorded quotes: every quote is shown, bars are made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from execution.simulated import constants as mt5
from execution.simulated.feed import GUARD_DIGITS, Feed, Tick
from execution.simulated.feed_checks import refuse_quotes
from execution.simulated.series import Young
from execution.simulated.structs import TICK_DTYPE
from execution.simulated.terms import BrokerTerms
from market_data.bars import IntArray, Timeframe
from market_data.clock import BrokerTime
from market_data.instruments import SymbolSpec
from market_data.quotes import Quotes, bars_of, first_of_bars

_BLOCK = 256  # quotes looked at first; every further look takes four times as many


@dataclass(frozen=True, slots=True)
class Levels:
    """The nearest prices on each side of each quote at which the broker must act; infinite where there is none."""

    bid_low: float = -np.inf
    bid_high: float = np.inf
    ask_low: float = -np.inf
    ask_high: float = np.inf


class TickFeed(Feed):
    """Quotes of one symbol, in M1 bars.

    Args:
        quotes: UTC, ascending, none crossed.
        spec, broker_time, terms: as for every feed.

    Raises:
        DataError: for quotes that cannot be a market.

    Attributes:
        shown: index of the newest quote that has been shown; -1 before the first.
        quotes: all of them, those of an hour that the server's clock repeats left out.
    """

    def __init__(self, quotes: Quotes, spec: SymbolSpec, broker_time: BrokerTime, terms: BrokerTerms) -> None:
        refuse_quotes(quotes, spec, terms)
        server = broker_time.to_server(quotes.time_msc // 1000)
        keep = server >= np.maximum.accumulate(server)
        self.quotes = quotes if keep.all() else _masked(quotes, keep)
        super().__init__(bars_of(self.quotes, Timeframe.M1, spec.point), spec, broker_time, terms)
        self._first = first_of_bars(self.quotes, Timeframe.M1)
        self._server_msc: IntArray = server[keep] * 1000 + self.quotes.time_msc % 1000
        self.shown, self._now = -1, 0

    @property
    def next_open(self) -> int | None:
        """When the next bar shows its first quote, UTC epoch milliseconds; None at the end."""
        following = self.position + 1
        return self.opened_msc(following) if following < self._ends else None

    @property
    def forming(self) -> bool:
        """Whether the newest bar's minute has not passed."""
        return self.position >= 0 and self._now < (self.time.item(self.position) + self.seconds) * 1000

    def seek(self, now: int) -> None:
        """Shows every quote up to `now`, UTC epoch milliseconds."""
        index = self.reached(now)
        if index > self.shown:
            self.show(index)
        self._now = now

    def reached(self, now: int) -> int:
        """Index of the newest quote at or before `now`."""
        return int(np.searchsorted(self.quotes.time_msc, now, side="right")) - 1

    def time_of(self, index: int) -> int:
        """UTC epoch milliseconds of a quote."""
        return self.quotes.time_msc.item(index)

    def show(self, index: int) -> None:
        """Makes a quote the current one."""
        self.shown = index
        if index < 0:
            return
        self._now = self.quotes.time_msc.item(index)
        self.position = int(np.searchsorted(self._first, index, side="right")) - 1
        self.tick = Tick(self._server_msc.item(index), self.quotes.bid.item(index), self.quotes.ask.item(index))

    def opened_msc(self, index: int) -> int:
        """When a bar shows its first quote, UTC epoch milliseconds."""
        return self.quotes.time_msc.item(self._first.item(index))

    def in_session(self) -> bool:
        """Whether the sessions let the current quote trade."""
        return not self.terms.sessions or self.terms.in_session(self.quotes.time_msc.item(self.shown))

    def first_crossing(self, levels: Levels, last: int) -> int | None:
        """Index of the first quote not yet shown, up to `last`, that is at one of the levels or beyond it."""
        start, width = self.shown + 1, _BLOCK
        while start <= last:
            stop = min(last + 1, start + width)
            bid, ask = self.quotes.bid[start:stop], self.quotes.ask[start:stop]
            hit = (bid <= levels.bid_low) | (bid >= levels.bid_high) | (ask <= levels.ask_low) | (ask >= levels.ask_high)
            if hit.any():
                return start + int(hit.argmax())
            start, width = stop, width * 4
        return None

    def extremes(self, last: int) -> tuple[float, float]:
        """Lowest bid and highest ask of the quotes not yet shown, up to `last`; those shown now where there is none."""
        part = slice(self.shown + 1, last + 1)
        if last <= self.shown:
            return self.tick.bid, self.tick.ask
        return float(self.quotes.bid[part].min()), float(self.quotes.ask[part].max())

    def ask_of(self, bid: float) -> float:
        """The bid with the current spread."""
        return round(bid + self.tick.ask - self.tick.bid, self.spec.digits + GUARD_DIGITS)

    def ticks(self, first_msc: int, last_msc: int) -> NDArray[np.void]:
        """The recorded quotes with `first_msc <= time_msc <= last_msc`; flags tell which side changed."""
        stamps = self._server_msc
        low = int(np.searchsorted(stamps, first_msc, side="left"))
        high = max(low, min(self.shown + 1, int(np.searchsorted(stamps, last_msc, side="right"))))
        ticks = np.zeros(high - low, np.dtype(TICK_DTYPE))
        ticks["time_msc"] = stamps[low:high]
        ticks["time"] = ticks["time_msc"] // 1000
        ticks["bid"], ticks["ask"] = self.quotes.bid[low:high], self.quotes.ask[low:high]
        ticks["flags"] = self._flags(low, high)
        return ticks

    def _flags(self, low: int, high: int) -> NDArray[np.uint32]:
        before = np.maximum(np.arange(low, high) - 1, 0)
        bid = np.where(self.quotes.bid[low:high] != self.quotes.bid[before], mt5.TICK_FLAG_BID, 0)
        ask = np.where(self.quotes.ask[low:high] != self.quotes.ask[before], mt5.TICK_FLAG_ASK, 0)
        changed = (bid | ask).astype(np.uint32)
        return np.where(changed == 0, np.uint32(mt5.TICK_FLAG_BID | mt5.TICK_FLAG_ASK), changed)

    def _young(self) -> Young | None:
        """What the newest bar has shown; None where that is all."""
        first, after = self._first.item(self.position), self.shown + 1
        following = self.position + 1
        if after == (self._first.item(following) if following < self._ends else len(self.quotes)):
            return None
        bids, asks = self.quotes.bid[first:after], self.quotes.ask[first:after]
        spread = round(float((asks - bids).min()) / self.spec.point)
        return bids.item(0), float(bids.max()), float(bids.min()), bids.item(-1), after - first, spread


def _masked(quotes: Quotes, keep: NDArray[np.bool_]) -> Quotes:
    return Quotes(quotes.symbol, quotes.time_msc[keep], quotes.bid[keep], quotes.ask[keep])
