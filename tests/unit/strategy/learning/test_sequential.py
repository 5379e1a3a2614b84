"""Betting on a difference: wealth that nobody can make of nothing, and that grows on a real one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.learning.sequential import BURN_IN, COURAGE, CUT, crossing, evidence_of_fall, fallen, wealth

ALPHA = 0.05


def crossed(draw, runs=2_000, blocks=200):
    rng = np.random.default_rng(1)
    return sum(crossing(draw(rng, blocks), ALPHA) is not None for _ in range(runs)) / runs


def skewed(rng, blocks):
    """Mean zero, many small wins and few great losses."""
    return 1.0 - rng.exponential(size=blocks)


def clustered(rng, blocks):
    """Mean zero, of a size that changes for long stretches."""
    return rng.standard_normal(blocks) * np.repeat(np.exp(rng.standard_normal(blocks // 20)), 20)


def rare(rng, blocks):
    """Mostly nothing at all."""
    return rng.standard_normal(blocks) * (rng.random(blocks) < 0.1)


@pytest.mark.parametrize("draw", [lambda rng, n: rng.standard_normal(n), clustered, rare, lambda rng, n: rng.choice([-1.0, 1.0], n)])
def test_without_a_difference_at_most_alpha_ever_cross_however_often_one_looks(draw):
    assert crossed(draw) <= ALPHA


def test_what_the_cut_takes_from_great_losses_does_not_carry_far():
    assert crossed(skewed, blocks=100) <= ALPHA
    assert crossed(lambda rng, n: -skewed(rng, n), blocks=100) <= ALPHA


def test_a_loss_is_found_less_often_still():
    assert crossed(lambda rng, n: rng.standard_normal(n) - 0.1) < crossed(lambda rng, n: rng.standard_normal(n))


def test_a_gain_is_found():
    assert crossed(lambda rng, n: rng.standard_normal(n) + 0.3) >= 0.8


def test_bets_stay_below_the_wealth():
    assert CUT * max(COURAGE) < 1
    assert (wealth(np.array([1.0] * 10 + [-1e9] * 50)) > 0).all()


def test_wealth_depends_on_the_past_alone():
    values = np.random.default_rng(2).standard_normal(60)
    whole = wealth(values)
    for cut in (1, 5, 30):
        np.testing.assert_array_equal(wealth(values[:cut]), whole[:cut])


def test_the_unit_does_not_matter():
    values = np.random.default_rng(3).standard_normal(60) + 0.2
    np.testing.assert_allclose(wealth(1_000 * values), wealth(values))


@pytest.mark.parametrize("values", [[], [0.0] * 50, [1.0] * BURN_IN])
def test_nothing_is_bet_before_there_is_something_to_go_by(values):
    assert (wealth(np.array(values)) == 1.0).all()
    assert crossing(np.array(values), ALPHA) is None


def test_the_first_crossing_counts_even_if_the_wealth_falls_again():
    values = np.array([1.0, -1.0] * 2 + [1.0] * 30 + [-1.0] * 200)
    assert wealth(values)[-1] < 1
    found = crossing(values, ALPHA)
    assert found is not None
    assert wealth(values)[found] >= 20 > wealth(values)[found - 1]


class TestFall:
    """A mean that was above zero and is so no longer."""

    @staticmethod
    def falls(draw, alpha, runs=300, blocks=400, first=20):
        """Blocks until each run is called fallen; `blocks` where it never is."""
        rng = np.random.default_rng(5)
        found = [fallen(draw(rng, blocks + first), alpha, first) for _ in range(runs)]
        return np.array([blocks if fall is None else fall.found - first + 1 for fall in found])

    @pytest.mark.parametrize("draw", [lambda rng, n: rng.standard_normal(n), clustered, rare, lambda rng, n: rng.choice([-1.0, 1.0], n)])
    def test_at_zero_false_alarms_are_at_least_one_over_alpha_blocks_apart(self, draw):
        assert self.falls(draw, 0.05).mean() >= 1 / 0.05

    def test_where_trades_pay_they_are_rare(self):
        assert (self.falls(lambda rng, n: rng.standard_normal(n) + 0.2, 0.02) < 400).mean() <= 0.02

    def test_a_planted_fall_is_found_soon_and_its_begin_told(self):
        def draw(rng, n):
            return rng.standard_normal(n) + np.where(np.arange(n) < 220, 0.4, -0.8)

        rng, found = np.random.default_rng(6), []
        for _ in range(200):
            fall = fallen(draw(rng, 420), 0.02, 20)
            found.append((fall.found - 219, abs(fall.begin - 220)))
        assert np.median([wait for wait, _ in found]) <= 30
        assert np.median([miss for _, miss in found]) <= 2

    def test_without_its_new_starts_the_test_would_miss_it(self):
        """The planted fault: a gambler who is never given a new start first has to win back what good times cost him."""
        results = np.concatenate([np.random.default_rng(7).standard_normal(300) + 0.4, np.full(25, -0.8)])
        assert fallen(results, 0.02, 20) is not None
        assert crossing(-results, 0.02) is None

    def test_what_is_said_depends_on_the_past_alone(self):
        values = np.random.default_rng(8).standard_normal(80)
        whole = evidence_of_fall(values, 10)
        for cut in (11, 30, 79):
            np.testing.assert_array_equal(evidence_of_fall(values[:cut], 10), whole[: cut - 10])

    def test_a_loss_without_end_is_still_a_number(self):
        with np.errstate(all="raise"):
            assert np.isfinite(evidence_of_fall(np.concatenate([[1.0, -1.0] * 4, np.full(5_000, -1.0)]))).all()

    @pytest.mark.parametrize("values", [[], [0.0] * 30, [1.0, -1.0]])
    def test_too_little_says_nothing(self, values):
        assert fallen(np.array(values), 0.02) is None
        assert fallen(np.array(values), 0.02, first=len(values)) is None


@given(
    values=st.lists(st.floats(-5, 5), min_size=6, max_size=60),
    factor=st.integers(-10, 10).map(lambda power: 2.0**power),  # exact, so that no tie is broken by rounding
    first=st.integers(0, 5),
    more=st.lists(st.floats(-5, 5), max_size=10),
)
def test_a_fall_is_free_of_scale_and_of_what_comes_after(values, factor, first, more):
    results = np.round(np.array(values), 3)
    found = fallen(results, 0.1, first)
    assert fallen(results * factor, 0.1, first) == found
    if found is not None:
        assert fallen(np.concatenate([results, more]), 0.1, first) == found
        assert first <= found.begin <= found.found < len(results)
