"""Completes the journal's model events from `active.json`, where changes stand that no daemon saw."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from loguru import logger

from config.errors import RecordError
from strategy.decision import ModelEvent
from strategy.learning.active import ActiveState, Change

_MARK = "generation "
_ALL = 1_000_000
_TRAINERS = ("promoted", "published", "waiting", "shadow")


class Chronicle(Protocol):
    """What this needs of the trade journal."""

    def model_events(self, limit: int, slot: str | None = None) -> list[dict[str, Any]]:
        """Rows, newest first."""
        ...

    def record_model_event(self, event: ModelEvent) -> bool:
        """Writes an event; False where the same one is there."""
        ...


def complete_history(journal: Chronicle, state: ActiveState) -> int:
    """Writes every change of every slot into the journal, once.

    A rollback, a pin or a promotion by the command line changes `active.json` alone, and a
    daemon may be killed between a publication and its journal row. What the trainer has
    journalled with its gate report is not written again.

    Args:
        journal: its only writer; call this at start, before the trainer publishes.
        state: as the registry reads it.

    Returns:
        How many events were new.
    """
    new = 0
    for name, slot in state.slots.items():
        rows = journal.model_events(_ALL, name)[::-1]
        for change in slot.history:
            told = next((row for row in rows if _tells(row, change)), None)
            if told is None:
                new += _record(journal, name, change)
            else:
                rows.remove(told)  # one row tells of one change: the same version may be promoted again in the same instant
    return new


def _record(journal: Chronicle, slot: str, change: Change) -> bool:
    try:
        return journal.record_model_event(_event(slot, change))
    except (ValueError, RecordError) as error:  # active.json is text that anyone may edit
        logger.warning("active.json: slot {}, generation {}: not journalled: {}", slot, change.generation, error)
        return False


def _tells(row: Mapping[str, Any], change: Change) -> bool:
    """Whether the trainer's row is about this change: it follows the publication, and a later promotion follows it."""
    by_trainer = change.event in _TRAINERS and not row["detail"].startswith(_MARK)
    return by_trainer and row["event"] == change.event and row["version"] == change.after and row["at"] >= change.at


def _event(slot: str, change: Change) -> ModelEvent:
    served = f"version {change.before}" if change.before is not None else "none"
    because = f": {change.reason}" if change.reason else ""
    detail = f"{_MARK}{change.generation}: {change.event}, {served} served until then{because}"
    return ModelEvent(datetime.fromisoformat(change.at), slot, change.event.replace(" ", "_"), change.after or 0, detail)
