"""Labels of any bars equal a row-by-row walk through the market, and know no favourite side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.exits import ExitPolicy
from market_data.bars import Bars, Timeframe
from strategy.learning.labels import FLAT, LONG, NEVER, SHORT, Costs, label

MONDAY = 1_704_708_000
MAX_AGE = 2.0

# Prices are whole numbers of points: sums are exact, so both sides of a comparison are the same.
STEPS = st.integers(-12, 12)
REACH = st.sampled_from([0, 1, 5, 15, 80])  # the last goes through both barriers
BARS = st.tuples(STEPS, st.sampled_from([0, 0, 0, -9, 15, 40, -40]), REACH, REACH, st.sampled_from([1, 1, 1, 1, 2, 3, 60]))


@st.composite
def _cases(draw, widest=4, managed=False):
    rows = np.array(draw(st.lists(BARS, min_size=4, max_size=24)), dtype=np.float64)
    n = len(rows)
    moves, gaps, up, down, pauses = rows.T
    opened = 110_000 + np.cumsum(moves + gaps) - moves
    close = opened + moves
    high, low = np.maximum(opened, close) + up, np.minimum(opened, close) - down
    bars = Bars("EURUSD", Timeframe.M1, MONDAY + 60 * np.cumsum(pauses).astype(np.int64), opened, high, low, close)
    policy = ExitPolicy(draw(st.sampled_from([1.0, 2.0])), draw(st.sampled_from([0.5, 1.0, 2.0, 4.0])), 2.0, draw(st.integers(1, 6)))
    if managed:
        # Halves and quarters: sums of products stay exact.
        switches = ("break_even_r", "break_even_offset", "trail_atr", "trail_start_r", "partial_r")
        policy = replace(policy, **{name: draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])) for name in switches}, partial_fraction=0.25)
    spread = np.array(draw(st.lists(st.integers(0, widest), min_size=n, max_size=n)), dtype=np.float64)
    costs = Costs(spread, float(draw(st.integers(0, 3))), float(draw(st.sampled_from([0, 0, 10]))))
    atr = np.array(draw(st.lists(st.sampled_from([float("nan"), 0.0, 4.0, 8.0, 16.0]), min_size=n, max_size=n)))
    return bars, atr, costs, policy


def _walk(bars, atr, costs, policy, stop, row, side):
    """Result in price, whether the target was reached, and after how many bars: one trade, one bar at a time."""
    ask = costs.spread if side < 0 else np.zeros(len(bars))  # a short leaves at the ask
    entry = bars.open[row + 1] + (costs.spread[row + 1] if side > 0 else 0.0)
    first, close = (bars.open + ask - entry) * side, (bars.close + ask - entry) * side
    ends = ((bars.low + ask - entry) * side, (bars.high + ask - entry) * side)
    worst, best = ends if side > 0 else ends[::-1]
    target, level, part = policy.target_distance(stop), -stop, None
    for age in range(1, policy.horizon + 1):
        at = row + age
        left = _left(first[at], worst[at], best[at], level, target)
        if left is not None:
            return _over(left, part, policy), left >= target, age
        if age < policy.horizon:
            if policy.partial_r and part is None and close[at] >= policy.partial_r * stop:
                part = first[at + 1]
            wanted = _wanted(policy, level, close[at], stop, atr[at], costs.spread[at] + costs.commission)
            if first[at + 1] - wanted > 0 and first[at + 1] - wanted >= costs.least_stop:
                level = wanted
    return _over(first[row + policy.horizon + 1], part, policy), False, policy.horizon + 1


def _left(first, worst, best, level, target):
    """Where a bar's prices end a trade, rising is profit; None where they do not."""
    if first >= target or first <= level:
        return first
    if worst <= level:
        return level
    return target if best >= target else None


def _wanted(policy, level, profit, stop, atr, cost):
    rules = [level]
    if policy.break_even_r and level < 0 and profit >= policy.break_even_r * stop:
        rules.append(policy.break_even_offset * cost)
    if policy.trail_atr and not np.isnan(atr) and profit >= policy.trail_start_r * stop:
        rules.append(profit - policy.trail_atr * atr)
    return max(rules)


def _over(move, part, policy):
    return move if part is None else policy.partial_fraction * part + (1 - policy.partial_fraction) * move


