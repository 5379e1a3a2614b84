"""When a quote proves something about the server's clock, and when it is too old to trade on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from execution.orders import Quote
from execution.quote_watch import QuoteWatch
from market_data.clock import BrokerTime

MONDAY = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class TwoHands:
    """A wall clock and a monotonic one that need not agree."""

    def __init__(self):
        self.wall, self.seconds = MONDAY, 0.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.seconds

    def wait(self, seconds):
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture
def clock():
    return TwoHands()


@pytest.fixture
def watch(clock):
    return QuoteWatch(BrokerTime("America/New_York+7"), clock, 60.0)


def quote(time, symbol="EURUSD"):
    return Quote(symbol, time, 1.1, 1.1001)


def look(watch, clock, error=timedelta(), times=2, symbol="EURUSD"):
    for _ in range(times):
        clock.wait(1.0)
        watch.look(quote(clock.now() + error, symbol))


def test_nothing_is_opened_before_a_quote_has_moved(watch, clock):
    assert "not been measured" in watch.trouble("EURUSD")
    watch.look(quote(clock.now()))  # it may be Friday's
    assert "not been measured" in watch.trouble("EURUSD")
    assert watch.offset is None


def test_a_quote_that_moved_proves_the_rule(watch, clock):
    look(watch, clock)
    assert watch.trouble("EURUSD") is None
    assert watch.offset == timedelta(hours=2)


@pytest.mark.parametrize("delay", [0, 3, 59, -5, 7 * 60 + 29])
def test_delay_and_drift_are_not_taken_for_another_zone(watch, clock, delay):
    look(watch, clock, -delay * SECOND)
    assert watch.offset == timedelta(hours=2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (3600, "UTC+03:00"),
        (-3600, "UTC+01:00"),
        (-7200, "UTC+00:00"),
        (1800, "UTC+02:30"),
        (7 * 3600 - 4, "UTC+09:00"),
        (-900, "UTC+01:45"),
    ],
)
def test_another_offset_is_named_and_blocks_every_symbol(watch, clock, error, said):
    look(watch, clock, error * SECOND)
    for symbol in ("", "EURUSD", "GBPUSD"):
        assert f"the server's clock is {said}, BROKER_TIME_ZONE=America/New_York+7 says UTC+02:00" in watch.trouble(symbol)


def test_a_disagreement_lasts_until_fresh_quotes_agree(watch, clock):
    look(watch, clock, timedelta(hours=1))
    clock.wait(50.0)
    assert "UTC+03:00" in watch.trouble()
    look(watch, clock)
    assert watch.trouble() is None


def test_a_weekend_measures_nothing(watch, clock):
    look(watch, clock)
    friday = clock.now()
    for _ in range(1000):
        clock.wait(172.8)
        watch.look(quote(friday))
    assert watch.offset == timedelta(hours=2)
    assert "has not moved for" in watch.trouble("EURUSD")
    assert watch.trouble() is None


def test_the_first_quote_after_a_long_pause_of_ours_measures_nothing(watch, clock):
    look(watch, clock)
    clock.wait(7200.0)  # the machine slept
    watch.look(quote(clock.now() - timedelta(hours=1)))  # came an hour ago
    assert watch.trouble() is None
    look(watch, clock, times=1)
    assert watch.trouble("EURUSD") is None


def test_staleness_is_the_monotonic_clocks(watch, clock):
    look(watch, clock)
    clock.wall -= timedelta(hours=1)  # somebody set the wall clock back
    clock.seconds += 59.0
    assert watch.trouble("EURUSD") is None
    clock.seconds += 2.0
    assert watch.trouble("EURUSD") == "EURUSD: the quote has not moved for 61 s, MAX_QUOTE_AGE_SECONDS is 60"


def test_each_symbol_has_its_own_age(watch, clock):
    look(watch, clock)
    look(watch, clock, symbol="GBPUSD")
    clock.wait(58.5)
    assert "EURUSD: the quote has not moved" in watch.trouble("EURUSD")
    assert watch.trouble("GBPUSD") is None
    assert watch.trouble("USDJPY") == "USDJPY: no quote yet"
