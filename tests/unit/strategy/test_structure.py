"""Order blocks, gaps and resting stops: each at the bar that makes it, forgotten in time, the same in every window."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from market_data.bars import Bars, Timeframe
from market_data.importers import import_file
from strategy.features import OPTIONAL, WARMUP, compute, schema_for, sequence_schema
from strategy.mirror import mirror
from strategy.structure import FAIR_VALUE_GAPS, LIQUIDITY, ORDER_BLOCKS, REACH, SWAPPED
from tests.fakes_learning import ALL, leaking, market, one_bar_ahead

DEV = Path(__file__).parents[3].parent / "shared" / "data" / "dev"
EXTRA = tuple(OPTIONAL)
SCHEMA = schema_for(ALL, EXTRA)
NEW = (*ORDER_BLOCKS, *FAIR_VALUE_GAPS, *LIQUIDITY)
COUNT = 400
AT = 300
"""Row at which something is planted."""


def columns_of(bars, schema=SCHEMA):
    values = compute(bars, schema).values
    return {name: values[:, index] for index, name in enumerate(schema.names)}


def ladder(**planted):
    """A market that goes to and fro by one between 100 and 101, each bar reaching half further; `planted` replaces rows."""
    opened = np.where(np.arange(COUNT) % 2 == 0, 100.0, 101.0)
    closed = 201.0 - opened
    columns = {"open": opened, "high": np.full(COUNT, 101.5), "low": np.full(COUNT, 99.5), "close": closed}
    for name, rows in planted.items():
        for row, price in rows.items():
            columns[name][row] = price
    time = int(datetime(2024, 1, 8, tzinfo=UTC).timestamp()) + 60 * np.arange(COUNT)
    return Bars("EURUSD", Timeframe.M1, time, **columns, tick_volume=np.ones(COUNT), spread=np.ones(COUNT))


# --- what they say ----------------------------------------------------------------------------


def test_without_an_event_the_distance_is_nothing_and_the_age_full():
    quiet = columns_of(ladder())
    for name in (*ORDER_BLOCKS, *FAIR_VALUE_GAPS):
        assert set(quiet[name][WARMUP:]) == {1.0 if name.endswith("age") else 0.0}, name


def test_an_impulse_makes_the_candle_before_it_a_block():
    """Bar 301 falls, bar 302 rises by ten: the block's top is the high of 301."""
    bars = ladder(close={AT + 2: 110.0}, high={AT + 2: 110.5})
    found = columns_of(bars)
    assert bars.close[AT + 1] < bars.open[AT + 1]
    assert found["block_up_age"][AT + 1] == 1.0
    assert found["block_up_age"][AT + 2] == 0.0
    assert found["block_up_distance"][AT + 2] > 0
    assert found["block_up_distance"][AT + 3] < 0  # the close is below the block's top again
    assert found["block_up_age"][AT + 12] == np.float32(10 / REACH)
    assert set(found["block_down_age"][WARMUP:]) == {1.0}


def test_an_impulse_after_a_candle_of_its_own_side_leaves_no_block():
    found = columns_of(ladder(close={AT + 1: 102.0, AT + 2: 110.0}, open={AT + 1: 101.0}, high={AT + 1: 102.0, AT + 2: 110.5}))
    assert found["block_up_age"][AT + 2] == 1.0


def test_three_candles_leave_a_gap_and_its_width_is_measured_in_ranges():
    found = columns_of(ladder(low={AT: 103.5}, high={AT: 105.5}, open={AT: 104.0}, close={AT: 105.0}))
    assert found["gap_up_age"][AT - 1] == 1.0
    assert found["gap_up_age"][AT] == 0.0
    assert found["gap_up_width"][AT] > 0
    assert found["gap_up_distance"][AT] > 0 > found["gap_up_distance"][AT + 1]
    assert found["gap_down_age"][AT + 2] == 0.0  # and another on the way back: 302 lies below 300
    assert found["gap_up_width"][AT + 1] == pytest.approx(found["gap_up_width"][AT], rel=0.1)


