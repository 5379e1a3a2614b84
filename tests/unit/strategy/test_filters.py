from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.settings import FilterSettings
from market_data.clock import new_york_hour
from strategy.filters import FILTERS, FilterCase, blocked_hour, first_veto, no_range, stale_bar

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
    assert (stale_bar, blocked_hour, no_range) == FILTERS
