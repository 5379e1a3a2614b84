"""The news calendar: scheduled releases from a file, and the minutes around them without entries.

A file is CSV with a heading, or a JSON list of objects, in UTF-8. Columns:

- `time`: ISO with its offset (`2024-06-12T12:30:00Z`), or instead `time_server`: the broker's
  wall clock (`2024.06.12 15:30:00`), as a script inside the terminal writes it;
- `currency`: three letters, or ALL;
- `impact`: low, medium or high;
- `title`: any text.

Other columns are passed over. A row that cannot be read is named by its line and left out.
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger

from config.settings import NewsSettings
from market_data.clock import BrokerTime, from_epoch

IMPACTS = ("low", "medium", "high")
EVERYWHERE = "ALL"
"""The currency of a release that concerns every symbol."""

LOOK_EVERY = timedelta(minutes=1)
_SHOWN = 5


@dataclass(frozen=True, slots=True, order=True)
class NewsEvent:
    """A scheduled release.

    Attributes:
        time: aware, UTC.
        currency: three capitals, or EVERYWHERE.
        impact: rank in IMPACTS.
    """

    time: datetime
    currency: str
    impact: int
    title: str

    def __str__(self) -> str:
        return f"{self.currency} {self.title!r} ({IMPACTS[self.impact]}) at {self.time:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Calendar:
    """What a file said.

    Attributes:
        events: by time.
        faults: rows that were left out, by line.
    """

    events: tuple[NewsEvent, ...] = ()
    faults: tuple[str, ...] = ()

    def around(self, currencies: Collection[str], now: datetime, settings: NewsSettings) -> tuple[NewsEvent, ...]:
        """Releases that concern a symbol of these currencies and whose window `now` is inside of."""
        first = now - timedelta(minutes=settings.news_after_minutes)
        last = now + timedelta(minutes=settings.news_before_minutes)
        return tuple(e for e in self._from(first, currencies, settings) if e.time <= last)

    def next(self, now: datetime, settings: NewsSettings) -> NewsEvent | None:
        """The next release of any currency that is strong enough to matter."""
        strong = (event for event in self.events if event.time >= now and event.impact >= IMPACTS.index(settings.news_impact))
        return next(strong, None)

    def _from(self, first: datetime, currencies: Collection[str], settings: NewsSettings) -> Iterator[NewsEvent]:
        least = IMPACTS.index(settings.news_impact)
        for event in self.events[bisect_left(self.events, first, key=lambda event: event.time) :]:
            if event.impact >= least and (event.currency in currencies or event.currency == EVERYWHERE):
                yield event


def read_calendar(text: str, *, is_json: bool, server: BrokerTime) -> Calendar:
    """A calendar from a file's text.

    Args:
        text: the whole file.
        is_json: a JSON list of objects; else CSV with a heading.
        server: the rule behind `time_server`.
    """
    events, faults = [], []
    try:
        for line, row in _json_rows(text) if is_json else _csv_rows(text):
            try:
                events.append(_event(row, server))
            except ValueError as error:
                faults.append(f"{'entry' if is_json else 'line'} {line}: {error}")
    except (csv.Error, ValueError) as error:  # a JSON fault is a ValueError
        faults.append(f"unreadable: {error}")
    return Calendar(tuple(sorted(events)), tuple(faults))


def _csv_rows(text: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    names = {(name or "").strip() for name in reader.fieldnames or ()}
    missing = sorted({"currency", "impact"} - names) + ([] if names & {"time", "time_server"} else ["time or time_server"])
    if missing:
        raise ValueError(f"the heading lacks {', '.join(missing)}")
    return ((reader.line_num, {(k or "").strip(): v for k, v in row.items()}) for row in reader)


def _json_rows(text: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of objects")
    return enumerate(rows, start=1)


def _event(row: Mapping[str, Any], server: BrokerTime) -> NewsEvent:
    currency, impact = (str(row.get(name) or "").strip() for name in ("currency", "impact"))
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise ValueError(f"currency {currency!r}; three letters or {EVERYWHERE} are needed")
    if impact.lower() not in IMPACTS:
        raise ValueError(f"impact {impact!r}; one of {', '.join(IMPACTS)} is needed")
    return NewsEvent(_instant(row, server), currency.upper(), IMPACTS.index(impact.lower()), str(row.get("title") or "").strip())


def _instant(row: Mapping[str, Any], server: BrokerTime) -> datetime:
    absolute = str(row.get("time") or "").strip()
    if absolute:
        instant = datetime.fromisoformat(absolute)
        if instant.tzinfo is None:
            raise ValueError(f"time {absolute!r} has no zone; add its offset or Z, or name the column time_server")
        return instant.astimezone(UTC)
    wall = str(row.get("time_server") or "").strip()
    stamp = datetime.fromisoformat(wall[:10].replace(".", "-") + wall[10:])
    if stamp.tzinfo is not None:
        raise ValueError(f"time_server {wall!r} has a zone; name the column time")
    return from_epoch(int(server.to_utc(int(stamp.replace(tzinfo=UTC).timestamp()))[0]))


class NewsDesk:
    """Keeps the calendar of a file up to date; without a file there is no news.

    Args:
        settings: the file, the windows, and whether entries wait for a sound calendar.
        server: the rule behind `time_server`.
    """

    def __init__(self, settings: NewsSettings, server: BrokerTime) -> None:
        self._settings = settings
        self._server = server
        self.calendar = Calendar()
        self._written: datetime | None = None
        self._stamp: tuple[int, int] | None = None
        self._fault: str | None = None
        self._looked: datetime | None = None
        self._told: tuple[str, tuple[int, int] | None] | None = None

    def refresh(self, now: datetime) -> None:
        """Reads the file anew where it changed; looks at most once a minute of market time."""
        path = self._settings.news_file
        if path is None or (self._looked is not None and timedelta(0) <= now - self._looked < LOOK_EVERY):
            return
        self._looked = now
        try:
            self._read(path)
            self._fault = None
        except (OSError, UnicodeDecodeError) as error:
            self._fault = f"{path} cannot be read: {error}"
        self._tell(self.problem(now))

    def _read(self, path: Path) -> None:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return
        text = path.read_text(encoding="utf-8-sig")
        self.calendar = read_calendar(text, is_json=path.suffix.lower() == ".json", server=self._server)
        self._stamp, self._written = stamp, from_epoch(found.st_mtime)
        logger.info("news: {} releases in {}", len(self.calendar.events), path)

    def _tell(self, problem: str | None) -> None:
        """Once per problem and state of the file, not once a minute: a file that was written anew and is no better is told of again."""
        news = None if problem is None else (problem, self._stamp)
        if news is not None and news != self._told:
            logger.warning("news: {}; {}", problem, "entries wait" if self._settings.news_required else "entries go on")
        self._told = news

    def problem(self, now: datetime) -> str | None:
        """Why the calendar cannot be relied on; None where it can, or none is used."""
        if self._settings.news_file is None:
            return None
        if self._fault is not None or self._written is None:
            return self._fault or f"{self._settings.news_file} was not read yet"
        if self.calendar.faults:
            return f"{len(self.calendar.faults)} rows cannot be read: {'; '.join(self.calendar.faults[:_SHOWN])}"
        return self._stale(now, self._written)

    def _stale(self, now: datetime, written: datetime) -> str | None:
        hours, limit = (now - written).total_seconds() / 3600, self._settings.news_max_age_hours
        if hours > limit:
            return f"{self._settings.news_file} was written more than NEWS_MAX_AGE_HOURS ({limit:g}) ago"
        if not self.calendar.events:
            return f"{self._settings.news_file} knows no release"
        last = self.calendar.events[-1].time
        return f"{self._settings.news_file} knows no release after {last:%Y-%m-%d %H:%M} UTC" if last < now else None

    def changes_at(self, now: datetime) -> datetime | None:
        """Until when at least `problem` says what it says now, as long as the file stays as it is; None: for ever."""
        if self._settings.news_file is None or self._written is None:
            return None
        ends = [self._written + timedelta(hours=self._settings.news_max_age_hours), *(event.time for event in self.calendar.events[-1:])]
        return min((end for end in ends if end >= now), default=None)

    def objection(self, currencies: Collection[str], now: datetime) -> str | None:
        """Why a symbol of these currencies must not be entered now; None where nothing speaks against it."""
        if self._settings.news_required:
            problem = self.problem(now)
            if problem is not None:
                return f"NEWS_REQUIRED is true and {problem}"
        found = self.calendar.around(currencies, now, self._settings)
        if not found:
            return None
        before, after = self._settings.news_before_minutes, self._settings.news_after_minutes
        return f"{found[0]}; no entries from {before} minutes before to {after} after"

    def upcoming(self, now: datetime) -> NewsEvent | None:
        """The next release that matters."""
        return self.calendar.next(now, self._settings)
