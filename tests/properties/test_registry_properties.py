"""Whatever is published, promoted, rolled back, pruned, damaged or killed, DESIGN 4.2 holds."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from config.errors import ArtifactError
from market_data.clock import utc_text
from strategy.learning import lifecycle
from strategy.learning.active import ActiveState
from strategy.learning.lifecycle import Failure
from strategy.learning.promotions import reign_at, reigns
from tests.fakes_registry import FILES, NOW, accept, make_registry, successor

SLOTS = ("scalper", "lstm_EURUSD")
KEEP = 2


class Killed(BaseException):
    """Stands for a kill: no code of ours catches it."""


class Killer:
    """Ends the n-th step from now."""

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self, step: str) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed(step)


class RegistryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.killer = Killer()
        self.numbers: dict[str, list[int]] = {slot: [] for slot in SLOTS}
        self.bodies: dict[tuple[str, int], bytes] = {}
        self.damaged: set[tuple[str, int]] = set()
        self.shadows: set[tuple[str, int]] = set()
        self.generation = 0
        self.now = NOW
        self.truth: list[tuple[str, dict[str, int | None]]] = []
        self.fsync = mock.patch("os.fsync", lambda handle: None)
        self.fsync.start()

    @initialize()
    def start(self) -> None:
        self.killer.left = None
        self.registry = make_registry(self.root, keep=KEEP, fault=self.killer, now=self.now)
        self.reader = make_registry(self.root, keep=KEEP)

    def teardown(self) -> None:
        self.fsync.stop()
        shutil.rmtree(self.root)

    def served(self, slot: str) -> int | None:
        found, _ = self.registry.open_active()
        return found[slot].manifest.version if slot in found else None

    def publish_now(self, slot: str, activate: bool) -> int:
        """Every content is another, so that a version's bytes tell whose they are."""
        body = f"{slot} {len(self.bodies)} {self.numbers[slot]}".encode()
        version = self.registry.publish(successor(self.registry, slot), {**FILES, ".pkl": body}, accept, activate).version
        self.took(slot, version)
        self.bodies[slot, version] = body
        return version

    def took(self, slot: str, version: int) -> None:
        assert all(version > n for n in self.numbers[slot]), "a number was used twice"
        self.numbers[slot].append(version)

    @rule(slot=st.sampled_from(SLOTS))
    def publish(self, slot: str) -> None:
        pinned = self.registry.state().slot(slot).pinned
        before = self.registry.state().slot(slot).active
        version = self.publish_now(slot, activate=True)
        if pinned:
            self.shadows.add((slot, version))
        assert self.registry.state().slot(slot).active == (before if pinned else version)

    @rule(slot=st.sampled_from(SLOTS))
    def publish_shadow(self, slot: str) -> None:
        before = self.served(slot)
        self.shadows.add((slot, self.publish_now(slot, activate=False)))
        assert self.served(slot) == before

    @rule(slot=st.sampled_from(SLOTS))
    def fail_a_check(self, slot: str) -> None:
        before = self.served(slot)

        def refuse(artifact):
            self.took(slot, artifact.manifest.version)
            raise ArtifactError("golden rows differ")

        with contextlib.suppress(ArtifactError):
            self.registry.publish(successor(self.registry, slot), FILES, refuse)
        assert self.served(slot) == before

    @rule(slot=st.sampled_from(SLOTS), steps=st.integers(0, 24), activate=st.booleans())
    def die_publishing(self, slot: str, steps: int, activate: bool) -> None:
        old = self.served(slot)
        self.killer.left = steps
        seen: list[int] = []
        body = f"{slot} {len(self.bodies)} dying {self.numbers[slot]}".encode()
        with contextlib.suppress(Killed):
            self.registry.publish(
                successor(self.registry, slot), {**FILES, ".pkl": body}, lambda artifact: seen.append(artifact.manifest.version), activate
            )
        self.start()
        for version in seen:
            self.took(slot, version)
            self.bodies[slot, version] = body
            if self.registry.state().slot(slot).active != version:
                self.shadows.add((slot, version))
        assert self.served(slot) in {old, *seen}

    @rule(slot=st.sampled_from(SLOTS), steps=st.integers(0, 4))
    def die_rolling_back(self, slot: str, steps: int) -> None:
        held = self.registry.state().slot(slot)
        self.die(steps, lambda: self.registry.rollback(slot))
        after = self.registry.state().slot(slot)
        assert after.active in (held.active, held.previous)
        self.shadows.discard((slot, after.active or 0))

    @rule(slot=st.sampled_from(SLOTS), steps=st.integers(0, 4), data=st.data())
    def die_promoting(self, slot: str, steps: int, data: st.DataObject) -> None:
        if not self.numbers[slot]:
            return
        version = data.draw(st.sampled_from(self.numbers[slot]))
        before = self.registry.state().slot(slot)
        self.die(steps, lambda: self.registry.promote(slot, version))
        after = self.registry.state().slot(slot)
        assert after.active in (before.active, version)
        if after.active == version:
            self.shadows.discard((slot, version))

    @rule(steps=st.integers(0, 8))
    def die_pruning(self, steps: int) -> None:
        before = self.registry.state()
        self.die(steps, self.registry.prune)
        assert self.registry.state() == before

    @rule(slot=st.sampled_from(SLOTS), steps=st.integers(0, 4), pinned=st.booleans())
    def die_pinning(self, slot: str, steps: int, pinned: bool) -> None:
        before = self.registry.state().slot(slot)
        self.die(steps, lambda: self.registry.pin(slot, pinned))
        after = self.registry.state().slot(slot)
        assert (after.active, after.previous) == (before.active, before.previous)
        assert after.pinned in (before.pinned, pinned)

    @rule(slot=st.sampled_from(SLOTS), steps=st.integers(0, 2))
    def die_setting_aside(self, slot: str, steps: int) -> None:
        """Files of an older installation; a kill leaves some where they were, and the next time takes them."""
        names = (f"{slot}.pkl", f"{slot}_scaler.pkl")
        for name in names:
            (self.root / name).write_bytes(b"old")
        before = self.registry.state()
        self.die(steps, self.registry.set_aside)
        self.registry.set_aside()
        assert self.registry.state() == before
        assert not any((self.root / name).exists() for name in names)
        assert {f"legacy/{name}" for name in names} <= {v.slot for v in self.registry.versions()}

    def die(self, steps: int, act: Callable[[], object]) -> None:
        """Acts, is killed before a step, and starts again."""
        self.killer.left = steps
        with contextlib.suppress(Killed, ArtifactError):
            act()
        self.start()

    @rule(slot=st.sampled_from(SLOTS), data=st.data())
    def promote(self, slot: str, data: st.DataObject) -> None:
        if not self.numbers[slot]:
            return
        version = data.draw(st.sampled_from(self.numbers[slot]))
        before = self.registry.state()
        try:
            state = self.registry.promote(slot, version)
        except ArtifactError:
            assert self.registry.state() == before
            return
        self.shadows.discard((slot, version))
        assert state.slot(slot).active == version

    @rule(slot=st.sampled_from(SLOTS))
    def rollback(self, slot: str) -> None:
        before = self.registry.state()
        try:
            state = self.registry.rollback(slot)
        except ArtifactError:
            assert self.registry.state() == before
            return
        held = before.slot(slot)
        assert state.slot(slot).active == (held.active if held.rolled_back else held.previous)

    @rule(slot=st.sampled_from(SLOTS), pinned=st.booleans())
    def pin(self, slot: str, pinned: bool) -> None:
        if self.registry.state().slot(slot).active is not None:
            assert self.registry.pin(slot, pinned).slot(slot).pinned == pinned

    @rule()
    def prune(self) -> None:
        named = self.registry.prune(dry_run=True)
        assert set(self.registry.prune()) == set(named)
        for slot in SLOTS:
            held = self.registry.state().slot(slot)
            left = {v.version for v in self.registry.versions(slot)}
            assert len(left - {held.active, held.previous}) <= KEEP

    @rule(slot=st.sampled_from(SLOTS), suffix=st.sampled_from([*FILES, ".json"]))
    def damage_the_active_version(self, slot: str, suffix: str) -> None:
        version = self.registry.state().slot(slot).active
        if version is not None and (slot, version) not in self.damaged:
            path = self.root / f"{slot}_v{version}{suffix}"
            path.write_bytes(path.read_bytes()[:-3])
            self.damaged.add((slot, version))

    @precondition(lambda self: (self.root / "active.json").exists())
    @rule(content=st.sampled_from([b"", b"{}", b"{", None]))
    def damage_the_pointer(self, content: bytes | None) -> None:
        before = self.registry.state()
        path = self.root / "active.json"
        path.unlink() if content is None else path.write_bytes(content)
        self.start()
        after = self.registry.state()
        assert {s: (v.active, v.previous, v.pinned, v.stopped, v.learn_from) for s, v in after.slots.items()} == {
            s: (v.active, v.previous, v.pinned, v.stopped, v.learn_from) for s, v in before.slots.items()
        }

    @precondition(lambda self: (self.root / "active.json").exists())
    @rule(content=st.sampled_from([b"{", None]))
    def damage_pointer_and_mirror(self, content: bytes | None) -> None:
        """The record of changes still tells what serves; a number that was spent on nothing may be given again."""
        if any(self.numbers[slot] and not self.registry.promotions(slot) for slot in SLOTS):
            return  # killed before its first version was on record: then the versions themselves decide
        before = self.registry.state()
        for name in ("active.json", "active.json.bak"):
            (self.root / name).unlink() if content is None else (self.root / name).write_bytes(content)
        self.start()
        self.reader = make_registry(self.root, keep=KEEP)
        after = self.registry.state()
        for slot in SLOTS:
            was, held = before.slot(slot), after.slot(slot)
            assert (held.active, held.pinned, held.voting, held.rolled_back) == (was.active, was.pinned, was.voting, was.rolled_back)
            self.numbers[slot] = [n for n in self.numbers[slot] if n < held.next_version]
            self.shadows = {(name, n) for name, n in self.shadows if name != slot or n < held.next_version}

    @rule(slot=st.sampled_from(SLOTS), steps=st.none() | st.integers(0, 4))
    def stop(self, slot: str, steps: int | None) -> None:
        """A check finds that the active version loses; it may die over it."""
        look = self.registry.state().slot(slot)
        self.killer.left = steps
        with contextlib.suppress(Killed):
            self.registry.move(slot, lambda held: lifecycle.stopped(held, look, Failure(utc_text(self.now), "it loses"), self.now))
        if steps is not None:
            self.start()
        after = self.registry.state().slot(slot)
        assert (after.active, after.previous, after.pinned) == (look.active, look.previous, look.pinned)
        if steps is None:
            assert (after.stopped is not None) == (look.stopped is not None or (look.active is not None and not look.pinned))

    @rule(slot=st.sampled_from(SLOTS), steps=st.none() | st.integers(0, 4))
    def resume(self, slot: str, steps: int | None) -> None:
        before = self.registry.state().slot(slot)
        if before.active is None:
            return
        self.killer.left = steps
        with contextlib.suppress(Killed, ArtifactError):
            self.registry.promote(slot, before.active)
        if steps is not None:
            self.start()
        after = self.registry.state().slot(slot)
        assert (after.active, after.previous) == (before.active, before.previous)
        assert after.stopped in (before.stopped, None)

    @rule()
    def restart(self) -> None:
        before = self.registry.state()
        self.start()
        assert self.registry.state() == before

    @invariant()
    def what_serves_is_sound(self) -> None:
        state: ActiveState = self.reader.state()
        found, _ = self.reader.open_active()
        for slot, artifact in found.items():
            version = artifact.manifest.version
            assert (slot, version) not in self.damaged
            assert (slot, version) not in self.shadows
            assert artifact.files[".pkl"] == self.bodies[slot, version]
            active = state.slot(slot).voting
            assert active is not None, "a stopped slot serves"
            assert version == active or (version < active and (slot, active) in self.damaged)

    @invariant()
    def active_and_previous_are_on_disk(self) -> None:
        state = self.reader.state()
        for slot, held in state.slots.items():
            for version in {held.active, held.previous} - {None}:
                assert (self.root / f"{slot}_v{version}.json").exists()
                if (slot, version) == (slot, held.active) and (slot, version) not in self.damaged:
                    self.reader.open(slot, version)

    @invariant()
    def generation_never_falls_and_every_reader_agrees(self) -> None:
        generation = self.reader.state().generation
        assert generation == self.registry.state().generation >= self.generation
        self.generation = generation

    @invariant()
    def nothing_is_left_lying_about(self) -> None:
        assert not [p for p in self.root.iterdir() if p.suffix == ".tmp"]
        assert self.registry.legacy() == (), "files without a manifest"
        assert not list((self.root / ".retired").glob("*"))

    @invariant()
    def the_record_answers_for_every_time(self) -> None:
        state = self.reader.state()
        self.truth.append((utc_text(self.now), {slot: state.slot(slot).active for slot in SLOTS}))
        self.now += timedelta(minutes=1)
        self.registry._clock.set(self.now)
        for slot in SLOTS:
            entries = self.reader.promotions(slot)
            assert [e.generation for e in entries] == sorted({e.generation for e in entries})
            held = reigns(entries, state.slot(slot).active)
            for at, active in self.truth:
                found = reign_at(held, at)
                assert (found.version if found is not None else None) == active[slot]


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.campaign
class TestRegistryLong(RegistryMachine.TestCase):
    """The same, many times over."""

    settings = settings(TestRegistry.settings, max_examples=1_000, stateful_step_count=40)
