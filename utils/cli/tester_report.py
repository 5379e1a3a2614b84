"""A tester's report as text, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.cli.output import Row, cell, fixed, minute, plain_lines

if TYPE_CHECKING:
    from utils.report import RunReport, TradeFigures

COLUMNS = ("trades", "win rate", "net", "profit factor", "R a trade", "95 % bound", "costs", "costs in R", "max drawdown", "%")


@dataclass(frozen=True, slots=True)
class Told:
    """What a report tells.

    Attributes:
        command: `backtest` or `walkforward`.
        source: where the prices came from.
        found: the run.
        versions: of a backtest: slot -> version and what it has learned from.
        unseen: of a backtest: figures of the trades opened after every version was made.
        votes_on: of a backtest: symbols on which its versions vote.
    """

    command: str
    source: tuple[str, ...]
    found: RunReport
    versions: Mapping[str, Mapping[str, object]] | None = None
    unseen: TradeFigures | None = None
    votes_on: frozenset[str] | None = None


Section = tuple[str, Sequence[str], Sequence[Row]]


def as_json(told: Told) -> dict[str, Any]:
    """One JSON document."""
    given = {} if told.unseen is None else {"versions": told.versions, "unseen": asdict(told.unseen)}
    return {"command": told.command, "source": list(told.source), "verdict": sentence(told), **told.found.as_json(), **given}


def lines(told: Told) -> list[str]:
    """The report as plain text; the verdict comes last."""
    body = [line for _, columns, rows in sections(told) if rows for line in (*plain_lines(columns, rows), "")]
    return [*facts(told), "", *body, sentence(told)]


def as_markdown(told: Told) -> str:
    """The report as a page."""
    body = [line for title, columns, rows in sections(told) if rows for line in ("", f"## {title}", "", *_table(columns, rows))]
    return "\n".join([f"# {told.command}", "", *(f"- {fact}" for fact in facts(told)), "", sentence(told), *body]) + "\n"


def sentence(told: Told) -> str:
    """What the run says about an edge; a backtest is judged by what its versions had not seen."""
    from utils.report import untraded, verdict

    if not told.found.total.trades:
        return untraded(told.found, told.votes_on)
    if told.unseen is None:
        return verdict(told.found.total)
    if not told.unseen.trades:
        return "Nothing is shown: every closed trade lies on bars that had taught or judged these versions."
    return verdict(told.unseen)


def facts(told: Told) -> list[str]:
    """Source, span and counts."""
    found = told.found
    # Names alone: where a file lies is nobody's business but its owner's.
    sources = ", ".join(Path(text.rpartition("=")[2]).name for text in told.source)
    return [
        f"prices: {sources}",
        f"bars: {cell(dict(found.bars))}; {minute(_text(found.first))} to {minute(_text(found.last))} UTC",
        f"decisions: {cell(dict(found.actions))}; still open: {found.still_open}",
        *([] if told.unseen is not None else [f"training jobs: {cell(dict(found.tries))}"]),
    ]


def sections(told: Told) -> list[Section]:
    """Titles, headings and rows; a section may be empty."""
    found = told.found
    unseen = [("after every version was made", told.unseen)] if told.unseen is not None else []
    by_month, by_exit, by_symbol = found.by_month, found.by_exit, found.by_symbol
    events = [(minute(e["at"]), e["slot"], e["event"], e["version"], e["detail"]) for e in found.timeline]
    return [
        ("Trades", ("which", *COLUMNS), [_row(name, part) for name, part in [("all", found.total), *unseen]]),
        ("By symbol", ("symbol", *COLUMNS), _rows(by_symbol if len(by_symbol) > 1 else {})),
        ("By exit", ("exit", *COLUMNS), _rows(by_exit)),
        ("By month", ("month", *COLUMNS), _rows(by_month)),
        ("Versions", ("slot", "version", "first bar", "last bar", "made"), _versions(told.versions or {})),
        ("Candidates on their final windows", ("slot", "judged", "median R", "best R"), _candidates(found.candidates)),
        ("What the gate turned down", ("rule", "candidates"), list(found.failed_rules.items())),
        ("Timeline of models", ("at", "slot", "event", "version", "detail"), events),
    ]


def _rows(parts: Mapping[str, TradeFigures]) -> list[Row]:
    return [_row(name, part) for name, part in parts.items()]


def _row(name: str, part: TradeFigures) -> Row:
    return (
        name,
        part.trades,
        fixed(part.win_rate, 3),
        fixed(part.net, 2, "+"),
        fixed(part.profit_factor, 2),
        fixed(part.expectancy_r, 3, "+"),
        fixed(part.lower_r, 3, "+"),
        fixed(part.costs, 2),
        fixed(part.costs_r, 3),
        fixed(part.drawdown, 2),
        fixed(part.drawdown_percent, 2),
    )


def _versions(versions: Mapping[str, Mapping[str, object]]) -> list[Row]:
    return [(slot, v["version"], minute(v["first_bar"]), minute(v["last_bar"]), minute(v["created"])) for slot, v in versions.items()]


def _candidates(slots: Mapping[str, Mapping[str, float]]) -> list[Row]:
    return [(slot, of["judged"], fixed(of["median_r"], 3, "+"), fixed(of["best_r"], 3, "+")) for slot, of in slots.items()]


def _text(at: object) -> str | None:
    return None if at is None else str(at)


def _table(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    ruled = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return [*ruled, *(f"| {' | '.join(cell(value).replace('|', '/') for value in row)} |" for row in rows)]
