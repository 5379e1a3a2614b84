from dataclasses import fields, replace

import numpy as np
import pytest

from config.settings import ExitSettings
from execution.exits import ExitPolicy

POLICY = ExitPolicy(sl_atr=1.5, tp_atr=3.0, min_stop_costs=5.0, horizon=15)


def test_the_widest_of_three_distances_is_the_stop():
    assert POLICY.stop_distance(0.0010, 0.0001, 0.0) == pytest.approx(0.0015)
    assert POLICY.stop_distance(0.0010, 0.0004, 0.0) == pytest.approx(0.0020)
    assert POLICY.stop_distance(0.0010, 0.0001, 0.0030) == pytest.approx(0.0030)


def test_the_target_keeps_its_proportion_to_a_widened_stop():
    assert POLICY.target_distance(0.0015) == pytest.approx(0.0030)
    assert POLICY.target_distance(0.0020) == pytest.approx(0.0040)


def test_one_number_and_many_give_the_same():
    atr, cost = np.array([0.001, 0.002, 0.0001]), np.array([0.0001, 0.0009, 0.0002])
    many = POLICY.stop_distance(atr, cost, 0.0002)
    one = [POLICY.stop_distance(float(a), float(c), 0.0002) for a, c in zip(atr, cost, strict=True)]
    assert many.tolist() == one
    assert all(type(value) is float for value in one)
    assert POLICY.target_distance(many).tolist() == [POLICY.target_distance(value) for value in one]


def test_an_unknown_range_gives_no_stop():
    assert np.isnan(POLICY.stop_distance(float("nan"), 0.0001, 0.0))


def test_the_settings_name_the_policy():
    settings = ExitSettings(atr_sl_multiplier=2.0, atr_tp_multiplier=2.5, min_stop_costs=4.0, horizon_bars=20)
    assert ExitPolicy.from_settings(settings) == ExitPolicy(2.0, 2.5, 4.0, 20)


def test_the_hash_changes_with_every_part():
    changed = [replace(POLICY, **{field.name: getattr(POLICY, field.name) + 1}) for field in fields(POLICY)]
    assert len({POLICY.hash, *(policy.hash for policy in changed)}) == 1 + len(changed)
    assert POLICY.hash == replace(POLICY).hash
    assert len(POLICY.hash) == 12
