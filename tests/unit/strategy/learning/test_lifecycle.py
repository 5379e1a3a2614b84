"""What may become of a slot; every rule alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from strategy.learning import lifecycle
from strategy.learning.active import ActiveState, SlotState, Stop, Trial
from strategy.learning.lifecycle import Failure, LifeRules
from tests.fakes_registry import NOW

SINCE = "2026-01-05T11:00:00.000Z"
LATER = "2026-01-05T18:00:00.000Z"
RULES = LifeRules(probation=True, cooldown=timedelta(hours=6))
SETTLED = SlotState(active=2, previous=1, pinned=False, next_version=9)
TRIED = replace(SETTLED, probation=Trial(1, SINCE))
SHADOW = replace(SETTLED, shadow=Trial(3, SINCE))


@pytest.mark.parametrize(
    ("slot", "rules", "unproven", "event"),
    [
        (SETTLED, RULES, False, "promoted"),
        (SETTLED, RULES, True, "shadow"),
        (SETTLED, replace(RULES, shadow=True), False, "shadow"),
        (TRIED, RULES, False, "waiting"),
        (SHADOW, RULES, False, "waiting"),
        (replace(SETTLED, cooldown_until=LATER), RULES, False, "waiting"),
        (replace(SETTLED, cooldown_until=SINCE), RULES, False, "promoted"),
        (replace(SETTLED, pinned=True), RULES, False, "published"),
    ],
)
def test_where_a_candidate_goes(slot, rules, unproven, event):
    move = lifecycle.admitted(slot, 4, rules, NOW, unproven=unproven)
    assert (move.event, move.version) == (event, 4)
    assert move.activates == (event == "promoted")
    assert move.after.waiting == (4 if event in ("waiting", "published") else None)
    assert (move.after.shadow == Trial(4, "2026-01-05T12:00:00.000Z")) == (event == "shadow")


def test_the_newest_candidate_waits():
    first = lifecycle.admitted(TRIED, 4, RULES, NOW).after
    assert lifecycle.admitted(first, 5, RULES, NOW).after.waiting == 5


def test_probation_needs_a_former_version_and_the_rule():
    assert lifecycle.on_probation(SETTLED, SETTLED, RULES, NOW).probation == Trial(1, "2026-01-05T12:00:00.000Z")
    assert lifecycle.on_probation(SETTLED, SETTLED, LifeRules(), NOW) == SETTLED
    assert lifecycle.on_probation(replace(SETTLED, previous=None), SETTLED, RULES, NOW).probation is None


def test_settling_ends_the_trial_and_leaves_who_waits():
    slot = replace(TRIED, waiting=4)
    move = lifecycle.settled(slot, slot, "time was up")
    assert move is not None
    assert (move.event, move.version, move.after) == ("settled", 2, replace(SETTLED, waiting=4))


def test_going_back_cools_the_slot_down_and_sends_away_who_waits():
    slot = replace(TRIED, waiting=4)
    move = lifecycle.reverted(slot, slot, RULES, NOW, "it was worse")
    assert move is not None
    assert (move.event, move.version, move.reason) == ("rolled back", 1, "automatic: it was worse")
    assert (move.after.waiting, move.after.probation, move.after.cooldown_until) == (None, None, LATER)


def test_a_shadow_serves_or_goes():
    move = lifecycle.confirmed(SHADOW, SHADOW, "no worse")
    assert move is not None
    assert (move.event, move.version, move.after.shadow) == ("promoted", 3, None)
    gone = lifecycle.dismissed(SHADOW, SHADOW, "worse")
    assert gone is not None
    assert (gone.event, gone.version, gone.after) == ("dismissed", 3, SETTLED)


def test_who_waits_is_called_once_nothing_is_in_the_way():
    waits = replace(SETTLED, waiting=4)
    for busy in (replace(waits, pinned=True), replace(waits, probation=Trial(1, SINCE)), replace(waits, cooldown_until=LATER)):
        assert lifecycle.called(busy, busy, RULES, NOW) is None
    move = lifecycle.called(waits, waits, RULES, NOW)
    assert move is not None
    assert (move.event, move.version, move.after.waiting) == ("promoted", 4, None)
    shadowed = lifecycle.called(waits, waits, replace(RULES, shadow=True), NOW)
    assert shadowed is not None
    assert shadowed.event == "shadow"


def test_nothing_is_done_on_an_older_look():
    """Between the look and the lock a command rolled back, promoted or pinned."""
    moved = replace(TRIED, active=1, previous=2, probation=None)
    assert lifecycle.settled(moved, TRIED, "") is None
    assert lifecycle.reverted(moved, TRIED, RULES, NOW, "") is None
    assert lifecycle.reverted(replace(TRIED, probation=Trial(1, LATER)), TRIED, RULES, NOW, "") is None
    assert lifecycle.reverted(replace(TRIED, pinned=True), TRIED, RULES, NOW, "") is None
    assert lifecycle.confirmed(SETTLED, SHADOW, "") is None
    assert lifecycle.dismissed(SETTLED, SHADOW, "") is None
    assert lifecycle.called(replace(SETTLED, waiting=5), replace(SETTLED, waiting=4), RULES, NOW) is None
    assert lifecycle.forgotten(SETTLED, replace(SETTLED, waiting=4), "") is None


def test_a_file_of_an_older_version_still_reads():
    text = b'{"generation": 1, "slots": {"scalper": {"active": 2, "previous": 1, "pinned": false, "next_version": 9}}}'
    assert ActiveState.from_json(text).slot("scalper") == SETTLED


def test_every_field_survives_the_file():
    slot = replace(TRIED, shadow=Trial(3, SINCE), waiting=4, cooldown_until=LATER, stopped=Stop(SINCE, "why"), learn_from=SINCE)
    state = ActiveState(1, {"scalper": slot}).changed("scalper", "waiting", SINCE, slot, 4, "version 2 is on probation")
    assert ActiveState.from_json(state.to_json()) == state
    assert slot.needed == {1, 2, 3, 4}


FAILED = Failure("2026-01-04T20:00:00.000Z", "version 2: -0.300 R a trade")
STOPPED = replace(SETTLED, stopped=Stop("2026-01-05T12:00:00.000Z", FAILED.reason), learn_from=FAILED.since)


def test_a_version_that_fails_is_stopped_and_stays_the_active_one():
    slot = replace(TRIED, shadow=Trial(3, SINCE), waiting=4, cooldown_until=LATER)
    move = lifecycle.stopped(slot, slot, FAILED, NOW)
    assert move is not None
    assert (move.event, move.version, move.activates) == ("stopped", 2, False)
    assert move.after == replace(STOPPED, cooldown_until=LATER)
    assert (move.after.active, move.after.voting) == (2, None)


def test_a_former_version_relieves_it():
    move = lifecycle.relieved(SETTLED, SETTLED, 1, FAILED, RULES, NOW)
    assert move is not None
    assert (move.event, move.version, move.reason) == ("rolled back", 1, f"automatic: {FAILED.reason}")
    assert (move.after.learn_from, move.after.cooldown_until) == (FAILED.since, LATER)


def test_who_may_relieve_it():
    assert lifecycle.predecessor(SETTLED) == 1
    assert lifecycle.predecessor(replace(TRIED, previous=7)) == 1
    assert lifecycle.predecessor(replace(SETTLED, previous=None)) is None
    back = ActiveState(0, {}).changed("scalper", "rolled back", SINCE, SETTLED, 2).slot("scalper")
    assert lifecycle.predecessor(back) is None


def test_a_stopped_version_judges_nobody():
    assert lifecycle.on_probation(SETTLED, STOPPED, RULES, NOW) == SETTLED


def test_a_stopped_slot_takes_the_next_version_that_passes():
    move = lifecycle.admitted(STOPPED, 4, RULES, NOW)
    assert (move.event, move.after.stopped, move.after.learn_from) == ("promoted", None, FAILED.since)
    shadowed = lifecycle.admitted(STOPPED, 4, replace(RULES, shadow=True), NOW)
    assert (shadowed.event, shadowed.after.voting) == ("shadow", None)


def test_an_order_leaves_nothing_that_a_check_has_set():
    assert lifecycle.ordered(STOPPED) == SETTLED


def test_no_slot_is_stopped_twice_or_while_it_is_pinned_or_on_an_older_look():
    for slot in (STOPPED, replace(SETTLED, pinned=True), replace(SETTLED, active=None, previous=None)):
        assert lifecycle.stopped(slot, slot, FAILED, NOW) is None
    assert lifecycle.stopped(SETTLED, TRIED, FAILED, NOW) is None
    assert lifecycle.relieved(SETTLED, TRIED, 1, FAILED, RULES, NOW) is None
    assert lifecycle.relieved(STOPPED, SETTLED, 1, FAILED, RULES, NOW) is None


def test_since_when_a_version_votes():
    state = ActiveState(0, {}).changed("scalper", "promoted", SINCE, SETTLED, 2)
    assert state.slot("scalper").voting_since == SINCE
    again = state.changed("scalper", "recovered", LATER, state.slot("scalper"), 2)
    assert again.slot("scalper").voting_since == SINCE
    assert ActiveState(0, {}).changed("scalper", "recovered", LATER, SETTLED, 2).slot("scalper").voting_since == LATER
    assert replace(state.slot("scalper"), stopped=STOPPED.stopped).voting_since is None
    assert SETTLED.voting_since is None
