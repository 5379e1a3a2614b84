from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes_simulated import MONDAY, OFFSET, SERVER, all_deals, flat, make_bars, make_terminal, order

RISING = (1.1, 1.103, 1.099, 1.102)
FALLING = (1.1, 1.103, 1.097, 1.098)


def terminal_at(bar, **options):
    """One quiet bar, then the given one forming, then two quiet ones."""
    return make_terminal(make_bars([*flat(1.1), bar, *flat(bar[3], 2)], volume=30), **options)


def to(terminal, seconds):
    """Plays to so many seconds after the first bar's open."""
    terminal.advance_to(datetime.fromtimestamp(MONDAY + seconds, UTC))
    return terminal


@pytest.mark.parametrize(
    ("seconds", "bar", "volume"),
    [
        (79, (1.1, 1.1, 1.1, 1.1), 1),
        (80, (1.1, 1.1, 1.099, 1.099), 10),
        (100, (1.1, 1.103, 1.099, 1.103), 20),
        (119, (1.1, 1.103, 1.099, 1.102), 30),
    ],
)
def test_the_forming_bar_moves_with_its_quotes(seconds, bar, volume):
    terminal = to(terminal_at(RISING), seconds)
    newest, tick = terminal.copy_rates_from_pos("EURUSD", 1, 0, 1)[0], terminal.symbol_info_tick("EURUSD")
    assert tuple(newest)[1:6] == (*bar, volume)
    assert tick.bid == newest["close"] == terminal.copy_ticks_from("EURUSD", 0, 99, -1)["bid"][-1]
    assert tick.ask == pytest.approx(tick.bid + 0.0001)
    assert terminal.clock.now() == datetime.fromtimestamp(MONDAY + seconds, UTC)


def test_a_falling_bar_shows_its_high_first():
    terminal = terminal_at(FALLING)
    assert to(terminal, 80).symbol_info_tick("EURUSD").bid == 1.103
    assert to(terminal, 100).symbol_info_tick("EURUSD").bid == 1.097


def test_a_stop_is_met_when_its_quote_comes():
    terminal = terminal_at(RISING)
    order(terminal, sl=1.0995, tp=1.15, volume=0.1)
    assert to(terminal, 79).positions_total() == 1
    assert to(terminal, 80).positions_total() == 0
    deal = all_deals(terminal)[-1]
    assert (deal.price, deal.time, deal.comment) == (1.0995, MONDAY + OFFSET + 80, "[sl 1.09950]")


def test_a_target_met_before_the_stop_of_the_same_bar_gives_way_to_it():
    terminal = terminal_at(FALLING)
    order(terminal, sl=1.0995, tp=1.1025, volume=0.1)
    to(terminal, 80)
    assert all_deals(terminal)[-1].reason == 4


def test_a_position_opened_inside_a_bar_lives_through_the_rest_of_it_only():
    terminal = to(terminal_at(RISING), 85)
    order(terminal, volume=0.1, sl=1.0985, tp=1.15)
    order(terminal, "sell", volume=0.1, sl=1.1025)
    to(terminal, 119)
    assert [position.sl for position in terminal.positions_get()] == [1.0985]


def test_whole_bars_between_are_played_as_bars():
    terminal = make_terminal(make_bars([*flat(1.1, 2), (1.1, 1.12, 1.08, 1.1), *flat(1.1, 3)]))
    order(terminal, volume=0.1, sl=1.09, tp=1.11)
    to(terminal, 290)
    assert (all_deals(terminal)[-1].reason, all_deals(terminal)[-1].time) == (4, MONDAY + OFFSET + 179)


def test_the_past_changes_nothing_and_the_end_stays():
    terminal = to(terminal_at(RISING), 100)
    quote = terminal.symbol_info_tick("EURUSD")
    assert to(terminal, 60).symbol_info_tick("EURUSD") == quote
    assert to(terminal, 99_999).symbol_info_tick("EURUSD").bid == RISING[3]
    assert terminal.advance() is False
    assert order(terminal, volume=0.1).retcode == 10018


def test_a_naive_instant_is_refused():
    with pytest.raises(ValueError, match="aware"):
        terminal_at(RISING).advance_to(datetime(2024, 1, 8, 10))  # noqa: DTZ001  # the point of this test


def test_a_book_remembers_the_instant_inside_a_bar(tmp_path):
    first = to(terminal_at(RISING, book=tmp_path / "broker.db"), 85)
    seen = (first.symbol_info_tick("EURUSD"), first.clock.now())
    first.close()
    second = terminal_at(RISING, book=tmp_path / "broker.db")
    assert (second.symbol_info_tick("EURUSD"), second.clock.now()) == seen
    second.close()


def wandering(seed, count=40):
    rng = np.random.default_rng(seed)
    closes = np.round(1.1 + np.cumsum(rng.normal(0, 3e-4, count)), 5)
    opens = np.round(np.concatenate(([1.1], closes[:-1])) + rng.normal(0, 5e-5, count), 5)
    reach = np.round(np.abs(rng.normal(0, 2e-4, (2, count))), 5)
    return make_bars(
        np.stack((opens, np.maximum(opens, closes) + reach[0], np.minimum(opens, closes) - reach[1], closes), 1).round(5), volume=9
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(st.integers(1, 200), min_size=1, max_size=40))
def test_nothing_from_the_future_and_closed_bars_stay(seed, steps):
    terminal, now, closed = make_terminal(wandering(seed)), MONDAY + 60, {}
    for step in steps:
        now += step
        to(terminal, now - MONDAY)
        server = int(SERVER.to_server(now)[0])
        for timeframe in (1, 5, 16385):
            rates = terminal.copy_rates_from_pos("EURUSD", timeframe, 0, 99)
            assert rates["time"][-1] <= server
            assert rates["close"][-1] == terminal.symbol_info_tick("EURUSD").bid
            assert (rates["high"] >= np.maximum(rates["open"], rates["close"])).all()
            assert all(closed.setdefault((timeframe, row[0]), row) == row for row in rates[:-1].tolist())
        assert terminal.copy_ticks_range("EURUSD", 0, 2**33, -1)["time_msc"].max() <= server * 1000


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(st.integers(1, 90), min_size=1, max_size=60))
def test_stops_inside_bars_make_the_deals_of_whole_bars(seed, steps):
    def play(terminal, halts):
        rng = np.random.default_rng(seed)
        for _ in range(37):  # the last bar stays open in lockstep
            assert terminal.advance()
            tick, side = terminal.symbol_info_tick("EURUSD"), rng.choice(("buy", "sell"))
            away, sign = round(float(rng.uniform(3e-4, 1e-3)), 5), 1 if side == "buy" else -1
            order(terminal, side, volume=0.1, sl=round(tick.bid - sign * away, 5), tp=round(tick.bid + sign * away, 5))
            for halt in halts:
                now = terminal.clock.now()
                if now.second + halt < 60:
                    terminal.advance_to(now + timedelta(seconds=halt))
        terminal.advance()
        return sorted((deal.position_id, deal.entry, deal.price, deal.reason, deal.profit) for deal in all_deals(terminal))

    assert play(make_terminal(wandering(seed)), steps) == play(make_terminal(wandering(seed)), ())
