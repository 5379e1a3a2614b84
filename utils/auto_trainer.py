"""The AutoTrainer: a thread that decides when models are trained, and swaps in what the gate passed.

How a model is made and judged is in `strategy.learning`; here are due times, triggers, skips with
their reasons, and prompt cancellation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from loguru import logger

from config.errors import FitCancelled, InsufficientHistory, RetryError, ScalperError, TooNew
from config.settings import TrainingSettings
from market_data.clock import Clock, utc_text
from strategy.decision import JobRun, ModelEvent
from strategy.learning.background import step_back
from strategy.learning.budget import Purse
from strategy.learning.jobs import JobResult, JobSpec
from strategy.learning.serving import Change, ModelServer
from utils.checks import ALARM, SKIPPED, Check
from utils.due_table import DueTable
from utils.watchdogs import note_newest

MANUAL = "manual"
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""Between two looks for requests and due jobs."""
AGAIN = timedelta(minutes=5)
"""A job that failed for what may have passed by then, such as a lost terminal, does not wait for its next turn."""


class Trade(Protocol):
    """Trains one model."""

    def run(self, spec: JobSpec, purse: Purse, cancel: threading.Event) -> JobResult:
        """One candidate, judged and, where it passed, published."""
        ...


class Chronicle(Protocol):
    """What the trainer writes to: the trade journal."""

    def record_model_event(self, event: ModelEvent) -> bool:
        """Writes an event of a model slot."""
        ...

    def record_job(self, run: JobRun) -> None:
        """Writes a run, or a skip, of a job."""
        ...


class State(Protocol):
    """What the trainer needs of the shared state."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    def set(self, key: str, value: object) -> None:
        """Stores a value."""
        ...

    def take(self, key: str, default: Any = None) -> Any:
        """Reads and removes a key in one step."""
        ...

    def version(self, key: str) -> int:
        """A number that grows with every write of a key; 0 where there is none."""
        ...

    def compare_and_set(self, key: str, expected_version: int, value: object) -> bool:
        """Stores a value if the key's version is still the expected one."""
        ...


@dataclass(frozen=True, slots=True)
class TrainerStatus:
    """What the trainer is doing.

    Attributes:
        running: job in progress; empty when idle.
        due: job -> when it is due next.
        last: job -> outcome and reason of its last run.
        alive: False where its thread has died of an error that nobody foresaw.
    """

    running: str
    due: dict[str, datetime]
    last: dict[str, str]
    alive: bool = True


Progress = Callable[[str, bool], None]


