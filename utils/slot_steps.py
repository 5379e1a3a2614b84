"""A step that a check takes with a slot: a rule of its life applied, and told in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strategy.learning.active import SlotState
from strategy.learning.lifecycle import Move
from strategy.learning.registry import Registry
from utils.checks import SKIPPED

Rule = Callable[[SlotState], Move | None]


@dataclass(frozen=True, slots=True)
class Step:
    """What was found of one slot.

    Attributes:
        event: the change that was made; `skipped` where there was none.
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
