"""The simulated terminal, opened: where it lives, and what makes its time pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from loguru import logger

from config.errors import HomeError, SettingsError
from config.home import Home
from config.settings import Settings
from execution.far_terminal import FarTerminal
from execution.simulated.faults import FaultyTerminal
from execution.simulated.rehearsal import rehearsed_plan
from execution.terminal import ModuleTerminal, PlayedTerminal, Request, Terminal
from market_data.clock import Clock, SystemClock
from strategy.trading_loop import Market
from utils.opened import SLICE, OpenTerminal, RunOptions, client_of, deadlines_of, in_worker, wait_in_slices
from utils.simulated_broker import close_leftover, open_broker
from utils.simulation import SYNTHETIC, Simulation, simulated_module
from utils.terminal_watch import TerminalWatch

PLAYED = frozenset({"advance", "bar_seconds"})
"""What the simulated terminal can do beyond the official module."""


class SimulatedMarket:
    """Plays the simulated market bar by bar, at a pace or as fast as the loop goes.

    Args:
        terminal: the simulated one.
        seconds_per_bar: of real time.
        watch: connects it again, where it can be lost; time then stands still.
        exact: a try to connect is waited for, so that no pass more or less depends on the machine.
        play: opens the next bar, where the market is in this process and nothing comes in between.
    """

    def __init__(
        self,
        terminal: Terminal,
        seconds_per_bar: float,
        watch: TerminalWatch | None = None,
        *,
        exact: bool = False,
        play: Callable[[], bool] | None = None,
    ) -> None:
        self._play = play
        self._terminal = terminal
        self._seconds = seconds_per_bar
        self._watch = watch
        self._exact = exact

    def advance(self, stop: threading.Event) -> bool:
        """Waits one bar's share of real time, then opens the next bar."""
        if self._seconds and wait_in_slices(stop, self._seconds):
            return True
        if self._play is not None:
            return self._play()
        if self._watch is None:
            # Through the terminal's lock: the trainer reads history from its own thread.
            return bool(self._terminal.call(Request("advance")).value)
        return self._advance_watched(self._watch, stop)

    def _advance_watched(self, watch: TerminalWatch, stop: threading.Event) -> bool:
        if not watch.look() and not (self._exact and watch.wait(stop) and watch.look()):
            stop.wait(SLICE)
            return True
        try:
            return bool(self._terminal.call(Request("advance")).value)
        except OSError as error:
            logger.warning("the market stands still: {}", error)
            return True


class CommittingMarket:
    """A played market that has what its bars left behind committed now and then.

    Args:
        market: the one that is played.
        commit: writes what was held back.
        every: bars.
    """

    def __init__(self, market: Market, commit: Callable[[], None], every: int) -> None:
        self._market = market
        self._commit = commit
        self._every = self._left = every

    def advance(self, stop: threading.Event) -> bool:
        """Opens the next bar."""
        self.passed(1)
        return self._market.advance(stop)

    def passed(self, passes: int) -> None:
        """Counts passes that were made; commits after every so many."""
        self._left -= passes
        if self._left <= 0:
            self._left = self._every
            self._commit()


@dataclass(frozen=True, slots=True)
class _Placed:
    """The simulated terminal, wherever it lives."""

    terminal: Terminal
    clock: Clock
    close: Callable[[], None]
    far: FarTerminal | None = None
    faulty: bool = False
    module: Simulation | None = None

    @property
    def can_be_lost(self) -> bool:
        """Whether the line to it can break."""
        return self.faulty or self.far is not None


