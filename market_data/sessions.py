"""When a market is open to us: sessions in the zone of their city, and the end of the FX week.

A session is a span of local wall-clock time, so it moves against UTC when its city changes its
clocks, and two cities that change on different dates drift apart for a few weeks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from market_data.bars import IntArray
from market_data.clock import NEW_YORK, BrokerTime

WEEK_TURN = time(17)
"""The FX week ends on Friday and begins on Sunday at this time in New York."""

_FRIDAY = 4
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Session:
    """A daily span of local time; one that closes at or before it opens runs past midnight.

    Attributes:
        zone: whose wall clock is meant.
        opens: first moment inside.
        closes: first moment outside.
    """

    zone: ZoneInfo
    opens: time
    closes: time

    def contains(self, instant: datetime) -> bool:
        """Whether an aware instant is inside."""
        local = instant.astimezone(self.zone).time()
        if self.opens < self.closes:
            return self.opens <= local < self.closes
        return local >= self.opens or local < self.closes

    def __str__(self) -> str:
        return f"{self.zone.key} {self.opens:%H:%M}-{self.closes:%H:%M}"


@lru_cache(maxsize=16)
def parse_sessions(texts: tuple[str, ...]) -> tuple[Session, ...]:
    """Sessions of texts such as `Europe/London 08:00-17:00`, as the settings have checked them.

    >>> [str(session) for session in parse_sessions(("Europe/London 08:00-17:00",))]
    ['Europe/London 08:00-17:00']
    """
    return tuple(_session(text) for text in texts)


def _session(text: str) -> Session:
    zone, _, span = text.rpartition(" ")
    opens, closes = span.split("-")
    return Session(ZoneInfo(zone), time.fromisoformat(opens), time.fromisoformat(closes))


def open_sessions(sessions: Sequence[Session], instant: datetime) -> tuple[Session, ...]:
    """The sessions that an aware instant is inside of."""
    return tuple(session for session in sessions if session.contains(instant))


def in_session(sessions: Sequence[Session], utc: IntArray) -> NDArray[np.bool_]:
    """Whether UTC epoch seconds are inside of any session, elementwise; without sessions every instant is.

    >>> in_session(parse_sessions(("Europe/London 08:00-17:00",)), np.array([7, 8, 16, 17]) * 3600 + 1_704_067_200).tolist()
    [False, True, True, False]
    """
    if not sessions:
        return np.ones(len(utc), dtype=np.bool_)
    return np.asarray(np.logical_or.reduce([_inside(session, utc) for session in sessions]), dtype=np.bool_)


def _inside(session: Session, utc: IntArray) -> NDArray[np.bool_]:
    local = BrokerTime(session.zone.key).to_server(utc) % _DAY
    opens, closes = (moment.hour * 3_600 + moment.minute * 60 for moment in (session.opens, session.closes))
    after, before = np.asarray(local >= opens, dtype=np.bool_), np.asarray(local < closes, dtype=np.bool_)
    return after & before if opens < closes else after | before


def week_close(instant: datetime) -> datetime:
    """When the FX week of an aware instant ends, UTC; at the weekend, when the last one ended.

    >>> week_close(datetime(2024, 1, 10, 12, tzinfo=UTC)).isoformat()
    '2024-01-12T22:00:00+00:00'
    >>> week_close(datetime(2024, 7, 10, 12, tzinfo=UTC)).isoformat()
    '2024-07-12T21:00:00+00:00'
    """
    local = instant.astimezone(NEW_YORK)
    # A week begins on Sunday at 17:00: seven hours later that is Monday, the first day of Python's week.
    day = (local.replace(tzinfo=None) + timedelta(hours=24 - WEEK_TURN.hour)).date()
    friday = day + timedelta(days=_FRIDAY - day.weekday())
    return datetime.combine(friday, WEEK_TURN, NEW_YORK).astimezone(UTC)


def before_weekend(instant: datetime, lead: timedelta) -> timedelta | None:
    """Time left to the week's end where it is at most `lead`; negative while the market is closed; else None."""
    left = week_close(instant) - instant
    return left if left <= lead else None
