from dataclasses import fields, replace

import numpy as np
import pytest

from config.settings import ExitSettings
from execution.exits import ClosedBar, ExitPolicy, Held, new_stop
from execution.orders import Side

POLICY = ExitPolicy(sl_atr=1.5, tp_atr=3.0, min_stop_costs=5.0, horizon=15)
SWITCHES = ("break_even_r", "trail_atr", "partial_r")


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


def test_the_settings_name_the_rules_that_move_a_stop():
    named = {"break_even_r": 1.0, "break_even_offset": 0.5, "trail_atr_multiplier": 2.0, "trail_start_r": 1.5}
    part = {"partial_close_r": 1.25, "partial_close_fraction": 0.25}
    policy = ExitPolicy.from_settings(ExitSettings(**named, **part))
    assert policy.definition.items() >= {"break_even_r": 1.0, "break_even_offset": 0.5, "trail_atr": 2.0, "trail_start_r": 1.5}.items()
    assert (policy.partial_r, policy.partial_fraction) == (1.25, 0.25)


def test_the_hash_changes_with_every_part_that_is_in_force():
    policy = replace(POLICY, **dict.fromkeys(SWITCHES, 1.0))
    changed = [replace(policy, **{field.name: getattr(policy, field.name) + 1}) for field in fields(policy)]
    assert len({policy.hash, *(other.hash for other in changed)}) == 1 + len(changed)
    assert policy.hash == replace(policy).hash
    assert len(policy.hash) == 12


def test_what_is_off_changes_no_hash_so_that_models_stay_valid():
    assert ExitPolicy(1.5, 1.5, 5.0, 15).hash == "4e1590f7e96e"  # of the release that had no moving stops
    assert ExitPolicy.from_settings(ExitSettings()).hash == "4e1590f7e96e"
    idle = replace(POLICY, break_even_offset=1.0, trail_start_r=1.0, partial_fraction=0.3)
    assert (idle.hash, idle.manages) == (POLICY.hash, False)
    assert idle.definition == {"sl_atr": 1.5, "tp_atr": 3.0, "min_stop_costs": 5.0, "horizon": 15}


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_alone_changes_the_hash(switch):
    on = replace(POLICY, **{switch: 1.0})
    assert on.hash != POLICY.hash
    assert (on.manages, on.moves_stops) == (True, switch != "partial_r")


def moved(policy, side, profit, stop=-1.0, atr=0.0005, cost=0.0002):
    """Where a stop goes, in R from the entry; R is 0.0010, the stop stands at `stop` R."""
    sign, entry = side.value, 1.1
    held = Held(side, entry, 0.0010, entry + sign * stop * 0.0010 if stop is not None else 0.0)
    found = new_stop(policy, held, ClosedBar(entry + sign * profit * 0.0010, atr, cost))
    return None if found is None else pytest.approx(sign * (found - entry) / 0.0010, abs=1e-6)


@pytest.mark.parametrize("side", list(Side))
class TestNewStop:
    def test_without_a_rule_it_never_moves(self, side):
        assert moved(POLICY, side, 5.0) is None

    def test_break_even_comes_exactly_at_its_mark(self, side):
        policy = replace(POLICY, break_even_r=1.0)
        assert moved(policy, side, 0.99) is None
        assert moved(policy, side, 1.0) == 0.0

    def test_break_even_stands_beyond_the_entry_by_its_costs_and_then_stays(self, side):
        policy = replace(POLICY, break_even_r=1.0, break_even_offset=1.5)
        assert moved(policy, side, 1.2) == 0.3
        assert moved(policy, side, 1.2, stop=0.1, cost=0.0005) is None

    def test_the_trail_follows_the_close_and_does_not_go_back(self, side):
        policy = replace(POLICY, trail_atr=1.0)
        assert moved(policy, side, 0.2) == -0.3
        assert moved(policy, side, 2.0) == 1.5
        assert moved(policy, side, 1.9, stop=1.5) is None

    def test_the_trail_waits_for_its_start(self, side):
        policy = replace(POLICY, trail_atr=1.0, trail_start_r=1.0)
        assert moved(policy, side, 0.9) is None
        assert moved(policy, side, 1.0) == 0.5

    @pytest.mark.parametrize(("profit", "wanted"), [(1.0, 0.0), (1.2, 0.2), (3.0, 2.0)])
    def test_with_both_the_nearer_one_wins(self, side, profit, wanted):
        policy = replace(POLICY, break_even_r=1.0, trail_atr=2.0)
        assert moved(policy, side, profit) == wanted

    def test_an_unknown_range_leaves_break_even_at_work(self, side):
        policy = replace(POLICY, break_even_r=1.0, trail_atr=1.0)
        assert moved(policy, side, 1.5, atr=float("nan")) == 0.0
        assert moved(policy, side, 0.5, atr=float("nan")) is None

    def test_a_position_that_lost_its_stop_gets_one(self, side):
        assert moved(replace(POLICY, trail_atr=1.0), side, 0.2, stop=None) == -0.3
        assert moved(replace(POLICY, break_even_r=1.0), side, 0.2, stop=None) is None

    def test_without_a_known_risk_nothing_is_moved(self, side):
        held = Held(side, 1.1, 0.0, 1.0)
        assert new_stop(replace(POLICY, trail_atr=1.0), held, ClosedBar(1.1, 0.0005, 0.0)) is None
