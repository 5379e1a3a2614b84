"""Conformance of pending orders: number 65 of the checklist."""

import pytest

from tests.fakes_simulated import MONDAY, OFFSET, all_deals, flat, make_bars, make_quotes, make_terminal, order, pend

PLACED, CANCELLED, FILLED, EXPIRED = 1, 2, 4, 6


def market(*later, **options):
    """Two quiet bars at 1.10000 / 1.10010, the given ones, two quiet ones at the last close."""
    last = later[-1][3] if later else 1.1
    return make_terminal(make_bars([*flat(1.1, 2), *later, *flat(last, 2)]), **options)


def play(terminal):
    while terminal.advance():
        pass
    return terminal


@pytest.mark.parametrize(
    ("kind", "price", "retcode"),
    [
        ("BUY_LIMIT", 1.1000, 10009),
        ("BUY_LIMIT", 1.10001, 10015),
        ("SELL_LIMIT", 1.1001, 10009),
        ("SELL_LIMIT", 1.10009, 10015),
        ("BUY_STOP", 1.1002, 10009),
        ("BUY_STOP", 1.10019, 10015),
        ("SELL_STOP", 1.0999, 10009),
        ("SELL_STOP", 1.09991, 10015),
        ("BUY_LIMIT", 1.099905, 10015),
        ("BUY_LIMIT", 0.0, 10015),
        ("BUY_LIMIT", float("nan"), 10015),
    ],
)
def test_65_a_pending_order_keeps_its_side_and_distance(kind, price, retcode):
    terminal = market(spec_changes={"stops_level": 10})
    result = pend(terminal, kind, price)
    assert result.retcode == retcode
    assert terminal.orders_total() == (retcode == 10009)


@pytest.mark.parametrize(
    ("more", "retcode"),
    [
        ({"sl": 1.0985}, 10016),
        ({"sl": 1.0975, "tp": 1.0985}, 10009),
        ({"tp": 1.0975}, 10016),
        ({"type_filling": 3}, 10030),
        ({"type_filling": 0}, 10009),
        ({"type_time": 2, "expiration": MONDAY + OFFSET + 60}, 10022),
        ({"type_time": 2, "expiration": MONDAY + OFFSET + 61}, 10009),
        ({"type_time": 7}, 10022),
        ({"volume": 0.001}, 10014),
        ({"type": 8}, 10035),
    ],
)
def test_65_its_stops_filling_and_expiration_are_checked(more, retcode):
    assert pend(market(), "BUY_LIMIT", 1.098, **more).retcode == retcode


@pytest.mark.parametrize(
    ("kind", "price", "bar", "filled"),
    [
        ("BUY_LIMIT", 1.0990, (1.1, 1.1, 1.0989, 1.1), 1.0990),
        ("BUY_LIMIT", 1.0990, (1.1, 1.1, 1.08991, 1.1), 1.0990),
        ("BUY_LIMIT", 1.0990, (1.095, 1.1, 1.095, 1.1), 1.0951),
        ("SELL_LIMIT", 1.1010, (1.1, 1.1010, 1.1, 1.1), 1.1010),
        ("SELL_LIMIT", 1.1010, (1.105, 1.106, 1.104, 1.105), 1.105),
        ("BUY_STOP", 1.1010, (1.1, 1.1009, 1.1, 1.1), 1.1010),
        ("BUY_STOP", 1.1010, (1.105, 1.106, 1.104, 1.105), 1.1051),
        ("SELL_STOP", 1.0990, (1.1, 1.1, 1.0990, 1.1), 1.0990),
        ("SELL_STOP", 1.0990, (1.095, 1.096, 1.094, 1.095), 1.095),
    ],
)
def test_65_it_fills_at_its_price_or_at_the_gap(kind, price, bar, filled):
    terminal = market(bar)
    placed = pend(terminal, kind, price, magic=9, comment="mine")
    (order_,) = terminal.orders_get(ticket=placed.order)
    assert (order_.state, order_.time_done, order_.volume_current) == (PLACED, 0, 0.1)
    play(terminal)
    (position,) = terminal.positions_get()
    (record,) = terminal.history_orders_get(ticket=placed.order)
    assert (position.ticket, position.identifier, position.price_open, position.magic) == (placed.order, placed.order, filled, 9)
    assert (record.state, record.volume_current, record.position_id) == (FILLED, 0.0, placed.order)
    assert terminal.orders_total() == 0


BOC = 3


