"""Watchdogs over learning that silently does not happen: history that stands still, versions that never vote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from config.settings import Settings
from market_data.bars import Timeframe
from market_data.clock import from_epoch, utc_text
from strategy.learning.active import ActiveState
from strategy.learning.jobs import JobSpec
from utils.checks import ALARM, SKIPPED, CheckResult, Memory

WATCHDOGS = "watchdogs"


class Decisions(Protocol):
    """What the watchdogs read of the journal."""

    def decisions(self, limit: int, symbol: str | None = None) -> list[dict[str, Any]]:
        """Rows, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class _Alarm:
    """What is wrong; `mark` is the same as long as it is the same fault."""

    slot: str
    kind: str
    mark: str
    text: str


def note_newest(state: Memory, slot: str, newest: int) -> None:
    """Remembers the newest bar that the last two trainings of a slot looked at.

    Args:
        state: the shared state.
        slot: which model.
        newest: epoch seconds.
    """
    before = state.get(_newest_key(slot))
    state.set(_newest_key(slot), [*(before if isinstance(before, list) else []), newest][-2:])


def _newest_key(slot: str) -> str:
    return f"trainer.newest.{slot}"


class Watchdogs:
    """Says once what does not happen that should; while it lasts, every look repeats it without an alarm.

    Args:
        journal: decided bars.
        state: newest training bars, and what was said already.
        active: the registry's state.
        jobs: what is trained.
        settings: of bars, exits and filters.
    """

    name = WATCHDOGS

    def __init__(
        self, journal: Decisions, state: Memory, active: Callable[[], ActiveState], jobs: Sequence[JobSpec], settings: Settings
    ) -> None:
        self._journal, self._state, self._active, self._jobs = journal, state, active, tuple(jobs)
        self._bars = settings.watch.watchdog_bars
        hour_bars = 3_600 / Timeframe[settings.symbols.timeframe].seconds
        # Bars that no training row can stand on: their labels are open, or no entry is allowed in their hours.
        without_rows = settings.exits.horizon_bars + 2 + int(len(settings.filters.blocked_hours) * hour_bars)
        self._lag = without_rows + self._bars
        self.every = timedelta(minutes=settings.watch.watchdog_minutes)

    def run(self, now: datetime) -> CheckResult:
        """One look at every slot."""
        alarms = [alarm for job in self._jobs for alarm in self._alarms(job)]
        fresh = [alarm for alarm in alarms if self._state.get(_said_key(alarm)) != alarm.mark]
        for alarm in fresh:
            self._state.set(_said_key(alarm), alarm.mark)
        if fresh:
            return CheckResult(ALARM, "; ".join(alarm.text for alarm in fresh))
        return CheckResult(
            SKIPPED, "; ".join(f"still: {alarm.text}" for alarm in alarms) or "training bars advance, what was promoted votes"
        )

    def _alarms(self, job: JobSpec) -> Iterator[_Alarm]:
        for found in (self._frozen(job), self._unheard(job)):
            if found is not None:
                yield found

    def _frozen(self, job: JobSpec) -> _Alarm | None:
        """Two trainings ended at the same bar, though bars were decided that the second should have seen."""
        noted = self._state.get(_newest_key(job.slot), [])
        if len(noted) < 2 or noted[1] > noted[0]:
            return None
        newest = utc_text(from_epoch(noted[1]))
        ahead = max(len([row for row in self._decided(symbol, self._lag) if row["bar_time"] > newest]) for symbol in job.symbols)
        if ahead < self._lag:
            return None
        text = f"{job.slot}: two trainings ended at bar {newest}, though {ahead} or more bars were decided since: history stands still"
        return _Alarm(job.slot, "history", newest, f"{text}; reload it in the terminal")

    def _unheard(self, job: JobSpec) -> _Alarm | None:
        """A version was put into service, and no decision names it."""
        slot = self._active().slot(job.slot)
        since = slot.voting_since
        if since is None:
            return None
        rows = [[row for row in self._decided(symbol, self._bars) if row["bar_time"] >= since] for symbol in job.symbols]
        if any(len(part) < self._bars for part in rows) or any(_names(row, job.slot, slot.active) for part in rows for row in part):
            return None
        why = rows[0][0]["absent"].get(job.slot) or "its decisions give no reason: see `models verify` and the log"
        text = f"{job.slot}: version {slot.active} is active since {since}, and the newest {self._bars} decisions do not name it"
        return _Alarm(job.slot, "service", f"{slot.active} {since}", f"{text}: {why}")

    def _decided(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        return self._journal.decisions(limit, symbol)


def _said_key(alarm: _Alarm) -> str:
    return f"watchdog.{alarm.kind}.{alarm.slot}"


def _names(row: Mapping[str, Any], slot: str, version: int | None) -> bool:
    return bool(row["versions"].get(slot) == version)
