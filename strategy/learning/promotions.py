"""`promotions.jsonl`: every change of what serves, for good; `active.json` keeps the newest of each slot alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from market_data.files import Wait, read_file, sync_folder
from strategy.learning.active import TOOK_OVER, ActiveState, Change, Event, Fault, SlotState, Stop, trimmed

_TAIL = 8_192
"""Bytes at the end of the file that hold its newest lines."""

_REASON = 1_000
"""Characters of a reason that a line keeps: the newest line must lie within the tail."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """One line: a change of a slot's state.

    Attributes:
        generation: of the state that the change made; 0 where it is not known.
        at: UTC text.
        before: version that was active until then.
        after: version concerned; for `published` and the pins not the active one.
        reason: why, with the figures; empty where somebody asked for it, and in lines of older versions.
    """

    slot: str
    generation: int
    at: str
    event: str
    before: int | None
    after: int | None
    reason: str = field(default="", compare=False)  # an older line without one tells the same change


@dataclass(frozen=True, slots=True)
class Reign:
    """A time through which one version of a slot was the active one.

    Attributes:
        version: None: none was.
        since: UTC text; empty where it began before the first line that is known.
        until: UTC text; None: it lasts.
        event: what began it; empty likewise.
        reason: why that was.
    """

    slot: str
    version: int | None
    since: str
    until: str | None
    event: str
    reason: str = ""


class PromotionLog:
    """The file, to which the registry adds under its lock and which anybody may read.

    The pointer is the truth and is written first; what it tells and the log does not yet is added
    then, or before the next change if the process died between the two.
    """

    def __init__(self, folder: Path, *, wait: Wait, fault: Fault) -> None:
        self.path, self._wait, self._fault = folder / "promotions.jsonl", wait, fault

    def complete(self, state: ActiveState) -> None:
        """Adds every change that is newer than the last line."""
        whole, last = self._end()
        missing = [entry for entry in told_by(state) if entry.generation > last]
        if missing:
            self._fault("append promotions.jsonl")
            # The change is in force already: to raise now would report a success as a failure. The next write adds it.
            with suppress(OSError):
                self._append(whole, b"".join(map(_line, missing)))

    def last_generation(self) -> int:
        """Generation of the newest line; 0 where there is none."""
        return self._end()[1]

    def entries(self) -> tuple[Promotion, ...]:
        """Every line that can be read, oldest first; a damaged one is left out."""
        try:
            data = read_file(self.path, wait=self._wait)
        except OSError:
            return ()
        return tuple(dict.fromkeys(_parsed(data)))

    def _append(self, whole: int, lines: bytes) -> None:
        new = not self.path.exists()
        self.path.touch()
        with self.path.open("r+b") as file:
            file.seek(whole)
            file.truncate()  # a line that a kill cut short
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self.path.parent)

    def _end(self) -> tuple[int, int]:
        """Bytes up to the end of the last whole line, and the newest generation."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = file.seek(max(0, size - _TAIL))
                tail = file.read(size - start)
        except OSError:
            return 0, 0
        return start + tail.rfind(b"\n") + 1, max((entry.generation for entry in _parsed(tail)), default=0)


def told_by(state: ActiveState) -> tuple[Promotion, ...]:
    """What the histories of all slots tell, in the order in which it happened."""
    changes = ((name, change) for name, slot in state.slots.items() for change in slot.history)
    entries = (Promotion(name, c.generation, c.at, c.event, c.before, c.after, c.reason) for name, c in changes)
    return tuple(sorted(entries, key=lambda entry: entry.generation))


def remembered(entries: Sequence[Promotion]) -> SlotState:
    """A slot as its lines tell it, for the day when `active.json` is lost with its mirror.

    They do not tell what was tried or waited, a cool-down, or since when the market is another one: a slot
    that is stopped learns from the time of the stop on, which is later and so on the safe side.

    Args:
        entries: of one slot, oldest first; at least one.
    """
    last, turns = entries[-1], {entry.event: number for number, entry in enumerate(entries)}
    active = last.after if last.event in TOOK_OVER else last.before
    former = [reign.version for reign in reigns(entries, active) if reign.version not in (None, active)]
    stop = turns.get("stopped", -1)
    stopped = stop > max(turns.get("promoted", -1), turns.get("rolled back", -1))
    return SlotState(
        active=active,
        previous=former[-1] if former else None,
        pinned=turns.get("pinned", -1) > turns.get("unpinned", -1),
        next_version=1 + max((n for entry in entries for n in (entry.before, entry.after) if n is not None), default=0),
        history=trimmed(tuple(_change(entry) for entry in entries if entry.event in get_args(Event))),
        stopped=Stop(entries[stop].at, entries[stop].reason or "it no longer paid") if stopped else None,
        learn_from=entries[stop].at if stopped else None,
    )


def reigns(entries: Sequence[Promotion], active: int | None) -> tuple[Reign, ...]:
    """Which version of a slot was active from when to when, oldest first.

    Each line says what was active before it, so what was active after it is what the next one says.
    A clock that went back cannot put a change after a later one: the later one's time then counts.

    Args:
        entries: of one slot, oldest first.
        active: its active version now.
    """
    if not entries:
        return ()
    times = [entry.at for entry in entries]
    for i in range(len(times) - 2, -1, -1):
        times[i] = min(times[i], times[i + 1])
    after = [*(entry.before for entry in entries[1:]), active]
    changed = [i for i, entry in enumerate(entries) if after[i] != entry.before]
    bounds = ["", *(times[i] for i in changed)]
    versions = [entries[0].before, *(after[i] for i in changed)]
    events, reasons = ["", *(entries[i].event for i in changed)], ["", *(entries[i].reason for i in changed)]
    until = [*bounds[1:], None]
    return tuple(Reign(entries[0].slot, *row) for row in zip(versions, bounds, until, events, reasons, strict=True))


def reign_at(held: Sequence[Reign], at: str) -> Reign | None:
    """The reign that an instant (UTC text) falls into."""
    return next((reign for reign in reversed(held) if reign.since <= at), None)


def _line(entry: Promotion) -> bytes:
    said = {
        "generation": entry.generation,
        "at": entry.at,
        "slot": entry.slot,
        "event": entry.event,
        "from": entry.before,
        "to": entry.after,
        "reason": entry.reason[:_REASON],
    }
    return json.dumps(said).encode() + b"\n"


def _parsed(data: bytes) -> Iterator[Promotion]:
    """Whole lines that are ours; the first of a tail may be cut, the last of a killed writer too."""
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        with suppress(ValueError, KeyError, TypeError, OverflowError):
            yield _promotion(json.loads(line))


def _promotion(said: Mapping[str, Any]) -> Promotion:
    what = str(said["slot"]), int(said["generation"]), str(said["at"]), str(said["event"])
    return Promotion(*what, _version(said["from"]), _version(said["to"]), str(said.get("reason", "")))


def _version(said: Any) -> int | None:
    if said is not None and (type(said) is not int or said < 1):
        raise ValueError(f"{said!r} is no version's number")
    return said


def _change(entry: Promotion) -> Change:
    return Change(entry.generation, entry.at, cast("Event", entry.event), entry.before, entry.after, entry.reason)
