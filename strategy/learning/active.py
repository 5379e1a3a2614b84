"""`active.json`: which version of each slot serves, which served before, and how it came to that."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from config.errors import FileUnavailable
from market_data.files import Wait, move_into_place, read_file, replace_file, write_temporary

Event = Literal[
    "published", "promoted", "rolled back", "pinned", "unpinned", "recovered", "waiting", "shadow", "settled", "dismissed", "stopped"
]
Number = Annotated[int, Field(ge=1)]
Fault = Callable[[str], None]

TOOK_OVER: tuple[Event, ...] = ("promoted", "rolled back", "recovered")
_HISTORY = 100


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a slot's history; the journal's `model_events` are completed from these.

    Attributes:
        generation: the state's generation that the change made.
        at: UTC text.
        before, after: the version concerned; for `published` and the pins, the active one and
            the one published or pinned. `from` and `to` in the file.
        reason: why, with the figures; empty where somebody asked for it.
    """

    generation: int
    at: str
    event: Event
    before: Annotated[int | None, Field(alias="from")]
    after: Annotated[int | None, Field(alias="to")]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that forecasts beside the active one and does not vote.

    Attributes:
        since: UTC text; bars that open from then on count.
    """

    version: Number
    since: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the active version does not vote.

    Attributes:
        at: UTC text.
    """

    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class SlotState:
    """What serves in one slot.

    Attributes:
        pinned: nothing but `unpin` changes the active version.
        probation: the former version, while the active one has still to show that it is not worse.
        shadow: a candidate that shows itself before it serves.
        waiting: the newest candidate that passed the gate while the slot could not take it.
        cooldown_until: UTC text; no promotion by itself before.
        stopped: the active version no longer pays and does not vote; any change of it ends that.
        learn_from: UTC text of when the market changed, as far as can be told; older rows teach and judge nothing.
    """

    active: Number | None
    previous: Number | None
    pinned: bool
    next_version: Number
    history: tuple[Change, ...] = ()
    probation: Trial | None = None
    shadow: Trial | None = None
    waiting: Number | None = None
    cooldown_until: str | None = None
    stopped: Stop | None = None
    learn_from: str | None = None

    @property
    def voting(self) -> int | None:
        """The active version, unless it is stopped."""
        return self.active if self.stopped is None else None

    @property
    def voting_since(self) -> str | None:
        """UTC text of when the version that votes took over; None where none does, or its history is forgotten."""
        if self.voting is None:
            return None
        took_over = [c for c in self.history if c.event in TOOK_OVER and c.after == self.voting]
        known = [c for c in took_over if c.event != "recovered"] or took_over
        return known[-1].at if known else None

    @property
    def needed(self) -> frozenset[int]:
        """Versions that the slot points at; retention leaves them alone."""
        trials = (trial.version for trial in (self.probation, self.shadow) if trial is not None)
        return frozenset(n for n in (self.active, self.previous, self.waiting, *trials) if n is not None)

    @property
    def rolled_back(self) -> bool:
        """Whether the newest change of the active version was a rollback."""
        switches = [change.event for change in self.history if change.event in ("promoted", "rolled back")]
        return bool(switches) and switches[-1] == "rolled back"

    @property
    def served(self) -> frozenset[int]:
        """Versions known to have been active at some time."""
        made_active = {c.after for c in self.history if c.event in TOOK_OVER}
        return frozenset(n for n in made_active | {self.active, self.previous} if n is not None)


EMPTY_SLOT = SlotState(active=None, previous=None, pinned=False, next_version=1)


@dataclass(frozen=True, slots=True)
class ActiveState:
    """All slots under one generation, which rises with every change of what should serve."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    generation: Annotated[int, Field(ge=0)]
    slots: Mapping[str, SlotState]

    def slot(self, name: str) -> SlotState:
        """A slot's state; that of an empty one where the name is new."""
        return self.slots.get(name, EMPTY_SLOT)

    def with_slot(self, name: str, slot: SlotState) -> ActiveState:
        """The same generation with one slot replaced."""
        return replace(self, slots={**self.slots, name: slot})

    def changed(self, name: str, event: Event, at: str, after: SlotState, version: int | None, reason: str = "") -> ActiveState:
        """The next generation: one slot replaced, and the change added to its history; see `trimmed`."""
        generation = self.generation + 1
        entry = Change(generation, at, event, self.slot(name).active, version, reason)
        return replace(self.with_slot(name, replace(after, history=trimmed((*after.history, entry)))), generation=generation)

    def to_json(self) -> bytes:
        """The text of the file."""
        return _CODEC.dump_json(self, indent=2, by_alias=True) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> ActiveState:
        """Reads the file's text.

        Raises:
            ValueError: not JSON, a field unknown, missing or wrong, or numbers that contradict each other.
        """
        try:
            state = _CODEC.validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"field {'.'.join(map(str, first['loc'])) or '(all)'}: {first['msg']}") from error
        for name, slot in state.slots.items():
            _check_numbers(name, slot)
        return state


EMPTY_STATE = ActiveState(0, {})


