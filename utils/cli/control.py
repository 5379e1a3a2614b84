"""`pause`, `resume`, `stop`: commands to a running daemon, through the shared state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from utils.cli.options import HomeOption, existing_home
from utils.cli.output import say, tell

if TYPE_CHECKING:
    from config.home import Home

COMMAND = "control.command"
POLL_SECONDS = 0.1

WaitOption = Annotated[float, typer.Option("--wait", min=0, max=86_400, metavar="SECONDS", help="how long to wait for the daemon")]


def pause(wait: WaitOption = 30.0, home: HomeOption = None) -> None:
    """No new entries; open positions are still managed."""
    _send(_running(home), "pause", wait)
    say("paused: no new entries; open positions are still managed")


def resume(
    drawdown: Annotated[bool, typer.Option("--drawdown", help="lift the drawdown switch; equity now is the new peak")] = False,
    wait: WaitOption = 30.0,
    home: HomeOption = None,
) -> None:
    """Entries again after a pause.

    With --drawdown after the drawdown switch has tripped; a pause then stays.
    """
    if drawdown:
        _send(_running(home), "resume-drawdown", wait)
        say("the drawdown switch is lifted, unless the daemon's log says otherwise: see `status`")
        return
    _send(_running(home), "resume", wait)
    say("resumed, unless the daemon has halted or the drawdown switch has tripped: see `status`")


def stop(
    flatten: Annotated[bool, typer.Option("--flatten", help="close all open positions first")] = False,
    wait: WaitOption = 30.0,
    home: HomeOption = None,
) -> None:
    """Ends the daemon.

    Open positions keep their stops at the broker, unless --flatten closes them.
    """
    from config.home import is_held

    held = _running(home)
    _send(held, "flatten" if flatten else "stop", wait)
    if not wait_until(lambda: not is_held(held), max(wait, 10.0)):
        _fail("the daemon took the command and has not ended yet; see its log")
    say("stopped" + (", after it was told to close all positions: see `trades --open`" if flatten else ""))


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Asks again and again; False when the time was up."""
    from market_data.clock import SystemClock

    clock, pause = SystemClock(), threading.Event()
    end = clock.monotonic() + seconds
    while not done():
        if clock.monotonic() >= end:
            return False
        pause.wait(POLL_SECONDS)
    return True


def _running(home: Path | None) -> Home:
    from config.home import is_held

    found, _ = existing_home(home)
    if not is_held(found):
        _fail(f"no daemon runs in {found.path}; nothing was done")
    return found


def _send(home: Home, command: str, wait: float) -> None:
    """Leaves a command and waits until the daemon took it; takes it back where it did not."""
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    with closing(SharedState(home.shared_state, SystemClock())) as state:
        state.set(COMMAND, command)
        taken = wait_until(lambda: state.get(COMMAND) is None, wait)
        if not taken and state.take(COMMAND) is not None:
            _fail(f"the daemon did not take the command in {wait:g} s, so it was withdrawn; it is busy or hangs: see `status`")


def _fail(text: str) -> NoReturn:
    tell(text)
    raise typer.Exit(1)
