"""Drift: the index and the test against hand-made figures, on what changes and on what does not."""

import numpy as np
import pytest

from strategy.learning.drift import (
    LEAST_BLOCKS,
    LEAST_INDEX,
    SURROUNDINGS,
    TOLERANCE,
    hits_of,
    page_hinkley,
    population_of,
    shift_of,
    stability_index,
    surroundings,
)
from tests.fakes_learning import POINT, market

WINDOW = 500
NAMES = ("a", "b", "c")


def table(rows=10_000, seed=0, persistence=0.0):
    """Standard normal columns, each following its own past."""
    steps = np.random.default_rng(seed).standard_normal((rows, len(NAMES)))
    for row in range(1, rows) if persistence else ():
        steps[row] = persistence * steps[row - 1] + np.sqrt(1 - persistence**2) * steps[row]
    return steps


class TestIndex:
    def test_by_hand(self):
        expected, actual = np.array([[0.2, 0.3, 0.5]]), np.array([[0.3, 0.3, 0.4]])
        assert stability_index(expected, actual) == pytest.approx([0.1 * np.log(1.5) - 0.1 * np.log(0.8)])

    def test_is_never_negative_and_symmetric(self):
        rng = np.random.default_rng(1)
        a, b = (rng.dirichlet(np.ones(10), size=50) for _ in range(2))
        assert (stability_index(a, b) > 0).all()
        assert stability_index(a, b) == pytest.approx(stability_index(b, a))


class TestShift:
    def test_a_window_like_the_others_is_about_as_far_off_as_they_are(self):
        rows = table(60_000, persistence=0.9)
        population = population_of(NAMES, rows[:20_000], WINDOW)
        ratios = [shift_of(population, rows[:end]).ratio for end in range(20_000 + WINDOW, 60_000, WINDOW)]
        assert 0.7 < np.mean(ratios) < 1.4

    def test_the_textbook_limit_would_call_dependent_rows_drift(self):
        """Why a column is measured against its own windows: 0.25 is passed by a market in which nothing changed."""
        rows = table(20_000, persistence=0.995)
        assert (population_of(NAMES, rows, WINDOW).usual > 0.25).all()

    @pytest.mark.parametrize(("column", "change"), [("a", lambda x: x + 1.0), ("b", lambda x: 2.0 * x), ("c", lambda x: np.zeros_like(x))])
    def test_a_change_of_mean_or_spread_is_found_and_named(self, column, change):
        rows = table(10_500)
        at = NAMES.index(column)
        rows[-WINDOW:, at] = change(rows[-WINDOW:, at])
        shift = shift_of(population_of(NAMES, rows[:10_000], WINDOW), rows)
        assert shift.column == column
        assert shift.index > 0.25
        assert shift.ratio > 3.5 * 0.5

    def test_only_the_newest_window_counts(self):
        rows = table(12_000)
        rows[10_000:11_000] += 5.0
        population = population_of(NAMES, rows[:10_000], WINDOW)
        assert shift_of(population, rows[:10_900]).ratio > 10
        assert shift_of(population, rows).ratio < 3.5

    def test_rows_with_a_missing_value_are_left_out(self):
        rows = table()
        gappy = rows.copy()
        gappy[::7, 1] = np.nan
        whole = population_of(NAMES, rows[np.isfinite(gappy).all(axis=1)], WINDOW)
        assert population_of(NAMES, gappy, WINDOW).usual == pytest.approx(whole.usual)

    def test_what_is_too_short_says_nothing(self):
        rows = table(4 * WINDOW)
        assert population_of(NAMES, rows[1:], WINDOW) is None
        population = population_of(NAMES, rows, WINDOW)
        assert shift_of(population, rows[: WINDOW - 1]) is None
        assert shift_of(population, rows[:WINDOW]) is not None

    def test_a_column_that_never_moves_is_no_drift_and_divides_by_no_zero(self):
        rows = table()
        rows[:, 2] = 3.0
        population = population_of(NAMES, rows, WINDOW)
        assert population.usual[2] == LEAST_INDEX
        assert np.isfinite(shift_of(population, rows).ratio)


