"""Probation, shadow and waiting with real versions on bars that go on: what the check does, and when."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from config.errors import TerminalDisconnected
from market_data.clock import from_epoch, utc_text
from strategy.learning.active import Trial
from strategy.learning.gate import UNPROVEN
from tests.fakes_learning import market
from tests.fakes_versions import HOUR, TAUGHT, Versions, lost_for, taught
from utils.checks import ALARM, SKIPPED
from utils.probation_check import ProbationCheck

BARS = 14_000
LIFE = {"probation_max_bars": 4_000, "rollback_cooldown_hours": 5}


@pytest.fixture(scope="module")
def bars():
    return market(BARS, edge=3.0, seed=3)


@pytest.fixture(scope="module")
def artifact(bars, tmp_path_factory):
    """A small forest that knows the market."""
    return taught(bars, tmp_path_factory.mktemp("teacher"))


class World(Versions):
    """With a probation check that looks on."""

    def new_check(self):
        return ProbationCheck(self.shop, self.state, record=self.record)


@pytest.fixture
def world(bars, tmp_path):
    made = World(bars, tmp_path, LIFE)
    yield made
    made.journal.close()


@pytest.fixture
def shadowed(bars, tmp_path):
    made = World(bars, tmp_path, {**LIFE, "shadow_bars": 800})
    yield made
    made.journal.close()


def test_the_first_version_has_nobody_to_be_compared_with(world, artifact):
    world.publish(artifact)
    assert world.slot.probation is None
    assert world.go_on(20).outcome == SKIPPED
    assert not world.asked


def test_a_worse_version_is_put_back_and_the_slot_cools_down(world, artifact):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    assert world.slot.probation == Trial(1, utc_text(world.clock.now()))
    result = world.until_something_happens()
    assert (result.outcome, result.switched) == ("rolled_back", ("scalper",))
    assert (world.slot.active, world.slot.previous, world.slot.probation) == (1, 2, None)
    assert world.slot.cooldown_until == utc_text(world.clock.now() + 5 * HOUR)
    assert world.events() == ["promoted", "promoted", "rolled_back"]
    assert "automatic: version 2" in result.reason
    assert "evidence against it" in world.journal.model_events(1)[0]["detail"]


def test_an_equal_version_settles_and_stays(world, artifact):
    world.publish(artifact)
    world.publish(artifact)
    result = world.until_something_happens()
    assert (result.outcome, result.switched) == ("settled", ())
    assert (world.slot.active, world.slot.probation, world.slot.cooldown_until) == (2, None, None)


def test_a_candidate_waits_for_the_end_of_probation_and_the_newest_takes_its_turn(world, artifact):
    world.publish(artifact)
    world.publish(artifact)
    assert world.publish(artifact) == 3
    assert world.publish(artifact) == 4
    assert (world.slot.active, world.slot.waiting) == (2, 4)
    result = world.until_something_happens()
    assert (result.outcome, result.switched) == ("settled", ("scalper",))
    assert (world.slot.active, world.slot.waiting, world.slot.probation.version) == (4, None, 2)
    assert world.events()[2:] == ["waiting", "waiting", "settled", "promoted"]


def test_nothing_is_promoted_while_the_slot_cools_down(world, artifact):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    world.until_something_happens()
    world.publish(artifact)
    assert (world.slot.active, world.slot.waiting) == (1, 3)
    assert world.go_on(4).outcome == SKIPPED
    assert world.go_on(1).outcome == "promoted"
    assert (world.slot.active, world.slot.probation.version) == (3, 1)


def test_a_restart_in_the_middle_changes_nothing(bars, tmp_path, artifact):
    """Another rhythm of looking, too: the verdict is the history's."""
    told = []
    for name, restarts in (("one", False), ("other", True)):
        world = World(bars, tmp_path / name, LIFE)
        world.publish(artifact)
        world.publish(artifact, reverse=True)
        for _ in range(100):
            if restarts:
                world.check = world.new_check()
            result = world.go_on(1.0)
            if result.outcome != SKIPPED:
                break
        told.append((result, world.slot))
        world.journal.close()
    assert told[0] == told[1]


def test_bars_are_fetched_once_a_block(world, artifact):
    world.publish(artifact)
    world.publish(artifact)
    for _ in range(8):
        world.go_on(0.25)
    assert world.asked == 0
    world.go_on(0.25)
    assert world.asked == 1
    world.go_on(0.25)
    assert world.asked == 1


