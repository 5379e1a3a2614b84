"""Clocks and the rule between broker time and UTC."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from market_data.clock import BrokerTime, ManualClock, SystemClock, from_epoch, new_york_hour, utc_text

SERVER = BrokerTime("America/New_York+7")


def epoch(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("utc", "server"),
    [
        ("2024-01-10T12:00", "2024-01-10T14:00"),
        ("2024-07-10T12:00", "2024-07-10T15:00"),
        ("2024-03-10T06:59", "2024-03-10T08:59"),  # New York leaps at 07:00 UTC
        ("2024-03-10T07:00", "2024-03-10T10:00"),
        ("2024-03-20T12:00", "2024-03-20T15:00"),  # London has not changed yet
        ("2024-11-03T05:59", "2024-11-03T08:59"),
        ("2024-11-03T06:00", "2024-11-03T08:00"),
    ],
)
def test_server_clock_follows_new_york(utc, server):
    assert SERVER.to_server(epoch(utc)).tolist() == [epoch(server)]


def test_trading_day_begins_at_midnight_of_the_server_all_year():
    new_york = BrokerTime("America/New_York")
    opening = np.array([epoch("2024-01-14T17:00"), epoch("2024-03-17T17:00"), epoch("2024-07-14T17:00"), epoch("2024-11-10T17:00")])
    assert (SERVER.to_server(new_york.to_utc(opening)) % 86_400 == 0).all()


def test_history_that_spans_changes_comes_back():
    utc = np.arange(epoch("2023-01-01"), epoch("2025-01-01"), 1800)
    server = SERVER.to_server(utc)
    repeated = np.isin(server, server[np.flatnonzero(np.diff(server) <= 0)])
    back = SERVER.to_utc(server)
    # Only in the hours that the clock shows twice may the way back choose the other instant.
    assert (np.abs(back - utc)[back != utc] == 3600).all()
    assert repeated.any() and (back != utc).sum() <= 4


def test_repeated_hour_means_the_later_instant():
    assert SERVER.to_utc(epoch("2024-11-03T08:30")).tolist() == [epoch("2024-11-03T06:30")]


def test_plain_utc_and_empty_arrays():
    assert BrokerTime("UTC").to_server(123).tolist() == [123]
    assert len(SERVER.to_utc(np.array([], dtype=np.int64))) == 0


def test_offset_in_winter_and_summer():
    assert SERVER.offset(datetime(2024, 1, 10, tzinfo=UTC)) == timedelta(hours=2)
    assert SERVER.offset(datetime(2024, 7, 10, tzinfo=UTC)) == timedelta(hours=3)


def test_new_york_hour_of_release_minutes():
    assert new_york_hour(np.array([epoch("2024-01-05T13:30"), epoch("2024-06-07T12:30")])).tolist() == [8, 8]


def test_manual_clock_never_goes_back():
    clock = ManualClock(datetime(2024, 1, 1, tzinfo=UTC))
    clock.set(datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2024, 1, 1, 22, tzinfo=UTC)
    clock.set(datetime(2023, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2024, 1, 1, 22, tzinfo=UTC)
    assert clock.monotonic() == clock.now().timestamp()


def test_manual_clock_refuses_naive_time():
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2024, 1, 1))  # noqa: DTZ001 - that is what is refused


def test_system_clock_is_aware_and_never_goes_back():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


def test_text_sorts_as_time_does():
    early, late = from_epoch(1_700_000_000), from_epoch(1_700_000_000.5)
    assert utc_text(early) == "2023-11-14T22:13:20.000Z"
    assert utc_text(early) < utc_text(late)
