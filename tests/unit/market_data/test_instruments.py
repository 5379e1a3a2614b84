"""Instruments: rounding and money."""

from dataclasses import replace

import pytest

from market_data.instruments import SymbolSpec

EURUSD = SymbolSpec(
    name="EURUSD",
    digits=5,
    point=1e-5,
    tick_size=1e-5,
    tick_value_loss=1.0,
    contract_size=100_000,
    volume_min=0.01,
    volume_max=50,
    volume_step=0.01,
    stops_level=0,
    freeze_level=0,
    filling_mode=3,
    exemode=2,
    trade_mode=4,
    calc_mode=0,
    currency_base="EUR",
    currency_profit="USD",
    currency_margin="EUR",
)


@pytest.mark.parametrize(
    ("lots", "expected"), [(0.3, 0.3), (0.019, 0.01), (0.0099, 0.0), (77, 50), (0, 0.0), (0.29999999999999996, 0.3), (-1, 0.0)]
)
def test_lots_round_down_and_stay_in_bounds(lots, expected):
    assert EURUSD.floor_lots(lots) == expected


def test_lots_of_a_coarse_step():
    spec = replace(EURUSD, volume_min=0.5, volume_step=0.5)
    assert spec.floor_lots(1.49) == 1.0


def test_price_is_one_that_the_broker_quotes():
    assert EURUSD.round_price(1.234567) == 1.23457
    assert replace(EURUSD, tick_size=0.25, digits=2).round_price(100.4) == 100.5


def test_points_and_risk():
    assert EURUSD.points(0.0015) == pytest.approx(150)
    assert EURUSD.risk_per_lot(0.0015) == pytest.approx(150)
    assert replace(EURUSD, tick_size=0.25, tick_value_loss=12.5).risk_per_lot(2) == pytest.approx(100)


def test_problems_name_the_field_and_its_value():
    assert EURUSD.problems() == ()
    assert "point is 0" in replace(EURUSD, point=0).problems()
    assert "volume_min 100 above volume_max 50" in replace(EURUSD, volume_min=100).problems()
    assert replace(EURUSD, tick_size=float("nan")).problems()
