"""Opens the simulated terminal that `with-terminal` lends to another program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from config.errors import HomeError
from config.home import Home, hold_home, open_home
from config.settings import Settings
from execution.simulated import SimulatedMT5
from execution.simulated.endless import MARKET_WATCH, EndlessMarket, EndlessTerminal
from market_data.clock import BrokerTime
from market_data.importers import read_market
from utils.simulation import SYNTHETIC, account_of, spec_of, terms_of


@dataclass(frozen=True, slots=True)
class StandIn:
    """What the command line asks for.

    Attributes:
        source: files as PATH or SYMBOL=PATH; none or `synthetic`: synthetic prices.
        symbols: names; none: the usual ones, or those of the files.
        start: simulated start; None: now, or after the history of the files.
        login, server: of the account.
        home: folder that keeps the account; None: it ends with the program.
    """

    source: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    start: datetime | None = None
    login: int = 1
    server: str = "Simulated"
    home: Path | None = None

    @property
    def synthetic(self) -> bool:
        """Whether prices are synthetic."""
        return self.source in ((), (SYNTHETIC,))


@contextmanager
def open_stand_in(settings: Settings, asked: StandIn, now: datetime) -> Iterator[SimulatedMT5]:
    """A terminal that nobody has connected to yet; it is closed at the end.

    Args:
        settings: of market, account and server time.
        asked: what the command line asks for.
        now: the real instant, aware.

    Raises:
        HomeError: the home is another's, is in use, or was made with other data.
        DataError: no usable market data.
    """
    with ExitStack() as stack:
        home = None
        if asked.home is not None:
            home = open_home(asked.home, SYNTHETIC if asked.synthetic else "file")
            stack.enter_context(hold_home(home))
        terminal = _terminal(settings, asked, now, home)
        stack.callback(terminal.close)
        yield terminal


def _terminal(settings: Settings, asked: StandIn, now: datetime, home: Home | None) -> SimulatedMT5:
    account = account_of(settings, login=asked.login, server=asked.server)
    keeps: dict[str, Any] = {"account": account, "book": None if home is None else home.path / "stand_in.db"}
    return _endless(settings, asked, now, home, keeps) if asked.synthetic else _from_files(settings, asked, keeps)


def _endless(settings: Settings, asked: StandIn, now: datetime, home: Home | None, keeps: dict[str, Any]) -> SimulatedMT5:
    simulation = settings.simulation
    began = asked.start or now
    market = EndlessMarket(
        asked.symbols or MARKET_WATCH,
        began if home is None else _first_start(home, began),
        simulation.synthetic_seed,
        simulation.synthetic_edge,
        simulation.sim_currency,
    )
    keeps |= {"terms": terms_of(settings, market.symbols)}
    return EndlessTerminal(market, began, BrokerTime(settings.terminal.broker_time_zone), **keeps)


def _from_files(settings: Settings, asked: StandIn, keeps: dict[str, Any]) -> SimulatedMT5:
    feeds = read_market(list(asked.source), list(asked.symbols))
    return SimulatedMT5(
        feeds,
        {symbol: spec_of(history, keeps["account"].currency) for symbol, history in feeds.items()},
        history_bars=settings.data.history_bars,
        broker_time=BrokerTime(settings.terminal.broker_time_zone),
        start=asked.start,
        terms=terms_of(settings, feeds),
        **keeps,
    )


def _first_start(home: Home, now: datetime) -> datetime:
    """When the home's market was first looked at; its prices depend on it."""
    file = home.path / "stand_in.json"
    if not file.exists():
        file.write_text(json.dumps({"start": now.isoformat()}), encoding="utf-8")
        return now
    try:
        return datetime.fromisoformat(json.loads(file.read_text(encoding="utf-8"))["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{file} is damaged; choose another folder with --home DIR") from error
