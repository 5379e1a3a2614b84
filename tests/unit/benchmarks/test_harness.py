"""The harness of the benchmarks: who follows whom, what a ratio says, and when a budget is kept."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.harness import Figure, Rounds, paired, percentiles, repeated


def test_calls_take_turns_and_none_always_follows_the_same_one():
    seen = []
    paired(lambda: seen.append("a"), lambda: seen.append("b"), rounds=2, warm_up=1)
    assert "".join(seen) == "baabba"


def test_the_warm_up_does_not_count():
    times = paired(lambda: None, rounds=3, warm_up=2)
    assert times.seconds.shape == (1, 3)
    assert (times.seconds >= 0).all()


def test_a_ratio_is_of_pairs_and_not_of_medians():
    """Two slow rounds slow both sides: pair by pair the first still takes twice as long."""
    rounds = Rounds(np.array([[2.0, 20.0, 2.0, 20.0, 4.0], [1.0, 10.0, 1.0, 10.0, 2.0]]))
    assert rounds.ratio() == 2.0
    assert rounds.ratio(1, 0) == 0.5
    assert rounds.medians.tolist() == [4.0, 2.0]


def test_a_call_is_repeated_as_often_as_asked():
    seen = []
    repeated(lambda: seen.append(1), 7)()
    assert len(seen) == 7


def test_percentiles_are_the_median_and_the_ninety_ninth_unless_told():
    assert percentiles(range(101)) == (50.0, 99.0)
    assert percentiles(range(101), (0, 100)) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("value", "budget", "at_least", "verdict"),
    [(1.0, 1.0, False, "within"), (1.1, 1.0, False, "over"), (1.0, 1.0, True, "within"), (0.9, 1.0, True, "over"), (1.0, None, False, "")],
)
def test_a_budget_is_a_ceiling_or_a_floor(value, budget, at_least, verdict):
    assert Figure("key", value, "s", "a thing", budget=budget, at_least=at_least).verdict == verdict


@pytest.mark.parametrize("at_least", [False, True])
def test_what_is_not_a_number_is_never_within(at_least):
    assert Figure("key", float("nan"), "s", "a thing", budget=1.0, at_least=at_least).verdict == "over"


def test_a_time_is_better_when_it_is_less_and_a_rate_when_it_is_more():
    time = Figure("t", 2.0, "ms", "a time", reference=60.0, limit=1.0)
    rate = Figure("r", 30.0, "bars/s", "a rate", reference=10.0, limit=60.0, at_least=True)
    assert (time.ratio, time.over_limit) == (30.0, 2.0)
    assert (rate.ratio, rate.over_limit) == (3.0, 2.0)
    assert Figure("b", 1.0, "s", "bare").ratio is None
