"""What may become of a slot, as pure functions of its state: admitted, on probation, settled, put back.

    candidate -> waiting -> shadow -> active on probation -> settled
                               |              |
                           dismissed      rolled back, cool-down; later on stopped

Each rule answers with a `Move`, or with None where it does not apply any more: the registry asks it
again under its lock, so what another process did meanwhile is never undone by an older look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from config.errors import ArtifactError
from market_data.clock import utc_text
from strategy.learning.active import Event, SlotState, Stop, Trial


@dataclass(frozen=True, slots=True)
class LifeRules:
    """Which stages a version passes through.

    Attributes:
        probation: whether a new version's predecessor is put beside it.
        shadow: whether a candidate forecasts without a vote before it serves.
        cooldown: after an automatic rollback, time in which nothing is promoted by itself.
    """

    probation: bool = False
    shadow: bool = False
    cooldown: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one slot.

    Attributes:
        version: the one concerned; where `after.active` differs from what is active now, it must verify.
        reason: why, with the figures.
    """

    event: Event
    version: int
    after: SlotState
    reason: str = ""

    @property
    def activates(self) -> bool:
        """Whether `version` serves from now on."""
        return self.event in ("promoted", "rolled back")


@dataclass(frozen=True, slots=True)
class Failure:
    """The finding that a version no longer pays.

    Attributes:
        since: UTC text, when that began as far as can be told.
        reason: the figures.
    """

    since: str
    reason: str


def admitted(slot: SlotState, version: int, rules: LifeRules, now: datetime, *, unproven: bool = False) -> Move:
    """Where a candidate that passed the gate goes.

    Args:
        slot: as it is.
        version: the candidate's.
        rules: in force.
        now: the instant.
        unproven: it has not been compared with the version in service: for want of rows, or because another serves by now.
    """
    if slot.pinned:
        return Move("published", version, replace(slot, waiting=version), "the slot is pinned")
    obstacle = obstacle_of(slot, now)
    if obstacle:
        return Move("waiting", version, replace(slot, waiting=version), obstacle)
    if rules.shadow or unproven:
        return Move("shadow", version, replace(slot, shadow=Trial(version, utc_text(now)), waiting=None))
    return promoted(slot, version)


def overtaken(slot: SlotState, parent: int | None, serving: int | None) -> str:
    """Why a candidate's comparison says nothing of what serves by now; empty where it does.

    Args:
        slot: as it is.
        parent: the version that served when the candidate was trained, which it was compared with.
        serving: the one that serves: the active one, or what stands in where its files are refused.
    """
    if parent in (serving, slot.voting):
        return ""
    before, now = (f"version {number}" if number is not None else "none" for number in (parent, serving))
    return f"it was compared with {before}, and {now} serves by now"


def obstacle_of(slot: SlotState, now: datetime) -> str:
    """Why nothing may be promoted by itself now; empty where it may."""
    if slot.probation is not None:
        return f"version {slot.active} is on probation"
    if slot.shadow is not None:
        return f"version {slot.shadow.version} is in shadow"
    if slot.cooldown_until is not None and utc_text(now) < slot.cooldown_until:
        return f"cooling down until {slot.cooldown_until}"
    return ""


def promoted(slot: SlotState, version: int, reason: str = "") -> Move:
    """`version` is to serve; nothing waits, nothing is tried any more."""
    return Move("promoted", version, cleared(slot), reason)


def cleared(slot: SlotState) -> SlotState:
    """The slot without trials, waiting candidate, cool-down or stop."""
    return replace(slot, probation=None, shadow=None, waiting=None, cooldown_until=None, stopped=None)


def ordered(slot: SlotState) -> SlotState:
    """The slot once somebody has chosen a version by hand: nothing that a check has set stands."""
    return replace(cleared(slot), learn_from=None)


def on_probation(slot: SlotState, before: SlotState, rules: LifeRules, now: datetime) -> SlotState:
    """The slot whose new active version has its predecessor beside it; as it was where there is none.

    A version that was stopped judges nobody: whoever is worse than it would bring it back.
    """
    if not rules.probation or slot.previous is None or before.stopped is not None:
        return slot
    return replace(slot, probation=Trial(slot.previous, utc_text(now)))


