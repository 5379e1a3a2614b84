"""Splits that do not leak, and bounds that hold on dependent noise."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy.learning.validation import (
    Split,
    blocks_of,
    bootstrap_means,
    final_split,
    log_loss_rows,
    lower_bound,
    purged,
    walk_forward,
)

HORIZON, EMBARGO = 900, 900


@st.composite
def _rows(draw):
    """Times with pauses and, where two symbols share an instant, repetitions; labels of many lengths."""
    gaps = draw(st.lists(st.sampled_from([0, 60, 60, 60, 120, 7_200]), min_size=60, max_size=150))
    time = 1_704_700_000 + np.cumsum(gaps).astype(np.int64)
    length = draw(st.lists(st.integers(60, 2_000), min_size=len(gaps), max_size=len(gaps)))
    return time, time + np.array(length, dtype=np.int64)


def leak(split: Split, time, end, embargo: int) -> str:
    """What is wrong with a split; empty where it is sound. The checks of this module, as one."""
    if not len(split.test) or not len(split.train):
        return ""
    first, last = time[split.test].min(), time[split.test].max()
    if set(time[split.train]) & set(time[split.test]):
        return "an instant stands on both sides"
    if ((time[split.train] >= first) & (time[split.train] <= last)).any():
        return "rows that teach stand among those that judge"
    if (end[split.train] >= first - embargo).any():
        return "a label that teaches ends after the first judging row less the embargo"
    return ""


@settings(max_examples=150, deadline=None)
@given(_rows(), st.floats(0.1, 0.5), st.integers(0, 3_600))
def test_the_final_window_is_purged(rows, fraction, embargo):
    time, end = rows
    split = final_split(time, end, fraction, embargo)
    assert leak(split, time, end, embargo) == ""
    assert len(split.test) >= int(len(time) * fraction)
    assert split.test[-1] == len(time) - 1


@settings(max_examples=150, deadline=None)
@given(_rows(), st.integers(1, 6), st.integers(0, 3_600))
def test_walk_forward_folds_are_purged_and_judge_each_row_once(rows, folds, embargo):
    time, end = rows
    splits = walk_forward(time, end, folds, embargo)
    assert [leak(split, time, end, embargo) for split in splits] == [""] * folds
    judged = np.concatenate([split.test for split in splits])
    assert (np.diff(judged) == 1).all()
    assert judged[-1] == len(time) - 1
    for split in splits:
        assert not len(split.train) or split.train.max() < split.test.min()


def test_nothing_is_thrown_away_without_need():
    time = np.arange(0, 60_000, 60, dtype=np.int64)
    end = time + HORIZON
    split = final_split(time, end, 0.25, EMBARGO)
    assert len(split.test) == 250
    assert end[split.train].max() == time[split.test[0]] - EMBARGO - 60
    assert len(split.train) == 750 - (HORIZON + EMBARGO) // 60


def _unpurged(time, end):
    cut = int(len(time) * 0.75)
    return Split(np.arange(cut), np.arange(cut, len(time)))


def _shuffled(time, end):
    order = np.random.default_rng(0).permutation(len(time))
    cut = int(len(time) * 0.75)
    return Split(np.sort(order[:cut]), np.sort(order[cut:]))


def _by_row(time, end):
    """Purged by row count, cut inside an instant."""
    cut = next(i for i in range(len(time) // 2, len(time)) if time[i] == time[i - 1])
    return Split(np.r_[np.arange(cut - 60), cut - 1], np.arange(cut, len(time)))


def _without_embargo(time, end):
    return purged(time, end, int(time[int(len(time) * 0.75)]), int(time[-1]) + 1, 0)


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (_unpurged, "ends after"),
        (_shuffled, "stand among|both sides"),
        (_by_row, "both sides"),
        (_without_embargo, "ends after"),
    ],
)
def test_the_same_check_finds_planted_faults(planted, found):
    time = np.repeat(np.arange(0, 60_000, 60, dtype=np.int64), 2)
    end = time + HORIZON
    assert re.search(found, leak(planted(time, end), time, end, EMBARGO))


# --- blocks and bounds ------------------------------------------------------------------------


def test_blocks_are_stretches_of_market_time():
    time = np.array([0, 60, 899, 900, 1_799, 90_000, 90_060])
    assert blocks_of(time, 900).tolist() == [0, 0, 0, 1, 1, 2, 2]


def _dependent(rng, n, memory=20):
    """Overlapping sums of noise: what labels of a horizon look like. Mean 0."""
    return np.convolve(rng.standard_normal(n + memory - 1), np.ones(memory) / np.sqrt(memory), "valid")


def _violations(block_length, repetitions):
    rng = np.random.default_rng(11)
    block = np.arange(1_600) // block_length
    return np.mean([lower_bound(_dependent(rng, 1_600), block, 0.95, 200, seed) > 0.0 for seed in range(repetitions)])


def test_the_lower_bound_holds_on_dependent_noise():
    """A 95 % bound is above the truth in about 5 of 100 tries; blocks of one row would break it far more often."""
    assert 0.02 <= _violations(40, 300) <= 0.10
    assert _violations(1, 30) > 0.2


def test_the_bound_does_not_depend_on_the_order_of_rows_or_the_names_of_blocks():
    rng = np.random.default_rng(1)
    values, block = _dependent(rng, 900), np.arange(900) // 30
    bound = lower_bound(values, block, 0.99, 500, 7)
    order = rng.permutation(900)
    assert lower_bound(values[order], block[order], 0.99, 500, 7) == pytest.approx(bound)
    assert lower_bound(values, block * 1_000 + 17, 0.99, 500, 7) == pytest.approx(bound)
    # Blocks in another order are drawn by other numbers: the bound moves by no more than the draw does.
    shuffled = rng.permutation(30)[block]
    assert lower_bound(values, shuffled, 0.95, 5_000, 7) == pytest.approx(lower_bound(values, block, 0.95, 5_000, 7), abs=0.03)


def test_the_bound_falls_with_confidence_and_lies_below_the_mean():
    values, block = _dependent(np.random.default_rng(2), 1_000) + 0.3, np.arange(1_000) // 40
    bounds = [lower_bound(values, block, confidence, 2_000, 3) for confidence in (0.6, 0.9, 0.99)]
    assert values.mean() > bounds[0] > bounds[1] > bounds[2]


def test_one_block_or_none_bounds_nothing():
    assert lower_bound(np.ones(50), np.zeros(50, np.int64), 0.95, 200, 1) == float("-inf")
    assert lower_bound(np.empty(0), np.empty(0, np.int64), 0.95, 200, 1) == float("-inf")


def test_constant_values_are_certain():
    assert lower_bound(np.full(60, 0.25), np.arange(60) // 10, 0.99, 200, 1) == pytest.approx(0.25)


def test_blocks_of_different_sizes_are_weighed_by_their_rows():
    values = np.r_[np.zeros(90), np.ones(10)]
    block = np.r_[np.zeros(90, np.int64), np.ones(10, np.int64)]
    means = bootstrap_means(values, block, 1_000, 1)
    assert set(np.round(means, 9)) == {0.0, 0.1, 1.0}
    assert (np.diff(means) >= 0).all()


def test_log_loss_is_that_of_the_class_that_came():
    p = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert log_loss_rows(p, np.array([1, 0])) == pytest.approx([-np.log(0.25), -np.log(1e-9)])
