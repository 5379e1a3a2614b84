"""Conformance of fills and positions: numbers 57 to 64 of the checklist."""

import pytest

from tests.fakes_simulated import all_deals, flat, make_bars, make_quotes, make_terminal, order, pend

SL, TP = 4, 5


def quiet(count=4, **options):
    return make_terminal(make_bars(flat(1.1, count)), **options)


def stops(terminal, ticket, **levels):
    return terminal.order_send({"action": terminal.TRADE_ACTION_SLTP, "symbol": "EURUSD", "position": ticket, **levels}).retcode


def test_57_buys_fill_at_the_ask_and_sells_at_the_bid_with_slippage_lost():
    terminal = quiet(slippage_points=2.0)
    long, short = order(terminal, volume=0.1), order(terminal, "sell", volume=0.1)
    assert (long.price, short.price) == (1.10012, 1.09998)
    assert order(terminal, "sell", volume=0.1, position=long.order).price == 1.09998
    assert order(terminal, volume=0.1, position=short.order).price == 1.10012


@pytest.mark.parametrize(
    ("request_", "spec", "retcode"),
    [
        ({"type_filling": 2}, {}, 10030),
        ({"type_filling": 1}, {"filling_mode": 1}, 10030),
        ({"volume": 0.015}, {}, 10014),
        ({"volume": 0.001}, {}, 10014),
        ({"volume": 1_000.0}, {}, 10014),
        ({"sl": 1.09995}, {"stops_level": 10}, 10016),
        ({"sl": 1.2}, {}, 10016),
        ({"tp": 1.0}, {}, 10016),
        ({"sl": 1.099905}, {}, 10016),
        ({"volume": 50.0}, {}, 10019),
        ({"price": 1.1}, {"exemode": 1}, 10004),
        ({"price": 1.1}, {"exemode": 0}, 10020),
        ({"price": 1.1, "deviation": 9}, {"exemode": 0}, 10020),
        ({"price": 0.0}, {"exemode": 0}, 10015),
        ({"type_filling": 3}, {"filling_mode": 7}, 10030),
        ({"price": 0.0}, {"exemode": 1}, 10015),
        ({"price": 1.100103}, {"exemode": 1}, 10015),
        ({"volume": 2.0}, {"volume_limit": 1.5}, 10034),
    ],
)
def test_58_each_fault_has_its_retcode(request_, spec, retcode):
    terminal = quiet(spec_changes=spec)
    assert order(terminal, **{"volume": 0.1, **request_}).retcode == retcode
    assert all_deals(terminal)[1:] == ()


def test_58_a_closed_market_refuses():
    euro, gold = make_bars(flat(1.1, 90)), make_bars(flat(2000.0, 3), symbol="XAUUSD", minutes=[0, 1, 80])
    terminal = make_terminal([euro, gold])
    terminal.advance()
    assert order(terminal, symbol="XAUUSD", volume=0.1).retcode == 10018


@pytest.mark.parametrize(("exemode", "retcode"), [(0, 10020), (1, 10004)])
def test_58_a_price_that_moved_on_is_refused_and_the_answer_shows_the_new_one(exemode, retcode):
    terminal = make_terminal(make_bars([*flat(1.1, 2), *flat(1.101, 2)]), spec_changes={"exemode": exemode})
    asked = terminal.symbol_info_tick("EURUSD").ask
    terminal.advance()
    terminal.advance()
    refused = order(terminal, volume=0.1, price=asked, deviation=20)
    assert (refused.retcode, refused.ask, refused.deal) == (retcode, 1.1011, 0)
    assert order(terminal, volume=0.1, price=refused.ask, deviation=0).retcode == 10009
    assert order(terminal, volume=0.1, price=asked, deviation=100).retcode == 10009


def test_58_a_hedging_account_has_so_many_positions_and_orders_that_would_open_one():
    terminal = quiet(limit_positions=3)
    first = order(terminal, volume=0.1).order
    waiting = pend(terminal, "BUY_LIMIT", 1.09).order
    assert order(terminal, "sell", volume=0.1).retcode == 10009
    assert order(terminal, volume=0.1).retcode == 10040
    assert pend(terminal, "BUY_LIMIT", 1.09).retcode == 10040
    assert order(terminal, "sell", volume=0.05, position=first).retcode == 10009
    assert order(terminal, volume=0.1).retcode == 10040
    assert terminal.order_send({"action": terminal.TRADE_ACTION_REMOVE, "order": waiting}).retcode == 10009
    assert order(terminal, volume=0.1).retcode == 10009
    assert (terminal.positions_total(), terminal.account_info().limit_orders) == (3, 0)


