"""Pooled rows: their order, what is left out, windows, weights."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from config.errors import InsufficientHistory
from execution.exits import ExitPolicy
from market_data.clock import new_york_hour
from market_data.sessions import parse_sessions
from strategy.features import WARMUP, atr, compute, schema_for
from strategy.learning.dataset import Labelling, LastBuilt, build
from strategy.learning.labels import label
from strategy.learning.validation import final_split, walk_forward
from tests.fakes_learning import ALL, POLICY, costs_of, market, still, without

SCHEMA = schema_for(ALL)
HOW = Labelling(POLICY, 2.0, (16, 17), 5)
NAMES = ("EURUSD", "GBPUSD", "AUDUSD")


def _with_holes(bars, seed):
    keep = np.random.default_rng(seed).random(len(bars)) > 0.1
    return replace(bars, **{n: getattr(bars, n)[keep] for n in ("time", "open", "high", "low", "close", "tick_volume", "spread")})


@pytest.fixture(scope="module")
def histories():
    start = datetime(2024, 1, 8, 12, tzinfo=UTC)
    return {name: _with_holes(market(1_400, symbol=name, start=start), seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def data(histories):
    return build(histories, {name: costs_of(bars) for name, bars in histories.items()}, SCHEMA, HOW, 10_000)


def test_rows_of_all_symbols_stand_in_order_of_time(data):
    assert (np.diff(data.time) >= 0).all()
    assert (np.diff(data.time) == 0).sum() > 500
    assert set(data.symbol[:60]) == {0, 1, 2}
    assert data.symbols == NAMES


def test_every_row_is_its_symbols_own_feature_row_and_label(data, histories):
    for index, name in enumerate(NAMES):
        bars = histories[name]
        rows = np.flatnonzero(data.symbol == index)
        at = np.searchsorted(bars.time, data.time[rows])
        labels = label(bars, atr(bars), costs_of(bars), POLICY, 2.0)
        np.testing.assert_array_equal(data.values[rows], compute(bars, SCHEMA).values[at])
        for field in ("kind", "r_long", "r_short", "forward", "end"):
            np.testing.assert_array_equal(getattr(data, field)[rows], getattr(labels, field)[at])
        assert labels.known[at].all()


def test_windows_are_whole_and_never_reach_into_another_symbol(data, histories):
    windows = data.row[:, None] + np.arange(1 - HOW.window, 1)
    assert np.isfinite(data.table[windows]).all()
    edges = np.cumsum([0, *(len(bars) for bars in histories.values())])
    owner = np.searchsorted(edges, windows, side="right") - 1
    assert (owner == data.symbol[:, None]).all()


def test_a_row_without_movement_takes_the_windows_that_hold_it_along():
    bars = still(market(900), 500, 640)
    finite = np.isfinite(compute(bars, SCHEMA).values).all(axis=1)
    assert not finite[600]
    built = build({"EURUSD": bars}, {"EURUSD": costs_of(bars)}, SCHEMA, HOW, 10_000)
    last_bad = np.flatnonzero(~finite)[-1]
    assert last_bad + HOW.window in built.row
    assert not set(range(last_bad, last_bad + HOW.window)) & set(built.row)


def test_blocked_hours_and_late_entries_are_left_out(data, histories):
    assert not np.isin(new_york_hour(data.time), (16, 17)).any()
    bars = histories["EURUSD"]
    late = bars.time[:-1][np.diff(bars.time) > 2 * 60]
    assert len(late) > 5
    assert not np.isin(data.time[data.symbol == 0], late).any()
    open_all_day = build(histories, {n: costs_of(b) for n, b in histories.items()}, SCHEMA, replace(HOW, blocked_hours=()), 10_000)
    assert np.isin(new_york_hour(open_all_day.time), (16, 17)).any()


def test_rows_whose_entry_would_lie_outside_of_every_session_are_left_out(data, histories):
    """A row is decided when its bar closes: the bar before the session counts, its last one does not."""
    sessions = parse_sessions(("Europe/London 15:00-16:30", "America/New_York 12:00-12:10"))
    inside = build(histories, {n: costs_of(b) for n, b in histories.items()}, SCHEMA, replace(HOW, sessions=sessions), 10_000)
    closes = (data.time + 60) // 60 % 1440
    open_ = ((closes >= 15 * 60) & (closes < 16 * 60 + 30)) | ((closes >= 17 * 60) & (closes < 17 * 60 + 10))
    assert 0 < len(inside) < len(data)
    np.testing.assert_array_equal(inside.time, data.time[open_])
    np.testing.assert_array_equal(inside.values, data.values[open_])


def test_the_newest_rows_are_kept(data, histories):
    few = build(histories, {n: costs_of(b) for n, b in histories.items()}, SCHEMA, HOW, 500)
    assert len(few) == 500
    np.testing.assert_array_equal(few.time, data.time[-500:])
    np.testing.assert_array_equal(few.values, data.values[-500:])


def test_weights_give_every_symbol_the_same_say(data):
    part = data.take((data.symbol == 0) | (np.arange(len(data)) % 7 == 0))
    weights = part.balance()
    totals = np.bincount(part.symbol, weights=weights)
    assert totals == pytest.approx([len(part) / 3] * 3)
    assert weights.mean() == pytest.approx(1.0)
    alone = data.take(data.symbol == 1)
    np.testing.assert_array_equal(alone.balance(), np.ones(len(alone)))


def test_no_split_parts_the_symbols_of_an_instant(data):
    splits = [final_split(data.time, data.end, 0.25, 960), *walk_forward(data.time, data.end, 4, 960)]
    for split in splits:
        assert not set(data.time[split.train]) & set(data.time[split.test])
        inside = np.isin(data.time, data.time[split.test])
        np.testing.assert_array_equal(np.flatnonzero(inside), split.test)


def test_a_split_by_row_number_would_part_them(data):
    """The fault that the test above is for: pooled rows cut at a row, not at an instant."""
    middle = next(i for i in range(len(data) // 2, len(data)) if data.time[i] == data.time[i - 1])
    assert set(data.time[:middle]) & set(data.time[middle:])


def test_taking_rows_keeps_columns_together(data):
    part = data.take(np.array([5, 6, 900]))
    assert len(part) == 3
    np.testing.assert_array_equal(part.values, data.values[[5, 6, 900]])
    for field in ("time", "end", "kind", "r_long", "r_short", "forward", "symbol"):
        np.testing.assert_array_equal(getattr(part, field), getattr(data, field)[[5, 6, 900]])


def test_an_r_is_worth_what_a_lot_loses_at_its_stop(histories):
    """A stop of 5 points of 0.00001 at 100,000 a lot is 5 of the account's currency."""
    bars = histories["EURUSD"]
    costs = replace(costs_of(bars), lot_value=100_000.0)
    how = Labelling(POLICY, 2.0, (), 1)
    rows = build({"EURUSD": bars}, {"EURUSD": costs}, schema_for(ALL), how, len(bars))
    stops = label(bars, atr(bars), costs, POLICY, 2.0).stop
    at = np.searchsorted(bars.time, rows.time)
    np.testing.assert_allclose(rows.lot_r, 100_000.0 * stops[at])
    assert 20.0 < np.median(rows.lot_r) < 200.0


