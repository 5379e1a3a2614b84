"""`with-terminal`: runs any program written for the `MetaTrader5` module on the simulated terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Annotated

import typer

from utils.cli.options import HomeOption, SourceOption, SymbolsOption, settings_with
from utils.cli.output import tell

INTERRUPTED = 130
_GRACE = 5.0
"""Seconds that an interrupted program has to end by itself."""
_SLICE = 0.5
"""Seconds of one wait: Windows hears the keyboard between waits alone."""


def with_terminal(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="the program and its arguments")],
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    speed: Annotated[float, typer.Option(min=0.001, max=1e6, help="simulated seconds per second")] = 1.0,
    start: Annotated[datetime | None, typer.Option(help="simulated start, UTC; synthetic prices: now")] = None,
    balance: Annotated[float | None, typer.Option(min=1, help="opening balance; SIM_BALANCE otherwise")] = None,
    login: Annotated[int, typer.Option(min=1, help="account number; another one is refused")] = 1,
    server: Annotated[str, typer.Option(help="server name; another one is refused")] = "Simulated",
    shadow: Annotated[bool, typer.Option("--shadow", help="hide an official MetaTrader5 package from the program")] = False,
    home: HomeOption = None,
) -> None:
    """Runs a MetaTrader5 program on a simulated terminal.

    Its exit code is ours. Without --source prices are synthetic and the simulated now is the real one; --home keeps the account.
    """
    from execution.simulated.server import Pace, TerminalServer
    from market_data.clock import SystemClock
    from utils.stand_in import StandIn, open_stand_in

    settings = settings_with({"sim_balance": balance})
    began = None if start is None else start.replace(tzinfo=UTC)
    clock = SystemClock()
    asked = StandIn(tuple(source or ()), _names(symbols), began, login, server, home)
    with ExitStack() as stack:
        terminal = stack.enter_context(open_stand_in(settings, asked, clock.now()))
        served = TerminalServer(terminal, Pace(clock, speed, terminal.clock.now() if source or began else None).due)
        stack.callback(served.close)
        code = run_program(command, environment(os.environ, served.environment, shadow=shadow))
    raise typer.Exit(code)


def environment(inherited: Mapping[str, str], terminal: Mapping[str, str], *, shadow: bool) -> dict[str, str]:
    """A program's environment: ours, the stand-in before its search path, and where the terminal is."""
    from execution.simulated.functions import SHADOW
    from execution.simulated.stand_in import FOLDER

    kept = {name: value for name, value in inherited.items() if name != SHADOW}
    path = os.pathsep.join(filter(None, (str(FOLDER), inherited.get("PYTHONPATH"))))
    return {**kept, **terminal, "PYTHONPATH": path, **({SHADOW: "1"} if shadow else {})}


def run_program(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs a program to its end.

    Returns:
        Its exit code; 130 where it was interrupted, and 128 and the number where another signal ended it.

    Raises:
        typer.BadParameter: there is no such program.
    """
    try:
        # The full path: Windows starts `.cmd` files by their whole name alone. No shell is involved.
        program = subprocess.Popen([shutil.which(command[0]) or command[0], *command[1:]], env=dict(env))  # noqa: S603  # running it is what was asked for
    except OSError as error:
        raise typer.BadParameter(f"{command[0]}: cannot be started ({error.strerror})") from error
    try:
        return _code(_returned(program))
    except KeyboardInterrupt:
        tell("interrupted; waiting for the program to end")
        return _ended(program)


def _returned(program: subprocess.Popen[bytes]) -> int:
    """What a program returns when it ends."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return program.wait(_SLICE)


def _ended(program: subprocess.Popen[bytes]) -> int:
    """The exit code of a program that the keyboard has interrupted with us; one that stays is ended."""
    try:
        program.wait(_GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        program.kill()
        program.wait()
        return INTERRUPTED
    return _code(program.returncode)


def _code(returned: int) -> int:
    """An exit code as shells show it."""
    if returned in (-signal.SIGINT, 0xC000013A):  # the second is how Windows says it
        return INTERRUPTED
    return 128 - returned if returned < 0 else returned


def _names(symbols: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (symbols or "").split(","))))
