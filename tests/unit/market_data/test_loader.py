"""The loader against a source whose bars close while it is being read."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from config.errors import DataError, InsufficientHistory, TerminalCallFailed, TerminalDisconnected
from market_data.bars import RATES_DTYPE, Capabilities, Timeframe
from market_data.clock import from_epoch
from market_data.loader import BarLoader, assert_fresh

MONDAY = 1_704_672_000
BOTH = Capabilities(volume=True, spread=True)


class GrowingSource:
    """Minute bars; the newest is forming, and `closing` bars close before every call but the first."""

    def __init__(self, count, closing=0, beyond_is_error=True):
        self.rows = np.zeros(100_000, RATES_DTYPE)
        self.rows["time"] = MONDAY + 60 * np.arange(len(self.rows))
        self.rows["close"] = np.arange(len(self.rows))
        self.rows["tick_volume"] = 5
        self.rows["spread"] = 8
        self.newest = count  # index of the forming bar: `count` bars are closed
        self.closing = closing
        self.beyond_is_error = beyond_is_error
        self.calls = []

    def rates(self, symbol, timeframe, start, count):
        if self.calls:
            self.newest += self.closing
        self.calls.append((start, count))
        stop = self.newest - start + 1
        if stop <= 0 and self.beyond_is_error:
            raise TerminalCallFailed("copy_rates_from_pos", -1, "Terminal: Call failed")
        return self.rows[max(0, stop - count) : max(0, stop)].copy()


def loader_of(source, chunk=100, known=BOTH):
    return BarLoader(source, Timeframe.M1, chunk, {"EURUSD": known} if known else None)


@pytest.mark.parametrize("closing", [0, 1, 3, 90])
@pytest.mark.parametrize("count", [1, 99, 100, 101, 250, 1000])
def test_history_is_joined_without_gap_or_repeat(count, closing):
    source = GrowingSource(5_000, closing)
    bars = loader_of(source).history("EURUSD", count)
    assert len(bars) == count
    assert (np.diff(bars.time) == 60).all()
    assert bars.time[-1] == MONDAY + 60 * 4_999  # the newest that was closed at the first call
    np.testing.assert_array_equal(bars.close, (bars.time - MONDAY) / 60)
    assert all(size <= 100 for _, size in source.calls)


@pytest.mark.parametrize("beyond_is_error", [True, False])
@pytest.mark.parametrize("have", [1, 99, 100, 200, 250])
def test_history_ends_where_the_source_ends(have, beyond_is_error):
    bars = loader_of(GrowingSource(have, beyond_is_error=beyond_is_error)).history("EURUSD", 1_000)
    # Index 0 exists too: `have` closed bars are 0..have-1.
    assert len(bars) == have
    assert bars.time[0] == MONDAY


def test_too_little_history_is_named():
    with pytest.raises(InsufficientHistory, match="EURUSD: 250 closed bars, 300 needed"):
        loader_of(GrowingSource(250)).history("EURUSD", 1_000, minimum=300)
    with pytest.raises(InsufficientHistory):
        loader_of(GrowingSource(0, beyond_is_error=False)).history("EURUSD", 10)


class FailingSource(GrowingSource):
    """Fails on the call with a given number."""

    def __init__(self, count, failing, error):
        super().__init__(count)
        self.failing, self.error = failing, error

    def rates(self, symbol, timeframe, start, count):
        if len(self.calls) == self.failing:
            raise self.error
        return super().rates(symbol, timeframe, start, count)


def test_a_lost_connection_is_not_the_end_of_history():
    lost = TerminalDisconnected("copy_rates_from_pos", -10004, "No IPC connection")
    with pytest.raises(TerminalDisconnected):
        loader_of(FailingSource(5_000, 2, lost)).history("EURUSD", 1_000)


def test_a_first_call_that_fails_is_a_failure():
    with pytest.raises(TerminalCallFailed):
        loader_of(FailingSource(5_000, 0, TerminalCallFailed("copy_rates_from_pos", -1, ""))).history("EURUSD", 1_000)


def test_the_window_is_one_call_of_closed_bars():
    source = GrowingSource(5_000)
    bars = loader_of(source).window("EURUSD", 600)
    assert source.calls == [(1, 600)]
    assert len(bars) == 600
    assert bars.time[-1] == MONDAY + 60 * 4_999


def test_a_short_window_is_refused():
    with pytest.raises(InsufficientHistory, match="50 closed bars, 60 needed"):
        loader_of(GrowingSource(50)).window("EURUSD", 60)


def test_closed_since():
    source = GrowingSource(500)
    loader = loader_of(source)
    last = MONDAY + 60 * 497
    assert loader.closed_since("EURUSD", last, 10).time.tolist() == [MONDAY + 60 * 498, MONDAY + 60 * 499]
    assert len(loader.closed_since("EURUSD", MONDAY + 60 * 499, 10)) == 0
    assert len(loader.closed_since("EURUSD", None, 10)) == 10
    assert len(loader.closed_since("EURUSD", MONDAY, 10)) == 10


def test_no_call_ever_asks_for_the_forming_bar():
    source = GrowingSource(5_000, closing=1)
    loader = loader_of(source, known=None)
    loader.declare("EURUSD")
    loader.history("EURUSD", 350)
    loader.window("EURUSD", 50)
    loader.closed_since("EURUSD", None, 3)
    assert min(start for start, _ in source.calls) == 1


def test_capabilities_are_found_out_once_and_remembered():
    source = GrowingSource(500)
    source.rows["spread"] = 0
    loader = loader_of(source, known=None)
    assert loader.declare("EURUSD") == Capabilities(volume=True, spread=False)
    source.rows["spread"] = 9
    bars = loader.window("EURUSD", 10)
    assert bars.spread is None
    assert bars.tick_volume.tolist() == [5.0] * 10
    assert source.calls == [(1, 100), (1, 10)]


def test_nothing_is_declared_from_no_history():
    with pytest.raises(InsufficientHistory):
        loader_of(GrowingSource(0, beyond_is_error=False), known=None).declare("EURUSD")


def test_capabilities_that_are_given_are_taken():
    source = GrowingSource(500)
    bars = loader_of(source, known=Capabilities(volume=False, spread=True)).window("EURUSD", 10)
    assert bars.tick_volume is None
    assert bars.spread.tolist() == [8.0] * 10


@pytest.mark.parametrize("row", [495, 497])
def test_times_that_do_not_rise_are_bad_data(row):
    source = GrowingSource(500)
    source.rows["time"][row] = source.rows["time"][row - 1]
    with pytest.raises(DataError, match="EURUSD"):
        loader_of(source).window("EURUSD", 10)


def bars_of(count=10):
    return loader_of(GrowingSource(500)).window("EURUSD", count)


CLOSED = MONDAY + 60 * 500
LIMIT = timedelta(minutes=2)


@pytest.mark.parametrize("age", [0, 60, 120])
def test_fresh_bars_pass(age):
    assert_fresh(bars_of(), from_epoch(CLOSED + age), LIMIT)


@pytest.mark.parametrize("age", [-1, -3600, 121, 86_400])
def test_a_frozen_source_or_a_wrong_clock_is_bad_data(age):
    with pytest.raises(DataError, match="EURUSD"):
        assert_fresh(bars_of(), from_epoch(CLOSED + age), LIMIT)


def test_no_bars_are_not_fresh():
    with pytest.raises(DataError, match="no bars"):
        assert_fresh(bars_of().slice(0, 0), from_epoch(CLOSED), LIMIT)
