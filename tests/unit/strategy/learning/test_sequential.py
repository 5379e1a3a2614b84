"""Betting on a difference: wealth that nobody can make of nothing, and that grows on a real one."""

import numpy as np
import pytest

from strategy.learning.sequential import BURN_IN, COURAGE, CUT, crossing, wealth

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
