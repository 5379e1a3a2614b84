"""Costs: levels, hours, names."""

import numpy as np
import pytest

from market_data.bars import Bars, Timeframe
from market_data.costs import base_symbol, round_trip_cost, spread_of, typical_spread

NOON_NY = 1_700_000_000 // 86_400 * 86_400 + 17 * 3600  # 2023-11-14 12:00 in New York
ROLLOVER = NOON_NY + 5 * 3600 + 600


def bars(spread=None, symbol="EURUSD"):
    time = np.array([NOON_NY, ROLLOVER], dtype=np.int64)
    price = np.array([1.1, 1.1])
    return Bars(symbol, Timeframe.M1, time, price, price, price, price, None, spread)


@pytest.mark.parametrize(
    ("symbol", "point", "expected"),
    [("EURUSD", 1e-5, 2), ("EURUSDm", 1e-5, 2), ("XAUUSD.r", 0.01, 25), ("XAUUSD", 0.001, 250), ("USDJPY", 1e-3, 3), ("GOLD", 0.01, 25)],
)
def test_daytime_level_in_the_callers_points(symbol, point, expected):
    assert typical_spread(symbol, np.array([NOON_NY]), point)[0] == pytest.approx(expected)


def test_spread_widens_after_seventeen_new_york_in_winter_and_summer():
    summer = NOON_NY - 120 * 86_400 - 3600  # noon in New York in July
    quiet = typical_spread("EURUSD", np.array([NOON_NY, summer]), 1e-5)
    wide = typical_spread("EURUSD", np.array([NOON_NY, summer]) + 5 * 3600, 1e-5)
    assert np.allclose(quiet, 2) and (wide > 4 * quiet).all()


def test_unlisted_pairs_and_unknown_names_cost_more_than_majors():
    at = np.array([NOON_NY])
    major = typical_spread("EURUSD", at, 1e-5)[0]
    assert major < typical_spread("NZDCAD", at, 1e-5)[0] < typical_spread("US500", at, 1e-5)[0]


def test_rows_keep_their_order_and_number():
    utc = np.arange(NOON_NY, NOON_NY + 3 * 86_400, 60)
    shuffled = np.random.default_rng(0).permutation(len(utc))
    assert np.array_equal(typical_spread("EURUSD", utc, 1e-5)[shuffled], typical_spread("EURUSD", utc[shuffled], 1e-5))


def test_recorded_spread_is_used_and_zero_is_a_real_one():
    assert spread_of(bars(np.array([0.0, 7.0])), 1e-5).tolist() == [0.0, 7.0]


def test_missing_spreads_are_filled_one_by_one():
    filled = spread_of(bars(np.array([np.nan, 7.0])), 1e-5)
    assert filled[0] == pytest.approx(2) and filled[1] == 7


def test_unknown_spread_is_the_usual_one():
    unknown = bars()
    assert np.array_equal(spread_of(unknown, 1e-5), typical_spread("EURUSD", unknown.time, 1e-5))


def test_round_trip_pays_the_spread_once_and_commission_for_both_sides():
    assert round_trip_cost(np.array([2.0, 9.0]), 1e-5, 0.00006) == pytest.approx([0.00008, 0.00015])
    assert round_trip_cost(2.0, 1e-5, 0.0) == pytest.approx(0.00002)


@pytest.mark.parametrize(("name", "base"), [("eurusd", "EURUSD"), ("EUR/USD", "EURUSD"), ("#GBPJPY-ECN", "GBPJPY"), ("DE40", None)])
def test_base_symbol(name, base):
    assert base_symbol(name) == base
