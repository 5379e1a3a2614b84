"""`models log`: every change of what serves, and which version served at a given time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli.options import HomeOption, JsonOption, LimitOption, existing_home
from utils.cli.output import minute, say_json, say_table
from utils.cli.registry import check_known, registry_of

if TYPE_CHECKING:
    from config.home import Home
    from strategy.learning.promotions import Promotion, Reign
    from strategy.learning.registry import Registry

Row = Mapping[str, Any]

_ALL = 1_000_000
_SWITCHES = ("promoted", "rolled_back", "recovered")


def log(
    slot: Annotated[str | None, typer.Argument(metavar="[SLOT]", help="only this one")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="which version served then; ISO, UTC unless it says otherwise")
    ] = None,
    limit: LimitOption = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Changes of what serves, newest first, or what served at a time.

    `active` is the version that the registry named then, `decided with` the one that the newest
    decision up to then used. They differ where the version was refused or stopped, or a replay held it back.
    """
    found, origin = existing_home(home)
    registry = registry_of(found, origin)
    if slot is not None:
        check_known(registry, slot, None)
    slots = [slot] if slot is not None else sorted(registry.state().slots)
    history = {name: _history(registry, found, name) for name in slots}
    if at is None:
        _say_changes(history, limit, as_json)
    else:
        _say_served(registry, found, history, _instant(at), as_json)


def _instant(text: str) -> str:
    from market_data.clock import utc_text

    try:
        said = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"--at {text!r} is no time; write it like 2026-01-05T12:00 or 2026-01-05T12:00+02:00") from error
    return utc_text(said if said.tzinfo is not None else said.replace(tzinfo=UTC))


def _history(registry: Registry, home: Home, slot: str) -> tuple[Promotion, ...]:
    """The registry's own record, and before it begins what the journal knows."""
    recorded = registry.promotions(slot)
    begins = recorded[0].at if recorded else "~"  # sorts after every time
    return (*journalled(slot, [row for row in _events(home, slot) if row["at"] < begins]), *recorded)


def journalled(slot: str, rows: Sequence[Row]) -> tuple[Promotion, ...]:
    """Switches as the journal's model events tell them.

    Args:
        slot: whose.
        rows: oldest first; other events are left out.
    """
    from strategy.learning.promotions import Promotion

    switches = [row for row in rows if row["event"] in _SWITCHES and row["version"]]
    before = [None, *(row["version"] for row in switches)]
    return tuple(
        Promotion(slot, 0, row["at"], row["event"].replace("_", " "), old, row["version"], row["detail"])
        for row, old in zip(switches, before, strict=False)
    )


def _events(home: Home, slot: str) -> list[Row]:
    from utils.journal_queries import JournalReader

    if not home.journal.is_file():
        return []
    with closing(JournalReader(home.journal, account="", mode="")) as journal:
        return list(reversed(journal.model_events(_ALL, slot)))


def _say_changes(history: Mapping[str, Sequence[Promotion]], limit: int, as_json: bool) -> None:
    changes = sorted((entry for entries in history.values() for entry in entries), key=lambda entry: (entry.generation, entry.at))
    newest = changes[::-1][:limit]
    if as_json:
        say_json([asdict(entry) for entry in newest])
        return
    rows = [(entry.at, entry.slot, entry.event, entry.after, entry.before, entry.generation or None, entry.reason) for entry in newest]
    say_table(("at", "slot", "event", "version", "active before", "generation", "reason"), rows, empty="no changes yet")


def _say_served(registry: Registry, home: Home, history: Mapping[str, Sequence[Promotion]], at: str, as_json: bool) -> None:
    from strategy.learning.promotions import reign_at, reigns

    decided = _decided(home, at)
    rows = []
    for slot, entries in history.items():
        held = reign_at(reigns(entries, registry.state().slot(slot).active), at)
        used = decided.get(slot, {})
        rows.append({"slot": slot, **_told(held), "decided_with": used.get("version"), "bar": used.get("bar")})
    if as_json:
        say_json({"at": at, "slots": rows})
        return
    columns = ("slot", "active", "since", "by", "until", "decided with", "on the bar of", "reason")
    told = [
        (row["slot"], row["active"], row["since"], row["by"], row["until"], row["decided_with"], minute(row["bar"]), row["reason"])
        for row in rows
    ]
    say_table(columns, told, empty="no models yet")


def _told(held: Reign | None) -> dict[str, object]:
    if held is None:
        return dict.fromkeys(("active", "since", "by", "until", "reason"))
    began = {"since": held.since or None, "by": held.event or None, "reason": held.reason or None}
    return {"active": held.version, **began, "until": held.until}


def _decided(home: Home, at: str) -> dict[str, dict[str, Any]]:
    """Slot -> version and bar of the newest decision of any account on a bar that had opened by then; a silent slot has none."""
    from utils.journal_queries import JournalReader, journal_scopes

    rows: list[Row] = []
    for account, mode in journal_scopes(home.journal) if home.journal.is_file() else ():
        with closing(JournalReader(home.journal, account=account, mode=mode)) as journal:
            rows += journal.decisions_by(datetime.fromisoformat(at))
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["bar_time"]):
        newest |= {slot: {"version": version, "bar": row["bar_time"]} for slot, version in row["versions"].items()}
    return newest
