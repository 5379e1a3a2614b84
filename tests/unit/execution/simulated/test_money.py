from dataclasses import replace

import pytest

from config.errors import DataError
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from tests.fakes_simulated import SERVER, flat, make_bars, make_terminal, order


def test_yen_profit_is_converted_at_the_closing_price():
    terminal = make_terminal(make_bars([*flat(150.0, 2), *flat(150.6, 2)], symbol="USDJPY"))
    ticket = order(terminal, symbol="USDJPY").order
    terminal.advance()
    order(terminal, "sell", symbol="USDJPY", position=ticket)
    deal = terminal.history_deals_get(position=ticket)[-1]
    assert (deal.price, deal.profit) == (150.6, round((150.6 - 150.01) * 100_000 / 150.6, 2))
    assert terminal.account_info().margin == 0.0


def test_yen_margin_is_in_the_dollars_of_the_base():
    terminal = make_terminal(make_bars(flat(150.0, 3), symbol="USDJPY"))
    order(terminal, volume=0.5, symbol="USDJPY")
    assert terminal.account_info().margin == 500.0


def test_gold_moves_a_hundred_ounces_a_lot():
    terminal = make_terminal(make_bars([*flat(2000.0, 2), *flat(2003.0, 2)], symbol="XAUUSD", spread=25.0))
    result = order(terminal, volume=0.2, symbol="XAUUSD")
    assert result.price == 2000.25
    assert terminal.account_info().margin == pytest.approx(2000.25 * 100 * 0.2 / 100)
    terminal.advance()
    assert terminal.positions_get()[0].profit == pytest.approx(2.75 * 100 * 0.2)


def test_a_cross_goes_by_way_of_the_quoted_dollar_pair():
    many = [make_bars([*flat(0.86, 2), *flat(0.861, 2)], symbol="EURGBP"), make_bars(flat(1.27, 4), symbol="GBPUSD")]
    terminal = make_terminal(many)
    order(terminal, symbol="EURGBP")
    assert terminal.positions_get()[0].profit == pytest.approx(-10.0 * 1.2701, abs=0.005)  # a loss buys pounds at the ask
    terminal.advance()
    assert terminal.positions_get()[0].profit == pytest.approx(90.0 * 1.27)


def test_without_a_rate_the_tick_value_of_the_specification_serves():
    terminal = make_terminal(make_bars(flat(0.86, 3), symbol="EURGBP"))
    order(terminal, symbol="EURGBP")
    assert terminal.positions_get()[0].profit == pytest.approx(-10.0 * 1.27)


def test_without_rate_or_tick_value_the_session_is_refused():
    spec = replace(default_spec("EURGBP"), tick_value_loss=0.0)
    with pytest.raises(DataError, match=r"EURGBP: tick_value_loss is 0\.0"):
        SimulatedMT5(
            {"EURGBP": make_bars(flat(0.86, 3), symbol="EURGBP")},
            {"EURGBP": spec},
            history_bars=1,
            account=SimulatedAccount(),
            broker_time=SERVER,
            book=None,
        )


@pytest.mark.parametrize(("symbol", "opened", "closed"), [("EURUSD", 1.1, 1.1), ("USDJPY", 150.0, 149.0), ("XAUUSD", 2000.0, 2010.0)])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_what_is_calculated_before_is_booked_after(symbol, opened, closed, side):
    terminal = make_terminal(make_bars([*flat(opened, 2), *flat(closed, 2)], symbol=symbol, spread=20.0))
    entry = order(terminal, side, volume=0.1, symbol=symbol)
    terminal.advance()
    exit_ = order(terminal, "sell" if side == "buy" else "buy", volume=0.1, symbol=symbol, position=entry.order)
    kind = terminal.ORDER_TYPE_BUY if side == "buy" else terminal.ORDER_TYPE_SELL
    foreseen = terminal.order_calc_profit(kind, symbol, 0.1, entry.price, exit_.price)
    assert terminal.history_deals_get(ticket=exit_.order)[0].profit == foreseen


@pytest.mark.parametrize(("mode", "margin"), [(0, 1100.1), (5, 110_010.0), (2, 110_010.0), (4, 1100.1)])
def test_margin_follows_the_calculation_mode(mode, margin):
    terminal = make_terminal(make_bars(flat(1.1, 3)), spec_changes={"calc_mode": mode})
    assert terminal.order_calc_margin(0, "EURUSD", 1.0, 1.1001) == pytest.approx(margin)


def test_futures_count_ticks():
    terminal = make_terminal(
        make_bars(flat(5000.0, 3), symbol="US500"), spec_changes={"calc_mode": 1, "tick_size": 0.25, "tick_value_loss": 12.5}
    )
    assert terminal.order_calc_profit(0, "US500", 2.0, 5000.0, 5001.0) == 100.0
