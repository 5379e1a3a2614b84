"""Whether quotes are alive, and whether the server's clock is the one that the rule says.

A quote whose time moved between two looks is as old as the pause between them at most; then the
difference between its time and ours is the difference between the server's clock and the rule.
A quote that does not move says nothing about the clock: over a weekend it is Friday's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from execution.orders import Quote
from market_data.clock import BrokerTime, Clock

STEP = timedelta(minutes=15)
"""Zones differ by whole quarters of an hour; what is left of a difference is delay and drift."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The newest quote of a symbol; `moved` and `looked` on the monotonic clock."""

    time: datetime
    moved: float
    looked: float


class QuoteWatch:
    """Looks at quotes, one thread at a time; `trouble` may be asked from any.

    Staleness is measured on the monotonic clock, so a wrong wall clock cannot hide it.

    Args:
        broker_time: the rule by which quotes were converted to UTC.
        clock: ours.
        max_age_seconds: a quote that has not moved for so long is stale.
    """

    def __init__(self, broker_time: BrokerTime, clock: Clock, max_age_seconds: float) -> None:
        self._broker_time = broker_time
        self._clock = clock
        self._max_age = max_age_seconds
        self._seen: Mapping[str, _Seen] = MappingProxyType({})
        self._error: timedelta | None = None

    def look(self, quote: Quote) -> None:
        """Takes in the present quote of a symbol."""
        moment, last = self._clock.monotonic(), self._seen.get(quote.symbol)
        if last is not None and last.time == quote.time:
            seen = _Seen(quote.time, last.moved, moment)
        else:
            seen = _Seen(quote.time, moment, moment)
            if last is not None and moment - last.looked <= self._max_age:
                self._measure(quote.time)
        self._seen = MappingProxyType({**self._seen, quote.symbol: seen})

    def _measure(self, quoted: datetime) -> None:
        self._error = round((quoted - self._clock.now()) / STEP) * STEP

    @property
    def offset(self) -> timedelta | None:
        """Server clock minus UTC as measured on fresh quotes; None before the first."""
        return None if self._error is None else self._broker_time.offset(self._clock.now()) + self._error

    def trouble(self, symbol: str = "") -> str | None:
        """Why nothing may be opened now, or None.

        Args:
            symbol: the one that is to be traded; empty asks about the clock alone.
        """
        return self._clock_trouble() or (self._stale(symbol) if symbol else None)

    def _clock_trouble(self) -> str | None:
        if self._error is None:
            return "the server's clock has not been measured yet: no quote has moved since the start"
        if not self._error:
            return None
        return (
            f"the server's clock is UTC{_hours(self.offset)}, BROKER_TIME_ZONE={self._broker_time.zone} says "
            f"UTC{_hours(self._broker_time.offset(self._clock.now()))}: correct the setting, or this machine's clock"
        )

    def _stale(self, symbol: str) -> str | None:
        seen = self._seen.get(symbol)
        if seen is None:
            return f"{symbol}: no quote yet"
        age = self._clock.monotonic() - seen.moved
        return (
            f"{symbol}: the quote has not moved for {age:.0f} s, MAX_QUOTE_AGE_SECONDS is {self._max_age:g}"
            if age > self._max_age
            else None
        )


def _hours(offset: timedelta | None) -> str:
    """A zone's offset as people write it.

    >>> _hours(timedelta(hours=-3, minutes=-30)), _hours(timedelta(hours=2))
    ('-03:30', '+02:00')
    """
    minutes = int((offset or timedelta()).total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
