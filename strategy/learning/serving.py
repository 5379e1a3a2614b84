"""Keeps the predictors in service equal to the registry's active versions."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from loguru import logger

from config.errors import SlotError
from strategy.active_models import ActiveModels
from strategy.learning.artifact import VerifiedArtifact
from strategy.learning.bundles import load_bundle
from strategy.learning.registry import Registry
from strategy.learning.store import Refusal
from strategy.predictor import Predictor


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
        self._generation = -1

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Held by whoever publishes and will refresh: the loop does not load meanwhile."""
        with self._lock:
            yield

    def invalidate(self) -> None:
        """The next `adopt` refreshes, whatever the registry's generation."""
        self._generation = -1

    def adopt(self, held: Collection[str] = ()) -> tuple[Change, ...]:
        """Refreshes if the registry changed and nobody is publishing; never waits.

        Args:
            held: slots that keep what they serve for now.
        """
        if self._registry.state().generation == self._generation or not self._lock.acquire(blocking=False):
            return ()
        try:
            return self.refresh(held)
        finally:
            self._lock.release()

    def refresh(self, held: Collection[str] = ()) -> tuple[Change, ...]:
        """Loads and swaps every slot whose active version is not the one in service.

        A version that does not load leaves what serves in place; where nothing does, the newest
        older one that served before and loads stands in, or the slot stays empty.
        """
        with self._lock:
            state = self._registry.state()
            artifacts, refusals = self._registry.open_active()
            changes = self._refused(refusals)
            for slot, artifact in artifacts.items():
                if slot not in held and self._version(slot) != artifact.manifest.version:
                    changes.append(self._swap(slot, artifact))
            for slot in sorted((self._models.snapshot().keys() | state.slots.keys()) - artifacts.keys() - set(held)):
                stop = state.slot(slot).stopped
                before = self._models.remove(slot, stop.reason if stop is not None else "")
                changes += [Change(slot, before.info.version, 0)] if before is not None else []
            if not held:
                self._generation = state.generation
            return tuple(changes)

    def _refused(self, refusals: tuple[Refusal, ...]) -> list[Change]:
        """What the registry refused, by slot; a damaged pointer concerns no slot and is logged."""
        for refusal in refusals:
            if not refusal.slot:
                logger.warning("models: {}", refusal)
        return [Change(refusal.slot, 0, 0, str(refusal)) for refusal in refusals if refusal.slot]

    def _version(self, slot: str) -> int:
        serving = self._models.snapshot().get(slot)
        return serving.info.version if serving is not None else 0

    def _swap(self, slot: str, artifact: VerifiedArtifact) -> Change:
        before, problem = self._version(slot), ""
        try:
            predictor: Predictor | None = load_bundle(artifact)
        except SlotError as error:
            problem = str(error)
            predictor = None if before else self._stand_in(slot, artifact.manifest.version)
        if predictor is None:
            return Change(slot, before, before, problem)
        self._models.swap(slot, predictor)
        return Change(slot, before, predictor.info.version, problem)

    def _stand_in(self, slot: str, failed: int) -> Predictor | None:
        """The newest version below `failed` that served before and loads."""
        for version in sorted((n for n in self._registry.state().slot(slot).served if n < failed), reverse=True):
            with suppress(SlotError):
                return load_bundle(self._registry.open(slot, version))
        return None
