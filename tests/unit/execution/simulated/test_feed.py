from datetime import UTC, datetime

import numpy as np
import pytest

from config.errors import DataError
from market_data.bars import Timeframe
from market_data.clock import BrokerTime
from market_data.costs import spread_of
from tests.fakes_simulated import MONDAY, OFFSET, SERVER, flat, make_bars, make_terminal, order

ROWS = [(1.1 + i * 0.001, 1.1005 + i * 0.001, 1.0995 + i * 0.001, 1.1002 + i * 0.001) for i in range(6)]


def test_the_forming_bar_shows_its_open_only():
    terminal = make_terminal(make_bars(ROWS, volume=50), history=2)
    forming = terminal.copy_rates_from_pos("EURUSD", 1, 0, 1)[0]
    assert (forming["open"], forming["high"], forming["low"], forming["close"]) == (ROWS[2][0],) * 4
    assert forming["tick_volume"] == 1
    terminal.advance()
    closed = terminal.copy_rates_from_pos("EURUSD", 1, 1, 1)[0]
    assert tuple(closed)[1:6] == (*ROWS[2], 50)


def test_what_the_source_does_not_know_is_zero_in_rates_and_a_profile_in_quotes():
    bars = make_bars(flat(1.1, 4), spread=None)
    terminal = make_terminal(bars)
    rates, tick = terminal.copy_rates_from_pos("EURUSD", 1, 0, 2), terminal.symbol_info_tick("EURUSD")
    assert rates["spread"].tolist() == rates["tick_volume"].tolist() == [0, 0]
    assert tick.ask == pytest.approx(1.1 + spread_of(bars, 0.00001)[1] * 0.00001)
    assert tick.ask > tick.bid


def test_the_ask_uses_the_recorded_spread_of_its_own_bar():
    bars = make_bars(flat(1.1, 4))
    bars.spread[:] = [3, 7, 20, 5]
    terminal = make_terminal(bars)
    assert terminal.symbol_info_tick("EURUSD").ask == 1.10007
    terminal.advance()
    assert terminal.symbol_info_tick("EURUSD").ask == 1.1002
    assert terminal.copy_rates_from_pos("EURUSD", 1, 0, 3)["spread"].tolist() == [3, 7, 20]


def test_two_symbols_are_merged_by_time_and_a_missing_minute_keeps_the_last_bar():
    euro = make_bars(ROWS[:5], minutes=[0, 1, 2, 3, 4])
    pound = make_bars(ROWS[:3], symbol="GBPUSD", minutes=[0, 1, 4])
    terminal = make_terminal([euro, pound])
    terminal.advance()
    tick = terminal.symbol_info_tick("GBPUSD")
    assert (tick.bid, tick.time) == (ROWS[1][3], MONDAY + OFFSET + 119)
    assert terminal.symbol_info_tick("EURUSD").time == MONDAY + OFFSET + 120
    newest = terminal.copy_rates_from_pos("GBPUSD", 1, 0, 1)[0]
    assert (newest["time"], newest["high"]) == (MONDAY + OFFSET + 60, ROWS[1][1])
    assert order(terminal, symbol="GBPUSD", volume=0.1).retcode == 10009
    assert [terminal.advance() for _ in range(3)] == [True, True, False]
    assert terminal.symbol_info_tick("GBPUSD").bid == ROWS[2][0]