def test_too_few_bars_are_named():
    bars = market(WARMUP + 10)
    with pytest.raises(InsufficientHistory, match="EURUSD: 170 closed bars"):
        build({"EURUSD": bars}, {"EURUSD": costs_of(bars)}, SCHEMA, HOW, 1_000)


def test_the_horizon_of_the_policy_decides_what_is_known(histories):
    bars = {"EURUSD": histories["EURUSD"]}
    costs = {"EURUSD": costs_of(histories["EURUSD"])}
    short = build(bars, costs, SCHEMA, replace(HOW, policy=ExitPolicy(1.5, 1.5, 5.0, 5)), 10_000)
    long = build(bars, costs, SCHEMA, replace(HOW, policy=ExitPolicy(1.5, 1.5, 5.0, 50)), 10_000)
    assert short.row[-1] - long.row[-1] == 45


# --- the newest rows, kept --------------------------------------------------------------------


def test_the_same_bars_are_worked_out_once_and_others_again():
    """Also where only a value in the past, the settings or the symbols are other ones."""
    bars = market(400)
    revised = replace(bars, spread=np.where(np.arange(len(bars)) == 7, 9.0, bars.spread))
    asks = [
        ("a", bars),
        ("a", bars.slice(0, None)),
        ("b", bars),
        ("b", revised),
        ("b", revised.slice(1, None)),
        ("b", without(revised, "spread")),
    ]
    built, made = LastBuilt(), []

    def make():
        made.append(object())
        return made[-1]

    found = [built.get(how, {"EURUSD": history}, make) for how, history in asks]
    assert [made.index(data) for data in found] == [0, 0, 1, 2, 3, 4]
    assert built.get("b", {"GBPUSD": asks[-1][1]}, make) is made[5]


def test_what_could_not_be_built_is_not_kept():
    built, bars = LastBuilt(), {"EURUSD": market(400)}

    def fail():
        raise InsufficientHistory("EURUSD", 1, 2)

    with pytest.raises(InsufficientHistory):
        built.get("a", bars, fail)
    assert built.get("a", bars, lambda: "rows") == "rows"
