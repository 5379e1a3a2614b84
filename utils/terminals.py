"""Opens the terminal that the settings mean, and what makes its time pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

from loguru import logger

from config.errors import HomeError, SettingsError, TerminalUnavailable
from config.home import Home
from config.settings import Settings
from execution.mt5_client import MT5Client
from execution.official import official_module
from execution.orders import Account
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from execution.terminal import Execution, ModuleTerminal, Request
from market_data.bars import Bars, Timeframe
from market_data.clock import BrokerTime, Clock, SystemClock
from market_data.importers import read_source
from market_data.instruments import SymbolSpec
from market_data.synthetic import synthetic_bars
from strategy.trading_loop import Market

SYNTHETIC = "synthetic"
SYNTHETIC_START = datetime(2024, 1, 1, 14, 20, tzinfo=UTC)
"""After the default history the clock stands at the New York morning, when there is something to trade."""
SYNTHETIC_BARS = 1_000_000
"""M1 bars of a synthetic market beyond its history: 11 days at 60 times real speed."""

SLICE = 0.5
MOST_PAUSE = 30.0
"""Seconds between two tries to reach a lost terminal, at most."""

TYPICAL_PRICE: Mapping[str, float] = MappingProxyType({"JPY": 150.0, "XAU": 2_000.0, "XAG": 25.0, "BTC": 60_000.0})


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says beyond settings.

    Attributes:
        source: `synthetic`, or files as PATH or SYMBOL=PATH; for the simulated terminal.
        replay: lockstep at full speed.
        start: simulated instant at which the clock starts; None: after HISTORY_BARS.
        bars: decided bars after which the run ends; None: no limit.
        live: the second half of the double opt-in.
    """

    source: tuple[str, ...] = (SYNTHETIC,)
    replay: bool = False
    start: datetime | None = None
    bars: int | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class OpenTerminal:
    """A connected terminal with its clock.

    Attributes:
        account_name: how journal rows name the account.
        mode: `simulated`, `paper` or `live`.
        sends: whether orders are sent.
        banner: one line that says what is at stake.
    """

    client: MT5Client
    market: Market
    clock: Clock
    account: Account
    account_name: str
    mode: str
    sends: bool
    banner: str
    close: Callable[[], None]


def origin_of(settings: Settings, options: RunOptions) -> str:
    """Where prices come from: `synthetic`, `file` or `mt5:<server>/<login>`."""
    if settings.uses_mt5:
        return f"mt5:{settings.terminal.mt5_server}/{settings.terminal.mt5_login}"
    return SYNTHETIC if options.source == (SYNTHETIC,) else "file"


def open_terminal(settings: Settings, options: RunOptions, home: Home) -> OpenTerminal:
    """Connects; a configured terminal that cannot be reached is an error, never a fallback.

    Raises:
        TerminalUnavailable: the real terminal cannot be reached, or is not the one configured.
        SettingsError: live trading is asked for without all that it needs.
    """
    return _open_real(settings, options) if settings.uses_mt5 else _open_simulated(settings, options, home)


# --- simulated ------------------------------------------------------------------------------


class SimulatedMarket:
    """Plays the simulated market bar by bar, at a pace or as fast as the loop goes."""

    def __init__(self, terminal: ModuleTerminal, seconds_per_bar: float) -> None:
        self._terminal = terminal
        self._seconds = seconds_per_bar

    def advance(self, stop: threading.Event) -> bool:
        """Waits one bar's share of real time, then opens the next bar."""
        if self._seconds and wait_in_slices(stop, self._seconds):
            return True
        # Through the lock: the trainer reads history from its own thread.
        return bool(self._terminal.call(Request("advance")).value)


def _open_simulated(settings: Settings, options: RunOptions, home: Home) -> OpenTerminal:
    _require_book(home)
    feeds = _feeds(settings, options)
    specs = {symbol: _spec(bars) for symbol, bars in feeds.items()}
    simulation = settings.simulation
    module = SimulatedMT5(
        feeds,
        specs,
        history_bars=settings.data.history_bars * _bars_per_bar(settings, feeds),
        account=SimulatedAccount(
            balance=simulation.sim_balance,
            leverage=simulation.sim_leverage,
            commission_per_lot=settings.risk.commission_per_lot,
            slippage_points=simulation.sim_slippage_points,
        ),
        broker_time=BrokerTime(settings.terminal.broker_time_zone),
        book=home.book,
        start=options.start,
    )
    terminal = ModuleTerminal(module)
    client = _client(settings, terminal)
    account = client.connect()
    feed_seconds = next(iter(feeds.values())).timeframe.seconds
    pace = 0.0 if options.replay else feed_seconds / simulation.speed
    source = "synthetic prices" if options.source == (SYNTHETIC,) else f"prices from {', '.join(options.source)}"
    speed = "full speed" if options.replay else f"{simulation.speed:g} times real speed"
    return OpenTerminal(
        client=client,
        market=SimulatedMarket(terminal, pace),
        clock=module.clock,
        account=account,
        account_name="simulated/1",
        mode="simulated",
        sends=True,
        banner=f"SIMULATED: {source} at {speed}; no real order is ever sent",
        close=module.close,
    )


def _require_book(home: Home) -> None:
    """A new account would number its tickets from the start again, and the journal would take its trades for old ones."""
    if home.journal.is_file() and not home.book.is_file():
        raise HomeError(
            f"{home.book.name} is missing from {home.path}, whose journal holds its account: "
            "put it back, or start a new account with another --home DIR"
        )