def test_nothing_shows_a_time_after_now():
    bars = make_bars(ROWS * 20, volume=9, minutes=[i + (i // 40) * 500 for i in range(120)])
    terminal = make_terminal(bars, history=30)
    while True:
        now = int(SERVER.to_server(int(terminal.clock.now().timestamp()))[0])
        for timeframe in (1, 5, 15, 16385, 16408):
            assert terminal.copy_rates_from_pos("EURUSD", timeframe, 0, 99)["time"][-1] <= now
            assert terminal.copy_rates_range("EURUSD", timeframe, 0, 2**33)["time"][-1] <= now
            assert terminal.copy_rates_from("EURUSD", timeframe, 2**33, 5)["time"][-1] <= now
        assert terminal.copy_ticks_range("EURUSD", 0, 2**33, -1)["time"][-1] == now == terminal.symbol_info_tick("EURUSD").time
        if not terminal.advance():
            break


def test_a_closed_bar_never_changes():
    terminal = make_terminal(make_bars(ROWS * 10, volume=9), history=10)
    seen = {}
    while terminal.advance():
        for row in terminal.copy_rates_from_pos("EURUSD", 5, 1, 10).tolist():
            assert seen.setdefault(row[0], row) == row


def test_ticks_trace_every_bar():
    terminal = make_terminal(make_bars([(1.1, 1.102, 1.099, 1.101), (1.101, 1.103, 1.098, 1.1), *flat(1.1)]), history=2)
    ticks = terminal.copy_ticks_from("EURUSD", MONDAY + OFFSET, 9, terminal.COPY_TICKS_ALL)
    assert ticks["bid"].tolist() == [1.1, 1.099, 1.102, 1.101, 1.101, 1.103, 1.098, 1.1, 1.1]
    assert (np.diff(ticks["time_msc"]) > 0).all()
    assert len(terminal.copy_ticks_from("EURUSD", 0, 9, terminal.COPY_TICKS_TRADE)) == 0
    first_minute = terminal.copy_ticks_range("EURUSD", MONDAY + OFFSET, MONDAY + OFFSET + 59, terminal.COPY_TICKS_INFO)
    assert len(first_minute) == 4


def test_server_time_follows_daylight_saving():
    friday, monday = datetime(2024, 3, 8, 12, tzinfo=UTC), datetime(2024, 3, 11, 12, tzinfo=UTC)
    minutes = [0, 1, int((monday - friday).total_seconds()) // 60, int((monday - friday).total_seconds()) // 60 + 1]
    terminal = make_terminal(make_bars(flat(1.1, 4), start=int(friday.timestamp()), minutes=minutes), history=3)
    stamps = terminal.copy_rates_from_pos("EURUSD", 1, 0, 4)["time"]
    assert [datetime.fromtimestamp(int(stamp), UTC).hour for stamp in stamps] == [14, 14, 15, 15]
    assert order(terminal).retcode == 10009
    assert datetime.fromtimestamp(terminal.positions_get()[0].time, UTC) == datetime(2024, 3, 11, 15, 1, tzinfo=UTC)
    assert terminal.clock.now() == datetime(2024, 3, 11, 12, 1, tzinfo=UTC)


def test_the_hour_that_a_server_clock_repeats_is_left_out():
    start = int(datetime(2024, 11, 3, 5, 30, tzinfo=UTC).timestamp())
    terminal = make_terminal(make_bars(flat(60_000.0, 180), symbol="BTCUSD", start=start), history=100)
    stamps = terminal.copy_rates_from_pos("BTCUSD", 1, 0, 120)["time"]
    assert (np.diff(stamps) > 0).all()


def test_a_pause_of_half_an_hour_closes_the_market():
    euro, gold = make_bars(flat(1.1, 90)), make_bars(flat(2000.0, 3), symbol="XAUUSD", minutes=[0, 1, 80])
    terminal = make_terminal([euro, gold])
    assert order(terminal, symbol="XAUUSD", volume=0.1).retcode == 10009
    terminal.advance()
    assert order(terminal, symbol="XAUUSD", volume=0.1).retcode == 10018
    assert order(terminal, volume=0.1).retcode == 10009


def test_bars_out_of_order_are_refused():
    bars = make_bars(flat(1.1, 3), minutes=[0, 2, 1])
    with pytest.raises(DataError, match="EURUSD: cannot be simulated: bars are not in ascending order"):
        make_terminal(bars)


def test_a_feed_of_longer_bars_knows_no_shorter_ones():
    terminal = make_terminal(make_bars(flat(1.1, 5), timeframe=Timeframe.M15, start=MONDAY))
    assert terminal.copy_rates_from_pos("EURUSD", terminal.TIMEFRAME_M15, 0, 2) is not None
    assert terminal.copy_rates_from_pos("EURUSD", terminal.TIMEFRAME_M1, 0, 2) is None
    assert terminal.last_error() == (-1, "Terminal: Call failed")


def test_a_naive_date_is_read_in_the_machine_zone_as_the_real_module_does():
    terminal = make_terminal(make_bars(flat(1.1, 4)), history=3)
    naive = datetime(2024, 1, 8, 12, 2)  # noqa: DTZ001  # the point of this test
    by_date = terminal.copy_rates_from("EURUSD", 1, naive, 1)
    by_stamp = terminal.copy_rates_from("EURUSD", 1, int(naive.timestamp()), 1)
    assert by_date.tolist() == by_stamp.tolist()


def test_utc_servers_need_no_conversion():
    assert BrokerTime("UTC").to_server(MONDAY)[0] == MONDAY
