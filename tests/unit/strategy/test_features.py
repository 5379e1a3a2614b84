"""Every feature: no look at the future, no endless memory, no scale, nothing from an unknown column."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import talib

from market_data.bars import RATES_DTYPE, Capabilities, Timeframe, bars_from_rates
from market_data.importers import import_file
from strategy import features
from strategy.features import (
    ALWAYS,
    FAMILIES,
    OPTIONAL,
    SPREAD,
    VOLUME,
    WARMUP,
    atr,
    compute,
    families,
    newest,
    newest_atr,
    row_hash,
    schema_for,
    sequence_schema,
)
from strategy.mirror import mirror
from strategy.predictor import FeatureSchema
from tests.fakes_learning import ALL, leaking, market, remembering, scaled_prices, still, without

SCHEMA = schema_for(ALL)
DEV = Path(__file__).parents[3].parent / "shared" / "data" / "dev"
CUTS = (161, 162, 165, 170, 300, 301, 302, 303, 304, 305, 306, 307, 500, 777, 1_001, 1_150, 1_151, 1_399)
STARTS = (1, 7, 60, 333, 610, 700, 1_200)


def columns_of(bars):
    values = compute(bars, SCHEMA).values
    return {name: values[:, index] for index, name in enumerate(SCHEMA.names)}


@pytest.fixture(scope="module")
def bars():
    """Sunday's open, missing minutes, a market that stands still, and a wild tick."""
    whole = market(1_600, start=datetime(2024, 3, 10, 12, tzinfo=UTC))
    keep = np.ones(len(whole), bool)
    keep[np.random.default_rng(0).choice(len(whole), 200, replace=False)] = False
    kept = replace(
        whole, **{name: getattr(whole, name)[keep] for name in ("time", "open", "high", "low", "close", "tick_volume", "spread")}
    )
    kept.high[550] += 0.5
    return still(kept, 600, 900)


@pytest.fixture(scope="module")
def leaks(bars):
    return leaking(columns_of, bars, CUTS)


@pytest.fixture(scope="module")
def memories(bars):
    return remembering(columns_of, bars, STARTS, WARMUP)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_no_row_changes_when_later_bars_arrive(leaks, column):
    assert column not in leaks


@pytest.mark.parametrize("column", SCHEMA.names)
def test_rows_do_not_depend_on_where_the_history_begins(memories, column):
    assert column not in memories


# --- training and serving ---------------------------------------------------------------------


def differing(bars, served, ends):
    """Columns of which a decision's window holds another last digit than the training table."""
    schema = schema_for(bars.capabilities)
    table = compute(bars, schema).values
    windows = [(compute(bars.slice(end - WARMUP - served, end), schema).values[WARMUP:], table[end - served : end]) for end in ends]
    return {
        name for late, full in windows for i, name in enumerate(schema.names) if not np.array_equal(late[:, i], full[:, i], equal_nan=True)
    }


@pytest.mark.parametrize("served", [1, 61])
def test_a_decision_reads_what_training_read_to_the_last_digit(bars, served):
    assert differing(bars, served, (222, 300, 555, 640, 777, 905, 1_111, 1_399)) == set()


def test_a_row_worked_out_alone_is_that_of_the_table_to_the_last_digit(bars):
    extra = tuple(OPTIONAL)
    schema = schema_for(ALL, extra)
    table = compute(bars, schema).values
    alone = [newest(bars.slice(None, end), schema, 1)[0] for end in range(WARMUP + 1, len(bars) + 1)]
    np.testing.assert_array_equal(np.array(alone), table[WARMUP:])


@pytest.mark.skipif(not DEV.is_dir(), reason="market data for developers is not here")
@pytest.mark.parametrize("name", ["EURUSD_M1_20180531_20180629_mt5", "XAUUSD_M1_20251203_20260130_mt5-ftmo"])
def test_a_decision_on_real_bars_reads_what_training_read(name):
    real = import_file(DEV / f"{name}.csv.gz").bars
    assert differing(real, 61, np.linspace(222, len(real), 60).astype(int)) == set()


@pytest.mark.parametrize("stretch", [1, 7, 250, 1_240])
def test_a_long_history_may_be_worked_out_in_stretches(bars, monkeypatch, stretch):
    whole = compute(bars, SCHEMA).values
    monkeypatch.setattr(features, "STRETCH", stretch)
    np.testing.assert_array_equal(compute(bars, SCHEMA).values, whole)