def test_58_a_netting_account_at_its_limit_trades_what_it_holds():
    euro, pound = make_bars(flat(1.1, 6)), make_bars([*flat(1.25, 2), *flat(1.2399, 4)], symbol="GBPUSD")
    terminal = make_terminal([euro, pound], hedging=False, limit_positions=1)
    waiting = pend(terminal, "BUY_LIMIT", 1.24, symbol="GBPUSD").order
    assert order(terminal, volume=0.1).retcode == 10009
    assert order(terminal, symbol="GBPUSD", volume=0.1).retcode == 10040
    assert pend(terminal, "BUY_LIMIT", 1.24, symbol="GBPUSD").retcode == 10040
    assert order(terminal, volume=0.1).retcode == order(terminal, "sell", volume=0.4).retcode == 10009
    while terminal.advance():
        pass
    assert terminal.history_orders_get(ticket=waiting)[0].state == 2
    assert [held.symbol for held in terminal.positions_get()] == ["EURUSD"]


def test_58_switches_of_the_terminal_refuse():
    terminal = quiet()
    terminal.algo_trading = False
    assert order(terminal, volume=0.1).retcode == 10027
    terminal.algo_trading, terminal.api_disabled = True, True
    assert order(terminal, volume=0.1) is None
    assert terminal.last_error()[0] == -8


def test_59_hedging_holds_two_opposite_positions():
    terminal = quiet()
    tickets = [order(terminal, volume=0.1).order, order(terminal, "sell", volume=0.1).order]
    positions = terminal.positions_get()
    assert [(held.ticket, held.identifier, held.type) for held in positions] == [(tickets[0], tickets[0], 0), (tickets[1], tickets[1], 1)]


def test_59_netting_holds_one_position_which_adds_reduces_and_turns():
    terminal = make_terminal(make_bars([*flat(1.1, 2), *flat(1.102, 4)]), hedging=False)
    first = order(terminal, volume=0.2)
    terminal.advance()
    assert order(terminal, volume=0.2).price == 1.1021
    (grown,) = terminal.positions_get()
    assert (grown.ticket, grown.volume, grown.price_open) == (first.order, 0.4, pytest.approx(1.1011))
    order(terminal, "sell", volume=0.1)
    turning = order(terminal, "sell", volume=0.5)
    (turned,) = terminal.positions_get()
    assert (turned.type, turned.volume, turned.ticket, turned.identifier) == (1, 0.2, turning.order, first.order)
    deals = terminal.history_deals_get(position=first.order)
    assert [deal.entry for deal in deals] == [0, 0, 1, 2]
    assert deals[-1].profit == pytest.approx((1.102 - 1.1011) * 30_000, abs=0.01)
    assert terminal.account_info().margin_mode == terminal.ACCOUNT_MARGIN_MODE_RETAIL_NETTING


def test_60_closing_by_ticket():
    terminal = quiet()
    ticket = order(terminal, volume=0.3).order
    assert order(terminal, "sell", volume=0.4, position=ticket).retcode == 10038
    assert order(terminal, "sell", volume=0.1, position=ticket).retcode == 10009
    assert terminal.positions_get(ticket=ticket)[0].volume == 0.2
    assert order(terminal, "sell", volume=0.2, position=ticket).retcode == 10009
    assert terminal.positions_get() == ()
    assert [deal.entry for deal in terminal.history_deals_get(position=ticket)] == [0, 1, 1]
    assert order(terminal, "sell", volume=0.2, position=ticket).retcode == 10036


def test_61_stops_are_set_cleared_and_frozen():
    terminal = quiet(spec_changes={"freeze_level": 30})
    ticket = order(terminal, volume=0.1).order
    assert stops(terminal, ticket, sl=1.09, tp=1.11) == 10009
    assert stops(terminal, ticket, sl=1.09, tp=1.11) == 10025
    assert stops(terminal, ticket, sl=1.0998) == 10009
    assert terminal.positions_get()[0].tp == 0.0
    assert stops(terminal, ticket, sl=1.09) == 10029