@pytest.mark.parametrize(
    ("kind", "price", "more", "mask", "retcode"),
    [
        ("BUY_LIMIT", 1.099, {}, 7, 10009),
        ("SELL_LIMIT", 1.101, {}, 4, 10009),
        ("BUY_STOP_LIMIT", 1.101, {"stoplimit": 1.1005}, 7, 10009),
        ("BUY_LIMIT", 1.099, {}, 3, 10030),
        ("BUY_STOP", 1.101, {}, 7, 10030),
        ("SELL_STOP", 1.099, {}, 7, 10030),
        ("BUY_LIMIT", 1.1001, {}, 7, 10015),  # it would fill at once
    ],
)
def test_65_book_or_cancel_is_for_limits_where_the_symbol_allows_it(kind, price, more, mask, retcode):
    terminal = market(spec_changes={"filling_mode": mask})
    assert pend(terminal, kind, price, type_filling=BOC, **more).retcode == retcode
    assert [waiting.type_filling for waiting in terminal.orders_get()] == [BOC] * (retcode == 10009)


def test_65_a_resting_book_or_cancel_order_fills_at_its_price():
    terminal = market((1.1, 1.1, 1.0985, 1.1), spec_changes={"filling_mode": 7})
    ticket = pend(terminal, "BUY_LIMIT", 1.099, type_filling=BOC).order
    play(terminal)
    assert [(held.ticket, held.price_open) for held in terminal.positions_get()] == [(ticket, 1.099)]


@pytest.mark.parametrize(("filling", "state"), [(BOC, CANCELLED), (2, FILLED)])
@pytest.mark.parametrize(("kind", "price", "bar"), [("BUY", 1.101, (1.1, 1.1015, 1.1, 1.1)), ("SELL", 1.099, (1.1, 1.1, 1.0985, 1.1))])
def test_65_a_stop_limit_whose_limit_would_fill_at_once_is_cancelled_where_it_may_only_rest(kind, price, bar, filling, state):
    terminal = market(bar, spec_changes={"filling_mode": 7})
    ticket = pend(terminal, f"{kind}_STOP_LIMIT", price, stoplimit=price, type_filling=filling).order
    play(terminal)
    assert terminal.history_orders_get(ticket=ticket)[0].state == state
    assert terminal.positions_total() == (state == FILLED)


@pytest.mark.parametrize(
    ("kind", "price", "bar"), [("BUY_LIMIT", 1.099, (1.1, 1.1, 1.09891, 1.1)), ("BUY_STOP", 1.101, (1.1, 1.10089, 1.1, 1.1))]
)
def test_65_a_buy_waits_for_the_ask(kind, price, bar):
    terminal = market(bar)
    pend(terminal, kind, price)
    assert play(terminal).orders_total() == 1


@pytest.mark.parametrize(("bar", "filled"), [((1.1, 1.102, 1.0999, 1.1015), None), ((1.1, 1.102, 1.0999, 1.1002), 1.1005)])
def test_65_a_stop_limit_becomes_a_limit(bar, filled):
    terminal = market(bar)
    ticket = pend(terminal, "BUY_STOP_LIMIT", 1.1015, stoplimit=1.1005).order
    play(terminal)
    if filled is None:
        (waiting,) = terminal.orders_get()
        assert (waiting.ticket, waiting.type, waiting.price_open) == (ticket, terminal.ORDER_TYPE_BUY_LIMIT, 1.1005)
    else:
        assert [held.price_open for held in terminal.positions_get()] == [filled]
    assert pend(market(), "BUY_STOP_LIMIT", 1.1015, stoplimit=1.1016).retcode == 10015


@pytest.mark.parametrize(
    ("bar", "left"),
    [
        ((1.1, 1.1021, 1.0999, 1.102), "target"),  # up after its low: filled on the way up, target on the same way
        ((1.1, 1.1021, 1.0985, 1.0986), "stop"),  # up first, then down through the stop
        ((1.1, 1.1011, 1.1, 1.1011), "open"),
    ],
)
def test_65_a_position_opened_on_the_way_lives_through_the_rest_of_the_bar(bar, left):
    terminal = market(bar)
    pend(terminal, "BUY_STOP", 1.101, sl=1.099, tp=1.102)
    play(terminal)
    reason = all_deals(terminal)[-1].reason
    assert {4: "stop", 5: "target", 3: "open"}[reason] == left


def test_65_modify_and_remove():
    terminal = market()
    ticket = pend(terminal, "BUY_LIMIT", 1.098).order
    change = {"action": terminal.TRADE_ACTION_MODIFY, "order": ticket, "price": 1.097, "sl": 1.09, "tp": 1.11}
    assert terminal.order_send(change).retcode == 10009
    (order_,) = terminal.orders_get()
    assert (order_.price_open, order_.sl, order_.tp) == (1.097, 1.09, 1.11)
    assert terminal.order_send(change).retcode == 10025
    assert terminal.order_send({**change, "price": 1.2}).retcode == 10015
    assert terminal.order_send({**change, "sl": 1.1}).retcode == 10016
    assert terminal.order_send({**change, "order": 5}).retcode == 10013
    remove = {"action": terminal.TRADE_ACTION_REMOVE, "order": ticket}
    assert terminal.order_send(remove).retcode == 10009
    assert terminal.orders_get() == ()
    assert terminal.history_orders_get(ticket=ticket)[0].state == CANCELLED
    assert terminal.order_send(remove).retcode == 10013


