"""Splits that do not leak, and bounds that hold on dependent noise."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from strategy.learning.validation import (
    UNKNOWN,
    Split,
    block_mean,
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


# --- the studentised bound -------------------------------------------------------------------------


def _results(rng, tries, kind, rows=1_200, memory=16):
    """Results of overlapping trades, shape (tries, rows), and their true mean of 0."""
    path = np.cumsum(rng.standard_normal((tries, rows + memory)), axis=1)
    moved = (path[:, memory:] - path[:, :-memory]) / np.sqrt(memory)
    low, high = {"plain": (-9.0, 9.0), "barriers": (-1.0, 1.0), "rare losses": (-2.0, 0.5)}[kind]
    points = np.clip(norm.ppf((np.arange(100_000) + 0.5) / 100_000), low, high)
    return np.clip(moved, low, high) - points.mean()


def _taken(rng, tries, rows=1_200, share=0.4):
    """Rows of a signal that lasts, shape (tries, rows)."""
    path = np.cumsum(rng.standard_normal((tries, rows + 20)), axis=1)
    signal = path[:, 20:] - path[:, :-20]
    return signal >= np.quantile(signal, 1.0 - share, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["plain", "barriers", "rare losses"])
def test_p_values_mean_what_they_say(kind):
    """8,000 worthless tries: the shares below 5 %, 1 % and 0.1 % lie within three errors of these."""
    rng, tries, block = np.random.default_rng(5), 8_000, np.arange(1_200) // 32
    values, taken = _results(rng, tries, kind), _taken(rng, tries)
    p = np.array([block_mean(row[rows], block[rows]).p_value(0.0) for row, rows in zip(values, taken, strict=True)])
    for level, most in ((0.05, 1.15), (0.01, 1.35), (0.001, 2.1)):
        assert (p < level).mean() <= most * level
    assert (p < 0.05).mean() >= 0.6 * 0.05


def test_a_plain_t_of_blocks_would_not_bear_rare_losses():
    """The planted fault: neither neighbours nor skew are looked at."""
    rng, tries, block = np.random.default_rng(5), 4_000, np.arange(1_200) // 32
    values, taken = _results(rng, tries, "rare losses"), _taken(rng, tries)
    wrong = 0
    for row, rows in zip(values, taken, strict=True):
        sums, counts = np.bincount(block[rows], weights=row[rows]), np.bincount(block[rows])
        residual = sums - sums.sum() / counts.sum() * counts
        wrong += sums.sum() / np.sqrt(residual @ residual) > norm.ppf(0.99)
    assert wrong / tries > 0.02


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.01, 1e-3, 1e-4, 1e-6]))
@settings(max_examples=60, deadline=None)
def test_the_bound_is_above_the_minimum_exactly_where_the_p_value_is_below_the_level(seed, alpha):
    rng = np.random.default_rng(seed)
    values = np.clip(rng.standard_normal(900) + rng.uniform(0, 0.5), -3.0, 1.0)
    found = block_mean(values, np.arange(900) // 30)
    least = found.lower(alpha)
    assert found.p_value(least) == pytest.approx(alpha, rel=1e-6)
    assert found.p_value(least - 1e-3) < alpha < found.p_value(least + 1e-3)
    assert least < found.value


def test_dependence_between_neighbouring_blocks_widens_the_error():
    rng = np.random.default_rng(1)
    slow = np.repeat(rng.standard_normal(30), 60)
    assert block_mean(slow, np.arange(1_800) // 30).error > 1.2 * block_mean(rng.permutation(slow), np.arange(1_800) // 30).error
    ratio = block_mean(slow, np.arange(1_800) // 30).error / block_mean(slow, np.arange(1_800) // 60).error
    assert 0.75 < ratio < 1.35


def test_few_blocks_know_nothing():
    assert block_mean(np.empty(0), np.empty(0, np.int64)) == UNKNOWN
    found = block_mean(np.ones(30), np.arange(30) // 10)
    assert (found.value, found.lower(0.05), found.p_value(0.0)) == (1.0, float("-inf"), 1.0)


def test_a_thousand_rows_in_one_block_are_one_block():
    """Nineteen rows beside a thousand do not make twenty blocks."""
    block = np.r_[np.zeros(1_000, np.int64), np.arange(1, 20)]
    assert block_mean(np.r_[np.ones(1_000), np.zeros(19)], block).p_value(0.0) == 1.0


def test_constant_results_are_certain_by_blocks_too():
    found = block_mean(np.full(600, 0.25), np.arange(600) // 30)
    assert (found.lower(1e-6), found.p_value(0.0), found.p_value(0.25)) == (pytest.approx(0.25), 0.0, 1.0)


def test_log_loss_is_that_of_the_class_that_came():
    p = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert log_loss_rows(p, np.array([1, 0])) == pytest.approx([-np.log(0.25), -np.log(1e-9)])
