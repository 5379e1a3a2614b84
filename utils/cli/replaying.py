"""`replay-journal`: decides recorded bars once more and reports the first decision that differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli.journal import journal_of
from utils.cli.options import (
    AccountOption,
    HomeOption,
    JsonOption,
    SourceOption,
    SymbolOption,
    SymbolsOption,
    TerminalOption,
    existing_home,
    home_folder,
    settings_with,
)
from utils.cli.output import say, say_json, say_pairs
from utils.cli.registry import registry_of

if TYPE_CHECKING:
    from config.settings import Settings
    from strategy.decision import Decision
    from utils.journal_replay import ReplayReport

SIMULATED = "simulated"

DateOption = Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="one UTC day")]
FromOption = Annotated[datetime | None, typer.Option("--from", help="first bar, UTC; the journal's first otherwise")]
ToOption = Annotated[datetime | None, typer.Option("--to", help="end, UTC, not included; the journal's last otherwise")]


def replay_journal(
    date: DateOption = None,
    start: FromOption = None,
    end: ToOption = None,
    symbol: SymbolOption = None,
    account: AccountOption = None,
    terminal: TerminalOption = None,
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decides recorded bars again, compares to the last bit.

    With the recorded versions, on the same source; settings must be those of the recording. Exit code 5 if a
    decision differs, or could not be made again for want of a version.
    """
    from config.errors import CheckFailed

    settings = settings_with({"terminal": terminal, "symbols": symbols})
    folder = home_folder(home, settings)
    recorded, mode = _recorded(folder, account, _span(date, start, end), symbol)
    report = _replayed(settings, tuple(source or ("synthetic",)), folder, recorded, timed=mode == SIMULATED)
    say_json(_plain(report)) if as_json else _show(report)
    if not report.identical:
        raise CheckFailed(_verdict(report))


def _span(date: datetime | None, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    if date is not None and (start is not None or end is not None):
        raise typer.BadParameter("--date is a whole day; leave it out, or --from and --to")
    if date is not None:
        start, end = date, date + timedelta(days=1)
    began = datetime(1970, 1, 1, tzinfo=UTC) if start is None else start.replace(tzinfo=UTC)
    return began, datetime(9999, 1, 1, tzinfo=UTC) if end is None else end.replace(tzinfo=UTC)


def _recorded(folder: Path, account: str | None, span: tuple[datetime, datetime], symbol: str | None) -> tuple[list[Decision], str]:
    """The decisions of the span, and the mode in which they were made."""
    with journal_of(folder, account) as reader:
        outcomes = reader.decided_between(*span, symbol)
        if not outcomes:
            raise typer.BadParameter(f"the journal of {folder} holds no decision of {symbol or 'any symbol'} in that time; see `decisions`")
        return [outcome.decision for outcome in outcomes], reader.mode


def _replayed(settings: Settings, source: tuple[str, ...], folder: Path, recorded: list[Decision], *, timed: bool) -> ReplayReport:
    from market_data.bars import Timeframe
    from utils.journal_replay import replay
    from utils.market_view import open_view

    home, origin = existing_home(folder)
    _require_source(settings, source, folder, origin)
    first = min(decision.bar_time for decision in recorded)
    begins = first + timedelta(seconds=Timeframe[settings.symbols.timeframe].seconds)
    with open_view(settings, source, begins) as view:
        return replay(recorded, settings, origin, view, registry_of(home, origin).open, timed=timed)


def _require_source(settings: Settings, source: tuple[str, ...], folder: Path, origin: str) -> None:
    from utils.terminals import RunOptions, origin_of

    asked = origin_of(settings, RunOptions(source))
    if asked != origin:
        remedy = (
            "name its files with --source, as for `run`"
            if origin == "file"
            else "give the --terminal, --source or --home that goes with it"
        )
        raise typer.BadParameter(f"home {folder} has its prices from {origin}, not from {asked}: {remedy}")


def _verdict(report: ReplayReport) -> str:
    if report.first is not None:
        return f"{report.differing} decisions differ; the first: {report.first}"
    if report.in_part:
        return f"{report.in_part} decisions could not be made again: {'; '.join(report.refused.values())}"
    return "no decision was made again: there is nothing to compare"


def _show(report: ReplayReport) -> None:
    say_pairs(
        {
            "made again": report.decided,
            "in part": report.in_part,
            "never made": report.missed,
            "versions": {slot: ", ".join(map(str, numbers)) for slot, numbers in report.versions.items()},
            "refused": "; ".join(f"{name}: {why}" for name, why in report.refused.items()) or "none",
            "differing": report.differing,
        }
    )
    say("identical to the last bit" if report.identical else _verdict(report))


def _plain(report: ReplayReport) -> dict[str, Any]:
    from market_data.clock import utc_text

    first = report.first
    told = None
    if first is not None:
        named = {"symbol": first.symbol, "bar_time": utc_text(first.bar_time), "field": first.field}
        told = {**named, "recorded": _value(first.recorded), "now": _value(first.now), "also": first.also}
    counts = {"made_again": report.decided, "in_part": report.in_part, "never_made": report.missed, "differing": report.differing}
    return {"ok": report.identical, **counts, "versions": report.versions, "refused": report.refused, "first": told}


def _value(value: object) -> object:
    """A side by its name; everything else as it is."""
    from execution.orders import Side

    return value.name.lower() if isinstance(value, Side) else value
