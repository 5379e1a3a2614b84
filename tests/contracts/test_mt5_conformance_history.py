"""Conformance of history, and of what must be the same again: numbers 70, 71, 73 and 74 of the checklist."""

import numpy as np

from tests.fakes_simulated import MONDAY, OFFSET, all_deals, flat, make_bars, make_terminal, order, pend

NOW = MONDAY + OFFSET


def test_70_deals_by_position_by_order_and_by_time():
    terminal = make_terminal(make_bars(flat(1.1, 6)))
    opened = order(terminal, volume=0.1)
    terminal.advance()
    closed = order(terminal, "sell", volume=0.1, position=opened.order)
    assert [(deal.entry, deal.ticket) for deal in terminal.history_deals_get(position=opened.order)] == [(0, opened.deal), (1, closed.deal)]
    assert [deal.ticket for deal in terminal.history_deals_get(ticket=closed.order)] == [closed.deal]
    assert terminal.history_deals_get(ticket=closed.deal) == ()
    assert [deal.ticket for deal in terminal.history_deals_get(NOW + 60, NOW + 119) if deal.symbol] == [opened.deal]
    assert [deal.ticket for deal in terminal.history_deals_get(NOW + 120, NOW + 120)] == [closed.deal]
    assert terminal.history_deals_get(0, 2**33, group="*JPY*") == ()
    assert terminal.history_deals_get(date_from=0, date_to=2**31) is None
    assert terminal.last_error() == (-2, "Invalid arguments")


def test_71_totals_equal_lengths():
    terminal = make_terminal(make_bars(flat(1.1, 6)))
    order(terminal, volume=0.1)
    pend(terminal, "BUY_LIMIT", 1.09)
    for first, last in ((0, 2**33), (NOW, NOW + 60), (0, 5)):
        assert terminal.history_deals_total(first, last) == len(terminal.history_deals_get(first, last))
        assert terminal.history_orders_total(first, last) == len(terminal.history_orders_get(first, last))
    assert (terminal.positions_total(), terminal.orders_total()) == (len(terminal.positions_get()), len(terminal.orders_get())) == (1, 1)


def wandering(count=150):
    rng = np.random.default_rng(4)
    closes = np.round(1.1 + np.cumsum(rng.normal(0, 3e-4, count)), 5)
    opens = np.concatenate(([1.1], closes[:-1]))
    rows = np.stack((opens, np.maximum(opens, closes) + 1e-4, np.minimum(opens, closes) - 1e-4, closes), 1)
    return make_bars(np.round(rows, 5))


def trade(terminal, bars):
    """A policy whose choices depend on the bar alone."""
    for _ in range(bars):
        terminal.advance()
        rng = np.random.default_rng(int(terminal.clock.now().timestamp()))
        tick, side = terminal.symbol_info_tick("EURUSD"), rng.choice(("buy", "sell"))
        sign = 1 if side == "buy" else -1
        order(terminal, side, volume=0.1, sl=round(tick.bid - sign * 6e-4, 5), tp=round(tick.bid + sign * 6e-4, 5), magic=5)
        pend(terminal, "BUY_STOP", round(tick.ask + 4e-4, 5), sl=round(tick.ask - 4e-4, 5), type_time=1, magic=6)
        if terminal.orders_total() > 3:
            terminal.order_send({"action": terminal.TRADE_ACTION_REMOVE, "order": terminal.orders_get()[0].ticket})


def state(terminal):
    history = (all_deals(terminal), terminal.history_orders_get(0, 2**33))
    return (*history, terminal.positions_get(), terminal.orders_get(), terminal.account_info(), terminal.symbol_info_tick("EURUSD"))


def test_73_the_same_data_and_requests_make_the_same_deals():
    first, second = make_terminal(wandering()), make_terminal(wandering())
    trade(first, 120)
    trade(second, 120)
    assert state(first) == state(second)
    assert len(all_deals(first)) > 150


def test_74_a_restart_goes_on_where_it_was(tmp_path):
    whole = make_terminal(wandering(), commission_per_lot=3.5)
    trade(whole, 120)
    for part in (17, 1, 62, 40):
        terminal = make_terminal(wandering(), book=tmp_path / "broker.db", commission_per_lot=3.5)
        trade(terminal, part)
        last = state(terminal)
        terminal.close()
    assert last == state(whole)
    assert {held.magic for held in last[2]} <= {5, 6}
    assert last[3]
