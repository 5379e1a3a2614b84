"""A terminal that is only looked at: what research reads its bars from.

The same client, loader and bars as the daemon's; no account of the home is opened and nothing can
come of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from config.settings import Settings
from execution.mt5_client import MT5Client
from execution.terminal import ModuleTerminal
from market_data.bars import Timeframe
from market_data.clock import Clock, SystemClock
from market_data.loader import BarLoader
from utils.opened import client_of
from utils.simulation import simulated_module
from utils.terminals import PATIENCE, connected_client, select_symbols


@dataclass(frozen=True, slots=True)
class MarketView:
    """An opened view.

    Attributes:
        symbols: the settings' symbols by the broker's own names.
        clock: the terminal's.
        play: opens the next bar of a simulated market, False at its end; None where time passes by itself.
    """

    client: MT5Client
    loader: BarLoader
    symbols: tuple[str, ...]
    clock: Clock
    play: Callable[[], bool] | None


@contextmanager
def open_view(settings: Settings, source: Sequence[str], start: datetime | None = None) -> Iterator[MarketView]:
    """Opens the terminal that the settings mean, with all its bars up to an instant.

    Args:
        settings: of terminal, symbols and market.
        source: `synthetic`, or files as PATH or SYMBOL=PATH; for the simulated terminal.
        start: simulated instant at which the clock starts; None: after HISTORY_BARS.

    Raises:
        StopError: the terminal cannot be reached, or the source does not fit the settings.
        DataError: files that cannot be used, or that end before `start`.
    """
    with ExitStack() as undo:
        yield _real(settings, undo) if settings.uses_mt5 else _simulated(settings, source, start, undo)


def _real(settings: Settings, undo: ExitStack) -> MarketView:
    return _view(settings, connected_client(settings, undo), SystemClock(), None, PATIENCE)


def _simulated(settings: Settings, source: Sequence[str], start: datetime | None, undo: ExitStack) -> MarketView:
    module = simulated_module(settings, source, start, None)
    undo.callback(module.close)
    client = client_of(settings, ModuleTerminal(module))
    client.connect()
    return _view(settings, client, module.clock, module.advance, 1)


def _view(settings: Settings, client: MT5Client, clock: Clock, play: Callable[[], bool] | None, tries: int) -> MarketView:
    loader = BarLoader(client, Timeframe[settings.symbols.timeframe], settings.data.chunk_bars)
    return MarketView(client, loader, select_symbols(client, settings.symbols.symbols, tries), clock, play)
