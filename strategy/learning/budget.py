"""The false-promotion budget: how sure a try must be, so that a month of tries rarely promotes luck.

A slot tries again and again. If none of its candidates of a calendar month were worth anything, the
chance that one of them is promoted is at most the sum of the levels at which they were tested. That
sum is `GATE_ALPHA_MONTH`. A START_SHARE of it is there at once, the rest comes evenly with the
month's time; a try spends what is there, but never more than the START_SHARE. What a month leaves
over is gone. Neither a promotion nor a restart gives anything back.

The spending is written down before the try is judged: a crash in between costs the slot that try.

Source: Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np

from config.errors import StorageBusy
from market_data.bars import IntArray

START_SHARE = 0.2
"""Share of a month's budget that needs no waiting, and the most that one try may spend."""

MONTHS_KEPT = 24
ATTEMPTS = 50


class State(Protocol):
    """What the budget needs of the shared state."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    def version(self, key: str) -> int:
        """A number that grows with every write of a key; 0 where there is none."""
        ...

    def compare_and_set(self, key: str, expected_version: int, value: object) -> bool:
        """Stores a value if the key's version is still the expected one."""
        ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What a try may do.

    Attributes:
        alpha: level of its test; 0.0: it is not tested.
        unseen: final rows that no tested try of the slot was judged by.
    """

    alpha: float
    unseen: int


@dataclass(frozen=True, slots=True)
class Record:
    """What the tries of a slot have used up.

    Attributes:
        seen: newest row that a tested try was judged by, epoch seconds.
        spent: month as `2024-01` -> sum of the levels tested at.
    """

    seen: int = 0
    spent: dict[str, float] = field(default_factory=dict)

    def after(self, newest: int, alpha: float, now: datetime) -> Record:
        """The record once a try at level `alpha` is tested on rows up to `newest`."""
        month = _month(now)
        spent = {**self.spent, month: self.spent.get(month, 0.0) + alpha}
        return Record(max(self.seen, newest), {name: spent[name] for name in sorted(spent)[-MONTHS_KEPT:]})

    def available(self, monthly: float, now: datetime) -> float:
        """Level at which a try may be tested now."""
        accrued = monthly * (START_SHARE + (1.0 - START_SHARE) * month_passed(now))
        return min(max(0.0, accrued - self.spent.get(_month(now), 0.0)), monthly * START_SHARE)


class Purse:
    """The budget of one slot, kept in the shared state under `gate.budget.<slot>`.

    Any thread of any process may draw: of two who draw at once, one waits for the other's entry.
    """

    def __init__(self, state: State, slot: str) -> None:
        self._state = state
        self._slot = slot
        self._key = f"gate.budget.{slot}"

    def unseen(self, times: IntArray) -> int:
        """How many of these rows, epoch seconds, no tested try of the slot was judged by."""
        return int((times > self._record().seen).sum())

    def draw(self, times: IntArray, least_new: int, monthly: float, now: datetime) -> Grant:
        """Spends what is available, unless too few of the rows are new.

        Args:
            times: of the rows that are to judge, epoch seconds.
            least_new: rows that no tested try has seen, without which nothing is spent.
            monthly: budget of a calendar month.
            now: instant of the try, market time, aware.

        Raises:
            StorageBusy: others kept writing the same record.
        """
        for _ in range(ATTEMPTS):
            version = self._state.version(self._key)
            record = self._record()
            unseen = int((times > record.seen).sum())
            alpha = record.available(monthly, now) if unseen >= least_new else 0.0
            if alpha == 0.0 or self._write(version, record.after(int(np.max(times)), alpha, now)):
                return Grant(alpha, unseen)
        raise StorageBusy(f"{self._key} was written by others {ATTEMPTS} times in a row; train again when they are done")

    def _record(self) -> Record:
        found = self._state.get(self._key)
        if isinstance(found, dict):
            return Record(int(found["seen"]), {str(month): float(spent) for month, spent in found["spent"].items()})
        return Record(int(self._state.get(f"gate.seen.{self._slot}", 0)))  # the key of homes that knew no budget

    def _write(self, version: int, record: Record) -> bool:
        return self._state.compare_and_set(self._key, version, {"seen": record.seen, "spent": record.spent})


def month_passed(now: datetime) -> float:
    """Share of its calendar month, UTC, that has passed at an instant."""
    moment = now.astimezone(UTC)
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return (moment - first) / (following - first)


def _month(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m}"
