import pytest

from tests.fakes_simulated import MONDAY, OFFSET, all_deals, flat, make_bars, make_terminal, order

SL, TP = 4, 5


def terminal_with(later, **options):
    """Two quiet bars at 1.10000, then the given ones; the clock stands at the second bar's open."""
    return make_terminal(make_bars([*flat(1.1, 2), *later, *flat(later[-1][3])], **options))


def closing(terminal, advances=3):
    for _ in range(advances):
        terminal.advance()
    return all_deals(terminal)[-1]


def test_a_buy_fills_at_the_ask_and_a_sell_at_the_bid_of_the_next_open():
    terminal = make_terminal(make_bars([*flat(1.1), (1.2, 1.21, 1.19, 1.2), *flat(1.2)]))
    assert order(terminal).price == 1.2001
    assert order(terminal, "sell").price == 1.2


def test_slippage_is_lost_on_both_sides():
    terminal = make_terminal(make_bars(flat(1.1, 3)), slippage_points=2.0)
    assert order(terminal).price == 1.10012
    assert order(terminal, "sell").price == 1.09998


def test_long_stop_is_hit_on_the_bid_at_its_level():
    terminal = terminal_with([(1.1, 1.1001, 1.0989, 1.1)])
    order(terminal, sl=1.099, tp=1.105)
    deal = closing(terminal)
    assert (deal.price, deal.reason, deal.comment) == (1.099, SL, "[sl 1.09900]")
    assert deal.profit == pytest.approx((1.099 - 1.1001) * 100_000)


def test_long_stop_is_not_hit_one_point_above():
    terminal = terminal_with([(1.1, 1.1001, 1.09901, 1.1)])
    order(terminal, sl=1.099)
    closing(terminal)
    assert terminal.positions_total() == 1


def test_short_stop_is_hit_on_the_ask():
    terminal = terminal_with([(1.1, 1.1009, 1.1, 1.1)])
    order(terminal, "sell", sl=1.101, tp=1.09)
    deal = closing(terminal)
    assert (deal.price, deal.reason, deal.type) == (1.101, SL, 0)
    assert deal.profit == pytest.approx(-100.0)


def test_short_stop_is_not_hit_while_only_the_bid_is_near():
    terminal = terminal_with([(1.1, 1.10089, 1.1, 1.1)])
    order(terminal, "sell", sl=1.101)
    closing(terminal)
    assert terminal.positions_total() == 1


def test_targets_are_hit_on_the_closing_side():
    long = terminal_with([(1.1, 1.102, 1.1, 1.1)])
    order(long, tp=1.102)
    assert (closing(long).price, closing(long).reason) == (1.102, TP)
    short = terminal_with([(1.1, 1.1, 1.0979, 1.1)])
    order(short, "sell", tp=1.098)
    assert (closing(short).price, closing(short).comment) == (1.098, "[tp 1.09800]")
    missed = terminal_with([(1.1, 1.1, 1.09791, 1.1)])
    order(missed, "sell", tp=1.098)
    closing(missed)
    assert missed.positions_total() == 1


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_with_both_barriers_in_one_bar_the_stop_is_taken(side):
    terminal = terminal_with([(1.1, 1.12, 1.08, 1.1)])
    stops = {"sl": 1.09, "tp": 1.11} if side == "buy" else {"sl": 1.11, "tp": 1.09}
    order(terminal, side, **stops)
    assert closing(terminal).reason == SL


def test_a_gap_over_the_stop_fills_at_the_open():
    terminal = terminal_with([(1.095, 1.096, 1.094, 1.096)])
    order(terminal, sl=1.099)
    deal = closing(terminal)
    assert (deal.price, deal.reason, deal.comment) == (1.095, SL, "[sl 1.09900]")


def test_a_gap_over_a_short_stop_fills_at_the_ask_of_the_open():
    terminal = terminal_with([(1.105, 1.106, 1.104, 1.105)])
    order(terminal, "sell", sl=1.101)
    assert closing(terminal).price == 1.1051


def test_a_gap_over_the_target_fills_at_the_better_open():
    long = terminal_with([(1.105, 1.106, 1.104, 1.105)])
    order(long, tp=1.102)
    assert (closing(long).price, closing(long).reason) == (1.105, TP)
    short = terminal_with([(1.095, 1.096, 1.094, 1.096)])
    order(short, "sell", tp=1.098)
    assert (closing(short).price, closing(short).reason) == (1.0951, TP)


