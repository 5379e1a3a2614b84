"""A short stretch of the probation campaign, and the proof that its pairs are what they claim."""

from __future__ import annotations

import json

import numpy as np
import pytest

from config.settings import LifeSettings
from strategy.learning.probation import OPEN, WORSE
from tests.campaigns.probation import DEFICIT, Pair, bounds, document, main, make_pair, run_once

SETTINGS = LifeSettings(probation_max_bars=10_000)


@pytest.fixture(scope="module")
def pair():
    return next(made for seed in range(2_000, 2_010) if (made := make_pair(seed, fresh=14_000)) is not None)


def test_a_version_is_made_worse_by_what_was_asked_for(pair):
    goal = pair.mean(pair.newer) - DEFICIT
    spoiled = pair.spoiled(pair.newer, goal, 1)
    assert pair.mean(spoiled) == pytest.approx(goal, abs=0.03)
    assert ((spoiled != 0) == (pair.newer != 0)).all()


def test_a_version_turned_around_altogether_is_put_back(pair):
    found = pair.judged(-pair.newer, pair.newer, SETTINGS)
    assert found.outcome == WORSE
    assert found.bars < 5_000


def test_a_version_is_not_put_back_for_itself(pair):
    assert pair.judged(pair.newer, pair.newer, SETTINGS).outcome not in (WORSE, OPEN)


def test_equal_sides_by_chance_are_rarely_put_back():
    """Sides of coins on outcomes of coins: no pair is better than another."""
    rng = np.random.default_rng(4)
    time = 60 * np.arange(11_520)
    back = 0
    for _ in range(60):
        r = rng.choice([-1.1, 0.9], len(time))
        coins = rng.choice([-1, 0, 0, 1], (2, len(time)))
        back += Pair(time, time + 960, r, -0.2 - r, *coins).judged(coins[0], coins[1], SETTINGS).outcome == WORSE
    assert back <= 60 * 0.05


@pytest.mark.campaign
def test_the_campaign_goes_on_where_it_was(tmp_path):
    for pairs in ("1", "2"):
        assert main(["--pairs", pairs, "--results", str(tmp_path)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "probation.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["seed"] for line in lines] == list(range(2_000, 2_000 + len(lines)))
    assert lines[0] == json.loads(json.dumps(run_once(2_000, LifeSettings())))
    assert "| 2 |" in document(lines, LifeSettings())


def test_bounds_are_those_of_clopper_and_pearson():
    assert bounds(0, 100) == pytest.approx((0.0, 0.0362), abs=1e-4)
    assert bounds(5, 100) == pytest.approx((0.0164, 0.1128), abs=1e-4)
