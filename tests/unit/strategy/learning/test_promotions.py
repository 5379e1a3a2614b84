"""The record of every change, and what it says of a time."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.learning.active import EMPTY_STATE, ActiveState, SlotState
from strategy.learning.promotions import Promotion, PromotionLog, Reign, reign_at, reigns, remembered, told_by
from tests.fakes_registry import no_fault, no_wait


def changed(state: ActiveState, version: int, event: str = "promoted", slot: str = "scalper", at: str | None = None) -> ActiveState:
    active = version if event in ("promoted", "rolled back") else state.slot(slot).active
    after = SlotState(active, None, False, 99, state.slot(slot).history)
    return state.changed(slot, event, at or f"2026-01-{state.generation + 1:02}", after, version)


def state_of(*versions: int) -> ActiveState:
    state = EMPTY_STATE
    for version in versions:
        state = changed(state, version)
    return state


@pytest.fixture
def log(tmp_path):
    return PromotionLog(tmp_path, wait=no_wait, fault=no_fault)


def test_every_change_is_written_once(log):
    log.complete(state_of(1, 2))
    log.complete(state_of(1, 2))
    log.complete(state_of(1, 2, 3))
    assert [(e.generation, e.before, e.after) for e in log.entries()] == [(1, None, 1), (2, 1, 2), (3, 2, 3)]
    assert log.last_generation() == 3
    assert log.entries() == told_by(state_of(1, 2, 3))


def test_a_line_says_why_and_one_from_before_it_could_still_reads(log):
    """Nor is a change told twice because an older line gives no reason."""
    once = changed(EMPTY_STATE, 1)
    told = once.changed("scalper", "rolled back", "2026-01-02", SlotState(2, 1, False, 99, once.slot("scalper").history), 2, "x" * 50_000)
    log.complete(told)
    assert [len(entry.reason) for entry in log.entries()] == [0, 1_000]
    assert reigns(log.entries(), 2)[-1].reason == "x" * 1_000
    assert log.last_generation() == 2
    old = {"generation": 1, "at": "2026-01-01", "slot": "scalper", "event": "promoted", "from": None, "to": 1}
    log.path.write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert log.entries() == (Promotion("scalper", 1, "2026-01-01", "promoted", None, 1),)
    assert dict.fromkeys((*log.entries(), Promotion("scalper", 1, "2026-01-01", "promoted", None, 1, "it waited"))).keys() == {
        *log.entries()
    }


def test_it_remembers_what_the_state_has_forgotten(log):
    state = EMPTY_STATE
    for number in range(1, 250):
        state = changed(state, number)
        log.complete(state)
    assert len(state.slot("scalper").history) == 100
    assert [entry.after for entry in log.entries()] == list(range(1, 250))


def test_slots_stand_in_the_order_of_what_happened(log):
    state = changed(changed(changed(EMPTY_STATE, 1), 1, slot="xgboost"), 2)
    log.complete(state)
    assert [(entry.slot, entry.after) for entry in log.entries()] == [("scalper", 1), ("xgboost", 1), ("scalper", 2)]


@pytest.mark.parametrize("lost", [1, 20, 60])
def test_a_line_that_a_kill_cut_short_is_written_again(log, lost):
    log.complete(state_of(1, 2, 3))
    log.path.write_bytes(log.path.read_bytes()[:-lost])
    assert log.last_generation() == 2
    log.complete(state_of(1, 2, 3, 4))
    assert [entry.after for entry in log.entries()] == [1, 2, 3, 4]
    assert log.path.read_bytes().count(b"\n") == 4


def test_a_damaged_line_costs_itself_alone(log):
    log.complete(state_of(1, 2, 3))
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join([lines[0], b"\xff\xfe nonsense\n", b'{"generation": 2}\n', lines[2]]))
    assert [entry.after for entry in log.entries()] == [1, 3]


def test_a_log_that_cannot_be_written_fails_no_change(log):
    log.path.mkdir()
    log.complete(state_of(1))
    assert (log.entries(), log.last_generation()) == ((), 0)


# --- which version when -------------------------------------------------------------------------


def history(*rows: tuple[str, str, int | None, int]) -> list[Promotion]:
    return [Promotion("scalper", number, at, event, before, after) for number, (at, event, before, after) in enumerate(rows, 1)]


def test_a_reign_ends_where_the_next_begins():
    entries = history(
        ("01", "promoted", None, 1),
        ("02", "published", 1, 2),
        ("03", "promoted", 1, 3),
        ("04", "pinned", 3, 3),
        ("05", "rolled back", 3, 1),
    )
    held = reigns(entries, 1)
    assert held == (
        Reign("scalper", None, "", "01", ""),
        Reign("scalper", 1, "01", "03", "promoted"),
        Reign("scalper", 3, "03", "05", "promoted"),
        Reign("scalper", 1, "05", None, "rolled back"),
    )
    versions = {at: (reign_at(held, at) or held[0]).version for at in ("00", "01", "02", "03", "04", "05", "99")}
    assert versions == {"00": None, "01": 1, "02": 1, "03": 3, "04": 3, "05": 1, "99": 1}


def test_an_event_that_this_program_does_not_know_still_tells_who_reigned():
    held = reigns(history(("01", "promoted", None, 1), ("02", "probation ended", 1, 7), ("03", "pinned", 4, 4)), 4)
    assert [(reign.version, reign.since) for reign in held] == [(None, ""), (1, "01"), (4, "02")]


def test_a_clock_that_was_ahead_does_not_turn_the_order_round():
    held = reigns(history(("01", "promoted", None, 1), ("09", "rolled back", 1, 2), ("03", "promoted", 2, 3)), 3)
    assert [(reign.version, reign.since, reign.until) for reign in held[1:]] == [(1, "01", "03"), (2, "03", "03"), (3, "03", None)]
    assert (reign_at(held, "03") or held[0]).version == 3


def test_without_a_line_nothing_is_known():
    assert reigns([], 3) == ()
    assert reign_at((), "01") is None


@pytest.mark.parametrize(
    ("last", "active", "previous", "pinned"),
    [
        (("05", "published", 1, 4), 1, 3, False),
        (("05", "promoted", 1, 1), 1, 3, False),
        (("05", "pinned", 1, 1), 1, 3, True),
        (("05", "recovered", 1, 1), 1, 3, False),
        (("05", "an event to come", 1, 9), 1, 3, False),
    ],
)
def test_a_slot_can_be_told_from_its_lines(last, active, previous, pinned):
    lines = history(("01", "promoted", None, 1), ("02", "promoted", 1, 3), ("03", "rolled back", 3, 1), ("04", "pinned", 1, 1), last)
    lines = lines if pinned else [entry for entry in lines if entry.event != "pinned"]
    slot = remembered(lines)
    assert (slot.active, slot.previous, slot.pinned, slot.voting) == (active, previous, pinned, active)
    assert slot.next_version > max(entry.after for entry in lines)


def test_a_line_with_an_impossible_number_is_left_out(log):
    log.complete(state_of(1, 2))
    for number in ("0", "true", '"3"', "1e999"):
        with log.path.open("a", encoding="utf-8") as file:
            file.write(f'{{"generation": 3, "at": "03", "slot": "scalper", "event": "promoted", "from": 2, "to": {number}}}\n')
    assert remembered(log.entries()).active == 2


@given(st.lists(st.tuples(st.sampled_from(["promoted", "pinned", "published"]), st.integers(1, 5), st.integers(0, 2)), max_size=30))
def test_any_history_answers_for_every_time(steps):
    """Against a replay of the same steps, where the clock never goes back."""
    active, at, entries, truth = None, 0, [], {}
    for number, (event, version, wait) in enumerate(steps, 1):
        at += wait
        entries.append(Promotion("s", number, f"{at:04}", event, active, version))
        active = version if event == "promoted" else active
        truth[f"{at:04}"] = active
    held = reigns(entries, active)
    for instant, version in truth.items():
        found = reign_at(held, instant)
        assert found is not None
        assert found.version == version
