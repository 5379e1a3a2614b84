"""The command line; `python main.py` alone is `run`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import ScalperError, StopError
from config.loading import load_settings
from config.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=False, help="A self-learning trading daemon for MetaTrader 5.")

PROJECT = Path(__file__).resolve().parents[1]
HomeOption = Annotated[Path | None, typer.Option("--home", help="folder of models, journal and state")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


def settings_with(overrides: dict[str, Any]) -> Settings:
    """Settings from `.env`, environment and command line."""
    return load_settings(PROJECT / ".env", overrides)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Runs the daemon when no command is given."""
    if context.invoked_subcommand is None:
        context.invoke(run)


@app.command()
def run(
    terminal: Annotated[str | None, typer.Option(help="simulated or mt5; auto: mt5 when MT5_LOGIN is set")] = None,
    source: Annotated[list[str] | None, typer.Option(help="synthetic, PATH or SYMBOL=PATH; repeat for more files")] = None,
    symbols: Annotated[str | None, typer.Option(help="comma-separated")] = None,
    speed: Annotated[str | None, typer.Option(help="simulated seconds per second, or max")] = None,
    start: Annotated[datetime | None, typer.Option(help="simulated start, UTC")] = None,
    bars: Annotated[int | None, typer.Option(min=1, help="end after this many decided bars")] = None,
    live: Annotated[bool, typer.Option("--live", help="RISK: send orders; needs TRADE_MODE=live as well")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The daemon: trades, trains, swaps models, until Ctrl-C."""
    from utils import bootstrap
    from utils.terminals import RunOptions, default_home

    replay = speed == "max"
    settings = settings_with({"terminal": terminal, "symbols": symbols, "speed": None if replay else speed})
    began = start.replace(tzinfo=UTC) if start is not None else None
    options = RunOptions(tuple(source or ("synthetic",)), replay, began, bars, live)
    result = bootstrap.run(settings, options, home or default_home(settings, PROJECT))
    sys.stdout.write(json.dumps(result.summary) + "\n" if as_json else _readable(result.summary))
    raise typer.Exit(result.exit_code)


def _readable(summary: dict[str, Any]) -> str:
    lines = [
        f"{name}: {value if not isinstance(value, dict) else ', '.join(f'{k} {v}' for k, v in value.items()) or 'none'}"
        for name, value in summary.items()
    ]
    return "\n".join(lines) + "\n"


def start() -> int:
    """Entry point of `main.py`: runs a command and turns errors into one line and an exit code."""
    try:
        app(standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except StopError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except ScalperError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except typer.Abort:
        return 130
    return 0
