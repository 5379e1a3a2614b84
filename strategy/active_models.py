"""The predictors that serve now, shared by replacing and never by changing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from strategy.predictor import Predictor

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Served:
    """What serves at one instant.

    Attributes:
        generation: how many writes there were.
        predictors: slot -> predictor; the mapping never changes.
        stopped: slot -> why its version does not vote.
    """

    generation: int
    predictors: Mapping[str, Predictor]
    stopped: Mapping[str, str]


class ActiveModels:
    """Slot -> predictor, for many readers and few writers.

    Contract:
        - `current` and `snapshot` read one reference and take no lock; they never wait for a writer.
        - A snapshot never changes. A reader takes one per decision, so a decision uses one
          generation from start to end, whatever writers do meanwhile.
        - A writer builds a new mapping under the lock and then replaces the reference; `replace`
          puts several slots in place in one step.
        - Every write that changes something raises `generation` by one.
    """

    def __init__(self, predictors: Mapping[str, Predictor] | None = None) -> None:
        self._lock = threading.Lock()
        self._served = Served(0, MappingProxyType(dict(predictors or {})), MappingProxyType({}))

    def current(self) -> Served:
        """What serves now, and what is stopped."""
        return self._served

    def snapshot(self) -> Mapping[str, Predictor]:
        """The predictors that serve now; the mapping never changes."""
        return self._served.predictors

    @property
    def generation(self) -> int:
        """How many writes there were."""
        return self._served.generation

    def swap(self, slot: str, predictor: Predictor) -> Predictor | None:
        """Puts a predictor in a slot and returns the one it takes over from."""
        with self._lock:
            served = {**self._served.predictors, slot: predictor}
            return self._publish(served, _without(self._served.stopped, slot)).get(slot)

    def remove(self, slot: str, stopped: str = "") -> Predictor | None:
        """Empties a slot and returns what served there; an empty slot stays as it is.

        Args:
            slot: which.
            stopped: why its version does not vote, where it has one.
        """
        with self._lock:
            before = self._served
            why = _without(before.stopped, slot) | ({slot: stopped} if stopped else {})
            if slot in before.predictors or why != before.stopped:
                self._publish(_without(before.predictors, slot), why)
            return before.predictors.get(slot)

    def replace(self, predictors: Mapping[str, Predictor], stopped: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Predictor]:
        """Puts a whole set in place in one step and returns the one before."""
        with self._lock:
            return self._publish(dict(predictors), dict(stopped))

    def _publish(self, predictors: dict[str, Predictor], stopped: dict[str, str]) -> Mapping[str, Predictor]:
        """The lock is held by the caller. Returns the mapping before."""
        before = self._served
        self._served = Served(before.generation + 1, MappingProxyType(predictors), MappingProxyType(stopped))
        return before.predictors


def _without(mapping: Mapping[str, V], key: str) -> dict[str, V]:
    return {name: value for name, value in mapping.items() if name != key}
