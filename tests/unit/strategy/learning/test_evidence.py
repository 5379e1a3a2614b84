"""The figures of the evidence: trades one at a time, what the loop lets through, tables by symbol and fold."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import FilterSettings
from strategy.learning.evidence import (
    by_fold,
    by_symbol,
    drawdown,
    enterable,
    mean,
    one_at_a_time,
    plain,
    recalls,
    reliability,
    trade_figures,
)
from strategy.learning.labels import FLAT, LONG, SHORT
from tests.fakes_learning import rows_of
from tests.unit.strategy.learning.test_gate import candidate, forecasts, window

MONDAY = int(datetime(2024, 1, 8, tzinfo=UTC).timestamp())


def stretch(n, **changes):
    """n rows, a minute each, whose trades last ten minutes."""
    data = rows_of(MONDAY + 60 * np.arange(n), np.zeros(n, np.int64), horizon=600)
    return replace(data, **changes)


def test_the_next_trade_waits_until_the_last_one_is_gone():
    assert one_at_a_time(stretch(35), np.ones(35, np.int64)).tolist() == [0, 10, 20, 30]


def test_each_side_has_its_own_exit():
    data = stretch(20)
    quick = replace(data, out_short=data.time + 120)
    side = np.r_[-np.ones(4, np.int64), np.ones(16, np.int64)]
    assert one_at_a_time(quick, side).tolist() == [0, 2, 4, 14]


def test_rows_without_a_side_are_no_trades():
    side = np.zeros(30, np.int64)
    assert one_at_a_time(stretch(30), side).tolist() == []
    side[[3, 5, 13, 14, 29]] = -1
    assert one_at_a_time(stretch(30), side).tolist() == [3, 13, 29]


def test_symbols_hold_their_positions_beside_each_other():
    data = rows_of(
        MONDAY + 60 * np.repeat(np.arange(20), 2),
        np.zeros(40, np.int64),
        symbol=np.tile([0, 1], 20),
        symbols=("EURUSD", "GBPUSD"),
        horizon=600,
    )
    assert one_at_a_time(data, np.ones(40, np.int64)).tolist() == [0, 1, 20, 21]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40), st.sampled_from([-1, 0, 1])), min_size=1, max_size=80))
def test_no_two_trades_of_a_symbol_are_open_at_once_and_none_is_left_out(steps):
    gaps, lengths, sides = (np.array(column, dtype=np.int64) for column in zip(*steps, strict=True))
    time = MONDAY + 60 * np.cumsum(gaps)
    data = replace(rows_of(time, np.zeros(len(time), np.int64)), out_long=time + 60 * lengths, out_short=time + 60 * lengths)
    chosen = one_at_a_time(data, sides).tolist()
    free, expected = 0, []
    for row in range(len(time)):
        if sides[row] != 0 and time[row] >= free:
            expected.append(row)
            free = time[row] + 60 * lengths[row]
    assert chosen == expected


def test_figures_of_trades_in_r_and_in_money():
    n = 40
    r = np.where(np.arange(n) < 20, 1.0, -0.5)
    data = stretch(n, r_long=r, lot_r=np.where(np.arange(n) < 10, 30.0, 50.0))
    assert trade_figures(data, np.ones(n, np.int64)) == {
        "trades": 4,
        "trade_expectancy_r": 0.25,
        "money_per_lot": (30.0 + 50.0 - 25.0 - 25.0) / 4,
        "max_drawdown_r": 1.0,
        "max_drawdown_per_lot": 50.0,
    }
    assert trade_figures(data, np.zeros(n, np.int64))["trades"] == 0


def test_a_drawdown_begins_at_nothing():
    assert drawdown(np.array([-1.0, -0.5, 3.0, -2.0])) == 2.0
    assert drawdown(np.array([-1.0, -0.5])) == 1.5
    assert drawdown(np.empty(0)) == 0.0
    assert mean(np.empty(0)) == float("-inf")


def test_the_filters_of_the_loop_decide_where_an_entry_is_possible():
    hours = [datetime(2024, 1, 12, hour, minute, tzinfo=UTC).timestamp() for hour, minute in ((12, 0), (21, 15), (21, 28), (21, 45))]
    data = rows_of(np.array(hours, dtype=np.int64), np.zeros(4, np.int64))
    every = np.ones(4, dtype=np.bool_)
    free = FilterSettings(blocked_hours=(), weekend_minutes=0)
    assert enterable(data, every, free, 60).tolist() == [True] * 4
    assert enterable(data, every, FilterSettings(blocked_hours=()), 60).tolist() == [True, True, True, False]
    assert enterable(data, every, FilterSettings(blocked_hours=(16,)), 60).tolist() == [True, False, False, False]
    assert enterable(data, np.array([False, True, False, False]), free, 60).tolist() == [False, True, False, False]


def test_tables_by_symbol_and_by_fold():
    data = window()
    symbol = (np.arange(len(data)) >= 1_000).astype(np.int64)
    both = replace(data, symbols=("EURUSD", "GBPUSD"), symbol=symbol)
    said = forecasts(both)
    found = by_symbol(both, said.side)
    assert [found[name]["rows"] for name in found] == [1_000, 3_000]
    right = np.where(said.side > 0, both.r_long, both.r_short)
    assert found["GBPUSD"]["expectancy_r"] == pytest.approx(right[1_000:].mean())
    made = candidate()
    folds = by_fold(replace(made, fold=np.arange(len(made.held)) // 2_000))
    assert [fold["rows"] for fold in folds] == [2_000, 2_000]
    assert all(fold["log_loss_gain"] > 0 for fold in folds)


def test_recall_and_reliability_by_outcome():
    made = candidate()
    sure = replace(
        made.forecasts,
        p_long=np.where(made.final.kind == LONG, 0.8, 0.1),
        p_short=np.where(made.final.kind == SHORT, 0.8, 0.1),
    )
    assert recalls(replace(made, forecasts=sure)) == {"recall_flat": 1.0, "recall_long": 1.0, "recall_short": 1.0}
    came = reliability(made)["flat"]["came"]
    assert came == pytest.approx((made.final.kind == FLAT).mean())


def test_what_json_cannot_say_is_left_out():
    told = plain({"a": float("-inf"), "b": [{"c": 1 / 3, "d": float("nan")}], "e": 3, "f": "x"})
    assert told == {"b": [{"c": 0.333333}], "e": 3, "f": "x"}
    json.dumps(told, allow_nan=False)