@dataclass(frozen=True, slots=True)
class Reading:
    """A state as it was read; `problem` says what was wrong with the file, where something was."""

    state: ActiveState
    problem: str | None
    mark: tuple[int, int, int] | None


class ActiveFile:
    """Reads and writes `active.json`, and its mirror for the day when somebody damages it.

    Any number of threads and processes may read; one at a time, under the registry's lock, may write.

    Args:
        folder: where the file is.
        rebuild: the state as the record of changes and the versions on disk tell it; asked when the file is unusable, used where the mirror is too or is older.
        wait: how to wait for a file that another program holds.
        fault: is told each step before it is taken.
    """

    def __init__(self, folder: Path, rebuild: Callable[[], ActiveState], *, wait: Wait, fault: Fault) -> None:
        self.path, self.mirror = folder / "active.json", folder / "active.json.bak"
        self._rebuild, self._wait, self._fault = rebuild, wait, fault
        self._last: Reading | None = None

    def read(self) -> Reading:
        """The state in force; costs one `stat` while the file has not changed."""
        mark = _mark(self.path)  # before the content: a replacement in between is seen by the next read
        last = self._last
        if last is None or last.mark != mark:
            last = self._last = self._read(mark, last)
        return last

    def write(self, state: ActiveState) -> None:
        """Replaces the file, then its mirror.

        Raises:
            FileUnavailable: the file could not be replaced; the state is then as it was.
        """
        data = state.to_json()
        self._fault("write active.json")
        temporary = write_temporary(self.path, data)
        self._fault("replace active.json")
        move_into_place(temporary, self.path, wait=self._wait)
        self._fault("replace active.json.bak")
        self._write_mirror(data)

    def repair_mirror(self) -> None:
        """Makes the mirror equal to a file that is sound; a kill between the two writes leaves it behind."""
        reading = self.read()
        if reading.mark is None:  # a mirror of nothing would later tell of a file that was lost
            return
        data = reading.state.to_json()
        try:
            if read_file(self.mirror, wait=self._wait) == data:
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        self._write_mirror(data)

    def set_aside(self) -> None:
        """Keeps a damaged file for whoever wants to know what happened to it."""
        with suppress(OSError):
            self.path.replace(self.path.with_name("active.json.damaged"))

    def _write_mirror(self, data: bytes) -> None:
        # The state is in force already: to raise now would report a success as a failure.
        with suppress(FileUnavailable):
            replace_file(self.mirror, data, wait=self._wait)

    def _read(self, mark: tuple[int, int, int] | None, last: Reading | None) -> Reading:
        try:
            return Reading(ActiveState.from_json(read_file(self.path, wait=self._wait)), None, mark)
        except FileNotFoundError:
            why = "missing"
        except PermissionError as error:
            if last is not None:  # held by another program: what was read before still stands
                return last
            why = f"cannot be read ({error.strerror})"
        except (OSError, ValueError) as error:
            why = f"damaged ({error})"
        return self._fall_back(mark, why, last)

    def _fall_back(self, mark: tuple[int, int, int] | None, why: str, last: Reading | None) -> Reading:
        """The newest sound state known: the mirror, what this process read last, or what the record of changes and the versions on disk tell."""
        known = [last.state] if last is not None else []
        source = "the last state that was read"
        with suppress(OSError, ValueError):
            mirrored = ActiveState.from_json(read_file(self.mirror, wait=self._wait))
            if not known or mirrored.generation >= known[0].generation:
                known, source = [mirrored], self.mirror.name
        state = self._rebuild()
        if known and known[0].generation >= state.generation:
            return Reading(known[0], f"active.json is {why}; going by {source}", mark)
        if not state.slots:
            return Reading(state, None if why == "missing" else f"active.json is {why}, and there is no version to go by", mark)
        return Reading(
            state,
            f"active.json is {why}, and its mirror is unusable or too old; going by the record of changes and the versions on disk",
            mark,
        )


_CODEC = TypeAdapter(ActiveState)


def trimmed(history: tuple[Change, ...]) -> tuple[Change, ...]:
    """The newest changes, and however old it is the newest of each kind that made a version active.

    Whether the slot was rolled back, and since when its version votes, must be known however many candidates came since.
    """
    surplus = max(0, len(history) - _HISTORY)
    lasting = {change.event: change.generation for change in history if change.event in TOOK_OVER}.values()
    passing = [change.generation for change in history if change.generation not in lasting]
    dropped = frozenset(passing[:surplus])
    return tuple(change for change in history if change.generation not in dropped)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Changes with every replacement: the new file is another one, whatever the clock's steps."""
    try:
        status = os.stat(path)  # noqa: PTH116  # polled once a bar: half the cost of Path.stat
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _check_numbers(name: str, slot: SlotState) -> None:
    for label, number in (("active", slot.active), ("previous", slot.previous)):
        if number is not None and number >= slot.next_version:
            raise ValueError(f"slot {name}: {label} {number} is not below next_version {slot.next_version}")
    if slot.active is not None and slot.active == slot.previous:
        raise ValueError(f"slot {name}: active and previous are both {slot.active}")