def test_the_same_check_finds_a_running_sum(bars, monkeypatch):
    """TA-Lib's own slope keeps one: its last digits depend on where the history began."""

    def slope(past, period):
        return past.distance(talib.LINEARREG_SLOPE(past.bars.close, period)[past.now] * period, 0.0, period)

    monkeypatch.setattr(features, "_slope", slope)
    assert differing(bars, 61, (300, 555, 1_111, 1_399)) >= {"slope_10", "slope_30", "slope_60"}


@pytest.mark.parametrize("count", [3, 14, 15, 16, 300])
def test_the_newest_range_is_the_last_of_all_ranges(bars, count):
    part = bars.slice(500, 500 + count)
    np.testing.assert_array_equal(newest_atr(part), atr(part)[-1])


# --- look-ahead and memory --------------------------------------------------------------------


def _forming_longer_bar(bars):
    """A higher timeframe read as resampling gives it: the close of the bar that still forms."""
    bucket = bars.time // (15 * 60)
    last = np.searchsorted(bucket, bucket, side="right") - 1
    return {"forming": bars.close[last] - bars.close, "honest": bars.close - bars.open}


def _centred_window(bars):
    """A moving average with as many bars after the row as before it."""
    mean = np.convolve(bars.close, np.ones(21) / 21, mode="same")
    return {"centred": mean - bars.close, "honest": bars.close - bars.open}


def _swing_at_its_own_bar(bars):
    """A swing high known on the bar itself, three bars too early."""
    ahead = np.lib.stride_tricks.sliding_window_view(np.pad(bars.high, 3, mode="edge"), 7).max(axis=1)
    return {"early swing": (bars.high == ahead).astype(float), "honest": bars.close - bars.open}


@pytest.mark.parametrize("planted", [_forming_longer_bar, _centred_window, _swing_at_its_own_bar])
def test_the_same_check_finds_a_planted_look_ahead(bars, planted):
    assert leaking(planted, bars, CUTS) == set(planted(bars)) - {"honest"}


def test_the_same_check_finds_a_memory_without_end(bars):
    def recursive(part):
        average = np.empty(len(part))
        average[0] = part.close[0]
        for i in range(1, len(part)):
            average[i] = 0.999 * average[i - 1] + 0.001 * part.close[i]
        return {"wilder": (average - part.close) * 1e4, "honest": part.close}

    assert remembering(recursive, bars, STARTS, WARMUP) == {"wilder"}


def test_higher_timeframes_change_only_when_a_longer_bar_has_closed():
    flow = market(600)
    moves = columns_of(flow)["x15_move_1"] * atr(flow, 60)
    rows = np.arange(300, 600)
    opens_bucket = (flow.time[rows] + 60) % 900 == 0
    changed = np.abs(np.diff(moves)[rows - 1]) > 1e-6
    assert set(rows[changed & ~opens_bucket]) == set()
    assert changed[opens_bucket].any()


def test_the_slope_is_that_of_the_regression_line():
    flow = market(400)
    found = columns_of(flow)
    for period in (10, 30, 60):
        fitted = np.polyfit(np.arange(period), flow.close[400 - period :], 1)[0]
        assert found[f"slope_{period}"][-1] == pytest.approx(fitted * np.sqrt(period) / atr(flow, 60)[-1], rel=1e-5)


def test_where_nothing_moved_the_slope_is_level():
    assert (columns_of(still(market(500), 400, 440))["slope_10"][411:440] == 0.0).all()


def test_the_clock_is_read_to_the_minute():
    found = columns_of(market(400, start=datetime(2024, 1, 8, 12, tzinfo=UTC)))
    opened = 12 * 60 + 399 - 5 * 60  # New York, a Monday
    assert found["day_sin"][-1] == pytest.approx(np.sin(2 * np.pi * opened / 1_440), rel=1e-6)
    assert found["half_day_cos"][-1] == pytest.approx(np.cos(4 * np.pi * opened / 1_440), rel=1e-6)
    assert (found["week_sin"][-1], found["week_cos"][-1]) == (0.0, 1.0)


def test_a_swing_counts_three_bars_after_its_top():
    base = market(400)
    high = np.minimum(base.high, base.high.min() + 1e-4)
    high[300] = base.high.max() + 0.01
    spiked = replace(base, high=np.maximum(high, np.maximum(base.open, base.close)))
    spiked.high[300] = base.high.max() + 0.01
    age = columns_of(spiked)["swing_high_age"] * 120
    assert age[302] != pytest.approx(2.0)
    assert age[303] == pytest.approx(3.0)
    assert age[310] == pytest.approx(10.0)