class AutoTrainer:
    """One thread; wakes when the loop's time has passed a due time, or when it is asked to.

    Args:
        workshop: makes models.
        jobs: what it trains, in the order in which simultaneous jobs run.
        checks: what it looks at between retrains.
        lockstep: a replay: the loop waits for the jobs of an instant, and a swap takes effect
            `replay_train_bars` passes later, so that two replays are equal.
        progress: told when a job begins (True) and ends (False).
    """

    def __init__(
        self,
        *,
        workshop: Trade,
        jobs: Sequence[JobSpec],
        server: ModelServer,
        chronicle: Chronicle,
        state: State,
        clock: Clock,
        wall: Clock,
        training: TrainingSettings,
        checks: Sequence[Check] = (),
        lockstep: bool = False,
        progress: Progress = lambda job, begins: None,
    ) -> None:
        self._workshop = workshop
        self._jobs = {job.name: job for job in jobs}
        self._server = server
        self._chronicle = chronicle
        self._state = state
        self._clock = clock
        self._wall = wall
        self._training = training
        self._checks = {check.name: check for check in checks}
        self._lockstep = lockstep
        self._progress = progress
        self._table = DueTable(state)
        self._cancel = threading.Event()
        self._wake = threading.Event()
        self._finished = threading.Condition()
        self._thread: threading.Thread | None = None
        self._first = clock.now() + timedelta(seconds=training.start_grace_seconds)
        self._asked = clock.now()
        self._passes = 0
        self._held: dict[str, int] = {}
        self._status = TrainerStatus("", {}, {})
        self._due = {name: self._first_due(name) for name in (*self._jobs, *self._checks)}
        self._triggers: dict[str, str] = {}

    # --- life -------------------------------------------------------------------------------

    def start(self, after: threading.Thread | None = None) -> None:
        """Starts the thread.

        Args:
            after: what it waits for before its first job: an import can not be cancelled, waiting for one can.
        """
        self._thread = threading.Thread(target=self._run, args=(after,), name="AutoTrainer", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Tells the running job to stop, and starts no other."""
        self._cancel.set()
        self._wake.set()

    def stop(self, timeout: float = 3.5) -> bool:
        """Cancels what runs and ends the thread; True when it ended in time."""
        self.cancel()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def get_status(self) -> TrainerStatus:
        """What it is doing now."""
        alive = self._thread is None or self._thread.is_alive() or self._cancel.is_set()
        return replace(self._status, due=dict(self._due), alive=alive)

    def request(self, job: str, trigger: str) -> None:
        """Makes a job due now."""
        self._make_due(job, trigger, self._clock.now())
        self._wake.set()

    def run_now(self, job: str) -> JobRun | None:
        """Runs one job in the caller's thread, for a command that works while no daemon runs.

        Returns:
            The run as it was journalled; None where `cancel` was called before.
        """
        if self._cancel.is_set():
            return None
        now = self._clock.now()
        self._triggers[job], self._due[job] = MANUAL, now
        return self._run_guarded(job, now)

    def before_decisions(self, now: datetime) -> None:
        """The loop's call before it decides: takes over swaps; in lockstep also waits for due jobs."""
        self._passes += 1
        if self._anything_due(now):
            self._asked = now
            self._wake.set()
            if self._lockstep:
                self._wait_for_jobs(now)
        held = [slot for slot, until in self._held.items() if until > self._passes]
        for slot in self._held.keys() - held:
            del self._held[slot]
            self._server.invalidate()
        self._tell(self._server.adopt(held))

    def quiet_until(self, now: datetime) -> datetime | None:
        """When the next job is due; now, while a swap waits for its pass."""
        return now if self._held else min(self._due.values(), default=None)

    def _wait_for_jobs(self, now: datetime) -> None:
        """In slices, so that Ctrl-C is heard while a model trains; a thread that died is not waited for."""
        while self._anything_due(now) and not self._cancel.is_set() and self._thread is not None and self._thread.is_alive():
            self._wake.set()  # again: the thread may have put a job off that it could not journal
            with self._finished:
                self._finished.wait_for(lambda: not self._anything_due(now), timeout=0.1)

    # --- the thread -------------------------------------------------------------------------

    def _run(self, after: threading.Thread | None) -> None:
        step_back(self._training.train_threads)
        while after is not None and after.is_alive() and not self._cancel.is_set():
            after.join(RETRY_SECONDS / 10)
        while not self._cancel.is_set():
            self._wake.wait(timeout=LOOK_SECONDS)
            self._wake.clear()
            try:
                self._take_requests()
                self._run_due()
            except ScalperError as error:
                # Jobs catch their own errors: this one came from the journal or the shared state.
                logger.error("trainer: {}: {}; what is due is tried again", type(error).__name__, error)
                self._cancel.wait(RETRY_SECONDS)

    def _run_due(self) -> None:
        # A replay goes by the loop's word alone, read once: the clock may move on while this looks at
        # the other jobs, and what then happened first would be chance.
        asked = self._asked
        for name in tuple(self._due):
            now = asked if self._lockstep else self._clock.now()
            if self._cancel.is_set():
                return
            if self._due[name] <= now:
                self._run_guarded(name, now)

    def _run_guarded(self, name: str, now: datetime) -> JobRun:
        """The outermost boundary of the trainer: one job's failure leaves the others and what serves alone."""
        trigger = self._triggers.pop(name, "start" if self._due[name] == self._first else "schedule")
        started = self._wall.monotonic()
        self._status = replace(self._status, running=name)
        self._progress(name, True)
        every = self._every(name)
        try:
            run = self._look(self._checks[name], now) if name in self._checks else self._train(self._jobs[name])
        except FitCancelled as error:
            run = JobRun(name, trigger, now, "cancelled", str(error), self._due[name])
        except (InsufficientHistory, TooNew) as error:
            run = JobRun(name, trigger, now, SKIPPED, str(error), self._due[name])
        except ScalperError as error:
            every = min(every, AGAIN) if isinstance(error, RetryError) else every
            run = JobRun(name, trigger, now, "failed", f"{type(error).__name__}: {error}", self._due[name])
        except Exception as error:  # noqa: BLE001  # the trainer's one boundary, DESIGN 4.8: the job fails, the others go on
            logger.opt(exception=error).error("{}: unexpected {}", name, type(error).__name__)
            run = JobRun(name, trigger, now, "failed", f"{type(error).__name__}: {error}", self._due[name])
        finally:
            self._progress(name, False)
        return self._finish(replace(run, trigger=trigger, started=now, seconds_wall=round(self._wall.monotonic() - started, 3)), every)

    def _finish(self, run: JobRun, every: timedelta) -> JobRun:
        """Sets the next due time; a cancelled job stays due, so that a restart runs it."""
        due = self._due[run.job]
        if run.outcome != "cancelled":
            due = self._table.after(run.job, due, every, self._clock.now())
        self._status = replace(self._status, running="", last={**self._status.last, run.job: f"{run.outcome}: {run.reason}"})
        run = replace(run, due_next=due)
        self._chronicle.record_job(run)
        with self._finished:
            self._due[run.job] = due
            self._finished.notify_all()
        if run.job in self._checks and run.outcome == SKIPPED:
            return run
        level = "WARNING" if run.outcome in ("failed", ALARM) else "INFO"
        logger.log(
            level, "{} ({}): {}: {}; {:.1f} s, next due {}", run.job, run.trigger, run.outcome, run.reason, run.seconds_wall, utc_text(due)
        )
        return run

    def _look(self, check: Check, now: datetime) -> JobRun:
        found = check.run(now)
        for job in found.retrain:
            self._make_due(job, found.outcome, now)
        for slot in found.switched:
            self._serve(slot)
        self._wake.set()
        return JobRun(check.name, "", now, found.outcome, found.reason, now)

    def _train(self, spec: JobSpec) -> JobRun:
        result = self._workshop.run(spec, Purse(self._state, spec.slot), self._cancel)
        note_newest(self._state, spec.slot, result.final_end)
        if result.active:
            self._serve(spec.slot)
        now = self._clock.now()
        version = result.manifest.version if result.manifest is not None else 0
        outcome = "rejected" if not version else "promoted" if result.active else result.event
        self._chronicle.record_model_event(ModelEvent(now, spec.slot, outcome, version, result.report.summary, result.report.as_json()))
        reason = f"version {version} {result.report.summary}" if version else result.report.summary
        reason += f"; {result.why}" if result.why else ""
        return JobRun(spec.name, "", now, outcome, reason, now, rows=result.rows, epochs=result.epochs, version=version)

    def _serve(self, slot: str) -> None:
        """Swaps at once; a replay swaps a fixed number of passes later."""
        if self._lockstep:
            self._held[slot] = self._passes + self._training.replay_train_bars
        else:
            self._tell(self._server.refresh())

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.problem:
                logger.warning("{}: {}", change.slot, change.problem)
                self._chronicle.record_model_event(ModelEvent(self._clock.now(), change.slot, "refused", change.after, change.problem))
            if change.after != change.before:
                logger.info("{}: version {} serves now, before: {}", change.slot, change.after or "none", change.before or "none")

    # --- due times and triggers -------------------------------------------------------------

    def _first_due(self, name: str) -> datetime:
        if name not in self._checks:
            return self._table.due(name, self._first)
        due = self._table.due(name, self._first + self._every(name))
        self._table.set(name, due)  # or restarts in short order would put it off for ever
        return due

    def _every(self, name: str) -> timedelta:
        if name in self._checks:
            return self._checks[name].every
        hours = {
            "random_forest": self._training.rf_retrain_hours,
            "xgboost": self._training.xgb_retrain_hours,
            "lstm": self._training.lstm_retrain_hours,
        }
        return timedelta(hours=hours[self._jobs[name].kind])

    def _make_due(self, name: str, trigger: str, now: datetime) -> None:
        """Out of its rhythm; kept, so that a restart before it has run does not forget it."""
        self._triggers[name] = trigger
        self._table.set(name, now)
        self._due[name] = now

    def _anything_due(self, now: datetime) -> bool:
        return any(due <= now for due in self._due.values())

    def _take_requests(self) -> None:
        """`control.retrain` holds the slots that a command asks for; `*` is all."""
        wanted = self._state.take("control.retrain")
        if isinstance(wanted, list):
            for name, job in self._jobs.items():
                if "*" in wanted or job.slot in wanted or job.kind in wanted:
                    self._make_due(name, MANUAL, self._clock.now())
