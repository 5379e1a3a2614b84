"""Slices, sums and operations that the feature families are written in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import talib

from strategy.past import Newest, Past, extremes, sums, true_range
from tests.fakes_learning import market

ROWS, UNIT = 7, 14


@pytest.fixture
def past():
    return Past(market(40), ROWS, UNIT)


def test_slices_name_the_newest_rows_those_before_them_and_both(past):
    series = np.arange(40.0)
    assert series[past.now].tolist() == past.at(series).tolist() == [33, 34, 35, 36, 37, 38, 39]
    assert past.at(series, 3).tolist() == [30, 31, 32, 33, 34, 35, 36]
    assert series[past.since(2)].tolist() == [31, 32, 33, 34, 35, 36, 37, 38, 39]


def test_a_series_that_begins_later_gives_the_same_rows(past):
    series = np.arange(40.0)
    assert past.at(series[25:], 3).tolist() == past.at(series, 3).tolist()
    assert past.sum(series[25:], 5).tolist() == past.sum(series, 5).tolist()


@pytest.mark.parametrize("period", [1, 5, 20])
def test_sums_are_over_the_bars_that_end_at_each_row(past, period):
    series = np.random.default_rng(0).normal(size=40)
    expected = [series[row - period + 1 : row + 1].sum() for row in range(40 - ROWS, 40)]
    assert past.sum(series, period) == pytest.approx(expected)
    assert past.mean(series, period) == pytest.approx(np.array(expected) / period)
    assert past.sums(series, period, 4)[4:].tolist() == past.sum(series, period).tolist()
    assert len(past.means(series, period, 4)) == ROWS + 4


def test_a_sum_forgets_what_left_its_window():
    series = np.concatenate(([1e300, 1e16], np.zeros(50)))
    assert (sums(series, 10)[2:] == 0.0).all()


def test_shared_series_end_at_the_newest_bar(past):
    bars = past.bars
    assert past.step == pytest.approx(np.diff(bars.close))
    assert past.path == pytest.approx(np.abs(np.diff(bars.close)))
    assert (past.span == bars.high - bars.low).all() and (past.body == bars.close - bars.open).all()
    assert (past.true_range == true_range(bars)).all()


def test_the_true_range_is_that_of_the_library():
    bars = market(400)
    bars.open[200:] += 0.01  # a gap up, and one down at the end
    bars = replace(
        bars, **{name: np.where(np.arange(400) < 390, getattr(bars, name), getattr(bars, name) - 0.02) for name in ("high", "low", "close")}
    )
    assert true_range(bars).tolist() == talib.TRANGE(bars.high, bars.low, bars.close)[1:].tolist()


@pytest.mark.parametrize("width", [1, 2, 3, 7, 20, 40])
@pytest.mark.parametrize(("of", "same"), [(np.maximum, np.max), (np.minimum, np.min)])
def test_extremes_are_those_of_every_few_neighbours(of, same, width):
    series = np.random.default_rng(3).normal(size=40)
    assert extremes(of, series, width).tolist() == same(np.lib.stride_tricks.sliding_window_view(series, width), axis=1).tolist()


def test_the_last_event_is_known_by_each_row(past):
    happened = np.zeros(40, dtype=bool)
    assert past.last(happened).tolist() == [-1] * ROWS
    happened[[5, 35, 38]] = True
    assert past.last(happened).tolist() == [5, 5, 35, 35, 35, 38, 38]
    assert past.last(happened[10:]).tolist() == [-1, -1, 35, 35, 35, 38, 38]


def test_a_distance_is_in_ranges_and_shrinks_with_the_root_of_the_bars(past):
    ranges = past.mean(past.true_range, UNIT)
    assert past.distance(3.0 * ranges, ranges) == pytest.approx(2.0)
    assert past.distance(5.0 * ranges, ranges, bars=4) == pytest.approx(2.0)


@pytest.mark.parametrize("kind", ["many", "alone"])
def test_a_share_of_an_unknown_whole_is_nothing_and_a_distance_in_no_unit_is_no_number(kind):
    bars = market(40)
    level = np.full(40, 1.1)
    still = replace(bars, open=level, high=level, low=level, close=level)
    past = Newest(still, UNIT) if kind == "alone" else Past(still, ROWS, UNIT)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [past.distance(past.at(level), 1.0), past.share(1.0, past.at(level * np.nan)), past.share(1.0, past.at(level * 0.0), 9.0)]
        found = past.table(columns)
    assert np.isnan(found[:, 0]).all() and (found[:, 1:] == [0.0, 9.0]).all()


def test_columns_stand_side_by_side_and_the_infinite_is_no_number(past):
    found = past.table([np.arange(7.0), np.full(7, np.inf), np.full(7, 0.25)])
    assert found.dtype == np.float32
    assert found[3].tolist()[::2] == [3.0, 0.25] and np.isnan(found[:, 1]).all()


@pytest.mark.parametrize(
    "of",
    [
        lambda past, series: past.at(series),
        lambda past, series: past.at(series, 3),
        lambda past, series: past.sum(series, 20),
        lambda past, series: past.mean(series, 5),
        lambda past, series: past.sums(series, 5, 3)[-1],
        lambda past, series: past.means(series, 5, 3)[-1],
        lambda past, series: past.weighted(series, np.linspace(0.5, 2.0, 9)),
        lambda past, series: past.highest(series, 14),
        lambda past, series: past.lowest(series, 14),
        lambda past, series: past.last(series > 1.0),
        lambda past, series: past.row,
        lambda past, series: past.distance(past.at(series), past.at(series, 2), 5),
        lambda past, series: past.share(past.at(series), past.at(past.bars.close)),
        lambda past, series: past.share(past.at(series), -past.at(past.bars.close), 0.5),
        lambda past, series: past.larger(past.at(series), past.at(series, 1)),
        lambda past, series: past.smaller(past.at(series), past.at(series, 1)),
    ],
)
def test_a_row_that_is_alone_is_a_number_and_the_same_one(of):
    bars, series = market(40), np.random.default_rng(1).normal(size=40)
    alone, many = of(Newest(bars, UNIT), series), of(Past(bars, ROWS, UNIT), series)
    assert np.ndim(alone) == 0
    assert alone == (many[-1] if np.ndim(many) else many)


@pytest.mark.parametrize("period", [*range(1, 40), 60, 120])
def test_a_sum_alone_has_the_digits_of_the_sum_in_a_table(period):
    """Short sums and long ones are added up in different ways."""
    bars, series = market(300), np.random.default_rng(period).normal(size=300) * 1e3
    many = Past(bars, 150, UNIT).sum(series, period)
    alone = [Newest(bars.slice(None, end), UNIT).sum(series[:end], period) for end in range(151, 301)]
    assert alone == many.tolist()