@pytest.mark.parametrize(
    ("side", "levels", "bar", "price", "reason"),
    [
        ("buy", {"sl": 1.099}, (1.1, 1.1, 1.099, 1.1), 1.099, SL),
        ("buy", {"tp": 1.102}, (1.1, 1.102, 1.1, 1.1), 1.102, TP),
        ("sell", {"sl": 1.101}, (1.1, 1.1009, 1.1, 1.1), 1.101, SL),
        ("sell", {"tp": 1.098}, (1.1, 1.1, 1.0979, 1.1), 1.098, TP),
        ("buy", {"sl": 1.099}, (1.095, 1.096, 1.094, 1.096), 1.095, SL),
        ("sell", {"sl": 1.101}, (1.105, 1.106, 1.104, 1.105), 1.1051, SL),
    ],
)
def test_62_stops_and_targets_fire_on_the_closing_side_and_gaps_fill_at_the_gap(side, levels, bar, price, reason):
    terminal = make_terminal(make_bars([*flat(1.1, 2), bar, *flat(bar[3], 2)]))
    order(terminal, side, volume=0.1, **levels)
    for _ in range(2):
        terminal.advance()
    deal = all_deals(terminal)[-1]
    name, level = next(iter(levels.items()))
    assert (deal.price, deal.reason, deal.comment) == (price, reason, f"[{name} {level:.5f}]")


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_62_recorded_quotes_fill_at_the_first_quote_beyond(side, sign):
    rows = [(0, 1.1, 1.1001), (30, 1.1, 1.1001), (61, 1.1, 1.1001), (70, 1.1 - sign * 4e-4, 1.1001 - sign * 4e-4)]
    rows += [(71.5, 1.1 - sign * 9e-4, 1.1001 - sign * 9e-4), (72, 1.1, 1.1001), (130, 1.1, 1.1001)]
    terminal = make_terminal(make_quotes(rows))
    quote = terminal.symbol_info_tick("EURUSD")
    exit_ = quote.bid if side == "buy" else quote.ask
    assert order(terminal, side, volume=0.1, sl=round(exit_ - sign * 5e-4, 5)).retcode == 10009
    terminal.advance()
    deal = all_deals(terminal)[-1]
    assert (deal.price, deal.reason) == (pytest.approx(exit_ - sign * 9e-4), SL)
    assert deal.time_msc % 60_000 == 11_500


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_63_both_barriers_in_one_bar_mean_the_stop(side):
    terminal = make_terminal(make_bars([*flat(1.1, 2), (1.1, 1.12, 1.08, 1.1), *flat(1.1, 2)]))
    levels = (1.09, 1.11) if side == "buy" else (1.11, 1.09)
    order(terminal, side, volume=0.1, sl=levels[0], tp=levels[1])
    for _ in range(2):
        terminal.advance()
    assert (all_deals(terminal)[-1].reason, all_deals(terminal)[-1].price) == (SL, levels[0])


def test_64_two_positions_are_closed_against_each_other():
    terminal = quiet()
    long, short = order(terminal, volume=0.3).order, order(terminal, "sell", volume=0.1).order
    request = {"action": terminal.TRADE_ACTION_CLOSE_BY, "position": long, "position_by": short}
    assert terminal.order_send(request).retcode == 10009
    assert [(deal.entry, deal.volume) for deal in all_deals(terminal)[-2:]] == [(3, 0.1), (3, 0.1)]
    assert [held.volume for held in terminal.positions_get()] == [0.2]
    netting = quiet(hedging=False)
    ticket = order(netting, volume=0.1).order
    assert netting.order_send({**request, "symbol": "EURUSD", "position": ticket}).retcode == 10013


def test_64_a_fifo_account_closes_the_oldest_first():
    terminal = quiet(fifo=True)
    old, young = order(terminal, volume=0.1).order, order(terminal, volume=0.1).order
    other = order(terminal, "sell", volume=0.1).order
    assert terminal.account_info().fifo_close is True
    assert order(terminal, "sell", volume=0.1, position=young).retcode == 10045
    request = {"action": terminal.TRADE_ACTION_CLOSE_BY, "symbol": "EURUSD", "position": old, "position_by": other}
    assert terminal.order_send(request).retcode == 10045
    assert order(terminal, "sell", volume=0.1, position=old).retcode == 10009
    assert order(terminal, "sell", volume=0.1, position=young).retcode == 10009


@pytest.mark.parametrize(("mode", "retcode"), [(1, 10042), (3, 10044)])
def test_60_a_restricted_symbol_lets_a_netting_position_be_reduced(mode, retcode):
    terminal = quiet(hedging=False)
    order(terminal, volume=0.2)
    feed = terminal._market.feeds["EURUSD"]
    feed.spec = type(feed.spec)(**{name: getattr(feed.spec, name) for name in feed.spec.__slots__} | {"trade_mode": mode})
    assert order(terminal, "sell", volume=0.3).retcode == retcode
    assert order(terminal, "sell", volume=0.1).retcode == 10009