def test_65_a_frozen_order_cannot_be_touched():
    terminal = market(spec_changes={"freeze_level": 50})
    ticket = pend(terminal, "BUY_LIMIT", 1.0997).order
    assert terminal.order_send({"action": terminal.TRADE_ACTION_REMOVE, "order": ticket}).retcode == 10029
    assert terminal.order_send({"action": terminal.TRADE_ACTION_MODIFY, "order": ticket, "price": 1.09}).retcode == 10029


def test_65_an_order_expires_at_its_time():
    terminal = make_terminal(make_bars(flat(1.1, 6)))
    ticket = pend(terminal, "BUY_LIMIT", 1.098, type_time=2, expiration=MONDAY + OFFSET + 150).order
    terminal.advance()
    assert terminal.orders_total() == 1
    terminal.advance()
    (record,) = terminal.history_orders_get(ticket=ticket)
    assert (record.state, record.time_done) == (EXPIRED, MONDAY + OFFSET + 150)


def test_65_a_day_order_ends_with_the_servers_day():
    midnight = MONDAY + 12 * 3600  # 00:00 of the server
    terminal = make_terminal(make_bars(flat(1.1, 8), start=midnight - 180))
    ticket = pend(terminal, "BUY_LIMIT", 1.098, type_time=1).order
    terminal.advance()
    assert terminal.orders_total() == 1
    terminal.advance()
    assert terminal.history_orders_get(ticket=ticket)[0].state == EXPIRED


def test_65_without_the_margin_an_order_is_cancelled_when_its_price_comes():
    terminal = market((1.1, 1.1, 1.098, 1.1), balance=1_000.0)
    ticket = pend(terminal, "BUY_LIMIT", 1.099, volume=2.0).order
    play(terminal)
    assert terminal.positions_total() == 0
    assert terminal.history_orders_get(ticket=ticket)[0].state == CANCELLED


def test_65_orders_and_volumes_are_limited():
    terminal = market(limit_orders=2, spec_changes={"volume_limit": 0.35})
    assert order(terminal, volume=0.1).retcode == 10009
    assert pend(terminal, "BUY_LIMIT", 1.09).retcode == 10009
    assert pend(terminal, "BUY_LIMIT", 1.08, volume=0.2).retcode == 10034
    assert pend(terminal, "SELL_LIMIT", 1.2).retcode == 10009
    assert pend(terminal, "SELL_LIMIT", 1.2).retcode == 10033
    assert terminal.account_info().limit_orders == 2


@pytest.mark.parametrize(("volume", "side", "left"), [(0.1, "buy", 0.3), (0.1, "sell", 0.1), (0.5, "sell", 0.3)])
def test_65_on_a_netting_account_a_filled_order_changes_the_one_position(volume, side, left):
    terminal = market((1.1, 1.1021, 1.1, 1.1), hedging=False)
    first = order(terminal, side, volume=0.2).order
    ticket = pend(terminal, "BUY_STOP", 1.101, volume=volume).order
    play(terminal)
    (position,) = terminal.positions_get()
    assert (position.volume, position.identifier) == (left, first)
    assert position.ticket == (ticket if volume > 0.2 else first)


def test_65_recorded_quotes_fill_orders_at_the_first_quote_beyond():
    rows = [(0, 1.1, 1.1001), (60, 1.1, 1.1001), (65, 1.1004, 1.1006), (66.25, 1.101, 1.1013), (67, 1.1, 1.1001), (125, 1.1, 1.1001)]
    terminal = make_terminal(make_quotes(rows))
    stop, limit = pend(terminal, "BUY_STOP", 1.1010).order, pend(terminal, "SELL_LIMIT", 1.1003).order
    terminal.advance()
    assert {held.ticket: held.price_open for held in terminal.positions_get()} == {stop: 1.1013, limit: 1.1004}
    assert terminal.positions_get(ticket=stop)[0].time_msc == (MONDAY + OFFSET) * 1000 + 66_250


def test_65_the_book_remembers_orders(tmp_path):
    first = market(book=tmp_path / "broker.db")
    pend(first, "BUY_LIMIT", 1.098, sl=1.09, type_time=1, magic=2**64 - 1, comment="k")
    before = first.orders_get()
    first.close()
    second = market(book=tmp_path / "broker.db")
    assert second.orders_get() == before
    second.close()
