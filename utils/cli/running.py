"""`run`: the daemon itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from utils.cli.options import HomeOption, JsonOption, SourceOption, SymbolsOption, TerminalOption, home_folder, settings_with, starting_at
from utils.cli.output import models_text, say


def run(
    terminal: TerminalOption = None,
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    speed: Annotated[str | None, typer.Option(help="simulated seconds per second, or max")] = None,
    start: Annotated[datetime | None, typer.Option(help="simulated start, UTC")] = None,
    bars: Annotated[int | None, typer.Option(min=1, help="end after this many decided bars")] = None,
    live: Annotated[bool, typer.Option("--live", help="RISK: send orders; needs TRADE_MODE=live as well")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The daemon: trades, trains, swaps models till Ctrl-C."""
    replay = speed == "max"
    settings = settings_with({"terminal": terminal, "symbols": symbols, "speed": None if replay else speed})
    from utils import bootstrap
    from utils.terminals import RunOptions

    with starting_at(start) as began:
        options = RunOptions(tuple(source or ("synthetic",)), replay, began, bars, live)
        result = bootstrap.run(settings, options, home_folder(home, settings))
    say(json.dumps(result.summary) if as_json else readable(result.summary))
    raise typer.Exit(result.exit_code)


def readable(summary: Mapping[str, Any]) -> str:
    """What a run came to, in a few lines."""
    counts = summary["counts"]
    actions = ", ".join(f"{count} {_WORDS.get(action, action)}" for action, count in summary["actions"].items())
    lines = [
        f"ended: {summary['ended']}",
        f"decided: {_decided(summary['bars'])}" + (f" ({actions})" if actions else ""),
        f"journal: {counts['trades']} trades, {counts['orders']} orders, {counts['job_runs']} jobs, {counts['decisions']} decisions in all",
        f"models: {models_text(summary['models'])}",
        f"account: balance {_money(summary['balance'])}, equity {_money(summary['equity'])}",
    ]
    still_open = [f"open: {_position(trade)}" for trade in summary["open"]]
    return "\n".join([*lines, *(still_open or ["open: none"])])


_WORDS = {"none": "stayed out", "sent": "ordered", "denied": "denied by a risk rule", "unknown": "of unknown outcome"}


def _money(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"


def _decided(bars: Mapping[str, int]) -> str:
    return ", ".join(f"{symbol} {count} bars" for symbol, count in bars.items()) or "nothing"


def _position(trade: Mapping[str, Any]) -> str:
    return f"{trade['symbol']} {trade['side']} {trade['volume']:g} lots at {trade['price']:g}, ticket {trade['ticket']}"
