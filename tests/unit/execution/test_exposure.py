"""Exposure by currency: legs, signs, and money that agrees with the broker's own arithmetic."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.exposure import Exposure, by_currency, legs, market_lines, risk_at_stop, stop_lines, value_per_lot
from execution.orders import Side
from tests.fakes_risk import PRICES, SPECS, held
from tests.fakes_terminal import EURUSD


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("EURUSD", ("EUR", "USD")),
        ("GBPUSD.m", ("GBP", "USD")),
        ("USDJPY", ("USD", "JPY")),
        ("XAUUSD.pro", ("XAU", "USD")),
        ("US500", ("US500", "USD")),
    ],
)
def test_legs_come_from_the_description_and_gold_from_its_name(symbol, expected):
    assert legs(SPECS[symbol]) == expected


def test_two_dollar_longs_add_up_and_a_hedge_sets_off():
    lines = [(SPECS["EURUSD"], Side.LONG, 100.0), (SPECS["GBPUSD.m"], Side.LONG, 50.0), (SPECS["USDJPY"], Side.LONG, 30.0)]
    assert by_currency(lines) == {
        "EUR": Exposure(100.0, 100.0),
        "USD": Exposure(-120.0, 180.0),
        "GBP": Exposure(50.0, 50.0),
        "JPY": Exposure(-30.0, 30.0),
    }


@pytest.mark.parametrize(("symbol", "money"), [("EURUSD", 110_000.0), ("XAUUSD.pro", 200_000.0), ("USDJPY", 100_500.0)])
def test_the_value_of_a_lot_is_what_it_would_lose_to_zero(symbol, money):
    assert value_per_lot(SPECS[symbol], PRICES[symbol]) == pytest.approx(money)


@pytest.mark.parametrize("side", list(Side))
def test_risk_is_entry_to_stop_and_never_below_zero(side):
    position = held(1, "EURUSD", side, 0.5, points=80)
    assert risk_at_stop(position, EURUSD) == pytest.approx(40.0)
    assert risk_at_stop(replace(position, sl=position.price_open + side * 0.001), EURUSD) == 0.0


@pytest.mark.parametrize("changes", [{"sl": 0.0}, {"sl": math.nan}, {"price_open": math.nan}, {"sl": -1.0}])
def test_a_position_that_does_not_say_its_risk_is_refused(changes):
    with pytest.raises(ValueError, match="position 1 on EURUSD"):
        stop_lines([replace(held(1, "EURUSD"), **changes)], SPECS)


def test_an_unknown_symbol_is_refused():
    with pytest.raises(LookupError):
        market_lines([held(1, "EURUSD")], {})


@given(st.lists(st.tuples(st.sampled_from(sorted(SPECS)), st.sampled_from(Side), st.floats(0, 1e6)), max_size=12))
def test_net_is_within_gross_and_all_nets_cancel(rows):
    found = by_currency([(SPECS[symbol], side, amount) for symbol, side, amount in rows])
    assert all(abs(exposure.net) <= exposure.gross * (1 + 1e-12) for exposure in found.values())
    assert math.isclose(sum(exposure.net for exposure in found.values()), 0.0, abs_tol=1e-6)
    assert math.isclose(sum(exposure.gross for exposure in found.values()), 2 * sum(row[2] for row in rows), abs_tol=1e-6)
