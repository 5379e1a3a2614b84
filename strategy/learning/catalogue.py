"""Questions about the versions on disk, answered for a given state; nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from strategy.learning.active import EMPTY_SLOT, EMPTY_STATE, ActiveState, SlotState
from strategy.learning.artifact import Manifest, VerifiedArtifact, parse_name
from strategy.learning.promotions import Promotion, remembered
from strategy.learning.store import ArtifactStore, Refusal

LEGACY = "legacy, never loaded"


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One line of `models list`; for a file without a manifest, `slot` is its name and `version` is None.

    Attributes:
        marks: what the version is to its slot, in words: these three, and `stopped`, `probation`, `shadow`, `waiting`.
    """

    slot: str
    version: int | None
    created: str | None
    active: bool
    previous: bool
    pinned: bool
    metrics: Mapping[str, Any]
    problem: str | None
    marks: tuple[str, ...] = ()


def open_slot(
    store: ArtifactStore, name: str, slot: SlotState, held: Manifest | None = None
) -> tuple[VerifiedArtifact | None, tuple[Refusal, ...]]:
    """The active version, or the newest older one that served before and verifies; and what was refused.

    Args:
        store: the versions.
        name: the slot's.
        slot: its state.
        held: of the version that the caller has open; it is not read again, and comes without its files.
    """
    refusals: list[Refusal] = []
    for version in candidates(slot, store.numbers().get(name, ())):
        if held is not None and held.version == version and store.still_has(held):
            return VerifiedArtifact(held, {}), tuple(refusals)
        found = store.examine(name, version)
        if isinstance(found, VerifiedArtifact):
            return found, tuple(refusals)
        refusals.append(found)
    return None, tuple(refusals)


def open_slots(store: ArtifactStore, state: ActiveState, held: Mapping[str, Manifest]) -> tuple[dict[str, VerifiedArtifact], list[Refusal]]:
    """What serves in each slot, and what was refused on the way; see `open_slot`."""
    found: dict[str, VerifiedArtifact] = {}
    refusals: list[Refusal] = []
    for name, slot in state.slots.items():
        artifact, refused = open_slot(store, name, slot, held.get(name))
        refusals.extend(refused)
        if artifact is not None:
            found[name] = artifact
    return found, refusals


def candidates(slot: SlotState, on_disk: tuple[int, ...]) -> tuple[int, ...]:
    """Versions that may serve, best first; none while the slot is stopped.

    A version that never served, or a newer one that was relieved, may not.
    """
    if slot.active is None or slot.stopped is not None:
        return ()
    return (slot.active, *(n for n in reversed(on_disk) if n < slot.active and n in slot.served))


def known(store: ArtifactStore, state: ActiveState) -> list[tuple[str, int]]:
    """Slot and number of every version with a manifest, and of those that the state points at."""
    disk = {(name, n) for name, numbers in store.numbers().items() for n in numbers}
    pointed = {(name, n) for name, slot in state.slots.items() for n in slot.needed}
    return sorted(disk | pointed)


def describe(store: ArtifactStore, state: ActiveState, name: str, version: int) -> VersionInfo:
    """The line of one version; its files are checked."""
    slot, found = state.slot(name), store.examine(name, version)
    active = version == slot.active
    place, marks = (active, version == slot.previous, active and slot.pinned), marks_of(slot, version)
    if isinstance(found, Refusal):
        return VersionInfo(name, version, None, *place, {}, str(found), marks)
    return VersionInfo(name, version, found.manifest.created, *place, found.manifest.metrics, None, marks)


def marks_of(slot: SlotState, version: int) -> tuple[str, ...]:
    """What a version is to its slot, in words."""
    active = version == slot.active
    marks = {
        "active": active,
        "stopped": active and slot.stopped is not None,
        "probation": active and slot.probation is not None,
        "previous": version == slot.previous,
        "shadow": slot.shadow is not None and version == slot.shadow.version,
        "waiting": version == slot.waiting,
        "pinned": active and slot.pinned,
    }
    return tuple(name for name, holds in marks.items() if holds)


