from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.settings import FilterSettings
from market_data.clock import new_york_hour
from strategy.filters import FILTERS, FilterCase, blocked_hour, closed_session, first_veto, no_range, stale_bar, weekend

OPENED = datetime(2024, 1, 8, 15, 0, tzinfo=UTC)  # 10:00 in New York
CASE = FilterCase(OPENED, OPENED + timedelta(seconds=61), 60, 2.0, 0.0003, FilterSettings())


def test_a_fresh_bar_in_open_hours_passes():
    assert first_veto(CASE) is None


@pytest.mark.parametrize(("seconds", "stale"), [(60, False), (120, False), (121, True), (3_600, True)])
def test_a_bar_is_stale_after_its_limit(seconds, stale):
    reason = stale_bar(replace(CASE, now=OPENED + timedelta(seconds=seconds)))
    assert (reason is not None) == stale
    if stale:
        assert reason == f"stale bar: opened {seconds / 60:.1f} bar lengths ago, at most 2"


def test_a_bar_from_the_future_is_not_acted_on():
    """A server whose clock BROKER_TIME_ZONE does not describe: its bars seem to open in an hour."""
    reason = stale_bar(replace(CASE, now=OPENED - timedelta(hours=1)))
    assert reason == "bar from the future: opens in 60.0 bar lengths; check BROKER_TIME_ZONE and this machine's clock"


def test_a_clock_a_little_behind_the_servers_is_borne():
    assert stale_bar(replace(CASE, now=OPENED + timedelta(seconds=58))) is None


def test_the_age_is_counted_in_the_bars_own_length():
    case = replace(CASE, bar_seconds=900, now=OPENED + timedelta(minutes=29))
    assert stale_bar(case) is None
    assert stale_bar(replace(case, now=OPENED + timedelta(minutes=31))) is not None


@pytest.mark.parametrize(
    ("utc", "blocked"),
    [
        (datetime(2024, 1, 8, 20, 59, tzinfo=UTC), None),
        (datetime(2024, 1, 8, 21, 0, tzinfo=UTC), "blocked hour: 16:00 in New York"),
        (datetime(2024, 1, 8, 22, 59, tzinfo=UTC), "blocked hour: 17:00 in New York"),
        (datetime(2024, 1, 8, 23, 0, tzinfo=UTC), None),
        (datetime(2024, 7, 8, 20, 0, tzinfo=UTC), "blocked hour: 16:00 in New York"),
        (datetime(2024, 7, 8, 22, 0, tzinfo=UTC), None),
    ],
)
def test_hours_are_those_of_new_york_in_winter_and_summer(utc, blocked):
    assert blocked_hour(replace(CASE, opened=utc)) == blocked


@pytest.mark.parametrize("change", [datetime(2024, 3, 10, 3, tzinfo=UTC), datetime(2024, 11, 3, 3, tzinfo=UTC)])
def test_the_hours_are_those_that_training_leaves_out(change):
    every = FilterSettings(blocked_hours=tuple(range(24)))
    for quarters in range(48):
        opened = change + timedelta(minutes=15 * quarters)
        said = blocked_hour(replace(CASE, opened=opened, settings=every))
        assert said == f"blocked hour: {new_york_hour(np.array([int(opened.timestamp())]))[0]}:00 in New York"


def test_no_hours_blocked_is_allowed():
    free = replace(CASE, settings=FilterSettings(blocked_hours=()), opened=datetime(2024, 1, 8, 22, tzinfo=UTC))
    assert blocked_hour(free) is None


@pytest.mark.parametrize("atr", [0.0, -1e-17, float("nan")])
def test_without_a_range_there_is_no_trade(atr):
    assert no_range(replace(CASE, atr=atr)) == "no range: ATR is zero or unknown"


def test_the_first_objection_is_told():
    everything = replace(CASE, now=OPENED + timedelta(hours=1), atr=0.0)
    assert first_veto(everything).startswith("stale bar")
    assert (stale_bar, blocked_hour, closed_session, weekend, no_range) == FILTERS


def at(instant, **settings):
    return replace(CASE, now=instant, settings=FilterSettings(**settings))


def test_without_sessions_every_hour_is_open():
    assert closed_session(at(datetime(2024, 1, 8, 3, 0, tzinfo=UTC))) is None


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        (datetime(2024, 1, 8, 7, 59, 59, tzinfo=UTC), False),
        (datetime(2024, 1, 8, 8, 0, tzinfo=UTC), True),
        (datetime(2024, 1, 8, 16, 59, 59, tzinfo=UTC), True),
        (datetime(2024, 1, 8, 17, 0, tzinfo=UTC), False),
        # London's summer begins on 31 March 2024, an hour earlier in UTC.
        (datetime(2024, 3, 29, 7, 30, tzinfo=UTC), False),
        (datetime(2024, 4, 1, 7, 30, tzinfo=UTC), True),
        (datetime(2024, 4, 1, 16, 30, tzinfo=UTC), False),
        # and ends on 27 October 2024.
        (datetime(2024, 10, 25, 7, 30, tzinfo=UTC), True),
        (datetime(2024, 10, 28, 7, 30, tzinfo=UTC), False),
    ],
)
def test_a_session_keeps_its_citys_clock(instant, is_open):
    reason = closed_session(at(instant, trading_sessions="London 08:00-17:00"))
    assert (reason is None) == is_open
    if not is_open:
        assert reason.startswith("closed session")
        assert "Europe/London 08:00-17:00" in reason


def test_any_of_several_sessions_will_do():
    both = {"trading_sessions": "London 08:00-09:00,New York 08:00-09:00"}
    assert closed_session(at(datetime(2024, 1, 8, 8, 30, tzinfo=UTC), **both)) is None
    assert closed_session(at(datetime(2024, 1, 8, 13, 30, tzinfo=UTC), **both)) is None
    assert closed_session(at(datetime(2024, 1, 8, 12, 30, tzinfo=UTC), **both)) is not None


@pytest.mark.parametrize(
    ("instant", "vetoed"),
    [
        (datetime(2024, 1, 12, 21, 29, 59, tzinfo=UTC), False),
        (datetime(2024, 1, 12, 21, 30, tzinfo=UTC), True),
        (datetime(2024, 7, 12, 20, 29, 59, tzinfo=UTC), False),
        (datetime(2024, 7, 12, 20, 30, tzinfo=UTC), True),
        (datetime(2024, 7, 13, 12, 0, tzinfo=UTC), True),
        (datetime(2024, 7, 14, 20, 59, 59, tzinfo=UTC), True),
        (datetime(2024, 7, 14, 21, 0, tzinfo=UTC), False),
        (datetime(2024, 7, 11, 20, 45, tzinfo=UTC), False),
    ],
)
def test_no_entries_shortly_before_the_week_ends_and_none_at_the_weekend(instant, vetoed):
    assert (weekend(at(instant)) is not None) == vetoed
    assert weekend(at(instant, weekend_minutes=0)) is None