# --- units ------------------------------------------------------------------------------------


def test_prices_times_a_hundred_change_nothing():
    flow = market(900)
    np.testing.assert_allclose(
        compute(scaled_prices(flow, 100.0), SCHEMA).values, compute(flow, SCHEMA).values, rtol=1e-4, atol=1e-4, equal_nan=True
    )


@pytest.mark.parametrize(("column", "factor"), [("tick_volume", 7.0), ("spread", 10.0)])
def test_volume_and_spread_have_no_unit(column, factor):
    flow = market(900)
    scaled = replace(flow, **{column: getattr(flow, column) * factor})
    np.testing.assert_allclose(compute(scaled, SCHEMA).values, compute(flow, SCHEMA).values, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_another_price_level_changes_nothing():
    flow = market(900)
    shifted = replace(flow, **{name: getattr(flow, name) + 1.0 for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(compute(shifted, SCHEMA).values, compute(flow, SCHEMA).values, rtol=1e-3, atol=1e-3, equal_nan=True)


def test_volume_of_the_terminal_never_wraps():
    """The terminal's volume is unsigned: a fall must stay a fall."""
    flow = market(400)
    rates = np.zeros(400, RATES_DTYPE)
    for name in ("time", "open", "high", "low", "close", "tick_volume", "spread"):
        rates[name] = getattr(flow, name)
    rates["tick_volume"][300:] = 1
    arrived = bars_from_rates("EURUSD", Timeframe.M1, rates, ALL)
    volume = columns_of(arrived)["volume"]
    assert arrived.tick_volume.dtype == np.float64
    assert volume[300] < -1.0
    assert np.nanmax(np.abs(volume)) < 10.0
    assert np.nanmax(np.abs(columns_of(arrived)["flow_20"])) <= 1.0


# --- what cannot be computed ------------------------------------------------------------------


def test_a_market_that_never_moved_has_no_features():
    flow = market(500)
    values = compute(still(flow, 1, 500), SCHEMA).values[WARMUP + 1 :]
    assert not np.isinf(values).any()
    assert np.isnan(values).any(axis=1).all()


def test_a_market_that_stops_leaves_no_dust(bars):
    """The range of a market that stands still is zero, not what rounding left of earlier bars."""
    assert (atr(bars, 60)[662:900] == 0.0).all()
    values = compute(bars, SCHEMA).values
    assert np.isnan(values[662:900]).any(axis=1).all()
    assert np.nanmax(np.abs(values[WARMUP:540])) < 1e3
    assert not np.isinf(values).any()


@pytest.mark.parametrize("seed", range(8))
def test_a_standing_market_has_no_range_whatever_came_before(seed):
    """A running average would leave a residue of either sign, and features would be divided by it."""
    stopped = still(market(400, seed=seed), 200, 400)
    stopped.high[100] += 10.0 + seed  # a wild tick is what leaves the most
    assert (atr(stopped)[214:] == 0.0).all()
    assert (atr(stopped, 60)[260:] == 0.0).all()


def test_short_histories_have_no_rows():
    for count in (1, 14, WARMUP):
        window = compute(market(200).slice(0, count), SCHEMA)
        assert window.values.shape == (count, len(SCHEMA.names))
        assert np.isnan(window.values).all()
    assert np.isnan(atr(market(10))).all()


def test_every_row_after_the_warmup_is_whole():
    values = compute(market(1_000), SCHEMA).values
    assert np.isnan(values[:WARMUP]).all()
    assert np.isfinite(values[WARMUP:]).all()


def test_atr_is_the_average_of_true_ranges():
    flow = market(300)
    ranges = np.maximum(flow.high[1:], flow.close[:-1]) - np.minimum(flow.low[1:], flow.close[:-1])
    found = atr(flow)
    assert np.isnan(found[:14]).all()
    assert found[14:] == pytest.approx([ranges[i - 14 : i].mean() for i in range(14, 300)])


# --- schema -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "missing"),
    [
        (Capabilities(volume=False, spread=True), VOLUME.names),
        (Capabilities(volume=True, spread=False), SPREAD.names),
        (Capabilities(volume=False, spread=False), (*VOLUME.names, *SPREAD.names)),
    ],
)
def test_unknown_columns_leave_the_schema(known, missing):
    assert schema_for(known).names == tuple(name for name in SCHEMA.names if name not in missing)
    gone = [column for column, has in (("tick_volume", known.volume), ("spread", known.spread)) if not has]
    flow = without(market(400), *gone)
    assert np.isfinite(compute(flow, schema_for(known)).values[WARMUP:]).all()
    with pytest.raises(ValueError, match=missing[0]):
        compute(flow, SCHEMA)


def test_columns_do_not_depend_on_which_others_are_asked_for():
    flow = market(400)
    part = FeatureSchema(SCHEMA.names[::-3])
    values = compute(flow, part).values
    for index, name in enumerate(part.names):
        np.testing.assert_array_equal(values[:, index], columns_of(flow)[name])


def test_the_hash_is_of_names_and_order():
    assert FeatureSchema(("a", "b")).hash == FeatureSchema(("a", "b")).hash == "7e18f737311b"
    assert len({FeatureSchema(names).hash for names in (("a", "b"), ("b", "a"), ("a",), ("ab",))}) == 4


def test_names_are_unique_and_families_complete():
    assert len(set(SCHEMA.names)) == len(SCHEMA.names)
    assert [name for family in (*ALWAYS, VOLUME, SPREAD) for name in family.names] == list(SCHEMA.names)
    assert families(ALL) == (*ALWAYS, VOLUME, SPREAD)
    assert {name for family in FAMILIES.values() for name in family.names} == set(SCHEMA.names)


def test_sequence_models_read_some_of_the_same_columns():
    assert set(sequence_schema(ALL).names) < set(SCHEMA.names)
    assert set(sequence_schema(Capabilities(volume=False, spread=False)).names).isdisjoint(VOLUME.names)


def test_the_row_hash_is_that_of_the_newest_row():
    flow = market(400)
    window = compute(flow, SCHEMA)
    assert row_hash(window) == row_hash(compute(flow.slice(40, None), SCHEMA))
    assert row_hash(window) != row_hash(compute(flow.slice(0, 399), SCHEMA))


# --- daylight saving --------------------------------------------------------------------------


@pytest.mark.parametrize("change", [datetime(2024, 3, 10, 7, tzinfo=UTC), datetime(2024, 11, 3, 6, tzinfo=UTC)])
def test_sessions_follow_new_york_over_its_changes_of_clock(change):
    """The same New York minute of a Friday and a Monday has the same phase of the day."""
    flow = market(6_000, start=change - timedelta(days=3))
    shift = 3_600 if change.month == 3 else -3_600
    before = int(np.searchsorted(flow.time, (change - timedelta(days=2)).timestamp() + 12 * 3_600))
    later = int(np.searchsorted(flow.time, flow.time[before] + 3 * 86_400 - shift))
    assert flow.time[later] - flow.time[before] == 3 * 86_400 - shift
    found = columns_of(flow)
    for name in ("day_sin", "day_cos", "half_day_sin", "half_day_cos"):
        assert found[name][before] == pytest.approx(found[name][later], abs=1e-6)
    assert found["week_sin"][before] != pytest.approx(found["week_sin"][later], abs=1e-3)


def test_a_change_of_clock_hides_no_look_ahead():
    flow = market(900, start=datetime(2024, 3, 10, 20, tzinfo=UTC))
    assert leaking(columns_of, flow, (200, 400, 800)) == set()
    autumn = market(2_500, start=datetime(2024, 11, 1, 10, tzinfo=UTC))
    assert remembering(columns_of, autumn, (300, 1_500), WARMUP) == set()


# --- the mirrored market ----------------------------------------------------------------------


def _upside_down(bars):
    """Every price reflected; what was a high is a low."""
    level = 2.5
    return replace(bars, open=level - bars.open, high=level - bars.low, low=level - bars.high, close=level - bars.close)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_mirrored_features_are_the_features_of_the_mirrored_market(images, column):
    turned, computed = images
    index = SCHEMA.names.index(column)
    np.testing.assert_allclose(turned[:, index], computed[:, index], rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.fixture(scope="module")
def images():
    flow = market(1_500)
    return mirror(compute(flow, SCHEMA).values, SCHEMA), compute(_upside_down(flow), SCHEMA).values


@pytest.mark.parametrize("schema", [SCHEMA, sequence_schema(ALL)])
def test_a_mirror_of_the_mirror_is_the_market(schema):
    values = compute(market(400), schema).values
    np.testing.assert_array_equal(mirror(mirror(values, schema), schema), values)
