import pytest

from tests.fakes_simulated import all_deals, flat, make_bars, make_terminal, order


def moving(**options):
    return make_terminal(make_bars([*flat(1.1, 2), *flat(1.101, 3)]), **options)


def test_commission_is_charged_on_each_side_by_volume():
    terminal = moving(commission_per_lot=3.5)
    ticket = order(terminal, volume=0.4).order
    terminal.advance()
    order(terminal, "sell", volume=0.4, position=ticket)
    opened, closed = terminal.history_deals_get(position=ticket)
    assert (opened.commission, closed.commission) == (-1.4, -1.4)
    assert (opened.profit, closed.profit) == (0.0, 36.0)
    assert terminal.account_info().balance == 10_033.2


def test_a_partial_close_keeps_the_ticket_and_books_its_share():
    terminal = moving()
    ticket = order(terminal, volume=1.0).order
    terminal.advance()
    order(terminal, "sell", volume=0.3, position=ticket)
    (position,) = terminal.positions_get()
    assert (position.ticket, position.volume) == (ticket, 0.7)
    assert all_deals(terminal)[-1].profit == 27.0


def test_history_links_order_deal_and_position():
    terminal = moving()
    opened = order(terminal)
    closed = order(terminal, "sell", position=opened.order)
    assert [deal.ticket for deal in terminal.history_deals_get(position=opened.order)] == [opened.deal, closed.deal]
    assert [deal.ticket for deal in terminal.history_deals_get(ticket=closed.order)] == [closed.deal]
    (record,) = terminal.history_orders_get(ticket=closed.order)
    assert (record.state, record.type, record.position_id, record.volume_initial) == (4, 1, opened.order, 1.0)
    assert len(terminal.history_orders_get(position=opened.order)) == 2


def test_close_by_settles_two_opposite_positions():
    terminal = moving()
    long, short = order(terminal, volume=1.0).order, order(terminal, "sell", volume=0.4).order
    request = {"action": terminal.TRADE_ACTION_CLOSE_BY, "symbol": "EURUSD", "position": long, "position_by": short}
    assert terminal.order_send(request).retcode == 10009
    (left,) = terminal.positions_get()
    assert (left.ticket, left.volume) == (long, 0.6)
    assert [deal.entry for deal in all_deals(terminal)[-2:]] == [3, 3]
    assert sum(deal.profit for deal in all_deals(terminal)[-2:]) == pytest.approx((1.1 - 1.1001) * 40_000)


def test_close_by_needs_an_opposite_position():
    terminal = moving()
    first, second = order(terminal).order, order(terminal).order
    request = {"action": terminal.TRADE_ACTION_CLOSE_BY, "symbol": "EURUSD", "position": first, "position_by": second}
    assert terminal.order_send(request).retcode == 10013
    assert terminal.order_send({**request, "position_by": 5}).retcode == 10036


class TestNetting:
    def test_the_same_side_averages_the_price(self):
        terminal = moving(hedging=False)
        ticket = order(terminal, volume=1.0).order
        terminal.advance()
        order(terminal, volume=1.0)
        (position,) = terminal.positions_get()
        assert (position.ticket, position.volume) == (ticket, 2.0)
        assert position.price_open == pytest.approx((1.1001 + 1.1011) / 2)

    def test_the_opposite_side_reduces_then_reverses(self):
        terminal = moving(hedging=False)
        order(terminal, volume=1.0)
        terminal.advance()
        order(terminal, "sell", volume=0.4)
        order(terminal, "sell", volume=1.0)
        (position,) = terminal.positions_get()
        assert (position.type, position.volume, position.price_open) == (1, 0.4, 1.101)
        assert [deal.entry for deal in all_deals(terminal)[1:]] == [0, 1, 2]
        assert [deal.profit for deal in all_deals(terminal)[1:]] == [0.0, 36.0, 54.0]

    def test_an_equal_opposite_order_leaves_nothing(self):
        terminal = moving(hedging=False)
        order(terminal, volume=1.0)
        order(terminal, "sell", volume=1.0)
        assert terminal.positions_total() == 0
        assert terminal.account_info().margin_mode == terminal.ACCOUNT_MARGIN_MODE_RETAIL_NETTING


def test_margin_of_opposite_positions_is_that_of_the_larger_leg():
    terminal = moving()
    order(terminal, volume=1.0)
    alone = terminal.account_info().margin
    order(terminal, "sell", volume=0.5)
    assert terminal.account_info().margin == alone == pytest.approx(1100.1)