def open_simulated(settings: Settings, options: RunOptions, home: Home) -> OpenTerminal:
    """Connects to the simulated terminal of a home.

    Raises:
        SettingsError: `--live`, which it cannot be.
        StopError: it cannot be made.
    """
    if options.live:
        raise SettingsError(
            "--live with the simulated terminal: it has no real orders; leave --live out, or set TERMINAL=mt5 and MT5_LOGIN"
        )
    _require_book(home)
    with ExitStack() as undo:
        placed = _rehearsing(settings, _placed(settings, options, home))
        undo.callback(placed.close)
        client = client_of(settings, placed.terminal)
        account = client.connect()
        watch = TerminalWatch(client, client.connect, SystemClock()) if placed.can_be_lost else None
        return OpenTerminal(
            client=client,
            market=SimulatedMarket(
                placed.terminal,
                _pace(settings, options, placed.terminal),
                watch,
                exact=placed.faulty and options.replay,
                play=placed.module.advance if placed.module is not None and not placed.faulty else None,
            ),
            clock=placed.clock,
            account=account,
            account_name="simulated/1",
            mode="simulated",
            banner=_simulated_banner(settings, options),
            close=undo.pop_all().close,
            blocked=lambda symbol: None if watch is None else watch.blocked(symbol),
            interrupt=lambda: None if placed.far is None else placed.far.interrupt(),
            played=placed.module if options.replay and not placed.faulty else None,
        )


def _placed(settings: Settings, options: RunOptions, home: Home) -> _Placed:
    """In this process, in a worker, or at a broker that has a process of its own and so needs no worker."""
    make = partial(simulated_module, settings, options.source, options.start, home.book)
    card = home.path / "broker.json"
    if settings.simulation.sim_broker == "process":
        far, close = open_broker(make, _market_text(settings, options), card, deadlines_of(settings), PLAYED)
        return _Placed(far, far.clock, close, far)
    close_leftover(card)
    if settings.terminal.terminal_isolation == "process":
        far = in_worker(make, settings, PLAYED)
        return _Placed(far, far.clock, far.close, far)
    module = make()
    terminal = PlayedTerminal(module) if options.replay else ModuleTerminal(module)
    return _Placed(terminal, module.clock, module.close, module=module)


def _rehearsing(settings: Settings, placed: _Placed) -> _Placed:
    """The same behind the faults of the settings, where there are any. A call that hangs lets the market run."""
    simulation, sound = settings.simulation, placed.terminal
    if not simulation.sim_faults:
        return placed
    seconds_per_bar = float(sound.call(Request("bar_seconds")).value)

    def run_on(seconds: float) -> None:
        for _ in range(int(seconds // seconds_per_bar)):
            sound.call(Request("advance"))

    plan = rehearsed_plan(simulation.sim_faults, simulation.sim_fault_seed)
    return replace(placed, terminal=FaultyTerminal(sound, plan, run_on), faulty=True)


def _market_text(settings: Settings, options: RunOptions) -> str:
    """All that a simulated market and account depend on; faults strike on the way to them."""
    sections = (settings.simulation, settings.symbols, settings.data, settings.risk, settings.terminal)
    faults = {"sim_faults", "sim_fault_seed"}
    return " ".join([repr(options.source), repr(options.start), *(section.model_dump_json(exclude=faults) for section in sections)])


def _pace(settings: Settings, options: RunOptions, terminal: Terminal) -> float:
    return 0.0 if options.replay else float(terminal.call(Request("bar_seconds")).value) / settings.simulation.speed


def _simulated_banner(settings: Settings, options: RunOptions) -> str:
    source = "synthetic prices" if options.source == (SYNTHETIC,) else f"prices from {', '.join(options.source)}"
    speed = "full speed" if options.replay else f"{settings.simulation.speed:g} times real speed"
    faults = settings.simulation.sim_faults
    rehearsed = f"; REHEARSING FAULTS: {', '.join(faults)}" if faults else ""
    return f"SIMULATED: {source} at {speed}; no real order is ever sent{rehearsed}"


def _require_book(home: Home) -> None:
    """A new account would number its tickets from the start again, and the journal would take its trades for old ones."""
    if home.journal.is_file() and not home.book.is_file():
        raise HomeError(
            f"{home.book.name} is missing from {home.path}, whose journal holds its account: "
            "put it back, or start a new account with another --home DIR"
        )
