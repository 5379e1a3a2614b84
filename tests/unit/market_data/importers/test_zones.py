"""Clocks of the vendors."""

from datetime import UTC, datetime

import pytest

from config.errors import DataFileError
from market_data.importers.zones import clock_of, histdata_zone, lean_zone


def utc_of(zone, text):
    stamp = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    return datetime.fromtimestamp(int(clock_of(zone).to_utc(stamp)[0]), UTC).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2017-03-15T14:00", "2017-03-15T18:00"),  # rate decision, clocks changed in New York only
        ("2017-01-06T08:30", "2017-01-06T13:30"),
        ("2017-06-02T08:30", "2017-06-02T12:30"),
        ("2023-03-14T07:30", "2023-03-14T12:30"),  # consumer prices, clocks changed in New York only
        ("2024-01-05T08:30", "2024-01-05T13:30"),
        ("2024-05-09T07:00", "2024-05-09T11:00"),  # London noon in summer
        ("2024-11-01T07:30", "2024-11-01T12:30"),
        ("2024-03-31T18:00", "2024-03-31T22:00"),
    ],
)
def test_release_minutes_of_histdata(stamp, utc):
    assert utc_of(histdata_zone(int(stamp[:4])), stamp) == utc


def test_lean_markets():
    assert lean_zone("forex/oanda/minute") == "UTC" and lean_zone("FXCM") == "UTC-5" and lean_zone("dukascopy") is None
    assert utc_of("UTC-5", "2014-05-02T07:30") == "2014-05-02T12:30"


@pytest.mark.parametrize("zone", ["Nowhere/Land", "UTC+x", "", "../etc"])
def test_zones_that_are_none(zone):
    with pytest.raises(DataFileError, match="unknown"):
        clock_of(zone)
