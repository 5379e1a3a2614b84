"""`import-data`: reads price files of any known format, says what is in them, and writes the daemon's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli.options import JsonOption
from utils.cli.output import minute, say, say_json, tell

if TYPE_CHECKING:
    from market_data.importers import ImportReport

MOST_LINES = 20
_ZONE_FROM = {"format": "usual for the format", "file": "the file says so", "caller": "as given"}
_SIDE = re.compile(r"(?<![a-z])(bid|ask)(?![a-z])", re.IGNORECASE)

Job = tuple[Path, Path | None]
"""A file, and where it is the bid half of a history, its ask half."""


def import_data(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="files of bars or ticks; FXCM's bid and ask files in one call")],
    symbol: Annotated[str | None, typer.Option(help="where the file's name does not tell it")] = None,
    zone: Annotated[str | None, typer.Option(help="clock of the file's times: UTC, Europe/Athens, America/New_York+7, ...")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="write the daemon's own format there, UTC; otherwise only report")] = None,
    as_json: JsonOption = False,
) -> None:
    """Reads and checks price files.

    Exit code 5 where a file could not be read; the others are still imported.
    """
    from config.errors import ScalperError

    told: list[dict[str, Any]] = []
    written: dict[Path, Path] = {}
    for job in pairs(paths):
        try:
            told.append(_import(job, symbol, zone, out, written))
        except (ScalperError, OSError) as error:
            told.append({"path": str(job[0]), "error": str(error)})
        if not as_json:
            _show(told[-1])
    if as_json:
        say_json(told)
    if any("error" in entry for entry in told):
        raise typer.Exit(5)


def pairs(paths: Sequence[Path]) -> list[Job]:
    """Files in the order given; a bid and an ask file whose names differ in that word alone are one job.

    >>> pairs([Path("EURUSD_ask_2012.csv"), Path("EURUSD_bid_2012.csv")]) == [(Path("EURUSD_bid_2012.csv"), Path("EURUSD_ask_2012.csv"))]
    True
    """
    sides: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in paths:
        if found := _SIDE.search(path.name):
            sides.setdefault(_other_half(path), {})[found[0].lower()] = path
    whole = {key: (halves["bid"], halves["ask"]) for key, halves in sides.items() if len(halves) == 2}
    jobs: list[Job] = [whole.get(_other_half(path), (path, None)) for path in paths]
    return list(dict.fromkeys(jobs))


def _other_half(path: Path) -> tuple[Path, str]:
    """What both halves of a pair share."""
    return path.parent, _SIDE.sub("*", path.name, count=1)


def _import(job: Job, symbol: str | None, zone: str | None, out: Path | None, written: dict[Path, Path]) -> dict[str, Any]:
    from market_data.importers import import_file, import_pair

    path, ask = job
    report = import_file(path, symbol=symbol, zone=zone) if ask is None else import_pair(path, ask, symbol=symbol, zone=zone)
    return _told(report, ask) | {"written": None if out is None else str(_write(report, out, written))}


def _write(report: ImportReport, folder: Path, written: dict[Path, Path]) -> Path:
    """Writes one file; never over its own source or over another file of the same call."""
    from config.errors import DataFileError
    from market_data.importers import write_canonical

    target = folder / _name(report)
    if target.resolve() == report.path.resolve():
        raise DataFileError(f"{report.path}: would be overwritten by what was read from it; choose another --out")
    if target in written:
        raise DataFileError(f"{report.path}: holds the same symbol and days as {written[target]}, which was written to {target} already")
    folder.mkdir(parents=True, exist_ok=True)
    write_canonical(report, target)
    written[target] = report.path
    return target


def _name(report: ImportReport) -> str:
    first, last = _span(report)
    frame = report.bars.timeframe.name if report.bars is not None else "TICKS"
    return f"{report.symbol}_{frame}_{first[:10].replace('-', '')}_{last[:10].replace('-', '')}.csv.gz"


def _span(report: ImportReport) -> tuple[str, str]:
    """First and last time, UTC text."""
    from market_data.clock import from_epoch, utc_text

    if report.bars is not None:
        first, last = report.bars.time[[0, -1]].tolist()
    else:
        assert report.ticks is not None  # noqa: S101  # a report holds the one or the other
        first, last = (report.ticks["time_msc"][[0, -1]] / 1000).tolist()
    return utc_text(from_epoch(first)), utc_text(from_epoch(last))


def _told(report: ImportReport, ask: Path | None) -> dict[str, Any]:
    from market_data.quality import findings

    first, last = _span(report)
    return {
        "path": str(report.path),
        "ask_path": None if ask is None else str(ask),
        "format": report.format,
        "symbol": report.symbol,
        "timeframe": report.bars.timeframe.name if report.bars is not None else None,
        "zone": report.zone,
        "zone_from": report.zone_from,
        "first": first,
        "last": last,
        "rows_read": report.rows_read,
        "rows_kept": report.rows_kept,
        "volume": report.bars is not None and report.bars.tick_volume is not None,
        "spread": report.bars is not None and report.bars.spread is not None,
        "notes": report.notes,
        "damaged": [asdict(row) for row in report.damaged],
        "findings": [asdict(finding) for finding in (findings(report.bars) if report.bars is not None else ())],
    }


def _show(told: dict[str, Any]) -> None:
    if "error" in told:
        error = told["error"]
        tell(error if told["path"] in error else f"{told['path']}: {error}")
        return
    say(f"{told['path']}" + (f" with {told['ask_path']}" if told["ask_path"] else ""))
    for line in (*_facts(told), *_damage(told["damaged"]), *_quality(told["findings"])):
        say(f"  {line}")


def _facts(told: dict[str, Any]) -> list[str]:
    knows = [name for name in ("volume", "spread") if told[name]]
    columns = f", {' and '.join(knows) or 'no volume, no spread'}" if told["timeframe"] else ""
    lines = [
        f"format   {told['format']}: {told['symbol']} {told['timeframe'] or 'ticks'}{columns}",
        f"zone     {told['zone']} ({_ZONE_FROM[told['zone_from']]})",
        f"time     {minute(told['first'])} to {minute(told['last'])} UTC",
        f"rows     {told['rows_read']} read, {told['rows_kept']} kept",
        *(f"note     {note}" for note in told["notes"]),
    ]
    return [*lines, f"written  {told['written']}"] if told["written"] else lines


def _damage(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The first damaged lines; what stands in them may be anything, so it is shown as a literal."""
    lines = [f"damaged  line {row['line']}: {row['reason']}: {row['text'][:80]!a}" for row in rows[:MOST_LINES]]
    more = len(rows) - MOST_LINES
    return [*lines, f"damaged  ... and {more} more; --json lists all"] if more > 0 else lines


def _quality(found: Iterable[dict[str, Any]]) -> list[str]:
    """One line for every kind of finding: how many, and the first."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for finding in found:
        counts[finding["kind"]] += 1
        first.setdefault(finding["kind"], finding["detail"])
    return [
        f"quality  {kind}: {detail}" + (f" ... and {counts[kind] - 1} more" if counts[kind] > 1 else "") for kind, detail in first.items()
    ]
