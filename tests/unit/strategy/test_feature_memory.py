"""Rows that are remembered: the same as worked out anew, and never those of bars that were corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from strategy import feature_memory
from strategy.feature_memory import FeatureMemory
from strategy.features import WARMUP, compute, newest, schema_for
from tests.fakes_learning import ALL, market, still, without

SCHEMA = schema_for(ALL)
ROWS = 61
COUNT = WARMUP + ROWS


@pytest.fixture(scope="module")
def bars():
    """A market that stands still for a while, which leaves rows without a scale."""
    return still(market(700), 300, 420)


@pytest.fixture
def worked_out(monkeypatch):
    """How many rows were worked out, call by call."""
    counts = []

    def counting(bars, schema, rows):
        counts.append(rows)
        return newest(bars, schema, rows)

    monkeypatch.setattr(feature_memory, "newest", counting)
    return counts


def anew(bars):
    return compute(bars, schema_for(bars.capabilities)).values[WARMUP:]


def test_bar_after_bar_only_the_new_row_is_worked_out(bars, worked_out):
    memory = FeatureMemory()
    for end in range(COUNT, len(bars) + 1):
        window = bars.slice(end - COUNT, end)
        np.testing.assert_array_equal(memory.window(window, SCHEMA).values, anew(window))
    assert worked_out == [ROWS] + [1] * (len(bars) - COUNT)


@pytest.mark.parametrize("missed", [0, 1, 2, 7, 59, 60, 61, 200, 300])
def test_missed_bars_are_worked_out_together(bars, worked_out, missed):
    memory = FeatureMemory()
    memory.window(bars.slice(0, COUNT), SCHEMA)
    later = bars.slice(missed, COUNT + missed)
    np.testing.assert_array_equal(memory.window(later, SCHEMA).values, anew(later))
    assert sum(worked_out[1:]) == min(missed, ROWS)


@pytest.mark.parametrize("column", ["time", "open", "high", "low", "close", "tick_volume", "spread"])
@pytest.mark.parametrize("back", [2, 61, COUNT - 1])
def test_a_corrected_bar_is_noticed(bars, worked_out, column, back):
    memory, later = FeatureMemory(), bars.slice(1, COUNT + 1)
    memory.window(bars.slice(0, COUNT), SCHEMA)
    values = getattr(later, column).copy()
    values[-back] += 1 if column == "time" else 1e-5
    corrected = replace(later, **{column: values})
    np.testing.assert_array_equal(memory.window(corrected, SCHEMA).values, anew(corrected))
    assert worked_out == [ROWS, ROWS]


def test_other_columns_symbols_and_lengths_are_worked_out_anew(bars, worked_out):
    memory, first = FeatureMemory(), bars.slice(0, COUNT)
    memory.window(first, SCHEMA)
    for other in (replace(first, symbol="GBPUSD"), without(first, "spread"), bars.slice(0, COUNT + 5), bars.slice(6, COUNT + 6)):
        np.testing.assert_array_equal(memory.window(other, schema_for(other.capabilities)).values, anew(other))
    assert worked_out == [ROWS, ROWS, ROWS, ROWS + 5, 1]


def test_fewer_rows_of_the_same_bars_are_the_newest_of_them(bars, worked_out):
    memory = FeatureMemory()
    memory.window(bars.slice(0, COUNT + 5), SCHEMA)
    fewer = bars.slice(5, COUNT + 5)
    np.testing.assert_array_equal(memory.window(fewer, SCHEMA).values, anew(fewer))
    assert worked_out == [ROWS + 5]


def test_what_was_handed_out_never_changes(bars):
    memory = FeatureMemory()
    first = memory.window(bars.slice(0, COUNT), SCHEMA)
    kept = first.values.copy()
    memory.window(bars.slice(1, COUNT + 1), SCHEMA)
    np.testing.assert_array_equal(first.values, kept)


def test_a_history_that_is_too_short_has_no_numbers(bars):
    values = FeatureMemory().window(bars.slice(0, WARMUP), SCHEMA).values
    assert len(values) == WARMUP and np.isnan(values).all()