@pytest.mark.parametrize("order", ["rollback", "promote"])
def test_an_order_ends_the_trial(world, artifact, order):
    world.publish(artifact)
    world.publish(artifact)
    world.publish(artifact)
    world.registry.rollback("scalper") if order == "rollback" else world.registry.promote("scalper", 3)
    assert (world.slot.probation, world.slot.waiting, world.slot.cooldown_until) == (None, None, None)
    assert world.go_on(50).outcome == SKIPPED
    assert world.slot.active == (1 if order == "rollback" else 3)


def test_an_order_between_the_look_and_the_lock_stands(world, artifact, monkeypatch):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    move = world.registry.move

    def late(slot, rule):
        world.registry.promote("scalper", 1)
        world.registry.promote("scalper", 2)
        return move(slot, rule)

    monkeypatch.setattr(world.registry, "move", late)
    for _ in range(60):
        world.go_on()
    assert (world.slot.active, world.slot.probation) == (2, None)
    assert "rolled_back" not in world.events()


def test_a_pinned_slot_is_not_put_back_and_said_of_once(world, artifact):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    world.registry.pin("scalper")
    result = world.until_something_happens()
    assert (result.outcome, result.switched) == (ALARM, ())
    assert "`models unpin scalper` lets it be put back" in result.reason
    world.check = world.new_check()
    for _ in range(20):
        result = world.go_on()
        assert result.outcome == SKIPPED
    assert "pinned, version 2: " in result.reason
    assert "somebody else" not in result.reason
    assert world.slot.active == 2
    world.registry.pin("scalper", pinned=False)
    assert world.go_on().outcome == "rolled_back"


def test_a_candidate_of_a_pinned_slot_takes_its_turn_when_it_is_unpinned(world, artifact):
    world.publish(artifact)
    world.registry.pin("scalper")
    assert world.publish(artifact) == 2
    assert world.go_on().outcome == SKIPPED
    world.registry.pin("scalper", pinned=False)
    assert world.go_on().outcome == "promoted"
    assert world.slot.active == 2


def test_a_former_version_that_is_damaged_cannot_judge(world, artifact):
    world.publish(artifact)
    world.publish(artifact)
    (world.registry.root / "scalper_v1.pkl").write_bytes(b"damaged")
    result = world.go_on(3)
    assert result.outcome == "settled"
    assert "cannot be judged: scalper_v1.pkl" in result.reason


def test_a_candidate_that_was_damaged_while_it_waited_is_sent_away(world, artifact):
    world.publish(artifact)
    world.registry.pin("scalper")
    world.publish(artifact)
    world.registry.pin("scalper", pinned=False)
    (world.registry.root / "scalper_v2.pkl").write_bytes(b"damaged")
    result = world.go_on()
    assert (result.outcome, result.switched) == ("dismissed", ())
    assert "scalper_v2.pkl" in result.reason
    assert (world.slot.active, world.slot.waiting) == (1, None)


def test_retention_leaves_every_version_of_a_trial_alone(world, artifact):
    world.publish(artifact)
    world.publish(artifact)
    for _ in range(9):
        world.publish(artifact)
    assert {info.version for info in world.registry.versions("scalper")} >= {1, 2, 11}
    world.registry.open("scalper", 1)


def test_a_lost_terminal_leaves_everything_as_it_is(world, artifact):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    before = world.registry.state()
    shop = world.shop
    world.shop = replace(shop, history=lost_for("EURUSD", world.history))
    world.check = world.new_check()
    with pytest.raises(TerminalDisconnected):
        world.go_on(3)
    assert world.registry.state() == before
    world.shop = shop
    world.check = world.new_check()
    assert world.until_something_happens().outcome == "rolled_back"


def test_an_expired_version_makes_room_for_the_one_that_waits(bars, tmp_path, artifact):
    world = World(bars, tmp_path, {**LIFE, "model_expiry_hours": 3})
    world.publish(artifact)
    world.publish(artifact)
    world.clock.set(world.clock.now() + HOUR)
    world.publish(artifact)
    result = world.go_on(2)
    assert result.outcome == "settled"
    assert (world.slot.active, world.slot.waiting) == (3, None)
    world.journal.close()


def test_nothing_is_put_back_to_a_version_that_has_expired(bars, tmp_path, artifact):
    """It could not vote, and the slot would be silent for the whole cool-down."""
    world = World(bars, tmp_path, {**LIFE, "model_expiry_hours": 3})
    world.publish(artifact)
    world.clock.set(world.clock.now() + 2 * HOUR)
    world.publish(artifact, reverse=True)
    result = world.go_on()
    assert (result.outcome, result.switched) == ("settled", ())
    assert "version 1, which it would go back to, has expired" in result.reason
    assert (world.slot.active, world.slot.probation, world.slot.cooldown_until) == (2, None, None)
    world.journal.close()


