"""Looks after versions that have still to show themselves: on probation, in shadow, or waiting for their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from config.errors import SlotError
from config.settings import LifeSettings
from strategy.asking import expired
from strategy.learning import lifecycle
from strategy.learning.active import SlotState, Trial
from strategy.learning.bundles import info_of, recipe_of
from strategy.learning.gate import unproven_by
from strategy.learning.jobs import Workshop
from strategy.learning.lifecycle import LifeRules
from strategy.learning.probation import OPEN, OVER, PROVEN, WORSE, Finding, judged
from strategy.learning.trials import Trials, Versus
from utils.checks import SKIPPED, CheckResult, Memory
from utils.slot_steps import Rule, Step, looked, made, outcome, pinned, told

PROBATION = "probation"


def life_rules(settings: LifeSettings) -> LifeRules:
    """Which stages the settings call for."""
    cooldown = timedelta(hours=settings.rollback_cooldown_hours)
    return LifeRules(probation=settings.probation_alpha > 0, shadow=settings.shadow_bars > 0, cooldown=cooldown)


class ProbationCheck:
    """Settles, rolls back, promotes from shadow, and calls candidates that wait.

    A slot is judged by history alone, so a restart changes nothing, and nothing of it is done
    between a bar and its decision.

    Args:
        workshop: bars, labels, versions and settings.
        state: keeps what was said of pinned slots.
        record: told after a change; completes the journal's model events.
    """

    name = PROBATION

    def __init__(self, workshop: Workshop, state: Memory, *, record: Callable[[], object]) -> None:
        self._workshop, self._registry, self._record = workshop, workshop.registry, record
        self._state = state
        self._settings = workshop.settings.life
        self._rules = life_rules(self._settings)
        self._trials = Trials(workshop)
        self._generation = -1
        self.every = timedelta(minutes=self._settings.probation_check_minutes)

    def run(self, now: datetime) -> CheckResult:
        """One look at every slot."""
        steps = looked(sorted(self._registry.state().slots), lambda slot: self._look(slot, now))
        if self._registry.state().generation != self._generation:
            self._record()
            self._generation = self._registry.state().generation
        switched = tuple(dict.fromkeys(step.slot for step in steps if step.switched))
        return CheckResult(outcome(steps), told(steps, "no version is on probation, in shadow or waiting"), (), switched)

    def _look(self, slot: str, now: datetime) -> Iterator[Step]:
        held = self._registry.state().slot(slot)
        if held.probation is not None and held.active is not None:
            yield self._probation(slot, held, held.active, held.probation, now)
        elif held.shadow is not None:
            yield self._shadow(slot, held, held.shadow, now)
        held = self._registry.state().slot(slot)  # the trial may be over
        if held.waiting is not None:
            yield self._waiting(slot, held, held.waiting, now)

    def _probation(self, slot: str, held: SlotState, active: int, trial: Trial, now: datetime) -> Step:
        try:
            over = self._expiry(slot, active, trial.version, now)
            if over:
                return self._move(slot, lambda s: lifecycle.settled(s, held, over), over)
            finding = self._finding(Versus(slot, active, trial.version, _epoch(trial.since)), self._settings.probation_max_bars, now)
        except SlotError as error:
            text = f"cannot be judged: {error}"
            return self._move(slot, lambda s: lifecycle.settled(s, held, text), text)
        text = f"version {active}: {finding}"
        if finding.outcome == WORSE and held.pinned:
            return pinned(self._state, PROBATION, [active, trial.since], slot, text, "be put back")
        if finding.outcome == WORSE:
            return self._move(slot, lambda s: lifecycle.reverted(s, held, self._rules, now, text), text)
        if finding.outcome in (PROVEN, OVER):
            return self._move(slot, lambda s: lifecycle.settled(s, held, text), text)
        return Step(slot, SKIPPED, f"on probation, {text}")

    def _shadow(self, slot: str, held: SlotState, trial: Trial, now: datetime) -> Step:
        try:
            bars = self._shadow_bars(slot, held, trial.version)
            finding = self._finding(Versus(slot, trial.version, held.voting, _epoch(trial.since)), bars, now)
        except SlotError as error:
            return self._dismiss_shadow(slot, held, f"cannot be judged: {error}")
        text = f"version {trial.version}: {finding}"
        if finding.outcome == WORSE:
            return self._dismiss_shadow(slot, held, text)
        if finding.outcome == OPEN or finding.bars < bars:
            return Step(slot, SKIPPED, f"in shadow, {text}")
        if finding.newer < finding.older:
            return self._dismiss_shadow(slot, held, text)
        return self._move(slot, lambda s: lifecycle.confirmed(s, held, text), text)

    def _dismiss_shadow(self, slot: str, held: SlotState, text: str) -> Step:
        return self._move(slot, lambda s: lifecycle.dismissed(s, held, text), text)

    def _waiting(self, slot: str, held: SlotState, version: int, now: datetime) -> Step:
        if held.pinned or lifecycle.obstacle_of(held, now):
            return Step(slot, SKIPPED, f"version {version} waits: {lifecycle.obstacle_of(held, now) or 'the slot is pinned'}")
        try:
            if self._is_expired(slot, version, now):
                return self._move(slot, lambda s: lifecycle.forgotten(s, held, "it expired while it waited"), "")
            unproven = self._unproven(slot, held, version)
            return self._move(
                slot, lambda s: lifecycle.called(s, held, self._rules, now, unproven=unproven), f"version {version} has waited"
            )
        except SlotError as error:
            text = f"version {version} is unfit: {error}"
            return self._move(slot, lambda s: lifecycle.forgotten(s, held, text), text)

    def _unproven(self, slot: str, held: SlotState, version: int) -> bool:
        """Whether its gate has compared it with another version than the one that serves by now, or with none for want of rows."""
        manifest = self._registry.open(slot, version).manifest
        return unproven_by(manifest.gate_report) or bool(lifecycle.overtaken(held, manifest.parent, self._registry.serving(slot)))

    def _finding(self, versus: Versus, most_bars: int, now: datetime) -> Finding:
        blocks = self._trials.blocks(versus, now)
        alpha = self._settings.probation_alpha or 0.05  # of the shadow, where there is no probation
        return judged(blocks, alpha=alpha, margin=self._settings.probation_margin_r, most_bars=most_bars)

    def _shadow_bars(self, slot: str, held: SlotState, version: int) -> int:
        """SHADOW_BARS; one that was not compared with what votes, or has another recipe, needs as many as the gate's comparison would have."""
        least = self._settings.shadow_bars
        if held.voting is None:
            return max(least, 1)
        newer, older = (self._registry.open(slot, number).manifest for number in (version, held.voting))
        if newer.parent == older.version and recipe_of(newer) == recipe_of(older):
            return max(least, 1)
        return max(least, self._workshop.settings.gate.min_compare_blocks * 2 * (self._workshop.policy.horizon + 1))

    def _expiry(self, slot: str, active: int, former: int, now: datetime) -> str:
        """Why there is nothing left to compare; empty where both may vote: a slot is never put back into silence."""
        if self._is_expired(slot, active, now):
            return "it has expired"
        return f"version {former}, which it would go back to, has expired" if self._is_expired(slot, former, now) else ""

    def _is_expired(self, slot: str, version: int, now: datetime) -> bool:
        hours = self._settings.model_expiry_hours
        return bool(hours) and expired(info_of(self._registry.open(slot, version).manifest), hours, now)

    def _move(self, slot: str, rule: Rule, text: str) -> Step:
        return made(self._registry, slot, rule, text)


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
