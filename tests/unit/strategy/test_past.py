"""Slices, sums and kinds of column that the feature families are written in."""

from __future__ import annotations

import numpy as np
import pytest

from strategy.past import Distance, Past, Share, sums, table_of, true_range
from tests.fakes_learning import market

ROWS = 7


@pytest.fixture
def past():
    return Past(market(40), ROWS)


def test_slices_name_the_newest_rows_those_before_them_and_both():
    series, past = np.arange(40.0), Past(market(40), ROWS)
    assert series[past.now].tolist() == [33, 34, 35, 36, 37, 38, 39]
    assert series[past.ago(3)].tolist() == [30, 31, 32, 33, 34, 35, 36]
    assert series[past.since(2)].tolist() == [31, 32, 33, 34, 35, 36, 37, 38, 39]


def test_a_series_that_begins_later_gives_the_same_rows(past):
    series = np.arange(40.0)
    assert series[25:][past.ago(3)].tolist() == series[past.ago(3)].tolist()
    assert past.sum(series[25:], 5).tolist() == past.sum(series, 5).tolist()


@pytest.mark.parametrize("period", [1, 5, 20])
def test_sums_are_over_the_bars_that_end_at_each_row(past, period):
    series = np.random.default_rng(0).normal(size=40)
    expected = [series[row - period + 1 : row + 1].sum() for row in range(40 - ROWS, 40)]
    assert past.sum(series, period) == pytest.approx(expected)
    assert past.mean(series, period) == pytest.approx(np.array(expected) / period)
    assert past.sum(series, period, early=4)[4:].tolist() == past.sum(series, period).tolist()
    assert len(past.sum(series, period, early=4)) == ROWS + 4


def test_a_sum_forgets_what_left_its_window():
    series = np.concatenate(([1e300, 1e16], np.zeros(50)))
    assert (sums(series, 10)[2:] == 0.0).all()


def test_shared_series_end_at_the_newest_bar(past):
    bars = past.bars
    assert past.step == pytest.approx(np.diff(bars.close))
    assert past.path == pytest.approx(np.abs(np.diff(bars.close)))
    assert (past.span == bars.high - bars.low).all() and (past.body == bars.close - bars.open).all()
    assert (past.true_range == true_range(bars)).all()
    gap = np.maximum(bars.high[1:], bars.close[:-1]) - np.minimum(bars.low[1:], bars.close[:-1])
    assert true_range(bars) == pytest.approx(gap)


def test_columns_of_all_kinds_stand_in_the_order_given():
    unit, one = np.array([1.0, 2.0]), np.ones(2)
    columns = (7 * one, Share(one, 4 * one), Distance(5 * one, one, bars=4), 9 * one, Distance(3 * one, one), Share(one, 0 * one))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = table_of(columns, unit)
    assert found.dtype == np.float32
    assert found.tolist() == [[7, 7], [0.25, 0.25], [2, 1], [9, 9], [2, 1], [0, 0]]


def test_a_table_may_lack_a_kind():
    assert table_of((np.zeros(2), np.ones(2)), np.ones(2)).tolist() == [[0, 0], [1, 1]]


def test_a_share_of_an_unknown_whole_is_nothing_and_a_distance_in_no_unit_is_no_number():
    with np.errstate(invalid="ignore", divide="ignore"):
        found = table_of((Share(np.ones(1), np.array([np.nan])), Distance(np.ones(1), np.ones(1))), np.zeros(1))
    assert found[0] == 0.0 and np.isnan(found[1])


def test_a_row_that_is_alone_is_a_number_and_the_same_one():
    bars, series = market(40), np.random.default_rng(1).normal(size=40)
    alone, many = Past(bars, 1), Past(bars, ROWS)
    weights = np.linspace(0.5, 2.0, 9)
    for of in (
        lambda past: series[past.now],
        lambda past: series[past.ago(3)],
        lambda past: past.sum(series, 20),
        lambda past: past.mean(series, 5),
        lambda past: past.weighted(series, weights),
        lambda past: past.highest(series, 14),
        lambda past: past.lowest(series, 14),
        lambda past: past.row,
        lambda past: past.nothing,
    ):
        assert np.ndim(of(alone)) == 0
        assert of(alone) == of(many)[-1]
    assert alone.sum(series, 5, early=3).tolist() == many.sum(series, 5, early=3)[-4:].tolist()
