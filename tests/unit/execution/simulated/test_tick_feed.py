import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.simulated import default_spec
from execution.simulated.terms import BrokerTerms
from execution.simulated.tick_feed import Levels, TickFeed
from market_data.bars import Timeframe
from market_data.quotes import bars_of, quotes_from_ticks
from tests.fakes_simulated import MONDAY, SERVER, all_deals, make_bars, make_quotes, make_terminal, order


def feed_of(rows):
    return TickFeed(make_quotes(rows), default_spec("EURUSD"), SERVER, BrokerTerms())


def walk(seed, count=300):
    rng = np.random.default_rng(seed)
    bids = np.round(1.1 + np.cumsum(rng.normal(0, 3e-5, count)), 5)
    asks = np.round(bids + rng.integers(0, 6, count) * 1e-5, 5)
    seconds = np.sort(np.round(rng.uniform(0, 1200, count), 3))
    seconds[0] = 0.0
    return list(zip(seconds, bids, asks, strict=True))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shown=st.integers(-1, 298), reach=st.floats(1e-5, 2e-3))
def test_the_search_finds_what_a_walk_would(seed, shown, reach):
    feed = feed_of(walk(seed))
    feed.show(shown)
    bid, ask = feed.quotes.bid, feed.quotes.ask
    levels = Levels(1.1 - reach, 1.1 + reach, 1.1 - 2 * reach, 1.1 + 2 * reach)
    walked = next(
        (
            at
            for at in range(shown + 1, 300)
            if bid[at] <= levels.bid_low or bid[at] >= levels.bid_high or ask[at] <= levels.ask_low or ask[at] >= levels.ask_high
        ),
        None,
    )
    assert feed.first_crossing(levels, 299) == walked


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), now=st.integers(0, 1_200_000))
def test_the_forming_bar_is_made_of_what_has_been_shown(seed, now):
    feed = feed_of(walk(seed))
    feed.seek(MONDAY * 1000 + now)
    whole = bars_of(feed.quotes, Timeframe.M1, 1e-5)
    shown = feed.quotes.time_msc <= MONDAY * 1000 + now
    row = feed.window(1, feed.visible(1) - 1, feed.visible(1))[0]
    part = feed.quotes.bid[shown & (feed.quotes.time_msc >= whole.time[feed.position] * 1000)]
    assert (row["open"], row["high"], row["low"], row["close"], row["tick_volume"]) == (
        part[0],
        part.max(),
        part.min(),
        part[-1],
        len(part),
    )


def test_bars_of_quotes():
    bars = bars_of(make_quotes([(1, 1.1, 1.10003), (59, 1.2, 1.20001), (130, 1.0, 1.1)]), Timeframe.M1, 1e-5)
    assert (bars.time - MONDAY).tolist() == [0, 120]
    assert (bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), bars.close.tolist()) == (
        [1.1, 1.0],
        [1.2, 1.0],
        [1.1, 1.0],
        [1.2, 1.0],
    )
    assert (bars.tick_volume.tolist(), bars.spread.tolist()) == ([2, 1], [1, 10_000])


def test_crossed_quotes_are_left_out():
    rows = np.array([(1, 1.1, 1.2), (2, 1.3, 1.2), (3, 1.2, 1.2)], dtype=[("time_msc", "<i8"), ("bid", "<f8"), ("ask", "<f8")])
    assert quotes_from_ticks("EURUSD", rows).time_msc.tolist() == [1, 3]


def test_stop_out_comes_at_the_quote_that_brings_it():
    rows = [(0, 1.1, 1.1), (60, 1.1, 1.1), (70, 1.098, 1.098), (80, 1.0935, 1.0935), (81, 1.1, 1.1), (130, 1.1, 1.1)]
    terminal = make_terminal(make_quotes(rows))
    order(terminal, volume=8.5)
    terminal.advance()
    deal = all_deals(terminal)[-1]
    assert (deal.price, deal.reason, deal.time_msc % 60_000) == (1.0935, 6, 20_000)


def test_symbols_are_played_in_order_of_time_whatever_their_kind():
    euro = make_quotes([(0, 1.1, 1.1001), (60, 1.1, 1.1001), (65.5, 1.0, 1.0001), (190, 1.1, 1.1001)])
    pound = make_quotes([(0, 1.3, 1.3001), (60, 1.3, 1.3001), (62.25, 1.2, 1.2001), (190, 1.3, 1.3001)], "GBPUSD")
    yen = make_bars([(150.0, 150.0, 150.0, 150.0)] * 4, symbol="USDJPY")
    terminal = make_terminal([euro, pound, yen])
    order(terminal, volume=0.1, sl=1.05)
    order(terminal, volume=0.1, symbol="GBPUSD", sl=1.25)
    while terminal.advance():
        pass
    closing = [(deal.symbol, deal.price) for deal in all_deals(terminal) if deal.entry == 1]
    assert closing == [("GBPUSD", 1.2), ("EURUSD", 1.0)]


@pytest.mark.parametrize("step", [1, 7, 60])
def test_a_resumed_book_stands_at_the_same_quote(tmp_path, step):
    rows = walk(4)
    terminal = make_terminal(make_quotes(rows), book=tmp_path / "broker.db")
    for _ in range(step % 9 + 1):
        terminal.advance()
    before = (terminal.symbol_info_tick("EURUSD"), terminal.copy_rates_from_pos("EURUSD", 1, 0, 9).tolist())
    terminal.close()
    again = make_terminal(make_quotes(rows), book=tmp_path / "broker.db")
    assert (again.symbol_info_tick("EURUSD"), again.copy_rates_from_pos("EURUSD", 1, 0, 9).tolist()) == before
    again.close()
