"""A version that loses is taken out of service: put back, silenced, said of once where it is pinned."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest

from config.errors import TerminalDisconnected
from market_data.clock import from_epoch
from strategy.active_models import ActiveModels
from strategy.learning.serving import ModelServer
from tests.fakes_learning import market
from tests.fakes_versions import HOUR, TAUGHT, Versions, lost_for, taught
from utils.checks import ALARM, SKIPPED
from utils.failing_check import FAILING, FailingCheck

JOBS = {"scalper": "train:scalper"}
QUIET = {"probation_alpha": 0.0, "rollback_cooldown_hours": 5}


class World(Versions):
    """With a failing check that looks on."""

    def __init__(self, bars, root, life, jobs=JOBS):
        self.jobs = jobs
        super().__init__(bars, root, life)
        self.models = ActiveModels()
        self.server = ModelServer(self.registry, self.models)

    def new_check(self):
        return FailingCheck(self.shop, self.state, self.jobs, record=self.record)

    def serving(self):
        self.server.adopt()
        return {slot: model.info.version for slot, model in self.models.snapshot().items()}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """No test here cuts the power."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture(scope="module")
def bars():
    return market(14_000, edge=3.0, seed=3)


@pytest.fixture(scope="module")
def artifact(bars, tmp_path_factory):
    return taught(bars, tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def make(bars, tmp_path):
    made = []

    def make(name="one", life=QUIET, **options):
        made.append(World(bars, tmp_path / name, life, **options))
        return made[-1]

    yield make
    for world in made:
        world.journal.close()


@pytest.fixture
def world(make):
    return make()


def test_a_version_that_pays_stays_for_as_long_as_there_are_bars(world, artifact):
    world.publish(artifact)
    for _ in range(90):
        assert world.go_on(2).outcome == SKIPPED
    assert world.slot.stopped is None
    assert "evidence of a fall" in world.go_on(0).reason


def test_one_that_loses_is_stopped_and_its_slot_learns_anew(world, artifact):
    world.publish(artifact, reverse=True)
    assert world.serving() == {"scalper": 1}
    result = world.until_something_happens(130)
    assert (result.outcome, result.switched, result.retrain) == (FAILING, ("scalper",), ("train:scalper",))
    assert (world.slot.active, world.slot.voting, world.slot.voting_since) == (1, None, None)
    assert world.slot.stopped.reason.startswith("version 1: -")
    assert from_epoch(int(world.bars.time[TAUGHT])) <= datetime.fromisoformat(world.slot.learn_from) < world.clock.now()
    assert world.events() == ["promoted", "stopped"]
    assert world.serving() == {}
    assert world.models.current().stopped == {"scalper": world.slot.stopped.reason}
    assert world.go_on().reason == "no version votes"


def test_a_former_version_that_pays_comes_back_and_the_slot_cools_down(world, artifact):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    result = world.until_something_happens(130)
    assert (result.outcome, result.switched) == (FAILING, ("scalper",))
    assert (world.slot.active, world.slot.previous, world.slot.stopped) == (1, 2, None)
    assert world.slot.cooldown_until is not None
    assert world.slot.learn_from is not None
    assert world.events() == ["promoted", "promoted", "rolled_back"]
    assert world.serving() == {"scalper": 1}


def test_a_former_version_that_loses_too_does_not(world, artifact):
    world.publish(artifact, reverse=True)
    world.publish(artifact, reverse=True)
    world.until_something_happens(130)
    assert (world.slot.active, world.slot.voting) == (2, None)


@pytest.mark.parametrize("fault", ["damaged", "of another exit policy", "expired"])
def test_a_former_version_that_could_not_vote_does_not(make, artifact, fault):
    world = make(life=QUIET | {"model_expiry_hours": 24.0})
    world.publish(artifact, said={"exit_hash": "0" * 12} if fault == "of another exit policy" else {})
    if fault == "damaged":
        (world.registry.root / "scalper_v1.pkl").write_bytes(b"damaged")
    world.clock.set(world.clock.now() + (23 if fault == "expired" else 0) * HOUR)
    world.publish(artifact, reverse=True)
    world.until_something_happens(130)
    assert (world.slot.active, world.slot.voting) == (2, None)


def test_one_that_was_put_back_and_fails_is_not_relieved_by_the_one_that_it_relieved(world, artifact):
    world.publish(artifact, reverse=True)
    world.publish(artifact)
    world.registry.rollback("scalper")
    world.until_something_happens(130)
    assert (world.slot.active, world.slot.voting) == (1, None)


def test_a_restart_in_the_middle_and_another_rhythm_change_nothing(make, artifact):
    told = []
    for name, restarts in (("one", False), ("other", True)):
        world = make(name)
        world.publish(artifact, reverse=True)
        for _ in range(130):
            if restarts:
                world.check = world.new_check()
                world.go_on(0.25)
                result = world.go_on(0.75)
            else:
                result = world.go_on(1.0)
            if world.slot.stopped is not None:
                break
        told.append((result.reason.split(":")[0], world.slot.stopped.reason, world.slot.learn_from))
    assert told[0][1:] == told[1][1:]


def test_the_warm_up_lets_the_first_blocks_count(make, artifact):
    """A version that takes over long after it was taught is judged from its first block on."""
    late, early = make("late"), make("early")
    for world in (late, early):
        world.clock.set(from_epoch(int(world.bars.time[6_000])))
    late.publish(artifact, reverse=True)
    fresh = dict(artifact.manifest.inference) | {"train_end": int(early.bars.time[6_000])}
    begun = late.clock.now()
    early.publish(artifact, reverse=True, said={"inference": fresh})
    late.until_something_happens(130), early.until_something_happens(130)
    assert late.clock.now() - begun <= early.clock.now() - begun


def test_a_pinned_slot_is_left_alone_and_said_of_once(world, artifact):
    world.publish(artifact, reverse=True)
    world.registry.pin("scalper")
    result = world.until_something_happens(130)
    assert (result.outcome, result.switched, result.retrain) == (ALARM, (), ())
    assert "models unpin scalper" in result.reason
    world.check = world.new_check()
    assert world.go_on().outcome == SKIPPED
    assert world.slot.voting == 1
    world.registry.pin("scalper", pinned=False)
    assert world.go_on().outcome == FAILING
    assert world.slot.voting is None


@pytest.mark.parametrize("order", ["resumed", "promoted", "rolled back"])
def test_an_order_ends_the_stop_and_what_follows_is_watched_anew(world, artifact, order):
    world.publish(artifact, reverse=True)
    world.publish(artifact, reverse=True)
    world.until_something_happens(130)
    wanted = {"resumed": 2, "promoted": 1, "rolled back": 1}[order]
    world.registry.rollback("scalper") if order == "rolled back" else world.registry.promote("scalper", wanted)
    assert (world.slot.voting, world.slot.stopped, world.slot.learn_from) == (wanted, None, None)
    assert world.slot.previous == (1 if wanted == 2 else 2)
    assert world.serving() == {"scalper": wanted}
    assert world.go_on().outcome == SKIPPED
    assert world.until_something_happens(130).outcome == FAILING


def test_the_jobs_are_asked_for_once_in_the_pause(world, artifact):
    world.publish(artifact, reverse=True)
    assert world.until_something_happens(130).retrain == ("train:scalper",)
    world.registry.promote("scalper", 1)
    world.store["trainer.drift_until.scalper"] = (world.clock.now() + 500 * HOUR).isoformat()
    assert world.until_something_happens(130).retrain == ()


def test_a_slot_that_nobody_trains_is_stopped_all_the_same(make, artifact):
    world = make(jobs={})
    world.publish(artifact, reverse=True)
    result = world.until_something_happens(130)
    assert (result.outcome, result.retrain, world.slot.voting) == (FAILING, (), None)


def test_a_new_version_takes_over_from_a_stopped_one_and_is_not_tried_against_it(make, artifact):
    world = make(life={**QUIET, "probation_alpha": 0.05})
    world.publish(artifact, reverse=True)
    world.until_something_happens(130)
    world.publish(artifact)
    assert (world.slot.voting, world.slot.previous, world.slot.probation, world.slot.stopped) == (2, 1, None, None)
    assert world.slot.learn_from is not None
    assert world.serving() == {"scalper": 2}


def test_an_order_between_the_look_and_the_lock_stands(world, artifact, monkeypatch):
    world.publish(artifact)
    world.publish(artifact, reverse=True)
    move = world.registry.move

    def late(slot, rule):
        world.registry.promote("scalper", 1)
        return move(slot, rule)

    monkeypatch.setattr(world.registry, "move", late)
    for _ in range(130):
        assert world.go_on().outcome == SKIPPED
        if world.slot.active == 1:
            break
    assert (world.slot.voting, world.slot.stopped) == (1, None)


def test_a_version_that_cannot_be_opened_cannot_be_judged(world, artifact):
    world.publish(artifact, reverse=True)
    (world.registry.root / "scalper_v1.pkl").write_bytes(b"damaged")
    result = world.go_on(3)
    assert result.outcome == SKIPPED
    assert "cannot be judged: scalper_v1.pkl" in result.reason


@pytest.mark.parametrize("other", ["a_slot", "z_slot"])
def test_a_terminal_that_is_lost_in_one_slot_costs_no_other_its_verdict(make, artifact, other):
    world = make(jobs=JOBS | {other: f"train:{other}"})
    world.shop = replace(world.shop, history=lost_for("GBPUSD", world.history))
    world.check = world.new_check()
    world.publish(artifact, reverse=True)
    world.publish(artifact, said={"slot": other, "symbols": ("GBPUSD",)})
    with pytest.raises(TerminalDisconnected):  # nothing else is there to tell: the look is made again soon
        world.go_on(2)
    while world.slot.stopped is None:
        with suppress(TerminalDisconnected):
            result = world.go_on()
    assert (result.outcome, result.switched, result.retrain) == (FAILING, ("scalper",), ("train:scalper",))
    assert f"{other}: not looked at: copy_rates_from_pos" in result.reason
    assert "stopped" in world.events()
