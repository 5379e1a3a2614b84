"""The look-ahead analysis: silent on what is honest, and it names what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from config.errors import InsufficientHistory
from strategy import features
from strategy.features import WARMUP, schema_for
from strategy.learning import lookahead
from strategy.learning.labels import label
from strategy.learning.lookahead import SAMPLED_CUTS, Subject, cut_points, examine, told
from tests.fakes_learning import ALL, POLICY, costs_of, market, one_bar_ahead, still, without

SUBJECT = Subject(schema_for(ALL), costs_of, POLICY, 2.0)
BOTH_WAYS = pytest.mark.parametrize("whole", [True, False])


@pytest.fixture(scope="module")
def bars():
    """Missing minutes, a stretch that stands still, a wild tick."""
    made = market(1_800, seed=5)
    keep = np.random.default_rng(0).random(len(made)) > 0.1
    names = ("time", "open", "high", "low", "close", "tick_volume", "spread")
    kept = replace(made, **{name: getattr(made, name)[keep].copy() for name in names})
    kept.high[500] += 0.3
    return still(kept, 900, 1_060)


def columns(examination):
    return {leak.column for leak in examination.leaks}


# --- what is honest ---------------------------------------------------------------------------


@BOTH_WAYS
def test_nothing_of_ours_reads_the_future(bars, whole):
    found = examine(bars, SUBJECT, 40, whole=whole)
    assert found.leaks == ()
    assert (found.bars, found.cuts, found.columns) == (len(bars), 40, len(SUBJECT.schema.names) + 6)


@BOTH_WAYS
def test_nor_does_it_where_the_policy_moves_stops(bars, whole):
    managed = replace(POLICY, break_even_r=0.3, trail_atr=1.0, partial_r=0.5)
    assert managed.manages
    assert examine(bars, replace(SUBJECT, policy=managed), 15, whole=whole).leaks == ()


def test_nor_where_volume_and_spread_are_unknown(bars):
    bare = without(bars, "tick_volume", "spread")
    usual = lambda part: replace(costs_of(market(1)), spread=np.full(len(part), 1e-5))  # noqa: E731  # one line of a test
    assert examine(bare, Subject(schema_for(bare.capabilities), usual, POLICY, 2.0), 15).leaks == ()


# --- features that are not --------------------------------------------------------------------


@BOTH_WAYS
def test_a_feature_that_peeks_one_bar_ahead_is_named(bars, monkeypatch, whole):
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    found = examine(bars, SUBJECT, SAMPLED_CUTS, whole=whole)
    assert columns(found) == {"slope_10", "slope_30", "slope_60"}
    for leak in found.leaks:
        assert (leak.kind, leak.symbol, leak.whole) == ("feature", "EURUSD", whole)
        assert leak.time == leak.newest  # the newest bar's row alone lacked what it peeked at
        assert leak.full != leak.early


def test_the_first_row_and_the_difference_are_those_of_the_earliest_change(bars, monkeypatch):
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    found = examine(bars, SUBJECT, SAMPLED_CUTS)
    first = min(cut_points(SUBJECT.least_bars, len(bars), SAMPLED_CUTS)) - 1
    leak = next(leak for leak in found.leaks if leak.column == "slope_10")
    assert leak.time == bars.opened_at(first)
    table = features.compute(bars, SUBJECT.schema).values
    assert leak.full == table[first, SUBJECT.schema.names.index("slope_10")]
    assert "feature slope_10 of EURUSD reads the future: at 20" in str(leak)


@BOTH_WAYS
def test_a_scale_of_the_whole_history_is_found(bars, monkeypatch, whole):
    """Standardising before the split: every row knows how wide the market will be."""
    honest = lookahead.compute

    def standardised(part, schema):
        window = honest(part, schema)
        column = window.values[:, 0]
        return replace(window, values=np.column_stack([column / np.nanstd(column), window.values[:, 1:]]).astype(np.float32))

    monkeypatch.setattr(lookahead, "compute", standardised)
    assert columns(examine(bars, SUBJECT, 5, whole=whole)) == {"move_1"}


def test_a_longer_bar_that_still_forms_is_found_whatever_its_length(bars, monkeypatch):
    """Its last row is right whenever a cut falls on the end of a longer bar: evenly spaced cuts might all."""
    honest = lookahead.compute

    def forming(part, schema):
        window = honest(part, schema)
        bucket = part.time // 900
        last = np.searchsorted(bucket, bucket, side="right") - 1
        return replace(window, values=np.column_stack([part.close[last] - part.close, window.values[:, 1:]]).astype(np.float32))

    monkeypatch.setattr(lookahead, "compute", forming)
    assert columns(examine(bars, SUBJECT, 4, whole=False)) == {"move_1"}


def test_a_memory_beyond_the_warmup_is_told_from_look_ahead(bars, monkeypatch):
    honest = lookahead.compute

    def remembering(part, schema):
        window = honest(part, schema)
        return replace(window, values=np.column_stack([np.cumsum(part.close), window.values[:, 1:]]).astype(np.float32))

    monkeypatch.setattr(lookahead, "compute", remembering)
    (leak,) = examine(bars, SUBJECT, 5).leaks
    assert (leak.column, leak.whole) == ("move_1", False)
    assert "remembers beyond the warm-up" in str(leak)


# --- labels that are not ----------------------------------------------------------------------


def _known_too_early(part, *rest):
    """Labels that call themselves known one bar before their horizon is over."""
    made = label(part, *rest)
    return replace(made, end=np.where(made.known, made.end - 60, made.end))


def _by_the_close_of_the_last_bar(part, *rest):
    """Labels whose time exit is at the close of the bar at whose open they end."""
    made = label(part, *rest)
    rows = np.flatnonzero(made.known)
    forward = made.forward.copy()
    forward[rows] = part.close[rows + POLICY.horizon + 1] - part.open[rows + 1]
    return replace(made, forward=forward)


def _weighed_by_the_future(part, *rest):
    """Results in units of how wide the whole history was."""
    made = label(part, *rest)
    return replace(made, r_long=made.r_long * np.ptp(part.close))


@BOTH_WAYS
@pytest.mark.parametrize(
    ("planted", "named"),
    [(_known_too_early, "known"), (_by_the_close_of_the_last_bar, "forward"), (_weighed_by_the_future, "r_long")],
)
def test_a_label_that_reads_beyond_its_end_is_named(bars, monkeypatch, planted, named, whole):
    monkeypatch.setattr(lookahead, "label", planted)
    found = examine(bars, SUBJECT, SAMPLED_CUTS, whole=whole)
    assert named in columns(found)
    assert {leak.kind for leak in found.leaks} == {"label"}


@BOTH_WAYS
def test_costs_that_know_the_future_are_found(bars, whole):
    """The mean spread of the whole history, charged from its first bar."""

    def dear(part):
        return replace(costs_of(part), spread=np.full(len(part), part.spread.mean() * 1e-5))

    assert {"r_long", "r_short"} <= columns(examine(bars, replace(SUBJECT, costs=dear), 5, whole=whole))


# --- cuts and words ---------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 5, 15, 60, 240])
def test_cuts_fall_on_every_phase_of_a_longer_bar(length):
    cuts = cut_points(300, 10_000, 16)
    assert len({cut % length for cut in cuts}) >= min(length, 8)
    assert all(300 <= cut < 10_000 for cut in cuts)


def test_a_history_that_cannot_be_cut_is_named():
    with pytest.raises(InsufficientHistory, match=f"EURUSD: {SUBJECT.least_bars} closed bars, {SUBJECT.least_bars + 1} needed"):
        examine(market(SUBJECT.least_bars), SUBJECT, 3)
    assert SUBJECT.least_bars == WARMUP + 64 + POLICY.horizon + 3
    assert examine(market(SUBJECT.least_bars + 1), SUBJECT, 3).leaks == ()


def test_nothing_examined_is_nothing_shown():
    assert told(()) == (False, "unchanged without later bars: nothing was examined")


def test_several_leaks_are_told_by_the_first(bars, monkeypatch):
    clean = examine(bars, SUBJECT, 2, whole=False)
    assert told([clean]) == (True, f"unchanged without later bars: {clean.columns} columns of EURUSD at 2 cuts")
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    passed, words = told([clean, examine(bars, SUBJECT, 2, whole=False)])
    assert not passed
    assert words.startswith("feature slope_10 of EURUSD reads the future")
    assert words.endswith("; and 2 more columns")