def test_a_gap_is_settled_before_the_new_quote_is_seen():
    terminal = terminal_with([(1.095, 1.096, 1.094, 1.096)])
    order(terminal, sl=1.099)
    assert terminal.advance()
    assert terminal.positions_total() == 0
    assert terminal.symbol_info_tick("EURUSD").bid == 1.095


def test_an_order_at_the_open_lives_through_the_rest_of_that_bar():
    terminal = make_terminal(make_bars([*flat(1.1), (1.1, 1.1, 1.098, 1.1), *flat(1.1, 2)]))
    order(terminal, sl=1.099)
    assert terminal.positions_total() == 1
    terminal.advance()
    assert all_deals(terminal)[-1].price == 1.099
    assert all_deals(terminal)[-1].time == MONDAY + OFFSET + 119


def test_sell_stop_uses_the_spread_of_each_bar():
    bars = make_bars([*flat(1.1, 2), (1.1, 1.1, 1.1, 1.1), *flat(1.1)])
    bars.spread[2] = 100.0
    terminal = make_terminal(bars)
    order(terminal, "sell", sl=1.1009)
    assert closing(terminal).price == 1.101


def test_stop_and_close_keep_the_magic_of_the_position():
    terminal = terminal_with([(1.1, 1.1001, 1.0989, 1.1)])
    order(terminal, sl=1.099, magic=77)
    assert closing(terminal).magic == 77


def test_stop_out_closes_the_worst_position_first():
    terminal = make_terminal(make_bars([*flat(1.1, 2), *flat(1.093, 3)], spread=0.0))
    big = order(terminal, volume=8.5).order
    small = order(terminal, "sell", volume=0.5).order
    terminal.advance()
    deal = all_deals(terminal)[-1]
    assert (deal.position_id, deal.reason) == (big, 6)
    assert deal.comment.startswith("so ")
    assert [position.ticket for position in terminal.positions_get()] == [small]


def test_balance_is_the_sum_of_all_deals_to_the_cent():
    rows = [(1.1 + 0.0001 * (i % 7), 1.1015 + 0.0001 * (i % 5), 1.0985, 1.1 + 0.0001 * ((i + 1) % 7)) for i in range(60)]
    terminal = make_terminal(make_bars(rows), commission_per_lot=3.33, slippage_points=1.5)
    sides = ("buy", "sell")
    count = 0
    while terminal.advance():
        order(terminal, sides[count % 2], volume=0.13, sl=1.09 if count % 2 == 0 else 1.11)
        for position in terminal.positions_get()[: count % 3]:
            order(terminal, sides[1 - position.type], volume=0.05, position=position.ticket)
        count += 1
    deals = all_deals(terminal)
    total = sum(deal.profit + deal.commission + deal.swap + deal.fee for deal in deals)
    assert len(deals) > 60
    assert round(total, 2) == terminal.account_info().balance
    assert all(round(deal.profit, 2) == deal.profit for deal in deals)


def test_the_end_of_the_data_changes_nothing():
    terminal = make_terminal(make_bars(flat(1.1, 3)))
    assert terminal.advance() is True
    before = (terminal.clock.now(), terminal.symbol_info_tick("EURUSD"))
    assert terminal.advance() is False
    assert (terminal.clock.now(), terminal.symbol_info_tick("EURUSD")) == before


def state(terminal, symbol="EURUSD"):
    feed = terminal._market.feeds[symbol]
    midnight = terminal._engine._midnight
    return (terminal.clock.now(), feed.position, feed.stage, feed.tick, terminal.symbol_info(symbol), terminal.account_info(), midnight)


@pytest.mark.parametrize("instants", [1, 7, 100, 1_500])
def test_a_leap_ends_where_playing_bar_by_bar_does(instants):
    """Over midnights of the server and minutes without a bar."""
    minutes = [minute for minute in range(1_700) if minute % 50 != 7]
    played, leapt = (make_terminal(make_bars(flat(1.1, len(minutes)), minutes=minutes)) for _ in range(2))
    coming = leapt.instants(5_000)
    for _ in range(instants):
        played.advance()
    leapt.leap(int(coming[instants - 1]))
    assert state(leapt) == state(played)
    for terminal in (played, leapt):
        order(terminal)
        terminal.advance()
    assert state(leapt) == state(played)


def test_with_a_position_open_a_leap_plays_every_bar():
    terminal = terminal_with([(1.1, 1.1001, 1.0989, 1.1), *flat(1.1, 3)])
    last = int(terminal.instants(9)[-1])
    order(terminal, sl=1.099, tp=1.105)
    assert terminal.instants(9)[-1] == last
    terminal.leap(last)
    assert (terminal.positions_total(), all_deals(terminal)[-1].reason) == (0, SL)
