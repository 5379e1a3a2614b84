"""Opens the terminal that the settings mean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from loguru import logger

from config.errors import InsufficientHistory, SettingsError, TerminalCallFailed, TerminalDisconnected, TerminalUnavailable
from config.home import Home
from config.settings import Settings
from execution.mt5_client import MT5Client
from execution.official import official_module
from execution.orders import Account
from execution.paper import PaperTerminal
from execution.quote_watch import QuoteWatch
from execution.terminal import Execution, ModuleTerminal, Terminal
from market_data.clock import BrokerTime, SystemClock
from utils.opened import OpenTerminal, RunOptions, client_of, in_worker, wait_in_slices
from utils.simulated_terminal import open_simulated
from utils.simulation import SYNTHETIC
from utils.terminal_watch import TerminalWatch

__all__ = ["OpenTerminal", "PolledMarket", "RunOptions", "connected_client", "open_terminal", "origin_of", "patiently", "select_symbols"]

PATIENCE = 60
"""Tries, one a second, for what a real terminal may still be loading after a symbol was selected."""

T = TypeVar("T")


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
    return _open_real(settings, options, home) if settings.uses_mt5 else open_simulated(settings, options, home)


# --- real -----------------------------------------------------------------------------------


class PolledMarket:
    """A real market: time passes by itself; the loop looks again after a while.

    Args:
        seconds: between two looks.
        watch: looks at the terminal, and connects it again where it is lost.
    """

    def __init__(self, seconds: float, watch: TerminalWatch) -> None:
        self._seconds = seconds
        self._watch = watch

    def advance(self, stop: threading.Event) -> bool:
        """Waits; there is always a next event."""
        if not wait_in_slices(stop, self._seconds):
            self._watch.look()
        return True


def _open_real(settings: Settings, options: RunOptions, home: Home) -> OpenTerminal:
    chosen = settings.terminal
    with ExitStack() as undo:
        terminal, interrupt = _official(settings, undo)
        if chosen.trade_mode == "paper":
            terminal = _paper(settings, terminal, home)
            undo.callback(terminal.close)
        client = client_of(settings, terminal)
        connect = _connector(settings, client)
        account = connect()
        undo.callback(client.close)
        _require_bars(settings, client)
        live = _may_trade(settings, options, account)
        quotes = QuoteWatch(BrokerTime(chosen.broker_time_zone), SystemClock(), chosen.max_quote_age_seconds)
        watch = TerminalWatch(client, connect, SystemClock(), quotes)
        what = "LIVE: orders are sent" if live else "DRY RUN: real quotes, orders fill on paper, nothing is sent"
        return OpenTerminal(
            client=client,
            market=PolledMarket(chosen.poll_seconds, watch),
            clock=SystemClock(),
            account=account,
            account_name=f"mt5:{account.server}/{account.login}",
            mode="live" if live else "paper",
            banner=f"{what}; account {account.login} at {account.server}",
            close=undo.pop_all().close,
            blocked=watch.blocked,
            interrupt=interrupt,
            tries=PATIENCE,
        )


def connected_client(settings: Settings, undo: ExitStack) -> MT5Client:
    """The configured terminal itself, to be looked at: the same for paper and live.

    Args:
        settings: whose terminal and account.
        undo: lets the terminal go.

    Raises:
        TerminalUnavailable: it cannot be reached, or is logged in to another account.
    """
    terminal, _ = _official(settings, undo)
    client = client_of(settings, terminal)
    undo.callback(client.close)
    _connector(settings, client)()
    return client


def _official(settings: Settings, undo: ExitStack) -> tuple[Terminal, Callable[[], None]]:
    """The official module, in this process or in a worker; and what cuts its calls short."""
    if settings.terminal.terminal_isolation == "inprocess":
        return ModuleTerminal(official_module()), lambda: None
    far = in_worker(official_module, settings)
    undo.callback(far.close)
    return far, far.interrupt


def _paper(settings: Settings, real: Terminal, home: Home) -> PaperTerminal:
    """The terminal that fills orders on paper, over the real one whose prices it uses."""
    clock, rule = SystemClock(), BrokerTime(settings.terminal.broker_time_zone)
    return PaperTerminal(
        real,
        home.paper_book,
        commission=settings.risk.commission_per_lot,
        now_msc=lambda: 1_000 * int(rule.to_server(int(clock.now().timestamp()))[0]),
        balance=settings.terminal.paper_balance,
    )


def _connector(settings: Settings, client: MT5Client) -> Callable[[], Account]:
    chosen = settings.terminal
    return partial(
        client.connect,
        login=chosen.mt5_login,
        password=chosen.mt5_password.get_secret_value() if chosen.mt5_password is not None else None,
        server=chosen.mt5_server,
        path=str(chosen.mt5_path) if chosen.mt5_path is not None else None,
        timeout_ms=chosen.mt5_timeout_ms,
    )


def _require_bars(settings: Settings, client: MT5Client) -> None:
    """The terminal refuses calls that ask for as many bars as its charts may hold."""
    limit = client.state().maxbars
    for name, wanted in (("HISTORY_BARS", settings.data.history_bars), ("CHUNK_BARS", settings.data.chunk_bars)):
        if wanted >= limit:
            raise SettingsError(
                f"{name}={wanted}, but the terminal keeps {limit} bars: raise Tools > Options > Charts > Max bars in chart, "
                f"restart the terminal, or lower {name}"
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


# --- both -----------------------------------------------------------------------------------


def patiently(ask: Callable[[], T], tries: int, wait: Callable[[float], object] | None = None) -> T:
    """Asks again for what a terminal may still be loading, once a second.

    Args:
        ask: the question.
        tries: how often, at most.
        wait: lets seconds pass; None: waits.

    Raises:
        TerminalDisconnected: at once.
        ScalperError: the error of the last try.
    """
    pause = wait or threading.Event().wait
    for _ in range(tries - 1):
        try:
            return ask()
        except TerminalDisconnected:
            raise
        except (InsufficientHistory, TerminalCallFailed, TerminalUnavailable) as error:
            logger.info("the terminal is still loading: {}", error)
            pause(1.0)
    return ask()


def select_symbols(client: MT5Client, symbols: Sequence[str], tries: int = 1) -> tuple[str, ...]:
    """Selects every symbol; the names are the broker's own, suffix included.

    Args:
        client: of the terminal.
        symbols: as the settings name them.
        tries: a symbol that was just selected may have no tick value yet.

    Raises:
        SettingsError: a name that the broker does not have, or that could be several.
        TerminalUnavailable: a specification that nobody could trade on.
    """
    return tuple(patiently(partial(_selected, client, symbol), tries) for symbol in symbols)


def _selected(client: MT5Client, symbol: str) -> str:
    spec = client.select(symbol)
    if spec.problems():
        raise TerminalUnavailable(f"{spec.name}: the broker's specification is impossible: {'; '.join(spec.problems())}")
    return spec.name
