"""What the trainer looks at between retrains, each in its own rhythm: a check finds, the trainer acts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

SKIPPED = "skipped"
"""The outcome of a check that found nothing; it is journalled, and not logged."""

ALARM = "alarm"
"""The outcome of a check that found something that nobody but a person can put right; it is logged as a warning."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        outcome: one word, `skipped` where there is nothing to do. Where it asks for retrains it is
            also their trigger: `emergency`, `drift`.
        reason: why, with the figures.
        retrain: names of jobs to run now.
        switched: slots whose active version it changed.
    """

    outcome: str
    reason: str
    retrain: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()


class Check(Protocol):
    """Looks at how the models in service are doing; runs on the trainer's thread, never on the loop's."""

    @property
    def name(self) -> str:
        """As the journal and the due table call it."""
        ...

    @property
    def every(self) -> timedelta:
        """Time between two looks."""
        ...

    def run(self, now: datetime) -> CheckResult:
        """One look.

        Raises:
            ScalperError: it could not be made; what serves is unchanged.
        """
        ...


class Memory(Protocol):
    """What a cool-down needs of the shared state."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    def set(self, key: str, value: object) -> None:
        """Stores a value."""
        ...


class CoolDown:
    """A pause after a trigger, kept so that a restart does not end it.

    Args:
        state: where it is kept.
        key: under which name.
        length: of the pause.
    """

    def __init__(self, state: Memory, key: str, length: timedelta) -> None:
        self._state, self._key, self._length = state, key, length

    def until(self, now: datetime) -> datetime | None:
        """When the pause ends; None where there is none."""
        text = self._state.get(self._key)
        end = datetime.fromisoformat(text) if isinstance(text, str) else None
        return end if end is not None and now < end else None

    def start(self, now: datetime) -> None:
        """Begins a pause."""
        self._state.set(self._key, (now + self._length).isoformat())


def retrain_pause(state: Memory, slot: str, hours: float) -> CoolDown:
    """The pause of a slot that was trained anew because the market or its results had changed; one for all checks."""
    return CoolDown(state, f"trainer.drift_until.{slot}", timedelta(hours=hours))
