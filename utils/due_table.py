"""When each job is due, kept in the shared state so that a restart changes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol


class Store(Protocol):
    """What the table needs of the shared state."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    def set(self, key: str, value: object) -> None:
        """Stores a value."""
        ...


class DueTable:
    """Due times by job name, UTC."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def due(self, job: str, first: datetime) -> datetime:
        """When a job is due; `first` where it never ran."""
        text = self._store.get(f"trainer.due.{job}")
        return datetime.fromisoformat(text) if isinstance(text, str) else first

    def set(self, job: str, due: datetime) -> None:
        """Sets when a job is due."""
        self._store.set(f"trainer.due.{job}", due.isoformat())

    def after(self, job: str, due: datetime, every: timedelta, now: datetime) -> datetime:
        """Moves a job to its next due time after `now`, in step with its own rhythm; returns it."""
        steps = max(1, -(-(now - due) // every)) if now > due else 1
        following = due + steps * every
        if following <= now:
            following += every
        self.set(job, following)
        return following
