"""Filters: vetoes after the vote and before any order, each with a reason a trader can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.settings import FilterSettings
from market_data.clock import NEW_YORK
from market_data.sessions import before_weekend, open_sessions, parse_sessions


@dataclass(frozen=True, slots=True)
class FilterCase:
    """What a filter looks at.

    Attributes:
        opened: when the decided bar opened, UTC.
        now: the instant of the decision, UTC.
        bar_seconds: length of a bar.
        max_age_bars: bar lengths after which a bar is too old to act on.
        atr: of the decided bar, price units.
    """

    opened: datetime
    now: datetime
    bar_seconds: int
    max_age_bars: float
    atr: float
    settings: FilterSettings


Filter = Callable[[FilterCase], str | None]


def stale_bar(case: FilterCase) -> str | None:
    """A bar is acted on soon after it closed or not at all; labels leave out the same rows."""
    age = (case.now - case.opened).total_seconds() / case.bar_seconds
    if age < 0:
        return f"bar from the future: opens in {-age:.1f} bar lengths; check BROKER_TIME_ZONE and this machine's clock"
    if age <= case.max_age_bars:
        return None
    return f"stale bar: opened {age:.1f} bar lengths ago, at most {case.max_age_bars:g}"


def blocked_hour(case: FilterCase) -> str | None:
    """No entries in the hours that the settings block; the rollover is one of them."""
    hour = case.opened.astimezone(NEW_YORK).hour
    return f"blocked hour: {hour}:00 in New York" if hour in case.settings.blocked_hours else None


def closed_session(case: FilterCase) -> str | None:
    """Entries only inside a trading session, where the settings name any."""
    sessions = parse_sessions(case.settings.trading_sessions)
    if not sessions or open_sessions(sessions, case.now):
        return None
    return f"closed session: {case.now:%H:%M} UTC is outside {', '.join(map(str, sessions))}"


def weekend(case: FilterCase) -> str | None:
    """No entries shortly before the week ends: a stop does not hold over a weekend's gap."""
    minutes = case.settings.weekend_minutes
    left = before_weekend(case.now, timedelta(minutes=minutes)) if minutes else None
    if left is None:
        return None
    return f"weekend: {left.total_seconds() / 60:.0f} minutes to Friday 17:00 New York, WEEKEND_MINUTES is {minutes}"


def no_range(case: FilterCase) -> str | None:
    """Without a range there is no stop distance."""
    return None if case.atr > 0 else "no range: ATR is zero or unknown"


FILTERS: tuple[Filter, ...] = (stale_bar, blocked_hour, closed_session, weekend, no_range)
"""The policy, in the order in which it is asked."""


def first_veto(case: FilterCase) -> str | None:
    """The first filter's objection, or None."""
    return next((reason for rule in FILTERS if (reason := rule(case)) is not None), None)