def describe_legacy(store: ArtifactStore) -> tuple[VersionInfo, ...]:
    """The lines of files that no manifest vouches for, set aside or not."""
    names = (*store.legacy(), *store.aside_names())
    return tuple(VersionInfo(name, None, None, active=False, previous=False, pinned=False, metrics={}, problem=LEGACY) for name in names)


def legacy(store: ArtifactStore, state: ActiveState) -> tuple[str, ...]:
    """Files that `models import` sets aside; not those of a version in use whose manifest is lost and may be restored."""
    pointed = {(name, n) for name, slot in state.slots.items() for n in slot.needed}
    return tuple(name for name in store.legacy() if (parse_name(name) or ("", 0))[:2] not in pointed)


def outdated(store: ArtifactStore, state: ActiveState) -> tuple[Refusal, ...]:
    """Active versions that are refused for the libraries alone that they were made with."""
    found = (store.examine(name, slot.active) for name, slot in state.slots.items() if slot.active is not None)
    return tuple(result for result in found if isinstance(result, Refusal) and result.outdated)


def surplus(store: ArtifactStore, state: ActiveState, keep: int) -> list[tuple[str, int]]:
    """Versions that retention may delete: beyond the newest `keep`, neither pointed at nor in service."""
    return [(name, n) for name, numbers in store.numbers().items() for n in _beyond(numbers, keep, _used(store, name, state.slot(name)))]


def _beyond(numbers: tuple[int, ...], keep: int, used: frozenset[int]) -> tuple[int, ...]:
    return tuple(n for n in numbers[: max(0, len(numbers) - keep)] if n not in used)


def _used(store: ArtifactStore, name: str, slot: SlotState) -> frozenset[int]:
    """What the slot points at, and the version that stands in where the active one is refused."""
    found, _ = open_slot(store, name, slot)
    stand_in = frozenset() if found is None else frozenset({found.manifest.version})
    return stand_in | slot.needed


def rebuilt(store: ArtifactStore, entries: Sequence[Promotion]) -> ActiveState:
    """The state without `active.json`: by the record of changes, which alone knows what was rolled back or pinned.

    Of a slot that it does not know, the two newest versions that verify and did not fail their gate.

    Args:
        store: the versions.
        entries: the record, oldest first.
    """
    told: dict[str, list[Promotion]] = {}
    for entry in entries:
        told.setdefault(entry.slot, []).append(entry)
    state, numbers = EMPTY_STATE, store.numbers()
    for name in sorted({*numbers, *told}):
        slot = remembered(told[name]) if name in told else _newest_passed(store, name, numbers[name])
        state = state.with_slot(name, replace(slot, next_version=max(slot.next_version, store.highest(name) + 1)))
    return state


def recovered(store: ArtifactStore, state: ActiveState, last_generation: int, at: str) -> ActiveState:
    """The same versions under new generations; one number is skipped, for the last reservation may be lost."""
    state = replace(state, generation=max(state.generation, last_generation))  # no generation twice
    for name, slot in state.slots.items():
        after = replace(slot, next_version=max(slot.next_version, store.highest(name) + 1) + 1)
        state = state.changed(name, "recovered", at, after, slot.active)
    return state


def _newest_passed(store: ArtifactStore, name: str, numbers: tuple[int, ...]) -> SlotState:
    good = [n for n in reversed(numbers) if _passed(store, name, n)][:2]
    active, previous = (*good, None, None)[:2]
    return replace(EMPTY_SLOT, active=active, previous=previous)


def _passed(store: ArtifactStore, name: str, version: int) -> bool:
    found = store.examine(name, version)
    return isinstance(found, VerifiedArtifact) and found.manifest.gate_report.get("passed", True) is True
