"""Bars: slices, capabilities, conversion from a terminal's rates."""

from datetime import UTC, datetime

import numpy as np
import pytest

from market_data.bars import RATES_DTYPE, Bars, Capabilities, Timeframe, bars_from_rates, capabilities_of


def rates(count=5):
    table = np.zeros(count, dtype=RATES_DTYPE)
    table["time"] = 1_700_000_040 + 60 * np.arange(count)
    for name in ("open", "high", "low", "close"):
        table[name] = 1.1
    return table


def test_rates_have_the_layout_of_the_terminal():
    assert RATES_DTYPE.itemsize == 60
    assert RATES_DTYPE.names == ("time", "open", "high", "low", "close", "tick_volume", "spread", "real_volume")


@pytest.mark.parametrize(("frame", "constant"), [("M1", 1), ("M15", 15), ("H1", 16385), ("H4", 16388), ("D1", 16408)])
def test_timeframe_constants_are_the_terminals(frame, constant):
    assert Timeframe[frame].constant == constant


def test_unknown_columns_are_dropped_and_never_zero():
    bars = bars_from_rates("EURUSD", Timeframe.M1, rates(), Capabilities(volume=False, spread=False))
    assert bars.tick_volume is None and bars.spread is None
    assert bars.capabilities == Capabilities(volume=False, spread=False)


def test_volume_may_be_subtracted():
    table = rates(2)
    table["tick_volume"] = [5, 3]
    bars = bars_from_rates("EURUSD", Timeframe.M1, table, Capabilities(volume=True, spread=True))
    assert np.diff(bars.tick_volume).tolist() == [-2.0]


def test_a_column_of_zeros_is_an_unknown_one():
    table = rates()
    assert capabilities_of(table) == Capabilities(volume=False, spread=False)
    table["spread"][3] = 1
    assert capabilities_of(table) == Capabilities(volume=False, spread=True)


def test_both_sources_must_know():
    assert Capabilities(volume=True, spread=False) & Capabilities(volume=True, spread=True) == Capabilities(volume=True, spread=False)


def test_slices_cut_every_column_alike():
    table = rates()
    table["tick_volume"] = np.arange(5)
    bars = bars_from_rates("EURUSD", Timeframe.M1, table, Capabilities(volume=True, spread=True))
    part = bars.slice(1, 3)
    assert len(part) == 2 and part.tick_volume.tolist() == [1, 2] and part.time[0] == bars.time[1] and len(part.spread) == 2


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (99, 5), (0, 0)])
def test_tail_gives_what_there_is(count, expected):
    bars = bars_from_rates("EURUSD", Timeframe.M1, rates(), Capabilities(volume=False, spread=False))
    tail = bars.tail(count)
    assert len(tail) == expected
    assert not expected or tail.time[-1] == bars.time[-1]


def test_opened_at_is_aware():
    time, price = np.array([0], dtype=np.int64), np.array([1.0])
    assert Bars("EURUSD", Timeframe.M1, time, price, price, price, price).opened_at(0) == datetime(1970, 1, 1, tzinfo=UTC)
