"""What every opened terminal is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import TerminalUnavailable
from config.settings import Settings
from execution.channel import Deadlines
from execution.far_terminal import FarTerminal
from execution.mt5_client import MT5Client
from execution.orders import Account
from execution.terminal import Terminal
from execution.worker import worker_terminal
from market_data.clock import BrokerTime, Clock
from strategy.trading_loop import Market
from utils.simulation import SYNTHETIC, Simulation

SLICE = 0.5


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says beyond settings.

    Attributes:
        source: `synthetic`, or files as PATH or SYMBOL=PATH; for the simulated terminal.
        replay: lockstep at full speed.
        start: simulated instant at which the clock starts; None: after HISTORY_BARS.
        bars: decided bars after which the run ends; None: no limit.
        live: the second half of the double opt-in.
        foresight: a replay works decisions out many bars at a time, where it can.
        commit_bars: bars whose records a replay in this process commits together; killed, it goes on from the last of them. 0: every record by itself.
    """

    source: tuple[str, ...] = (SYNTHETIC,)
    replay: bool = False
    start: datetime | None = None
    bars: int | None = None
    live: bool = False
    foresight: bool = True
    commit_bars: int = 0


@dataclass(frozen=True, slots=True)
class OpenTerminal:
    """A connected terminal with its clock.

    Attributes:
        account_name: how journal rows name the account.
        mode: `simulated`, `paper` or `live`.
        banner: one line that says what is at stake.
        close: lets the terminal go.
        blocked: why nothing may be opened on a symbol now, or None.
        interrupt: calls that hang end soon; where the module is in this process that is not possible.
        tries: how often to ask for what may still be loading, once a second.
        played: the simulated market itself, where a replay plays it in this process and nothing comes in between.
    """

    client: MT5Client
    market: Market
    clock: Clock
    account: Account
    account_name: str
    mode: str
    banner: str
    close: Callable[[], None]
    blocked: Callable[[str], str | None] = lambda symbol: None
    interrupt: Callable[[], None] = lambda: None
    tries: int = 1
    played: Simulation | None = None


def wait_in_slices(stop: threading.Event, seconds: float) -> bool:
    """Waits, and lets a signal be handled at least twice a second: on Windows it cannot end a longer wait.

    Returns:
        Whether `stop` was set.
    """
    for _ in range(int(seconds / SLICE)):
        if stop.wait(SLICE):
            return True
    return stop.wait(seconds % SLICE)


def in_worker(make: Callable[[], Any], settings: Settings, also: frozenset[str] = frozenset()) -> FarTerminal:
    """A module in a worker process, with the deadlines of the settings.

    Raises:
        TerminalUnavailable: it did not start.
    """
    try:
        return worker_terminal(make, deadlines_of(settings), also)
    except OSError as error:
        raise TerminalUnavailable(f"the terminal's worker process did not start: {error}") from error


def deadlines_of(settings: Settings) -> Deadlines:
    """Starting the terminal has its own time-out inside; the worker is killed a little after it."""
    chosen = settings.terminal
    return Deadlines(
        call=chosen.terminal_call_seconds,
        history=chosen.terminal_history_seconds,
        order=chosen.terminal_order_seconds,
        connect=chosen.mt5_timeout_ms / 1000 + chosen.terminal_call_seconds,
    )


def client_of(settings: Settings, terminal: Terminal) -> MT5Client:
    """Our client of a terminal."""
    chosen = settings.terminal
    return MT5Client(terminal, broker_time=BrokerTime(chosen.broker_time_zone), magic=chosen.magic, deviation=chosen.deviation)
