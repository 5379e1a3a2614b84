"""All symbols on one time line, and what one currency is worth in another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import numpy as np

from config.errors import DataError, InsufficientHistory
from execution.simulated.feed import BarFeed, Feed
from execution.simulated.tick_feed import TickFeed
from market_data.bars import IntArray
from market_data.clock import BrokerTime, ManualClock, from_epoch

_FINGERPRINT_ROWS = 500
_HALF_HOUR, _DAY = 1_800_000, 86_400_000


class Market:
    """The feeds, the simulated clock and the order in which bars open.

    Args:
        feeds: one per symbol; symbols are played in this order.
        start: UTC epoch milliseconds of the first instant, at which at least one bar opens.
        broker_time: the server's clock.

    Attributes:
        now: the current instant, UTC epoch milliseconds.
        clock: the same, for those who are handed a Clock.
    """

    def __init__(self, feeds: Mapping[str, Feed], start: int, broker_time: BrokerTime) -> None:
        self.feeds = dict(feeds)
        self.bar_feeds = [feed for feed in feeds.values() if isinstance(feed, BarFeed)]
        self.tick_feeds = [feed for feed in feeds.values() if isinstance(feed, TickFeed)]
        self._broker_time = broker_time
        self._offset = (0, 0)
        self.now = start
        self.clock = ManualClock(from_epoch(start / 1000))
        self.seek(start)

    def seek(self, now: int) -> None:
        """Goes to the state that playing up to `now` leaves; the clock never goes back."""
        self.tell(now)
        for feed in self.feeds.values():
            feed.seek(now)

    def put(self, longer: BarFeed) -> None:
        """Puts a feed in the place of the same symbol's; it stands where that one stood."""
        held = next(feed for feed in self.bar_feeds if feed.spec.name == longer.spec.name)
        longer.position = held.position
        longer.show(held.stage)
        self.bar_feeds[self.bar_feeds.index(held)] = self.feeds[longer.spec.name] = longer

    def next_instant(self) -> int | None:
        """When the next bar of any symbol opens; None at the end of the data."""
        return min((time for feed in self.feeds.values() if (time := feed.next_open) is not None), default=None)

    def instants(self, count: int) -> IntArray:
        """When the next bars open, at most `count` different instants; in a market of bars alone."""
        opens = [feed.time[feed.position + 1 : feed.position + 1 + count] for feed in self.bar_feeds]
        times: IntArray = (opens[0] if len(opens) == 1 else np.unique(np.concatenate(opens))[:count]) * 1000
        return times

    def open_at(self, instant: int) -> list[BarFeed]:
        """Moves the clock to `instant` and opens the bars of that instant; recorded quotes open their own."""
        self.tell(instant)
        opened = [feed for feed in self.bar_feeds if feed.next_open == instant]
        for feed in opened:
            feed.open_next()
        return opened

    def server_msc(self) -> int:
        """The server's now, server milliseconds; never before the newest quote."""
        return max(self.newest_msc(), self.server_of(self.now))

    def newest_msc(self) -> int:
        """Server milliseconds of the newest quote of all symbols."""
        return max(feed.tick.time_msc for feed in self.feeds.values())

    def server_of(self, utc_msc: int) -> int:
        """Server milliseconds of UTC ones; the offset is looked up once in half an hour, at whose ends alone it changes."""
        block = utc_msc // _HALF_HOUR
        if self._offset[0] != block:
            second = block * _HALF_HOUR // 1000
            self._offset = (block, (int(self._broker_time.to_server(second)[0]) - second) * 1000)
        return utc_msc + self._offset[1]

    def utc_of(self, server_msc: int) -> int:
        """UTC milliseconds of server ones."""
        return int(self._broker_time.to_utc(server_msc // 1000)[0]) * 1000 + server_msc % 1000

    def next_midnight(self, utc_msc: int) -> int:
        """The first server midnight after an instant, both UTC milliseconds."""
        midnight = (self.server_of(utc_msc) // _DAY + 1) * _DAY
        return max(self.utc_of(midnight), utc_msc + 1)

    def rate(self, source: str, target: str, *, receiving: bool) -> float | None:
        """Units of `target` for one of `source`, at the side of the quote that costs more.

        Args:
            source: currency of the amount.
            target: currency wanted.
            receiving: whether the source amount is income (sold at the bid) or a debt (bought
                at the ask).

        Returns:
            None where no symbol, nor two by way of the dollar, quotes it.
        """
        direct = self._direct(source, target, receiving)
        if direct is not None or "USD" in (source, target):
            return direct
        first, second = self._direct(source, "USD", receiving), self._direct("USD", target, receiving)
        return None if first is None or second is None else first * second

    def _direct(self, source: str, target: str, receiving: bool) -> float | None:
        if source == target:
            return 1.0
        for feed in self.feeds.values():
            pair = (feed.spec.currency_base, feed.spec.currency_profit)
            if feed.position >= 0 and pair == (source, target):
                return feed.tick.bid if receiving else feed.tick.ask
            if feed.position >= 0 and pair == (target, source):
                return 1.0 / (feed.tick.ask if receiving else feed.tick.bid)
        return None

    def tell(self, now: int) -> None:
        """Moves the clock."""
        self.now = now
        self.clock.set(from_epoch(now / 1000))


def first_instant(feeds: Mapping[str, Feed], history_bars: int, start: datetime | None) -> int:
    """When the simulation begins, UTC epoch milliseconds: every symbol has its history, or the first bar from `start` on.

    Raises:
        InsufficientHistory: if a symbol has no bar left to play after its history.
        DataError: if the data end before `start`.
    """
    if not feeds:
        raise DataError("no feeds to simulate; give at least one symbol")
    if start is None:
        return max(_after_history(feed, history_bars) for feed in feeds.values())
    wanted = int(start.timestamp())
    later = [feed.opened_msc(at) for feed in feeds.values() if (at := int(np.searchsorted(feed.time, wanted))) < len(feed.time)]
    if not later:
        raise DataError(f"no bar at or after {start.isoformat()}; choose an earlier --start or give newer data")
    return min(later)


def _after_history(feed: Feed, history_bars: int) -> int:
    if len(feed.time) <= history_bars:
        raise InsufficientHistory(feed.spec.name, len(feed.time), history_bars + 1)
    return feed.opened_msc(history_bars)


def fingerprint(feeds: Mapping[str, Feed]) -> str:
    """What a broker's book remembers of its market: symbols, bar lengths and how the prices begin."""
    facts = {name: (feed.bars.timeframe.name, int(feed.time[0]), _beginning(feed)) for name, feed in sorted(feeds.items())}
    return json.dumps(facts, sort_keys=True)


def _beginning(feed: Feed) -> str:
    rows = slice(0, _FINGERPRINT_ROWS)
    points = np.rint(feed.bars.close[rows] / feed.spec.point).astype("<i8")
    return hashlib.sha256(feed.time[rows].astype("<i8").tobytes() + points.tobytes()).hexdigest()[:16]