def _reference(bars, atr, costs, policy, row):
    """kind, r_long, r_short, forward, stop, out_long, out_short of one row; None where it is unknown."""
    last = row + policy.horizon + 1
    if last >= len(bars) or not atr[row] > 0 or bars.time[row + 1] - bars.time[row] > MAX_AGE * 60:
        return None
    spread = float(costs.spread[row + 1])
    stop = policy.stop_distance(float(atr[row]), spread + costs.commission, spread + costs.least_stop)
    long, long_won, long_at = _walk(bars, atr, costs, policy, stop, row, 1)
    short, short_won, short_at = _walk(bars, atr, costs, policy, stop, row, -1)
    kind = FLAT
    if long_won and not (short_won and short_at <= long_at):
        kind = LONG
    elif short_won and not (long_won and long_at <= short_at):
        kind = SHORT
    forward = (bars.open[last] - bars.open[row + 1]) / atr[row]
    out = (int(bars.time[row + long_at]), int(bars.time[row + short_at]))
    return kind, (long - costs.commission) / stop, (short - costs.commission) / stop, forward, stop, *out


@settings(max_examples=250, deadline=None)
@given(st.one_of(_cases(), _cases(managed=True)))
def test_labels_equal_a_walk_bar_by_bar(case):
    bars, atr, costs, policy = case
    found = label(bars, atr, costs, policy, MAX_AGE)
    for row in range(len(bars)):
        wanted = _reference(bars, atr, costs, policy, row)
        assert found.known[row] == (wanted is not None)
        got = (int(found.kind[row]), found.r_long[row], found.r_short[row], found.forward[row], found.stop[row])
        out = (found.out_long[row], found.out_short[row])
        if wanted is None:
            assert got[0] == FLAT
            assert np.isnan(got[1:]).all()
            assert out == (NEVER, NEVER)
        else:
            got = (*got, *out)
            assert got == pytest.approx(wanted, abs=1e-12)
            assert found.end[row] == bars.time[row + policy.horizon + 1]


@settings(max_examples=150, deadline=None)
@given(st.one_of(_cases(widest=0), _cases(widest=0, managed=True)))
def test_a_mirrored_market_has_mirrored_labels(case):
    bars, atr, costs, policy = case
    turned = replace(bars, open=-bars.open, high=-bars.low, low=-bars.high, close=-bars.close)
    found, mirror = label(bars, atr, costs, policy, MAX_AGE), label(turned, atr, costs, policy, MAX_AGE)
    np.testing.assert_array_equal(found.known, mirror.known)
    np.testing.assert_array_equal(found.kind, np.array([FLAT, SHORT, LONG])[mirror.kind])
    np.testing.assert_array_equal(found.r_long, mirror.r_short)
    np.testing.assert_array_equal(found.forward, -mirror.forward)


@settings(max_examples=100, deadline=None)
@given(st.one_of(_cases(), _cases(managed=True)))
def test_a_label_reads_nothing_after_its_end(case):
    bars, atr, costs, policy = case
    full = label(bars, atr, costs, policy, MAX_AGE)
    for cut in range(2, len(bars)):
        part = label(bars.slice(0, cut), atr[:cut], Costs(costs.spread[:cut], costs.commission, costs.least_stop), policy, MAX_AGE)
        settled = full.known[:cut] & (full.end[:cut] <= bars.time[cut - 1])
        np.testing.assert_array_equal(part.known, settled)
        for name in ("kind", "r_long", "r_short", "forward"):
            np.testing.assert_array_equal(getattr(part, name)[settled], getattr(full, name)[:cut][settled])


@settings(max_examples=100, deadline=None)
@given(_cases(), st.integers(1, 5))
def test_dearer_trading_never_pays_more_in_price(case, more):
    """With the stop held in place by its least distance, commission comes off every result."""
    bars, atr, costs, policy = case
    wide = replace(policy, min_stop_costs=0.0)
    cheap = label(bars, atr, costs, wide, MAX_AGE)
    dear = label(bars, atr, Costs(costs.spread, costs.commission + more, costs.least_stop), wide, MAX_AGE)
    assert (dear.r_long[cheap.known] < cheap.r_long[cheap.known]).all()
    assert (dear.r_short[cheap.known] < cheap.r_short[cheap.known]).all()
