"""Conformance of symbols: numbers 48 to 52 of the checklist."""

import pytest

from execution.simulated import default_spec
from tests.fakes_simulated import flat, make_bars, make_quotes, make_terminal, order

PRICES = {"EURUSDm": 1.1, "USDJPY.pro": 150.0, "EURGBP#": 0.86, "XAUUSD.r": 2000.0, "US500Cash": 5000.0, "BTCUSD": 60_000.0}


@pytest.fixture
def mt5():
    return make_terminal([make_bars(flat(price, 4), symbol=symbol) for symbol, price in PRICES.items()])


def names(symbols):
    return [info.name for info in symbols]


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        ("*,!*USD*", ["EURGBP#", "US500Cash"]),
        ("*USD*,!EUR*", ["USDJPY.pro", "XAUUSD.r", "BTCUSD"]),
        ("XAUUSD.r", ["XAUUSD.r"]),
        ("XAUUSD", []),
        ("*,!*USD*,!*EUR*", ["US500Cash"]),
    ],
)
def test_48_group_masks(mt5, mask, found):
    assert names(mt5.symbols_get(mask)) == names(mt5.symbols_get(group=mask)) == found


def test_48_bad_arguments_are_false(mt5):
    assert mt5.symbols_get(5) is False
    assert mt5.last_error()[0] == -2
    assert mt5.symbols_total() == len(mt5.symbols_get()) == len(PRICES)


def test_49_an_unknown_symbol_is_none(mt5):
    assert mt5.symbol_info("EURUSD") is None
    assert mt5.last_error() == (-4, "Terminal: Not found")


def test_50_a_symbol_outside_market_watch_has_no_quote(mt5):
    assert mt5.symbol_select("EURUSDm", False) is True
    assert mt5.symbol_info_tick("EURUSDm") is None
    assert mt5.last_error() == (-4, "Terminal: Not found")
    assert mt5.symbol_info("EURUSDm").name == "EURUSDm"
    assert mt5.symbol_select("EURUSDm") is True
    assert mt5.symbol_info_tick("EURUSDm").bid == 1.1


def test_51_a_symbol_with_a_position_stays_in_market_watch(mt5):
    order(mt5, symbol="EURUSDm", volume=0.1)
    assert mt5.symbol_select("EURUSDm", False) is False


@pytest.mark.parametrize("symbol", PRICES)
def test_52_a_symbol_agrees_with_itself(mt5, symbol):
    info, tick = mt5.symbol_info(symbol), mt5.symbol_info_tick(symbol)
    assert info.point == pytest.approx(10.0**-info.digits)
    assert info.spread == round((tick.ask - tick.bid) / info.point)
    assert (info.bid, info.ask) == (tick.bid, tick.ask)
    assert info.trade_tick_size > 0
    assert info.trade_tick_value > 0
    profit = mt5.order_calc_profit(0, symbol, 1.0, info.bid, info.bid - 10 * info.trade_tick_size)
    assert -profit == pytest.approx(10 * info.trade_tick_value_loss, rel=1e-3, abs=0.006)


@pytest.mark.parametrize("digits", [2, 3])
def test_52_gold_with_two_or_three_digits(digits):
    spec = default_spec("XAUUSD.r", digits=digits)
    assert (spec.point, spec.risk_per_lot(1.0)) == (10.0**-digits, pytest.approx(100.0))


def test_52_the_spread_of_recorded_quotes():
    terminal = make_terminal(make_quotes([(0, 1.1, 1.10013), (60, 1.1, 1.10007), (120, 1.1, 1.1)]))
    assert terminal.symbol_info("EURUSD").spread == 7


@pytest.mark.parametrize("mode", [0])
def test_a_symbol_that_is_only_quoted_is_not_traded(mode):
    terminal = make_terminal(make_bars(flat(1.1, 4), symbol="EURUSD.q"), spec_changes={"trade_mode": mode})
    assert terminal.symbol_info("EURUSD.q").trade_mode == mode
    assert order(terminal, symbol="EURUSD.q", volume=0.1).retcode == 10017
