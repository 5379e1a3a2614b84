"""Sessions and the end of the week, at the instants where clocks change."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.clock import NEW_YORK
from market_data.sessions import before_weekend, in_session, open_sessions, parse_sessions, week_close

LONDON, NEW_YORK_DAY, TOKYO_NIGHT = parse_sessions(("Europe/London 08:00-17:00", "America/New_York 08:00-17:00", "Asia/Tokyo 22:00-06:00"))
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001  # hypothesis wants bounds without a zone


@pytest.mark.parametrize(
    ("instant", "hours"),
    [
        (datetime(2024, 2, 5, 12, tzinfo=UTC), 4),  # both in winter: New York opens at 13:00, London closes at 17:00 UTC
        (datetime(2024, 3, 18, 12, tzinfo=UTC), 5),  # New York has changed, London not yet
        (datetime(2024, 7, 1, 12, tzinfo=UTC), 4),
        (datetime(2024, 10, 29, 12, tzinfo=UTC), 5),  # London is back in winter, New York not yet
        (datetime(2024, 11, 5, 12, tzinfo=UTC), 4),
    ],
)
def test_the_overlap_of_two_cities_is_an_hour_longer_while_only_one_has_changed(instant, hours):
    midnight = instant.replace(hour=0)
    minutes = sum(len(open_sessions((LONDON, NEW_YORK_DAY), midnight + timedelta(minutes=m))) == 2 for m in range(1_440))
    assert minutes == hours * 60


def test_a_session_over_midnight():
    inside = [hour for hour in range(24) if TOKYO_NIGHT.contains(datetime(2024, 1, 8, hour, tzinfo=UTC))]
    assert inside == [13, 14, 15, 16, 17, 18, 19, 20]  # Tokyo is nine hours ahead


def test_a_repeated_hour_is_inside_twice():
    (night,) = parse_sessions(("America/New_York 01:00-02:00",))
    autumn = datetime(2024, 11, 3, 4, tzinfo=UTC)
    assert sum(night.contains(autumn + timedelta(minutes=m)) for m in range(240)) == 120


@pytest.mark.parametrize(
    ("instant", "close"),
    [
        (datetime(2024, 3, 8, 21, 59, tzinfo=UTC), datetime(2024, 3, 8, 22, tzinfo=UTC)),
        (datetime(2024, 3, 10, 20, 59, tzinfo=UTC), datetime(2024, 3, 8, 22, tzinfo=UTC)),  # still the weekend
        (datetime(2024, 3, 10, 21, 0, tzinfo=UTC), datetime(2024, 3, 15, 21, tzinfo=UTC)),  # Sunday, daylight saving since the morning
        (datetime(2024, 11, 1, 20, 59, tzinfo=UTC), datetime(2024, 11, 1, 21, tzinfo=UTC)),
        (datetime(2024, 11, 3, 21, 59, tzinfo=UTC), datetime(2024, 11, 1, 21, tzinfo=UTC)),
        (datetime(2024, 11, 3, 22, 0, tzinfo=UTC), datetime(2024, 11, 8, 22, tzinfo=UTC)),
    ],
)
def test_the_week_ends_on_friday_at_seventeen_in_new_york(instant, close):
    assert week_close(instant) == close


@given(INSTANTS)
def test_the_week_close_is_a_friday_within_reach(instant):
    close = week_close(instant)
    local = close.astimezone(NEW_YORK)
    assert (local.weekday(), local.hour, local.minute) == (4, 17, 0)
    assert timedelta(days=-2, hours=-1) <= close - instant <= timedelta(days=5, hours=1)


@given(INSTANTS, st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_longer_lead_never_opens_what_a_shorter_one_closed(instant, minutes, more):
    if before_weekend(instant, timedelta(minutes=minutes)) is not None:
        assert before_weekend(instant, timedelta(minutes=minutes + more)) is not None


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("Europe/London 08:00-17:00",),
        ("Asia/Tokyo 22:00-02:00", "America/New_York 08:00-12:30"),
        ("Australia/Lord_Howe 01:45-02:15",),
    ],
)
def test_an_array_of_instants_is_judged_as_each_of_them(texts):
    """A year of odd minutes, with every change of clocks in it."""
    sessions = parse_sessions(texts)
    utc = np.arange(1_704_067_200, 1_735_689_600, 1_620, dtype=np.int64)
    each = [not sessions or bool(open_sessions(sessions, datetime.fromtimestamp(int(second), UTC))) for second in utc]
    assert in_session(sessions, utc).tolist() == each
