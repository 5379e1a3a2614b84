"""Time: the only module that reads the machine's clock, and the rule between broker time and UTC."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from market_data.bars import IntArray

NEW_YORK = ZoneInfo("America/New_York")


class Clock(Protocol):
    """Where `now` comes from."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for durations and staleness only."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current instant in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


class ManualClock:
    """A clock that its owner sets: the simulated terminal's, and the tests'."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The instant it was last set to."""
        return self._now

    def monotonic(self) -> float:
        """The same instant as epoch seconds, so durations are simulated durations."""
        return self._now.timestamp()

    def set(self, instant: datetime) -> None:
        """Moves to `instant`; never back."""
        with self._lock:
            self._now = max(self._now, instant.astimezone(UTC))


def utc_text(instant: datetime) -> str:
    """ISO text in UTC with milliseconds, which sorts as time does."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_epoch(seconds: float) -> datetime:
    """Aware UTC datetime of epoch seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def epoch_msc(instant: datetime) -> int:
    """Epoch milliseconds of an aware datetime; what is finer is dropped."""
    return (instant - _EPOCH) // _MILLISECOND


_EPOCH, _MILLISECOND = datetime.fromtimestamp(0, UTC), timedelta(milliseconds=1)


class BrokerTime:
    """The rule between UTC and the clock that a broker's server writes into its times.

    Terminals stamp everything with server wall time as if it were UTC epoch. Most FX servers
    show New York + 7 h, so that a trading day ends at 17:00 New York. The rule is a function
    of the instant, so a history that spans a change of daylight saving converts rightly.

    Args:
        zone: an IANA zone (`Europe/Athens`), optionally followed by whole hours to add
            (`America/New_York+7`), or `UTC`.
    """

    def __init__(self, zone: str) -> None:
        name, plus, hours = zone.partition("+")
        self.zone = zone
        self._zone = ZoneInfo(name)
        self._extra = int(hours) * 3600 if plus else 0

    def to_server(self, utc: IntArray | int) -> IntArray:
        """Server stamps of UTC epoch seconds, elementwise."""
        times = np.atleast_1d(np.asarray(utc, dtype=np.int64))
        instants, offsets = self._table(times)
        return times + offsets[instants.searchsorted(times, side="right") - 1]

    def to_utc(self, server: IntArray | int) -> IntArray:
        """UTC epoch seconds of server stamps, elementwise.

        In the hour that a server clock repeats, the later instant is meant; markets are
        closed then. In the hour it leaps over, the offset before the leap is used.
        """
        times = np.atleast_1d(np.asarray(server, dtype=np.int64))
        instants, offsets = self._table(times)
        return times - offsets[(instants + offsets).searchsorted(times, side="right") - 1]

    def offset(self, instant: datetime) -> timedelta:
        """Server clock minus UTC at an instant."""
        seconds = int(instant.timestamp())
        return timedelta(seconds=int(self.to_server(seconds)[0]) - seconds)

    def _table(self, times: IntArray) -> tuple[IntArray, IntArray]:
        if len(times) == 1:  # a decision asks for one, and two reductions would cost it more than all the rest
            first = last = int(times[0])
        else:
            first, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        return _transitions(self._zone, self._extra, first // _YEAR - 1, last // _YEAR + 2)


_YEAR = 31_556_952


@lru_cache(maxsize=64)
def _transitions(zone: ZoneInfo, extra: int, first_year: int, last_year: int) -> tuple[IntArray, IntArray]:
    """Instants at which the zone's offset changes, and the offset from each on (seconds)."""
    start, stop = first_year * _YEAR, last_year * _YEAR
    instants, offsets = [-(2**62)], [_offset(zone, start)]
    day = 86_400
    for left in range(start, stop, day):
        if _offset(zone, left + day) != offsets[-1]:
            instants.append(_first_change(zone, left, left + day, offsets[-1]))
            offsets.append(_offset(zone, left + day))
    return np.array(instants, dtype=np.int64), np.array(offsets, dtype=np.int64) + extra


def _offset(zone: ZoneInfo, epoch: int) -> int:
    shift = datetime.fromtimestamp(epoch, zone).utcoffset()
    return int(shift.total_seconds()) if shift is not None else 0


def _first_change(zone: ZoneInfo, left: int, right: int, before: int) -> int:
    """Bisects to the first second whose offset differs from `before`."""
    while right - left > 1:
        middle = (left + right) // 2
        left, right = (middle, right) if _offset(zone, middle) == before else (left, middle)
    return right


def new_york_hour(utc: IntArray) -> IntArray:
    """Hour of day in New York of UTC epoch seconds, elementwise, 0..23."""
    return (_NEW_YORK_CLOCK.to_server(utc) // 3600) % 24


_NEW_YORK_CLOCK = BrokerTime("America/New_York")