def test_a_sweep_passes_an_extreme_and_closes_back_inside():
    bars = ladder(high={AT: 103.0})
    found = columns_of(bars)
    assert found["sweep_high_age"][AT - 1] == 1.0
    assert found["sweep_high_age"][AT] == 0.0
    assert found["sweep_high_distance"][AT] == found["pool_high_distance"][AT] > 0
    assert set(found["sweep_low_age"][WARMUP:]) == {1.0}
    broke = columns_of(replace(bars, close=np.where(np.arange(COUNT) == AT, 102.5, bars.close)))
    assert broke["sweep_high_age"][AT] == 1.0  # it stayed outside: a break, not a sweep


@pytest.mark.parametrize("name", ["sweep_high_age", "pool_high_distance", "sweep_high_distance"])
def test_a_mark_is_forgotten_after_its_reach(name):
    planted, quiet = columns_of(ladder(high={WARMUP: 103.0}))[name], columns_of(ladder())[name]
    reach = REACH if name.startswith("sweep") else REACH - 1
    assert planted[WARMUP + reach - 1] != quiet[WARMUP + reach - 1]
    assert planted[WARMUP + reach + 21] == quiet[WARMUP + reach + 21]


# --- how they are made ------------------------------------------------------------------------


def test_they_are_off_unless_asked_for_and_change_no_other_column():
    flow = market(600)
    usual, full = columns_of(flow, schema_for(ALL)), columns_of(flow)
    assert set(full) - set(usual) == set(NEW)
    for name, values in usual.items():
        np.testing.assert_array_equal(full[name], values)
    assert not set(NEW) & set(sequence_schema(ALL).names)


@pytest.mark.parametrize("name", EXTRA)
def test_one_family_alone_is_the_same_as_among_all(name):
    flow, full = market(600), columns_of(market(600))
    for column, values in columns_of(flow, schema_for(ALL, (name,))).items():
        np.testing.assert_array_equal(values, full[column])


def test_none_of_them_reads_the_future():
    assert leaking(columns_of, market(900), (161, 162, 300, 301, 302, 555, 700)) == set()


def test_the_same_check_finds_a_planted_look_ahead(monkeypatch):
    monkeypatch.setattr(OPTIONAL["liquidity"], "columns", lambda past: [one_bar_ahead(past, 3)] * len(LIQUIDITY))
    assert leaking(columns_of, market(900), (300, 555)) == set(LIQUIDITY)


def _differing(bars, served=61):
    schema = schema_for(bars.capabilities, EXTRA)
    table = compute(bars, schema).values
    ends = np.linspace(WARMUP + served + 1, len(bars), 40).astype(int)
    windows = [(compute(bars.slice(end - WARMUP - served, end), schema).values[WARMUP:], table[end - served : end]) for end in ends]
    return [i for window, full in windows for i in np.flatnonzero((window != full).any(axis=0))]


def test_a_decision_reads_what_training_read_to_the_last_digit():
    assert _differing(market(9_000)) == []


@pytest.mark.skipif(not DEV.is_dir(), reason="market data for developers is not here")
def test_a_decision_on_real_bars_reads_what_training_read():
    assert _differing(import_file(DEV / "XAUUSD_M1_20251203_20260130_mt5-ftmo.csv.gz").bars) == []


def test_the_mirrored_market_has_mirrored_marks():
    flow = market(1_500)
    level = 2.5
    turned = replace(flow, open=level - flow.open, high=level - flow.low, low=level - flow.high, close=level - flow.close)
    ours, theirs = mirror(compute(flow, SCHEMA).values, SCHEMA), compute(turned, SCHEMA).values
    for name in NEW:
        index = SCHEMA.names.index(name)
        same = np.isclose(ours[WARMUP:, index], theirs[WARMUP:, index], rtol=1e-3, atol=1e-4)
        assert same.mean() > 0.99, name  # rounding may turn a level that is just met into one that is just missed
    assert {name for pair in SWAPPED for name in pair} == set(NEW)
