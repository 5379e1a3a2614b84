"""Keeps the predictors in service equal to the registry's active versions."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from loguru import logger

from config.errors import SlotError
from strategy.active_models import ActiveModels
from strategy.learning.artifact import Manifest, VerifiedArtifact
from strategy.learning.bundles import load_bundle
from strategy.learning.registry import Registry
from strategy.learning.store import Refusal
from strategy.predictor import Predictor

_LONGEST_PAUSE = 31
"""Calls of `adopt` between two looks for a file that another program holds."""


@dataclass(frozen=True, slots=True)
class Change:
    """A slot that now serves another version, or was refused.

    Attributes:
        before, after: versions; 0 = none.
        problem: why the wanted version is not served; empty where it is.
    """

    slot: str
    before: int
    after: int
    problem: str = ""


class ModelServer:
    """Loads what the registry says is active and swaps it in.

    The trainer's thread refreshes after it has published; the loop's thread only looks whether
    somebody else changed the registry, and refreshes then. One of them at a time.
    """

    def __init__(self, registry: Registry, models: ActiveModels) -> None:
        self._registry = registry
        self._models = models
        self._lock = threading.RLock()
        self._generation = self._seen = -1
        self._loaded: dict[str, Manifest] = {}
        self._told: set[str] = set()
        self._pause = self._left = 0

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Held by whoever publishes and will refresh: the loop does not load meanwhile."""
        with self._lock:
            yield

    def invalidate(self) -> None:
        """The next `adopt` refreshes, whatever the registry's generation."""
        self._generation = self._seen = -1

    def adopt(self, held: Collection[str] = ()) -> tuple[Change, ...]:
        """Refreshes if the registry changed and nobody is publishing; never waits after the first look.

        A file that another program holds is looked for again at later calls, ever more rarely.

        Args:
            held: slots that keep what they serve for now.
        """
        if not self._is_due() or not self._lock.acquire(blocking=False):
            return ()
        try:
            return self._refresh(held, patient=self._seen < 0)
        finally:
            self._lock.release()

    def refresh(self, held: Collection[str] = ()) -> tuple[Change, ...]:
        """Loads and swaps every slot whose active version is not the one in service.

        A version that is in service is not read again. One that does not load leaves what serves in place; where
        nothing does, the newest older one that served before and loads stands in, or the slot stays empty.
        """
        with self._lock:
            return self._refresh(held, patient=True)

    def _is_due(self) -> bool:
        """Whether the registry changed, or a look that met an unreadable file is to be repeated now."""
        generation = self._registry.state().generation
        if generation == self._generation:
            return False
        if generation != self._seen:
            return True
        self._left -= 1
        return self._left < 0

    def _refresh(self, held: Collection[str], *, patient: bool) -> tuple[Change, ...]:
        state = self._registry.state()
        if state.generation != self._seen:
            self._seen, self._pause, self._told = state.generation, 0, set()
        artifacts, refusals = self._registry.open_active(self._in_service(), patient)
        changes = self._refused(refusals)
        for slot, artifact in artifacts.items():
            # Without files it is one that serves already.
            if slot not in held and artifact.files and not self._serves(slot, artifact.manifest):
                changes.append(self._swap(slot, artifact))
        for slot in sorted((self._models.snapshot().keys() | state.slots.keys()) - artifacts.keys() - set(held)):
            stop = state.slot(slot).stopped
            before = self._models.remove(slot, stop.reason if stop is not None else "")
            changes += [Change(slot, before.info.version, 0)] if before is not None else []
        unreadable = any(refusal.unreadable for refusal in refusals)
        self._pause = self._left = min(2 * self._pause + 1, _LONGEST_PAUSE) if unreadable else 0
        if not held and not unreadable:
            self._generation = state.generation
        return self._news(changes)

    def _in_service(self) -> dict[str, Manifest]:
        """What was put in place here and serves still."""
        return {slot: manifest for slot, manifest in self._loaded.items() if self._version(slot) == manifest.version}

    def _serves(self, slot: str, manifest: Manifest) -> bool:
        """Whether this very version is in place; a restored folder may hold another one under the same number."""
        return self._version(slot) == manifest.version and self._loaded.get(slot, manifest).signature == manifest.signature

    def _news(self, changes: list[Change]) -> tuple[Change, ...]:
        """Without the problems of this generation that were told already."""
        fresh = tuple(change for change in changes if change.before != change.after or change.problem not in self._told)
        self._told |= {change.problem for change in changes}
        return fresh

    def _refused(self, refusals: tuple[Refusal, ...]) -> list[Change]:
        """What the registry refused, by slot; a damaged pointer concerns no slot and is logged."""
        for refusal in refusals:
            if not refusal.slot and str(refusal) not in self._told:
                self._told.add(str(refusal))
                logger.warning("models: {}", refusal)
        return [Change(refusal.slot, 0, 0, str(refusal)) for refusal in refusals if refusal.slot]

    def _version(self, slot: str) -> int:
        serving = self._models.snapshot().get(slot)
        return serving.info.version if serving is not None else 0

    def _swap(self, slot: str, artifact: VerifiedArtifact) -> Change:
        before, problem = self._version(slot), ""
        try:
            loaded: tuple[Manifest, Predictor] | None = artifact.manifest, load_bundle(artifact)
        except SlotError as error:
            problem = str(error)
            loaded = None if before else self._stand_in(slot, artifact.manifest.version)
        if loaded is None:
            return Change(slot, before, before, problem)
        self._loaded[slot], predictor = loaded
        self._models.swap(slot, predictor)
        return Change(slot, before, predictor.info.version, problem)

    def _stand_in(self, slot: str, failed: int) -> tuple[Manifest, Predictor] | None:
        """The newest version below `failed` that served before and loads."""
        for version in sorted((n for n in self._registry.state().slot(slot).served if n < failed), reverse=True):
            with suppress(SlotError):
                artifact = self._registry.open(slot, version)
                return artifact.manifest, load_bundle(artifact)
        return None
