"""All commands under one name, and what becomes of errors: one line and an exit code.

Exit codes: 0 done; 1 halted or failed; 2 usage; 3 configuration; 4 terminal unavailable; 5 a check failed; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from config.errors import ScalperError, StopError
from utils.cli import (
    configuration,
    control,
    doctor,
    importing,
    journal,
    lookahead,
    models,
    replaying,
    running,
    stand_in,
    status,
    tester,
    training,
)

FAILED, USAGE, INTERRUPTED = 1, 2, 130

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """Commands by name; options without a command belong to `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `run` where no command was named."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Runs a command and ends the process with its exit code."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except typer.Abort:
            code = INTERRUPTED
        except _UsageError as error:
            code = _complain(f"{_told(error)}; see `{_path(error)} --help`", USAGE)
        except StopError as error:
            code = _complain(str(error), error.exit_code)
        except ScalperError as error:
            code = _complain(str(error), FAILED)
        sys.exit(code if isinstance(code, int) else 0)


def _told(error: Any) -> str:
    """The library's sentence, without its full stop and on one line."""
    return " ".join(str(error.format_message()).split()).rstrip(".")


def _path(error: Any) -> str:
    return error.ctx.command_path if getattr(error, "ctx", None) is not None else "main.py"


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,  # plain text: fits every console, and loads faster
    pretty_exceptions_enable=False,
    help="A self-learning trading daemon for MetaTrader 5. Without a command: run.",
)
app.command("run")(running.run)
app.command("status")(status.status)
app.command("trades")(journal.trades)
app.command("decisions")(journal.decisions)
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("stop")(control.stop)
app.command("train")(training.train)
app.command("doctor")(doctor.doctor)
app.command("import-data")(importing.import_data)
app.command("lookahead-analysis")(lookahead.lookahead_analysis)
app.command("replay-journal")(replaying.replay_journal)
app.command("backtest")(tester.backtest)
app.command("walkforward")(tester.walkforward)
app.command("with-terminal", context_settings={"allow_interspersed_args": False})(stand_in.with_terminal)
app.add_typer(models.app, name="models")
app.add_typer(configuration.app, name="config")


def start() -> NoReturn:
    """Entry point of `main.py`."""
    # A Windows console with a legacy code page must not end a command over one character.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="main.py")
    raise AssertionError  # app() ends the process
