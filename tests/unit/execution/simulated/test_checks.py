import pytest

from tests.fakes_simulated import flat, make_bars, make_terminal, order


def terminal(**changes):
    return make_terminal(make_bars(flat(1.1, 4)), spec_changes=changes)


@pytest.mark.parametrize(
    ("side", "stops", "retcode"),
    [
        ("buy", {"sl": 1.09990}, 10009),
        ("buy", {"sl": 1.09991}, 10016),
        ("buy", {"tp": 1.10010}, 10009),
        ("buy", {"tp": 1.10009}, 10016),
        ("sell", {"sl": 1.10020}, 10009),
        ("sell", {"sl": 1.10019}, 10016),
        ("sell", {"tp": 1.10000}, 10009),
        ("sell", {"tp": 1.10001}, 10016),
        ("buy", {"sl": 1.099905}, 10016),
    ],
)
def test_stops_keep_their_distance_from_the_exit_quote(side, stops, retcode):
    assert order(terminal(stops_level=10), side, volume=0.1, **stops).retcode == retcode


def test_without_a_stops_level_a_stop_still_has_a_side():
    assert order(terminal(), sl=1.1, volume=0.1).retcode == 10016
    assert order(terminal(), sl=1.09999, volume=0.1).retcode == 10009


@pytest.mark.parametrize(
    ("mode", "buy", "sell"), [(0, 10017, 10017), (1, 10009, 10042), (2, 10043, 10009), (3, 10044, 10044), (4, 10009, 10009)]
)
def test_trade_modes(mode, buy, sell):
    assert order(terminal(trade_mode=mode), volume=0.1).retcode == buy
    assert order(terminal(trade_mode=mode), "sell", volume=0.1).retcode == sell


@pytest.mark.parametrize(("exemode", "mask", "accepted"), [(2, 1, {0}), (2, 2, {1}), (2, 3, {0, 1}), (1, 2, {0, 1, 2}), (1, 1, {0, 2})])
def test_filling_modes(exemode, mask, accepted):
    made = terminal(exemode=exemode, filling_mode=mask)
    sent = {filling: order(made, volume=0.1, type_filling=filling, price=1.1001).retcode for filling in range(4)}
    assert {filling for filling, retcode in sent.items() if retcode == 10009} == accepted
    assert {retcode for filling, retcode in sent.items() if filling not in accepted} == {10030}


@pytest.mark.parametrize(
    ("price", "deviation", "retcode"),
    [(1.1001, 0, 10009), (0.0, 0, 10015), (1.100105, 0, 10015), (1.1, 5, 10004), (1.1, 10, 10009)],
)
def test_instant_execution_wants_the_quoted_price(price, deviation, retcode):
    assert order(terminal(exemode=1), volume=0.1, price=price, deviation=deviation).retcode == retcode


def test_a_frozen_position_cannot_be_touched():
    made = terminal(freeze_level=50)
    ticket = order(made, volume=0.1, sl=1.0996).order
    assert order(made, "sell", volume=0.1, position=ticket).retcode == 10029
    stops = {"action": 6, "symbol": "EURUSD", "position": ticket, "sl": 1.09}
    assert made.order_send(stops).retcode == 10029


def test_a_position_is_closed_by_the_opposite_type_and_its_own_symbol():
    made = make_terminal([make_bars(flat(1.1, 3)), make_bars(flat(1.3, 3), symbol="GBPUSD")])
    ticket = order(made, volume=0.1).order
    assert order(made, "buy", volume=0.1, position=ticket).retcode == 10013
    assert order(made, "sell", symbol="GBPUSD", volume=0.1, position=ticket).retcode == 10013


def test_a_partial_close_leaves_at_least_the_minimum():
    made = terminal(volume_min=0.1)
    ticket = order(made, volume=0.3).order
    assert order(made, "sell", volume=0.25, position=ticket).retcode == 10014
    assert order(made, "sell", volume=0.2, position=ticket).retcode == 10009


def test_closing_is_possible_without_free_margin():
    made = make_terminal(make_bars([*flat(1.1, 2), *flat(1.0955, 3)]))
    ticket = order(made, volume=9.0).order
    made.advance()
    assert made.account_info().margin_free < 0
    assert order(made, volume=0.01).retcode == 10019
    assert order(made, "sell", volume=9.0, position=ticket).retcode == 10009


def test_the_terminal_itself_can_refuse():
    made = terminal()
    made.algo_trading = False
    assert order(made).retcode == 10027
    made.algo_trading, made.connected = True, False
    assert order(made).retcode == 10031
    assert made.terminal_info().connected is False
    made.connected, made.api_disabled = True, True
    assert order(made) is None
    assert made.last_error() == (-8, "Auto-Trading using Python API disabled in Terminal")


def test_a_symbol_outside_market_watch_is_not_traded():
    made = terminal()
    made.symbol_select("EURUSD", False)
    assert order(made).retcode == 10021
