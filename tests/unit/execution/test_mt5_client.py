"""The client against a scripted terminal: what it asks, and what it makes of each answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from config.errors import DataError, OutcomeUnknown, SettingsError, TerminalCallFailed, TerminalDisconnected
from execution.mt5_client import MT5Client
from execution.orders import OrderState, Side
from execution.retcodes import RETCODES
from execution.terminal import DISCONNECTED_CODES
from market_data.bars import RATES_DTYPE, Timeframe
from market_data.clock import BrokerTime
from tests.fakes_terminal import (
    MAGIC,
    MONDAY,
    SERVER_NOON,
    ScriptedTerminal,
    account_info,
    intent,
    refused_argument,
    sent,
    symbol_info,
    trade_deal,
    trade_order,
    trade_position,
)

BROKER = BrokerTime("America/New_York+7")


def client_of(terminal):
    return MT5Client(terminal, broker_time=BROKER, magic=MAGIC, deviation=10)


def ready(**values):
    """A terminal with a symbol and whatever else is given, and its client."""
    terminal = ScriptedTerminal(**{"symbol_info": symbol_info()} | values)
    return terminal, client_of(terminal)


@pytest.mark.parametrize("forbidden", ["trade_allowed", "trade_expert"])
def test_account_that_forbids_trading_or_experts_does_not_allow_trading(forbidden):
    client = client_of(ScriptedTerminal(account_info=account_info(**{forbidden: False})))
    assert not client.account().trade_allowed


# translation of failures


CALLS = {
    "account_info": lambda c: c.account(),
    "symbol_info": lambda c: c.spec("EURUSD"),
    "symbol_info_tick": lambda c: c.quote("EURUSD"),
    "copy_rates_from_pos": lambda c: c.rates("EURUSD", Timeframe.M1, 1, 10),
    "positions_get": lambda c: c.positions(),
    "history_deals_get": lambda c: c.deals_of(7),
    "order_calc_profit": lambda c: c.profit_per_lot(Side.LONG, "EURUSD", 1.1, 1.0),
    "order_calc_margin": lambda c: c.margin_for(Side.LONG, "EURUSD", 0.1, 1.1),
}


@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("code", [1, -1, -2, -3, -4, -5, -6, -7, -8, *sorted(DISCONNECTED_CODES)])
def test_none_is_never_taken_for_a_result(function, code):
    with pytest.raises(TerminalCallFailed) as error:
        CALLS[function](client_of(ScriptedTerminal().fail(function, code)))
    assert isinstance(error.value, TerminalDisconnected) == (code in DISCONNECTED_CODES)


@pytest.mark.parametrize("raised", [ConnectionResetError("pipe"), EOFError(), TimeoutError()])
def test_a_broken_adapter_is_a_lost_connection(raised):
    with pytest.raises(TerminalDisconnected):
        client_of(ScriptedTerminal(positions_get=raised)).positions()


def test_the_modules_system_error_is_translated():
    with pytest.raises(TerminalCallFailed, match="-2"):
        client_of(ScriptedTerminal(positions_get=SystemError("exception set"))).positions()


def test_empty_is_not_a_failure():
    client = client_of(ScriptedTerminal(positions_get=(), history_deals_get=()))
    assert client.positions() == ()
    assert client.foreign_positions("EURUSD") == 0
    assert client.deals_of(7) == ()


# symbols


def test_select_takes_the_exact_name():
    terminal, client = ready(symbol_select=True)
    assert client.select("EURUSD").name == "EURUSD"
    assert terminal.asked("symbol_select")[0].args == ("EURUSD", True)
    assert not terminal.asked("symbols_get")


def unknown_symbol(*names, **changes):
    terminal = ScriptedTerminal(symbol_select=True, symbols_get=tuple(symbol_info(name, **changes) for name in names))
    terminal.fail("symbol_info", -4, "Terminal: Not found")
    return terminal


@pytest.mark.parametrize("name", ["EURUSDm", "EURUSD.a", "EURUSD#", "EURUSD.PRO", "EURUSDX"])
def test_select_finds_the_one_suffix(name):
    terminal = unknown_symbol(name, "EURGBP.a", "XEURUSD").on("symbol_info", symbol_info(name))
    assert client_of(terminal).select("EURUSD").name == name
    assert terminal.asked("symbol_select")[0].args == (name, True)


def test_select_leaves_out_names_that_cannot_be_traded():
    listed = (symbol_info("EURUSD.q", trade_mode=0), symbol_info("EURUSDm"))
    terminal = ScriptedTerminal(symbols_get=listed, symbol_select=True).fail("symbol_info", -4).on("symbol_info", symbol_info("EURUSDm"))
    assert client_of(terminal).select("EURUSD").name == "EURUSDm"


def test_select_names_the_candidates_where_several_fit():
    with pytest.raises(SettingsError, match=r"EURUSD\.a, EURUSDm"):
        client_of(unknown_symbol("EURUSDm", "EURUSD.a")).select("EURUSD")


@pytest.mark.parametrize("asked", ["EUR", "GBPUSD", "eurusd"])
def test_select_does_not_guess(asked):
    with pytest.raises(SettingsError, match=asked):
        client_of(unknown_symbol("EURUSD")).select(asked)


def test_select_keeps_a_lost_connection_apart_from_an_unknown_symbol():
    with pytest.raises(TerminalDisconnected):
        client_of(ScriptedTerminal().fail("symbol_info", -10004)).select("EURUSD")


def test_select_that_is_refused_raises():
    terminal, client = ready()
    terminal.fail("symbol_select", -1, value=False)
    with pytest.raises(TerminalCallFailed):
        client.select("EURUSD")


def test_spec_carries_the_volume_limit_and_levels():
    spec = client_of(ScriptedTerminal(symbol_info=symbol_info(volume_limit=5.0, trade_stops_level=20))).spec("EURUSD")
    assert (spec.volume_limit, spec.stops_level, spec.trade_mode) == (5.0, 20, 4)


# time


def test_quote_time_is_utc():
    tick = SimpleNamespace(bid=1.1, ask=1.1001, time=SERVER_NOON, time_msc=SERVER_NOON * 1000 + 250)
    quote = client_of(ScriptedTerminal(symbol_info_tick=tick)).quote("EURUSD")
    assert quote.time == MONDAY + timedelta(milliseconds=250)
    assert quote.spread == pytest.approx(0.0001)


@pytest.mark.parametrize(("bid", "ask"), [(0.0, 0.0), (1.1, 0.0), (float("nan"), 1.1)])
def test_a_quote_that_is_not_there_yet_is_bad_data(bid, ask):
    tick = SimpleNamespace(bid=bid, ask=ask, time=0, time_msc=0)
    with pytest.raises(DataError, match="EURUSD"):
        client_of(ScriptedTerminal(symbol_info_tick=tick)).quote("EURUSD")


def rates_at(stamps):
    rates = np.zeros(len(stamps), RATES_DTYPE)
    rates["time"] = stamps
    rates["close"] = np.arange(len(stamps))
    return rates


def test_rates_are_a_copy_in_utc():
    served = rates_at(SERVER_NOON + 60 * np.arange(5))
    before = served.copy()
    terminal = ScriptedTerminal(copy_rates_from_pos=served)
    got = client_of(terminal).rates("EURUSD", Timeframe.M1, 1, 5)
    assert terminal.requests[0].args == ("EURUSD", 1, 1, 5)
    assert got["time"].tolist() == [int(MONDAY.timestamp()) + 60 * i for i in range(5)]
    got["close"] = -1
    np.testing.assert_array_equal(served, before)


def test_empty_rates_stay_empty():
    assert len(client_of(ScriptedTerminal(copy_rates_from_pos=rates_at([]))).rates("EURUSD", Timeframe.M1, 1, 5)) == 0


@pytest.mark.parametrize("change", [datetime(2024, 3, 10, 7, tzinfo=UTC), datetime(2024, 11, 3, 6, tzinfo=UTC)])
@pytest.mark.parametrize("order", [1, -1])
def test_rates_convert_rightly_across_a_change_of_daylight_saving(change, order):
    """Windows that step over the change convert as the rule does, whatever was served before."""
    # The server skips or repeats an hour at the change: build stamps from UTC so they exist.
    middle = int(change.timestamp())
    utc = np.concatenate([middle - 7200 - 60 * np.arange(3000, 0, -1), middle + 7200 + 60 * np.arange(3000)])
    stamps = BROKER.to_server(utc)
    terminal = ScriptedTerminal()
    windows = [slice(start, start + 600) for start in range(0, len(utc) - 600, 300)][::order]
    for window in windows:
        terminal.on("copy_rates_from_pos", rates_at(stamps[window]))
    client = client_of(terminal)
    for window in windows:
        np.testing.assert_array_equal(client.rates("EURUSD", Timeframe.M1, 1, 600)["time"], utc[window])


def test_a_long_history_spans_both_changes():
    utc = np.arange(1_680_000_000, 1_720_000_000, 86_400)
    utc = utc - utc % 86_400 + 43_200
    client = client_of(ScriptedTerminal(copy_rates_from_pos=rates_at(BROKER.to_server(utc))))
    np.testing.assert_array_equal(client.rates("EURUSD", Timeframe.D1, 1, 500)["time"], utc)


def test_transfers_between_asks_in_server_time_with_a_day_of_margin():
    inside = trade_deal(1, type=2)
    early = trade_deal(2, type=2, time_msc=(SERVER_NOON - 7200) * 1000)
    terminal = ScriptedTerminal(history_deals_get=(early, inside))
    deals = client_of(terminal).transfers_between(MONDAY - timedelta(hours=1), MONDAY)
    asked_from, asked_to = terminal.requests[0].args
    assert asked_from == MONDAY + timedelta(hours=2 - 1 - 24)
    assert asked_to == MONDAY + timedelta(hours=2 + 24)
    assert asked_from.tzinfo is not None
    assert [deal.ticket for deal in deals] == [1]


@pytest.mark.parametrize(
    ("kind", "transfer"), [(0, False), (1, False), (2, True), (3, True), (4, False), (6, True), (7, False), (12, False)]
)
def test_deposits_credit_and_bonus_are_transfers_and_charges_are_not(kind, transfer):
    client = client_of(ScriptedTerminal(history_deals_get=(trade_deal(type=kind, profit=500.0),)))
    assert [deal.transfer for deal in client.deals_of(7)] == [transfer]
    assert [deal.profit for deal in client.transfers_between(MONDAY, MONDAY)] == [500.0] * transfer


# positions and deals


def test_positions_are_ours_only():
    raws = (trade_position(7), trade_position(8, magic=0), trade_position(9, type=1))
    terminal = ScriptedTerminal(positions_get=raws)
    client = client_of(terminal)
    ours = client.positions("EURUSD")
    assert [(p.ticket, p.side) for p in ours] == [(7, Side.LONG), (9, Side.SHORT)]
    assert ours[0].opened == MONDAY
    assert dict(terminal.requests[0].kwargs) == {"symbol": "EURUSD"}
    assert client.foreign_positions("EURUSD") == 1


def test_deals_are_translated_and_sorted():
    stop = trade_deal(
        12, type=1, entry=1, reason=4, profit=-10.0, commission=-0.35, swap=-0.1, fee=-0.05, time_msc=SERVER_NOON * 1000 + 60_000
    )
    terminal = ScriptedTerminal(history_deals_get=(stop, trade_deal(11)))
    opening, closing = client_of(terminal).deals_of(np.int64(7))
    assert type(terminal.requests[0].kwargs["position"]) is int
    assert (opening.ticket, opening.entry, opening.reason, opening.side) == (11, "in", "expert", Side.LONG)
    assert (closing.entry, closing.reason, closing.side) == ("out", "sl", Side.SHORT)
    assert closing.net == pytest.approx(-10.5)
    assert closing.time == MONDAY + timedelta(minutes=1)


@pytest.mark.parametrize(("entry", "name"), [(0, "in"), (1, "out"), (2, "inout"), (3, "out_by"), (9, "entry_9")])
def test_deal_entries(entry, name):
    assert client_of(ScriptedTerminal(history_deals_get=(trade_deal(entry=entry),))).deals_of(7)[0].entry == name


@pytest.mark.parametrize(("reason", "name"), [(0, "client"), (3, "expert"), (4, "sl"), (5, "tp"), (6, "so"), (42, "reason_42")])
def test_deal_reasons(reason, name):
    assert client_of(ScriptedTerminal(history_deals_get=(trade_deal(reason=reason),))).deals_of(7)[0].reason == name


def test_a_balance_operation_has_no_side():
    deal = trade_deal(type=2, symbol="", order=0, position_id=0, profit=10_000.0)
    assert client_of(ScriptedTerminal(history_deals_get=(deal,))).deals_of(0)[0].side is None


def test_profit_and_margin_are_asked_with_exact_types():
    terminal = ScriptedTerminal(order_calc_profit=-100.0, order_calc_margin=1100.0)
    client = client_of(terminal)
    assert client.profit_per_lot(Side.SHORT, "EURUSD", np.float64(1.1), np.float64(1.101)) == -100.0
    assert client.margin_for(Side.LONG, "EURUSD", np.float64(1), np.float64(1.1)) == 1100.0
    assert terminal.requests[0].args == (1, "EURUSD", 1.0, 1.1, 1.101)
    assert all(type(value) is float for request in terminal.requests for value in request.args[2:])


# sending


def test_an_entry_is_one_request_with_stop_and_target():
    terminal, client = ready(order_send=sent())
    result = client.send(intent())
    (request,) = terminal.asked("order_send")
    (sent_dict,) = request.args
    assert sent_dict == {
        "action": 1,
        "magic": MAGIC,
        "symbol": "EURUSD",
        "volume": 0.1,
        "price": 1.10005,
        "sl": 1.09905,
        "tp": 1.10105,
        "deviation": 10,
        "type": 0,
        "type_filling": 0,
        "type_time": 0,
        "comment": "EURUSD-0001",
    }
    assert (result.state, result.retcode, result.order, result.deal) == (OrderState.FILLED, 10009, 7, 11)
    assert (result.price, result.volume) == (1.1001, 0.1)


def test_a_request_has_the_exact_types_whatever_the_intent_has():
    loose = intent(
        key="k" * 40,
        volume=1,
        price=np.float32(1.1),
        sl=1,
        tp=np.float64(2),
        magic=np.int64(MAGIC),
        deviation=np.int32(5),
        position=np.int64(7),
    )
    terminal, client = ready(order_send=sent(), positions_get=(trade_position(7),))
    client.send(loose)
    (request,) = terminal.asked("order_send")
    assert refused_argument(request.args[0]) is None
    assert request.args[0]["comment"] == "k" * 29
    assert type(terminal.asked("positions_get")[0].kwargs["ticket"]) is int


def test_prices_are_put_on_the_tick():
    terminal, client = ready(symbol_info=symbol_info(digits=2, point=0.01, trade_tick_size=0.25), order_send=sent())
    client.send(intent(price=4700.13, sl=4690.1, tp=4710.9))
    request = terminal.asked("order_send")[0].args[0]
    assert (request["price"], request["sl"], request["tp"]) == (4700.25, 4690.0, 4711.0)


@pytest.mark.parametrize(("opened", "closing"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("written", [Side.LONG, Side.SHORT])
def test_a_close_carries_the_ticket_and_the_opposite_of_the_positions_own_side(opened, closing, written):
    terminal, client = ready(order_send=sent(), positions_get=(trade_position(7, type=opened),))
    client.send(intent(purpose="exit", position=7, side=written, sl=0.0, tp=0.0))
    request = terminal.asked("order_send")[0].args[0]
    assert (request["position"], request["type"], request["sl"], request["tp"]) == (7, closing, 0.0, 0.0)


def test_a_close_of_a_closed_position_is_not_sent():
    terminal, client = ready(positions_get=())
    result = client.send(intent(purpose="exit", position=7))
    assert (result.state, result.retcode) == (OrderState.REJECTED, 10036)
    assert not terminal.asked("order_send")


@pytest.mark.parametrize("code", [-10004, -1])
def test_an_order_that_cannot_be_made_is_not_sent(code):
    terminal = ScriptedTerminal().fail("symbol_info", code)
    result = client_of(terminal).send(intent())
    assert (result.state, result.retcode) == (OrderState.REJECTED, 0)
    assert "not sent" in result.message
    assert not terminal.asked("order_send")


@pytest.mark.parametrize("code", sorted(DISCONNECTED_CODES | {1, -1, -3, -4, -5, -6, -7}))
def test_no_result_is_unknown_and_never_sent_again(code):
    terminal, client = ready()
    terminal.fail("order_send", code)
    assert client.send(intent()).state is OrderState.UNKNOWN
    assert len(terminal.asked("order_send")) == 1


@pytest.mark.parametrize(
    ("code", "message"), [(-2, 'Invalid "volume" argument'), (-8, "Auto-Trading using Python API disabled in Terminal")]
)
def test_what_the_module_itself_refuses_was_never_sent(code, message):
    terminal, client = ready()
    terminal.fail("order_send", code, message)
    result = client.send(intent())
    assert result.state is OrderState.REJECTED
    assert message in result.message


@pytest.mark.parametrize("raised", [BrokenPipeError("gone"), EOFError(), SystemError("parse")])
def test_an_exception_while_sending_is_unknown(raised):
    terminal, client = ready(order_send=raised)
    assert client.send(intent()).state is OrderState.UNKNOWN
    assert len(terminal.asked("order_send")) == 1


EXPECTED = {10008: OrderState.FILLED, 10009: OrderState.FILLED, 10010: OrderState.PARTIAL, 10012: OrderState.UNKNOWN}


@pytest.mark.parametrize("code", [*sorted(RETCODES), 10046, 12345])
def test_every_retcode_has_its_state_and_is_sent_once(code):
    terminal, client = ready(order_send=sent(code))
    result = client.send(intent())
    assert result.state is EXPECTED.get(code, OrderState.REJECTED)
    assert result.retcode == code
    assert len(terminal.asked("order_send")) == 1
    if code in RETCODES:
        assert RETCODES[code].name in result.message
        assert RETCODES[code].remedy in result.message
    if result.state in (OrderState.REJECTED, OrderState.UNKNOWN):
        assert (result.price, result.volume) == (0.0, 0.0)


def test_placed_without_a_deal_is_unknown():
    _, client = ready(order_send=sent(10008, deal=0, price=0.0))
    assert client.send(intent()).state is OrderState.UNKNOWN


# filling


@pytest.mark.parametrize(
    ("mask", "exemode", "expected"), [(1, 2, 0), (2, 2, 1), (3, 2, 0), (0, 2, 0), (0, 1, 2), (0, 3, 2), (1, 1, 0), (2, 3, 1), (4, 1, 2)]
)
@pytest.mark.parametrize("ticket", [0, 7])
def test_filling_follows_the_symbol_for_entries_and_exits(mask, exemode, expected, ticket):
    terminal, client = ready(
        symbol_info=symbol_info(filling_mode=mask, trade_exemode=exemode), order_send=sent(), positions_get=(trade_position(7),)
    )
    client.send(intent(position=ticket))
    assert terminal.asked("order_send")[0].args[0]["type_filling"] == expected


def test_a_refused_filling_is_not_resent_but_the_next_order_uses_another():
    terminal, client = ready(positions_get=(trade_position(7),))
    terminal.on("order_send", sent(10030, deal=0)).on("order_send", sent())
    assert client.send(intent()).state is OrderState.REJECTED
    assert client.send(intent(position=7)).state is OrderState.FILLED
    assert [request.args[0]["type_filling"] for request in terminal.asked("order_send")] == [0, 1]


def checked(retcode=0, margin_free=9000.0):
    return SimpleNamespace(retcode=retcode, comment="Done" if retcode == 0 else "no", margin_free=margin_free)


def test_check_is_ok_with_retcode_zero_and_sends_nothing():
    terminal, client = ready(order_check=checked())
    result = client.check(intent())
    assert (result.ok, result.retcode, result.margin_free) == (True, 0, 9000.0)
    assert not terminal.asked("order_send")


def test_check_probes_the_filling_mode_that_send_then_uses():
    terminal, client = ready(order_send=sent())
    terminal.on("order_check", checked(10030)).on("order_check", checked())
    assert client.check(intent()).ok
    client.send(intent())
    assert terminal.asked("order_send")[0].args[0]["type_filling"] == 1


def test_check_ends_where_every_filling_mode_is_refused():
    terminal, client = ready(order_check=checked(10030))
    assert not client.check(intent()).ok
    assert len(terminal.asked("order_check")) == 2


def test_check_names_the_refusal():
    _, client = ready(order_check=checked(10019))
    result = client.check(intent())
    assert not result.ok
    assert "NO_MONEY" in result.message


def test_check_of_a_closed_position_is_not_ok():
    _, client = ready(positions_get=())
    assert client.check(intent(position=7)).retcode == 10036


# finding out


def books(positions=(), past=(), live=(), deals=()):
    terminal = ScriptedTerminal(positions_get=positions, history_orders_get=past, orders_get=live, history_deals_get=deals)
    return terminal, client_of(terminal)


def test_no_trace_is_none_and_all_books_were_read_in_server_time():
    terminal, client = books()
    assert client.find(intent()) is None
    assert {request.function for request in terminal.requests} == {"positions_get", "history_orders_get", "orders_get"}
    start, end = terminal.asked("history_orders_get")[0].args
    assert start == MONDAY + timedelta(hours=2 - 24)
    assert end == MONDAY + timedelta(hours=2 + 24)


def test_a_late_success_is_found_by_its_comment():
    _, client = books(positions=(trade_position(7, comment="EURUSD-0001"),), deals=(trade_deal(11),))
    found = client.find(intent())
    assert (found.state, found.order, found.deal, found.price, found.volume) == (OrderState.FILLED, 7, 11, 1.1001, 0.1)


def test_a_position_without_deals_so_far_tells_its_own_price():
    _, client = books(positions=(trade_position(7, comment="EURUSD-0001"),))
    found = client.find(intent())
    assert (found.state, found.deal, found.price) == (OrderState.FILLED, 0, 1.1)


@pytest.mark.parametrize("comment", ["", "[sl 1.0712]", "EURUSD-00"])
def test_an_overwritten_comment_is_matched_by_everything_else(comment):
    _, client = books(positions=(trade_position(7, comment=comment, time_msc=SERVER_NOON * 1000 + 5000),))
    assert client.find(intent()).state is OrderState.FILLED


@pytest.mark.parametrize(
    "other",
    [
        {"magic": 1},
        {"symbol": "GBPUSD"},
        {"type": 1},
        {"volume": 0.2},
        {"comment": "EURUSD-0002"},
        {"comment": "by hand"},
        {"time_msc": (SERVER_NOON - 600) * 1000},
        {"time_msc": (SERVER_NOON + 3600) * 1000},
    ],
)
def test_another_order_is_never_taken_for_ours(other):
    _, client = books(positions=(trade_position(7, **other),))
    assert client.find(intent()) is None


def test_a_close_whose_comment_is_lost_is_not_taken_for_an_entry():
    """It has the side, the volume and the time of an entry; the position that it closed tells."""
    closing = trade_order(9, position_id=7)
    _, client = books(past=(closing,), deals=(trade_deal(11, order=9),))
    assert client.find(intent(), known={7}) is None
    assert client.find(intent(position=7)).order == 9


def test_an_order_that_is_accounted_for_is_not_matched():
    _, client = books(positions=(trade_position(7),))
    assert client.find(intent(), known={7}) is None


def test_two_candidates_are_not_guessed_between():
    _, client = books(positions=(trade_position(7), trade_position(8)))
    with pytest.raises(OutcomeUnknown, match=r"\[7, 8\]"):
        client.find(intent())
    assert client.find(intent(), known={8}).order == 7


def test_a_trade_that_was_opened_and_stopped_out_meanwhile_is_found_in_history():
    _, client = books(past=(trade_order(7, comment="EURUSD-0001"),), deals=(trade_deal(11),))
    assert client.find(intent()).state is OrderState.FILLED


def test_a_partial_fill_is_weighted_by_volume():
    deals = (trade_deal(11, volume=0.02, price=1.1), trade_deal(12, volume=0.06, price=1.2))
    terminal, client = books(past=(trade_order(7, comment="EURUSD-0001", state=2),), deals=deals)
    found = client.find(intent())
    assert found.state is OrderState.PARTIAL
    assert found.volume == pytest.approx(0.08)
    assert found.price == pytest.approx(1.175)
    assert dict(terminal.asked("history_deals_get")[0].kwargs) == {"ticket": 7}


@pytest.mark.parametrize("state", [2, 5, 6])
def test_a_dead_order_without_deals_is_rejected(state):
    _, client = books(past=(trade_order(7, comment="EURUSD-0001", state=state),))
    assert client.find(intent()).state is OrderState.REJECTED


def test_a_live_order_is_still_unknown():
    _, client = books(live=(trade_order(7, comment="EURUSD-0001", state=1),))
    assert client.find(intent()).state is OrderState.UNKNOWN


CLOSE = {"purpose": "exit", "position": 7, "sl": 0.0, "tp": 0.0}


def test_a_close_is_found_among_its_positions_orders():
    opening, closing = trade_order(7), trade_order(9, type=1, comment="EURUSD-0001")
    terminal, client = books(past=(opening, closing), deals=(trade_deal(12, order=9, type=1, entry=1),))
    found = client.find(intent(**CLOSE))
    assert (found.state, found.order, found.deal) == (OrderState.FILLED, 9, 12)
    assert dict(terminal.asked("history_orders_get")[0].kwargs) == {"position": 7}
    assert not terminal.asked("positions_get")


@pytest.mark.parametrize("reason", [4, 5, 6])
def test_a_stop_that_closed_the_position_is_not_our_close(reason):
    _, client = books(past=(trade_order(7), trade_order(9, type=1, reason=reason)))
    assert client.find(intent(**CLOSE)) is None


def test_find_raises_where_the_terminal_does_not_answer():
    client = client_of(ScriptedTerminal().fail("positions_get", -10004))
    with pytest.raises(TerminalDisconnected):
        client.find(intent())
