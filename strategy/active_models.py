"""The predictors that serve now, shared by replacing and never by changing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from strategy.predictor import Predictor


@dataclass(frozen=True, slots=True)
class _Served:
    generation: int
    predictors: Mapping[str, Predictor]


class ActiveModels:
    """Slot -> predictor, for many readers and few writers.

    Contract:
        - `snapshot` reads one reference and takes no lock; it never waits for a writer.
        - A snapshot never changes. A reader takes one per decision, so a decision uses one
          generation from start to end, whatever writers do meanwhile.
        - A writer builds a new mapping under the lock and then replaces the reference; `replace`
          puts several slots in place in one step.
        - Every write that changes something raises `generation` by one.
    """

    def __init__(self, predictors: Mapping[str, Predictor] | None = None) -> None:
        self._lock = threading.Lock()
        self._served = _Served(0, MappingProxyType(dict(predictors or {})))

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
            return self._publish({**self._served.predictors, slot: predictor}).get(slot)

    def remove(self, slot: str) -> Predictor | None:
        """Empties a slot and returns what served there; an empty slot stays as it is."""
        with self._lock:
            rest = dict(self._served.predictors)
            removed = rest.pop(slot, None)
            if removed is not None:
                self._publish(rest)
            return removed

    def replace(self, predictors: Mapping[str, Predictor]) -> Mapping[str, Predictor]:
        """Puts a whole set in place in one step and returns the one before."""
        with self._lock:
            return self._publish(dict(predictors))

    def _publish(self, predictors: dict[str, Predictor]) -> Mapping[str, Predictor]:
        """The lock is held by the caller. Returns the mapping before."""
        before = self._served
        self._served = _Served(before.generation + 1, MappingProxyType(predictors))
        return before.predictors