def _feeds(settings: Settings, options: RunOptions) -> dict[str, Bars]:
    if options.source != (SYNTHETIC,):
        return read_source(list(options.source), list(settings.symbols.symbols))
    simulation = settings.simulation
    count = settings.data.history_bars * Timeframe[settings.symbols.timeframe].seconds // 60 + SYNTHETIC_BARS
    return {
        symbol: synthetic_bars(
            default_spec(symbol),
            start=SYNTHETIC_START,
            count=count,
            seed=simulation.synthetic_seed,
            edge=simulation.synthetic_edge,
            price=next((price for code, price in TYPICAL_PRICE.items() if code in symbol), 1.1),
        )
        for symbol in settings.symbols.symbols
    }


def _spec(bars: Bars) -> SymbolSpec:
    """The symbol as a broker would describe it; gold with three decimals is told by its prices."""
    spec = default_spec(bars.symbol)
    newest = bars.close[-1_000:]
    fits = bool((abs(newest * 10**spec.digits - (newest * 10**spec.digits).round()) < 1e-3).all())
    return spec if fits else default_spec(bars.symbol, digits=spec.digits + 1)


def _bars_per_bar(settings: Settings, feeds: Mapping[str, Bars]) -> int:
    """Feed bars in one decision bar."""
    wanted = Timeframe[settings.symbols.timeframe].seconds
    for bars in feeds.values():
        if wanted % bars.timeframe.seconds:
            raise SettingsError(f"{bars.symbol}: a {bars.timeframe.name} file cannot make {settings.symbols.timeframe} bars; set TIMEFRAME")
    return wanted // min(bars.timeframe.seconds for bars in feeds.values())


# --- real -----------------------------------------------------------------------------------


class PolledMarket:
    """A real market: time passes by itself; the loop looks again after a while.

    Args:
        seconds: between two looks.
        connected: whether the terminal answers and reaches its server.
        connect: connects again; raises TerminalUnavailable where that is not possible now.
    """

    def __init__(self, seconds: float, connected: Callable[[], bool], connect: Callable[[], object]) -> None:
        self._seconds = seconds
        self._connected = connected
        self._connect = connect
        self._pause = seconds

    def advance(self, stop: threading.Event) -> bool:
        """Waits; there is always a next event. A lost terminal is asked for less and less often."""
        wait_in_slices(stop, self._pause)
        if stop.is_set() or self._connected():
            self._pause = self._seconds
            return True
        try:
            self._connect()
        except TerminalUnavailable as error:
            self._pause = min(2 * self._pause, MOST_PAUSE)
            logger.warning("the terminal is gone: {}; next try in {:.1f} s", error, self._pause)
        else:
            self._pause = self._seconds
            logger.info("the terminal answers again")
        return True


def wait_in_slices(stop: threading.Event, seconds: float) -> bool:
    """Waits, and lets a signal be handled at least twice a second: on Windows it cannot end a longer wait.

    Returns:
        Whether `stop` was set.
    """
    for _ in range(int(seconds / SLICE)):
        if stop.wait(SLICE):
            return True
    return stop.wait(seconds % SLICE)


def _open_real(settings: Settings, options: RunOptions) -> OpenTerminal:
    chosen = settings.terminal
    client = _client(settings, ModuleTerminal(official_module()))
    password = chosen.mt5_password.get_secret_value() if chosen.mt5_password is not None else None
    path = str(chosen.mt5_path) if chosen.mt5_path is not None else None
    connect = partial(
        client.connect, login=chosen.mt5_login, password=password, server=chosen.mt5_server, path=path, timeout_ms=chosen.mt5_timeout_ms
    )
    account = connect()
    live = _may_trade(settings, options, account)
    what = "LIVE: orders are sent" if live else "DRY RUN: real quotes, nothing is sent"
    return OpenTerminal(
        client=client,
        market=PolledMarket(chosen.poll_seconds, client.terminal_connected, connect),
        clock=SystemClock(),
        account=account,
        account_name=f"mt5:{account.server}/{account.login}",
        mode="live" if live else "paper",
        sends=live,
        banner=f"{what}; account {account.login} at {account.server}",
        close=client.close,
    )


def _may_trade(settings: Settings, options: RunOptions, account: Account) -> bool:
    """Both opt-ins, and a third for an account with real money."""
    chosen = settings.terminal
    if chosen.trade_mode != "live":
        if options.live:
            raise SettingsError("--live without TRADE_MODE=live: set both to send orders")
        return False
    if not options.live:
        raise SettingsError("TRADE_MODE=live without --live: start with --live to send orders, or set TRADE_MODE=paper")
    if account.trade_mode == Execution.ACCOUNT_TRADE_MODE_REAL and not chosen.allow_real_account:
        raise SettingsError(f"account {account.login} holds real money: set ALLOW_REAL_ACCOUNT=true to trade it, or use a demo account")
    return True


def _client(settings: Settings, terminal: ModuleTerminal) -> MT5Client:
    chosen = settings.terminal
    return MT5Client(terminal, broker_time=BrokerTime(chosen.broker_time_zone), magic=chosen.magic, deviation=chosen.deviation)


def select_symbols(client: MT5Client, symbols: Sequence[str]) -> tuple[str, ...]:
    """Selects every symbol; the names are the broker's own, suffix included.

    Raises:
        TerminalUnavailable: a specification that nobody could trade on.
    """
    names = []
    for symbol in symbols:
        spec = client.select(symbol)
        if spec.problems():
            raise TerminalUnavailable(f"{spec.name}: the broker's specification is impossible: {'; '.join(spec.problems())}")
        names.append(spec.name)
    return tuple(names)