def rollback_target(name: str, slot: SlotState) -> int:
    """The version that a rollback means; the active one where it is the outcome of a rollback already.

    Raises:
        ArtifactError: there is no previous version.
    """
    if slot.active is not None and slot.rolled_back:
        return slot.active
    if slot.previous is None:
        raise ArtifactError(f"slot {name} has no previous version; choose one of `models list` with `models promote {name} VERSION`")
    return slot.previous


def predecessor(slot: SlotState) -> int | None:
    """The version that may take over from one that fails; None where that one was itself put in the place of another."""
    if slot.probation is not None:
        return slot.probation.version
    return None if slot.rolled_back else slot.previous


def settled(slot: SlotState, look: SlotState, reason: str) -> Move | None:
    """Probation ends well, or cannot be judged."""
    if slot.probation is None or slot.active is None or not _same_trial(slot, look):
        return None
    return Move("settled", slot.active, replace(slot, probation=None), reason)


def reverted(slot: SlotState, look: SlotState, rules: LifeRules, now: datetime, reason: str) -> Move | None:
    """Probation ends badly: the former version serves again, and the slot cools down.

    A candidate that waits goes as well: it was compared with the version that failed.
    """
    if slot.probation is None or slot.pinned or not _same_trial(slot, look):
        return None
    return _put_back(slot, slot.probation.version, rules, now, reason)


def relieved(slot: SlotState, look: SlotState, former: int, failure: Failure, rules: LifeRules, now: datetime) -> Move | None:
    """The active version no longer pays and a former one does: that one serves again, and the slot cools down."""
    if slot.pinned or not _same_trial(slot, look):
        return None
    move = _put_back(slot, former, rules, now, failure.reason)
    return replace(move, after=replace(move.after, learn_from=failure.since))


def stopped(slot: SlotState, look: SlotState, failure: Failure, now: datetime) -> Move | None:
    """The active version no longer pays, and nothing takes its place: it stays active and does not vote.

    Whatever was to follow it goes: it learned before the change, and was compared with the version that fails.
    """
    if slot.active is None or slot.pinned or slot.stopped is not None or not _same_trial(slot, look):
        return None
    stop = Stop(utc_text(now), failure.reason)
    after = replace(cleared(slot), cooldown_until=slot.cooldown_until, stopped=stop, learn_from=failure.since)
    return Move("stopped", slot.active, after, failure.reason)


def confirmed(slot: SlotState, look: SlotState, reason: str) -> Move | None:
    """The version in shadow has shown itself and is to serve."""
    if slot.shadow is None or slot.pinned or not _same_trial(slot, look):
        return None
    return Move("promoted", slot.shadow.version, replace(cleared(slot), waiting=slot.waiting), reason)


def dismissed(slot: SlotState, look: SlotState, reason: str) -> Move | None:
    """The version in shadow is not to serve."""
    if slot.shadow is None or not _same_trial(slot, look):
        return None
    return Move("dismissed", slot.shadow.version, replace(slot, shadow=None), reason)


def called(slot: SlotState, look: SlotState, rules: LifeRules, now: datetime, *, unproven: bool = False) -> Move | None:
    """The candidate that waits takes its turn, once nothing is in its way; see `admitted`."""
    if slot.waiting is None or (slot.waiting, slot.voting) != (look.waiting, look.voting) or slot.pinned or obstacle_of(slot, now):
        return None
    move = admitted(slot, slot.waiting, rules, now, unproven=unproven)
    return replace(move, reason="it waited until nothing was in its way")


def forgotten(slot: SlotState, look: SlotState, reason: str) -> Move | None:
    """The candidate that waits is unfit to serve."""
    if slot.waiting is None or slot.waiting != look.waiting:
        return None
    return Move("dismissed", slot.waiting, replace(slot, waiting=None), reason)


def _put_back(slot: SlotState, former: int, rules: LifeRules, now: datetime, reason: str) -> Move:
    after = replace(cleared(slot), cooldown_until=utc_text(now + rules.cooldown))
    return Move("rolled back", former, after, f"automatic: {reason}")


def _same_trial(slot: SlotState, look: SlotState) -> bool:
    return (slot.active, slot.probation, slot.shadow, slot.stopped) == (look.active, look.probation, look.shadow, look.stopped)
