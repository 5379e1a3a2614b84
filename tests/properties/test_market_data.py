"""Properties of time, prices, lots, open hours and files."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.bars import Bars, Timeframe
from market_data.clock import BrokerTime
from market_data.costs import typical_spread
from market_data.importers import ImportReport, import_file, write_canonical
from market_data.instruments import SymbolSpec
from market_data.quality import findings, open_seconds

ZONES = st.sampled_from(["America/New_York+7", "America/New_York", "Europe/London", "Europe/London+-5", "UTC", "Asia/Tokyo"])
INSTANTS = st.integers(0, 2_500_000_000)


@given(ZONES, st.lists(INSTANTS, min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_server_time_comes_back_but_for_the_repeated_hour(zone, instants):
    clock = BrokerTime(zone)
    utc = np.array(instants)
    server = clock.to_server(utc)
    back = clock.to_utc(server)
    assert set(np.unique(back - utc)) <= {0, 3600}
    assert np.array_equal(clock.to_server(back), server)


@given(st.sampled_from(["EURUSD", "XAUUSD"]), INSTANTS, st.integers(0, 10_000_000))
@settings(deadline=None)
def test_open_time_never_runs_backwards_nor_faster_than_time(symbol, start, length):
    passed = int(np.diff(open_seconds(symbol, np.array([start, start + length])))[0])
    # The clock of New York itself may leap by an hour, in the weekend.
    assert 0 <= passed <= length + 3600


@given(st.floats(-10, 1000), st.sampled_from([0.01, 0.1, 0.5, 1.0]))
def test_lots_never_round_up_nor_leave_the_bounds(lots, step):
    spec = SymbolSpec("X", 5, 1e-5, 1e-5, 1, 1e5, step, 50, step, 0, 0, 3, 2, 4, 0, "EUR", "USD", "EUR")
    floored = spec.floor_lots(lots)
    assert floored == 0 or step <= floored <= min(50, lots + 1e-9)
    assert floored > lots - step - 1e-9 or lots > 50 or floored == 0
    assert spec.floor_lots(floored) == floored


@given(st.floats(0.5, 5000), st.sampled_from([(5, 1e-5), (3, 1e-3), (2, 0.25)]))
def test_rounded_prices_are_fixed_points_and_near(price, quote):
    digits, tick = quote
    spec = SymbolSpec("X", digits, 10**-digits, tick, 1, 1e5, 0.01, 50, 0.01, 0, 0, 3, 2, 4, 0, "EUR", "USD", "EUR")
    rounded = spec.round_price(price)
    assert abs(rounded - price) <= tick / 2 + 1e-9 and spec.round_price(rounded) == rounded


@given(st.text(max_size=12), st.lists(INSTANTS, min_size=1, max_size=5), st.sampled_from([1e-5, 1e-3, 0.01]))
@settings(deadline=None)
def test_usual_spreads_are_positive_and_finite_for_any_name(symbol, instants, point):
    spreads = typical_spread(symbol, np.array(instants), point)
    assert spreads.shape == (len(instants),) and np.isfinite(spreads).all() and (spreads > 0).all()


@st.composite
def histories(draw):
    """Bars of whole points with gaps, in a quarter of an open week."""
    steps = draw(st.lists(st.integers(1, 20), min_size=2, max_size=30))
    time = 1_704_758_400 + 60 * np.cumsum([0, 1, 1, *steps])
    points = np.array(draw(st.lists(st.integers(100_000, 120_000), min_size=len(time), max_size=len(time))))
    price, reach = points / 1e5, np.array(draw(st.lists(st.integers(0, 500), min_size=len(time), max_size=len(time))))
    spread = draw(st.none() | st.just(np.arange(1.0, len(time) + 1)))
    return Bars("EURUSD", Timeframe.M1, time, price, (points + reach) / 1e5, (points - reach) / 1e5, price, None, spread)


@given(histories())
@settings(max_examples=40, deadline=None)
def test_any_history_survives_its_own_file(bars):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "EURUSD_M1_x.csv.gz"
        write_canonical(ImportReport(path, "x", "EURUSD", "UTC", "file", bars, None, len(bars), len(bars), (), ()), path)
        back = import_file(path).bars
    for name in ("time", "open", "high", "low", "close", "spread"):
        assert np.array_equal(getattr(back, name), getattr(bars, name))


@given(histories(), st.data())
@settings(max_examples=40, deadline=None)
def test_missing_and_hole_findings_count_every_missing_minute(bars, data):
    missing = int(((np.diff(bars.time) // 60) - 1).sum())
    counted = sum(found.count for found in findings(bars) if found.kind in ("missing", "hole"))
    assert counted == missing