def test_a_candidate_that_expires_while_it_waits_never_serves(bars, tmp_path, artifact):
    world = World(bars, tmp_path, {**LIFE, "model_expiry_hours": 3})
    world.publish(artifact)
    world.registry.pin("scalper")
    world.publish(artifact)
    world.clock.set(world.clock.now() + 4 * HOUR)
    world.registry.pin("scalper", pinned=False)
    assert world.go_on().outcome == "dismissed"
    assert (world.slot.active, world.slot.waiting) == (1, None)
    world.journal.close()


def test_a_shadow_that_is_no_worse_serves_after_its_bars(shadowed, artifact):
    world = shadowed
    world.publish(artifact)
    assert (world.slot.active, world.slot.shadow.version) == (None, 1)
    result = world.until_something_happens()
    assert (result.outcome, result.switched, world.slot.active) == ("promoted", ("scalper",), 1)
    assert world.clock.now() >= from_epoch(int(world.bars.time[TAUGHT + 800]))
    assert world.slot.probation is None
    world.publish(artifact)
    assert (world.slot.active, world.slot.shadow.version) == (1, 2)
    world.until_something_happens()
    assert (world.slot.active, world.slot.probation.version) == (2, 1)


def test_a_worse_shadow_never_serves(shadowed, artifact):
    world = shadowed
    world.publish(artifact, reverse=True)
    assert world.until_something_happens().outcome == "dismissed"
    assert (world.slot.active, world.slot.shadow) == (None, None)


def test_a_changed_recipe_without_rows_to_compare_waits_in_shadow_for_them(world, artifact):
    world.publish(artifact)
    world.publish(artifact, recipe="another", unproven=True)
    begun = world.clock.now()
    assert (world.slot.active, world.slot.shadow.version) == (1, 2)
    assert world.until_something_happens().outcome == "promoted"
    compared = 30 * 2 * 16 * timedelta(minutes=1)
    assert world.clock.now() - begun >= compared
    assert world.slot.active == 2


def test_a_candidate_that_a_rollback_overtook_waits_as_long(world, artifact):
    """It was compared with version 2, which somebody put out of service while it was trained."""
    world.publish(artifact)
    world.publish(artifact)
    world.registry.rollback("scalper")
    world.publish(artifact, said={"parent": 2})
    begun = world.clock.now()
    assert (world.slot.active, world.slot.shadow.version) == (1, 3)
    assert world.until_something_happens().outcome == "promoted"
    assert world.clock.now() - begun >= 30 * 2 * 16 * timedelta(minutes=1)


def test_a_changed_recipe_that_waited_is_in_shadow_before_it_serves(world, artifact):
    """That it had to wait compares it with nobody."""
    world.publish(artifact)
    world.publish(artifact)
    told = artifact.manifest.gate_report | {"findings": [{"rule": "champion", "passed": True, "detail": f"12 clean blocks: {UNPROVEN}"}]}
    world.publish(artifact, recipe="another", unproven=True, said={"gate_report": told})
    assert world.slot.waiting == 3
    assert world.until_something_happens().outcome == "settled"
    assert (world.slot.active, world.slot.shadow.version, world.slot.waiting) == (2, 3, None)


def test_a_candidate_that_waited_while_another_took_over_is_compared_with_that_one(shadowed, artifact):
    """It was judged beside version 1; version 2 came out of the shadow since."""
    world = shadowed
    world.publish(artifact)
    world.until_something_happens()
    world.publish(artifact)
    world.publish(artifact)
    assert (world.slot.active, world.slot.shadow.version, world.slot.waiting) == (1, 2, 3)
    while world.slot.waiting is not None:
        world.go_on()
    assert (world.slot.active, world.slot.shadow.version) == (2, 3)


@pytest.mark.parametrize("other", ["a_slot", "z_slot"])
def test_a_terminal_that_is_lost_in_one_slot_costs_no_other_its_verdict(world, artifact, other):
    world.shop = replace(world.shop, history=lost_for("GBPUSD", world.history))
    world.check = world.new_check()
    for reverse in (False, True):
        world.publish(artifact, said={"slot": other, "symbols": ("GBPUSD",)})
        world.publish(artifact, reverse=reverse)
    while world.slot.active == 2:
        with suppress(TerminalDisconnected):
            result = world.go_on()
    assert (result.outcome, result.switched) == ("rolled_back", ("scalper",))
    assert f"{other}: not looked at: copy_rates_from_pos" in result.reason
    assert "rolled_back" in world.events()
