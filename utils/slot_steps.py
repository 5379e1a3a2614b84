"""Steps that a check takes with slots: a rule of its life applied, and told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from config.errors import RetryError
from strategy.learning.active import SlotState
from strategy.learning.lifecycle import Move
from strategy.learning.registry import Registry
from utils.checks import ALARM, SKIPPED, Memory

Rule = Callable[[SlotState], Move | None]

LOST = "lost"
"""The event of a slot that could not be looked at now."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was found of one slot.

    Attributes:
        event: the change that was made; `skipped` where there was none, or `alarm`, or `lost`.
        switched: whether another version votes in the slot now, or none.
    """

    slot: str
    event: str
    text: str
    switched: bool = False


def made(registry: Registry, slot: str, rule: Rule, text: str) -> Step:
    """Applies a rule under the registry's lock.

    Args:
        registry: of the home.
        slot: where.
        rule: of `strategy.learning.lifecycle`.
        text: what was found, for the case that the rule does not apply any more.

    Raises:
        ArtifactError: the version that should serve does not verify.
        FileUnavailable: `active.json` cannot be replaced; what served goes on serving.
    """
    before = registry.state().slot(slot).voting
    if not registry.move(slot, rule):
        return Step(slot, SKIPPED, f"changed by somebody else meanwhile ({text})" if text else "changed meanwhile")
    held = registry.state().slot(slot)
    change = held.history[-1]
    what = change.event.replace(" ", "_")
    return Step(slot, what, f"version {change.after} {change.event}: {change.reason}", held.voting != before)


def looked(slots: Iterable[str], look: Callable[[str], Iterator[Step]]) -> list[Step]:
    """The steps of all slots; a terminal that is lost in one of them costs no other what it has come to.

    Raises:
        RetryError: a slot could not be looked at, and no other has anything to tell.
    """
    steps: list[Step] = []
    lost: RetryError | None = None
    for slot in slots:
        try:
            for step in look(slot):
                steps.append(step)  # one by one: those before an error count
        except RetryError as error:
            steps.append(Step(slot, LOST, f"not looked at: {error}"))
            lost = lost or error
    if lost is not None and all(step.event in (SKIPPED, LOST) for step in steps):
        raise lost
    return steps


def told(steps: Sequence[Step], otherwise: str) -> str:
    """What happened in words; where nothing did, what was found, and `otherwise` where there was nothing to find."""
    happened = [step for step in steps if step.event != SKIPPED]
    return "; ".join(f"{step.slot}: {step.text}" for step in happened or steps) or otherwise


def changes(steps: Sequence[Step]) -> list[Step]:
    """Those that changed their slot."""
    return [step for step in steps if step.event not in (SKIPPED, ALARM, LOST)]


def outcome(steps: Sequence[Step], change: str | None = None) -> str:
    """Of the whole look: the first change, before an alarm, before nothing.

    Args:
        steps: of all slots.
        change: what every change is called; by its event otherwise.
    """
    made_first = next(iter(changes(steps)), None)
    if made_first is not None:
        return change or made_first.event
    return ALARM if any(step.event == ALARM for step in steps) else SKIPPED


def pinned(state: Memory, key: str, mark: list[int | str], slot: str, text: str, remedy: str) -> Step:
    """A pinned slot stays as its owner wants it, but is told of what was found: once, restarts included.

    Args:
        state: keeps what was said.
        key: of the check.
        mark: the same for as long as it is the same finding.
        slot: which.
        text: the finding.
        remedy: what unpinning would do.
    """
    said = f"{key}.said.{slot}"
    if state.get(said) == mark:
        return Step(slot, SKIPPED, f"pinned, {text}")
    state.set(said, mark)
    return Step(slot, ALARM, f"{text}; the slot is pinned: `models unpin {slot}` lets it {remedy}")
