"""Conformance of rates and ticks: numbers 29 to 47 of the checklist."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from market_data.bars import RATES_DTYPE
from tests.fakes_simulated import MONDAY, OFFSET, SERVER, flat, make_bars, make_quotes, make_terminal

NOW = MONDAY + OFFSET
FRIDAY = int(datetime(2024, 1, 12, 20, tzinfo=UTC).timestamp())
M1, M5, H1, D1 = 1, 5, 16385, 16408


def recorded(count=600, gap=1.3, seed=2):
    """Quotes that wander, a little more than a second apart."""
    rng = np.random.default_rng(seed)
    bids = np.round(1.1 + np.cumsum(rng.normal(0, 2e-5, count)), 5)
    spreads = rng.integers(1, 9, count) * 1e-5
    return make_quotes([(at * gap, bid, round(bid + spread, 5)) for at, (bid, spread) in enumerate(zip(bids, spreads, strict=True))])


def drawn(count=400, seed=3):
    rng = np.random.default_rng(seed)
    closes = np.round(1.1 + np.cumsum(rng.normal(0, 2e-4, count)), 5)
    opens = np.concatenate(([1.1], closes[:-1]))
    rows = np.stack((opens, np.maximum(opens, closes) + 1e-4, np.minimum(opens, closes) - 1e-4, closes), 1)
    minutes = [at + at // 60 * 3 + (3_000 if at > 200 else 0) for at in range(count)]
    return make_bars(np.round(rows, 5), start=FRIDAY // 3600 * 3600 - 3 * 3600, minutes=minutes, volume=50)


@pytest.fixture(params=["bars", "quotes"])
def mt5(request):
    terminal = make_terminal(drawn() if request.param == "bars" else recorded(), history=3)
    for _ in range(6):
        terminal.advance()
    terminal.advance_to(terminal.clock.now() + timedelta(seconds=25))
    return terminal


def server_now(terminal):
    return int(SERVER.to_server(int(terminal.clock.now().timestamp()))[0])


def test_29_rates_have_the_official_layout(mt5):
    rates = mt5.copy_rates_from_pos("EURUSD", M1, 0, 5)
    assert rates.dtype == RATES_DTYPE
    assert rates.dtype.itemsize == 60
    assert [rates.dtype.fields[name][1] for name in rates.dtype.names] == [0, 8, 16, 24, 32, 40, 48, 52]
    assert (rates.ndim, rates.flags.c_contiguous) == (1, True)


on_every_timeframe = pytest.mark.parametrize(("timeframe", "seconds"), [(M1, 60), (M5, 300), (H1, 3600), (D1, 86_400)])


@on_every_timeframe
def test_30_bars_ascend_on_the_servers_grid(mt5, timeframe, seconds):
    times = mt5.copy_rates_from_pos("EURUSD", timeframe, 0, 500)["time"]
    assert len(times)
    assert (np.diff(times) > 0).all()
    assert (times % seconds == 0).all()


@on_every_timeframe
def test_32_a_bar_reaches_from_its_low_to_its_high(mt5, timeframe, seconds):
    rates = mt5.copy_rates_from_pos("EURUSD", timeframe, 0, 500)
    assert (rates["high"] >= np.maximum(rates["open"], rates["close"])).all()
    assert (rates["low"] <= np.minimum(rates["open"], rates["close"])).all()


@on_every_timeframe
def test_39_longer_bars_are_made_of_minutes(mt5, timeframe, seconds):
    minutes, rates = mt5.copy_rates_from_pos("EURUSD", M1, 0, 500), mt5.copy_rates_from_pos("EURUSD", timeframe, 0, 500)
    owner = minutes["time"] // seconds * seconds
    for row in rates:
        part = minutes[owner == row["time"]]
        assert (row["open"], row["close"]) == (part["open"][0], part["close"][-1])
        assert (row["high"], row["low"]) == (part["high"].max(), part["low"].min())
        assert row["tick_volume"] == part["tick_volume"].sum()


def test_31_the_newest_bar_forms_and_the_closed_one_stays(mt5):
    closed, seen = tuple(mt5.copy_rates_from_pos("EURUSD", M1, 1, 1)[0]), set()
    opened = mt5.copy_rates_from_pos("EURUSD", M1, 0, 1)["time"][0]
    for _ in range(30):
        mt5.advance_to(mt5.clock.now() + timedelta(seconds=1))
        newest = mt5.copy_rates_from_pos("EURUSD", M1, 0, 1)[0]
        assert newest["close"] == mt5.symbol_info_tick("EURUSD").bid
        if newest["time"] == opened:
            seen.add(float(newest["close"]))
            assert tuple(mt5.copy_rates_from_pos("EURUSD", M1, 1, 1)[0]) == closed
    assert len(seen) > 1


def test_33_bars_before_a_date_end_at_the_date(mt5):
    by_position = mt5.copy_rates_from_pos("EURUSD", M1, 0, 4)
    assert (mt5.copy_rates_from("EURUSD", M1, server_now(mt5), 4) == by_position).all()
    assert (mt5.copy_rates_from("EURUSD", M1, int(by_position["time"][2]) + 30, 2) == by_position[1:3]).all()


def test_34_both_ends_of_a_range_are_inside(mt5):
    by_position = mt5.copy_rates_from_pos("EURUSD", M1, 0, 4)
    first, last = int(by_position["time"][0]), int(by_position["time"][2])
    assert (mt5.copy_rates_range("EURUSD", M1, first, last) == by_position[:3]).all()
    assert len(mt5.copy_rates_range("EURUSD", M1, first + 1, last - 1)) == 1


def test_35_no_bar_lies_inside_the_weekend():
    terminal = make_terminal(drawn(), history=300)
    hours = np.diff(terminal.copy_rates_from_pos("EURUSD", M1, 0, 300)["time"]) / 3600
    assert (hours > 40).sum() == 1
    days = terminal.copy_rates_from_pos("EURUSD", D1, 0, 9)["time"].astype("datetime64[s]").astype("datetime64[D]").astype(int)
    assert set((days + 4) % 7) <= {1, 2, 3, 4, 5}


def test_36_an_unknown_symbol_has_no_bars(mt5):
    assert mt5.copy_rates_from_pos("NOPE", M1, 0, 5) is None
    assert mt5.last_error() == (-1, "Terminal: Call failed")


def test_37_an_unknown_timeframe_has_no_bars(mt5):
    assert mt5.copy_rates_from_pos("EURUSD", 32_768, 0, 5) is None
    assert mt5.last_error() == (-2, "Terminal: Invalid params")


@pytest.mark.parametrize(
    ("start", "count", "error"),
    [(0, 100_000, (-2, "Terminal: Invalid params")), (99_000, 5, (-1, "Terminal: Call failed"))],
)
def test_38_more_than_the_terminal_keeps_is_refused_and_beyond_its_history_is_nothing(mt5, start, count, error):
    assert mt5.copy_rates_from_pos("EURUSD", M1, start, count) is None
    assert mt5.last_error() == error


_ZONES = """
from datetime import UTC, datetime
from tests.fakes_simulated import MONDAY, OFFSET, flat, make_bars, make_terminal
mt5 = make_terminal(make_bars(flat(1.1, 9)), history=8)
naive = datetime(2024, 1, 8, 12, 3)
stamp = int(naive.replace(tzinfo=UTC).timestamp())
print([None if (got := mt5.copy_rates_from("EURUSD", 1, date, 1)) is None or not len(got) else int(got["time"][0]) - MONDAY - OFFSET
       for date in (naive, naive.replace(tzinfo=UTC), stamp)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows takes no local zone from TZ")
def test_40_a_naive_date_is_local_and_an_aware_one_is_not():
    def ask(zone):
        run = subprocess.run(
            [sys.executable, "-c", _ZONES], env={**os.environ, "TZ": zone, "PYTHONPATH": "."}, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    assert ask("UTC") == "[180, 180, 180]"
    assert ask("Asia/Tokyo") == "[None, 180, 180]"  # nine hours earlier, before the first bar


def test_41_an_empty_window_is_an_empty_array(mt5):
    rates, ticks = mt5.copy_rates_range("EURUSD", M1, 1000, 2000), mt5.copy_ticks_range("EURUSD", 1000, 2000, -1)
    assert (len(rates), rates.dtype, mt5.last_error()) == (0, RATES_DTYPE, (1, "Success"))
    assert (len(ticks), ticks.dtype.itemsize) == (0, 60)


def test_42_nothing_holds_a_time_after_now(mt5):
    for _ in range(120):
        mt5.advance_to(mt5.clock.now() + timedelta(milliseconds=1_700))
        now = server_now(mt5)
        for timeframe in (M1, M5, H1, D1):
            assert mt5.copy_rates_range("EURUSD", timeframe, 0, 2**33)["time"].max() <= now
        assert mt5.copy_ticks_from("EURUSD", 0, 10**6, -1)["time"].max() <= now
        assert mt5.symbol_info("EURUSD").time <= now


@pytest.fixture
def ticks(mt5):
    served = mt5.copy_ticks_from("EURUSD", 0, 1000, mt5.COPY_TICKS_ALL)
    assert len(served)
    return served


def test_43_ticks_have_the_official_layout(ticks):
    assert ticks.dtype.itemsize == 60
    assert [ticks.dtype.fields[name][1] for name in ticks.dtype.names] == [0, 8, 16, 24, 32, 40, 48, 52]


def test_44_seconds_are_the_milliseconds_cut_off(ticks):
    assert (ticks["time"] == ticks["time_msc"] // 1000).all()
    assert (np.diff(ticks["time_msc"]) >= 0).all()


def test_45_every_tick_says_which_side_it_quotes(ticks):
    assert (ticks["flags"] & 6 > 0).all()


def test_46_no_tick_is_crossed(ticks):
    assert (ticks["ask"] >= ticks["bid"]).all()


def test_45_flags_tell_which_side_changed():
    terminal = make_terminal(make_quotes([(0, 1.1, 1.1002), (1, 1.1001, 1.1002), (2, 1.1001, 1.1003), (60, 1.1, 1.1001)]))
    assert (terminal.copy_ticks_from("EURUSD", 0, 9, -1)["flags"] & 6).tolist() == [6, 2, 4, 6]


def test_47_ticks_go_forward_from_a_date_and_ranges_are_inclusive():
    terminal = make_terminal(recorded(), history=5)
    some = terminal.copy_ticks_from("EURUSD", NOW + 60, 10, terminal.COPY_TICKS_INFO)
    assert len(some) == 10
    assert some["time_msc"][0] >= (NOW + 60) * 1000
    assert some["time_msc"][0] - (NOW + 60) * 1000 < 1300
    part = terminal.copy_ticks_range("EURUSD", NOW + 60, NOW + 90, terminal.COPY_TICKS_ALL)
    assert (part["time_msc"] >= (NOW + 60) * 1000).all()
    assert (part["time_msc"] <= (NOW + 90) * 1000).all()
    assert len(part) == len(recorded().time_msc[47:70])
    assert len(terminal.copy_ticks_range("EURUSD", NOW, NOW + 90, terminal.COPY_TICKS_TRADE)) == 0
    assert terminal.copy_ticks_from("EURUSD", NOW, 10, 9) is None
    assert terminal.last_error()[0] == -2


def test_39_real_minutes_come_back_as_they_are():
    bars = make_bars(flat(1.1, 9), volume=7)
    rates = make_terminal(bars, history=8).copy_rates_from_pos("EURUSD", M1, 1, 8)
    assert (rates["time"] == bars.time[:8] + OFFSET).all()
    assert (rates["tick_volume"] == 7).all()
