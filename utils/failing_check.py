"""Takes a version out of service that no longer pays: a former one that does comes back, or the slot falls silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.errors import SlotError
from market_data.clock import from_epoch, utc_text
from strategy.asking import expired
from strategy.learning import lifecycle
from strategy.learning.active import SlotState
from strategy.learning.bundles import info_of, train_end_of
from strategy.learning.failing import FALL_LABELS, Standing, pays, standing_of, watch_of
from strategy.learning.jobs import Workshop
from strategy.learning.lifecycle import Failure
from strategy.learning.trials import Trials, Versus
from utils.checks import SKIPPED, CheckResult, Memory, retrain_pause
from utils.probation_check import life_rules
from utils.slot_steps import Step, changes, looked, made, outcome, pinned, told

FAILING = "failing"


@dataclass(frozen=True, slots=True)
class _Case:
    """A slot and the version that votes in it; `since` is when it took over, UTC epoch seconds."""

    slot: str
    held: SlotState
    version: int
    since: int


class FailingCheck:
    """Judges every version that votes by what its sides would have made since it took over.

    History alone decides, so a restart changes nothing, and nothing of it is done between a bar and its
    decision: the loop learns of a stop as of any other change of what serves.

    Args:
        workshop: bars, labels, versions and settings.
        state: keeps the pause between retrains, and what was said of pinned slots.
        jobs: slot -> name of the job that retrains it.
        record: told after a change; completes the journal's model events.
    """

    name = FAILING

    def __init__(self, workshop: Workshop, state: Memory, jobs: Mapping[str, str], *, record: Callable[[], object]) -> None:
        self._workshop, self._registry, self._record = workshop, workshop.registry, record
        self._state, self._jobs = state, dict(jobs)
        self._settings = workshop.settings.life
        self._trials = Trials(workshop, FALL_LABELS)
        self._taught: dict[str, tuple[int, int]] = {}
        self.every = timedelta(minutes=self._settings.probation_check_minutes)

    def run(self, now: datetime) -> CheckResult:
        """One look at every slot in which a version votes."""
        cases = self._cases()
        steps = looked(cases, lambda slot: iter((self._look(cases[slot], now),)))
        moved = changes(steps)
        if moved:
            self._record()
        switched = tuple(step.slot for step in moved)
        return CheckResult(outcome(steps, FAILING), told(steps, "no version votes"), self._retrained(switched, now), switched)

    def _cases(self) -> dict[str, _Case]:
        found = {}
        for slot, held in sorted(self._registry.state().slots.items()):
            if held.voting is not None and held.voting_since is not None:
                found[slot] = _Case(slot, held, held.voting, _epoch(held.voting_since))
        return found

    def _look(self, case: _Case, now: datetime) -> Step:
        try:
            standing = self._standing(case, now)
        except SlotError as error:
            return Step(case.slot, SKIPPED, f"cannot be judged: {error}")
        text = f"version {case.version}: {standing}"
        if standing.fell is None:
            return Step(case.slot, SKIPPED, text)
        if case.held.pinned:
            return pinned(self._state, FAILING, [case.version, case.since], case.slot, text, "be taken out of service")
        return self._out_of_service(case, standing.fell, Failure(utc_text(from_epoch(standing.fell)), text), now)

    def _standing(self, case: _Case, now: datetime) -> Standing:
        watch = watch_of(case.since, self._taught_until(case), int(now.timestamp()), self._trials.length)
        blocks = self._trials.blocks(Versus(case.slot, case.version, None, watch.begin), now)
        return standing_of(blocks, self._settings.failing_alpha, watch, self._trials.length)

    def _taught_until(self, case: _Case) -> int:
        """When the last label that taught the version was known; asked of its files once."""
        version, until = self._taught.get(case.slot, (0, 0))
        if version != case.version:
            until = train_end_of(self._registry.open(case.slot, case.version).manifest)
            self._taught[case.slot] = case.version, until
        return until

    def _out_of_service(self, case: _Case, fell: int, failure: Failure, now: datetime) -> Step:
        former = self._former(case, fell, now)
        if former is None:
            return made(self._registry, case.slot, lambda s: lifecycle.stopped(s, case.held, failure, now), failure.reason)
        rules = life_rules(self._settings)
        return made(self._registry, case.slot, lambda s: lifecycle.relieved(s, case.held, former, failure, rules, now), failure.reason)

    def _former(self, case: _Case, fell: int, now: datetime) -> int | None:
        """The version before, if it opens, may vote and has made money since the fall; one that was itself put back from is none."""
        version = lifecycle.predecessor(case.held)
        if version is None:
            return None
        try:
            info = info_of(self._registry.open(case.slot, version).manifest)
            if expired(info, self._settings.model_expiry_hours, now):
                return None
            return version if pays(self._trials.blocks(Versus(case.slot, version, None, fell), now)) else None
        except SlotError:
            return None

    def _retrained(self, slots: Sequence[str], now: datetime) -> tuple[str, ...]:
        """The jobs of these slots, but for those that were asked for not long ago."""
        pauses = {slot: retrain_pause(self._state, slot, self._workshop.settings.watch.drift_cooldown_hours) for slot in slots}
        due = [slot for slot, pause in pauses.items() if slot in self._jobs and pause.until(now) is None]
        for slot in due:
            pauses[slot].start(now)
        return tuple(self._jobs[slot] for slot in due)


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