class TestSurroundings:
    def test_the_scale_free_features_hide_what_they_show(self):
        bars = market(600, seed=2)
        volatility, spread = surroundings(bars, bars.spread * POINT)
        assert len(SURROUNDINGS) == 2
        assert np.isnan(volatility[:60]).all()
        assert np.isfinite(volatility[60:]).all()
        assert spread[:, 0] == pytest.approx(bars.spread * POINT)
        assert 5e-5 < np.nanmedian(volatility) < 5e-4

    def test_they_never_read_the_future(self):
        bars = market(600, seed=2)
        full, early = (surroundings(part, part.spread * POINT)[0] for part in (bars, bars.slice(0, 400)))
        assert np.array_equal(full[:400], early, equal_nan=True)


def slowly(values, start, tolerance):
    """The test bar by bar, as its sources write it."""
    total, least, path = 0.0, 0.0, [0.0]
    for at in range(start, len(values)):
        total += np.mean(values[: at + 1]) - values[at] - tolerance
        least = min(least, total)
        path.append(total - least)
    return path


class TestPageHinkley:
    @pytest.mark.parametrize("start", [0, 5, 40])
    def test_equals_its_definition(self, start):
        values = np.random.default_rng(start).random(40)
        assert page_hinkley(values, start, 0.05) == pytest.approx(slowly(values, start, 0.05))

    def test_a_rise_adds_nothing(self):
        assert page_hinkley(np.r_[np.zeros(20), np.ones(20)], 20, 0.01).max() == 0.0


BLOCK = 1_920


def sides(rates, per_block=3, seed=0):
    """Sided rows in blocks of given hit rates."""
    rng = np.random.default_rng(seed)
    time = np.repeat(np.arange(len(rates)) * BLOCK, per_block) + np.tile(np.arange(per_block) * 60, len(rates))
    won = rng.random(len(time)) < np.repeat(rates, per_block)
    return time, np.where(won, 1.0, -1.0)


class TestHits:
    def test_a_fall_of_the_hit_rate_is_found_soon_and_measured(self):
        time, result = sides(np.r_[np.full(80, 0.65), np.full(60, 0.3)])
        hits = hits_of(time, result, BLOCK, 80 * BLOCK)
        assert hits.statistic > 10
        assert hits.blocks == 60
        assert hits.usual == pytest.approx(0.65, abs=0.1)
        assert hits.lately < 0.45

    def test_order_of_the_rows_and_pooled_symbols_do_not_matter(self):
        time, result = sides(np.full(100, 0.5))
        order = np.random.default_rng(1).permutation(len(time))
        assert hits_of(time[order], result[order], BLOCK, 50 * BLOCK) == hits_of(time, result, BLOCK, 50 * BLOCK)

    def test_nothing_is_said_before_enough_is_known_of_what_is_usual(self):
        time, result = sides(np.full(100, 0.5))
        assert hits_of(time, result, BLOCK, (LEAST_BLOCKS - 1) * BLOCK) is None
        assert hits_of(time, result, BLOCK, LEAST_BLOCKS * BLOCK) is not None
        assert hits_of(time[:0], result[:0], BLOCK, 0) is None

    def test_what_came_before_the_watched_stretch_is_no_fall(self):
        time, result = sides(np.r_[np.full(60, 0.9), np.full(60, 0.2)])
        assert hits_of(time, result, BLOCK, 120 * BLOCK).statistic == 0.0

    def test_a_model_that_never_missed_does_not_fall_over_its_first_losses(self):
        time, result = sides(np.ones(100), per_block=1)
        result[-3:] = -1.0
        assert hits_of(time, result, BLOCK, 50 * BLOCK).statistic < 3 / 0.2

    def test_false_alarms_are_rare_where_nothing_changes(self):
        """A simulated month of a block every 32 minutes, looked at at its end and on the way: the limit is passed in few."""
        months = 200
        crossed = 0
        for seed in range(months):
            rng = np.random.default_rng(seed)
            rate = rng.binomial(3, 0.6, size=80 + 945) / 3
            deviation = rate[:80].std(ddof=1)
            crossed += page_hinkley(rate, 80, TOLERANCE * deviation).max() / deviation > 15
        assert crossed <= 0.01 * months
