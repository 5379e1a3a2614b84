"""The trading half of the daemon as the campaign drives it: the real desk, book, journal and client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import DataError, RetryError, TerminalUnavailable
from config.settings import RiskSettings
from execution.exits import ExitPolicy
from execution.mt5_client import MT5Client
from execution.orders import Side
from execution.risk import RiskGate
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from execution.terminal import Request, Terminal
from market_data.bars import Bars, Timeframe
from market_data.clock import BrokerTime, Clock, from_epoch
from strategy.decision import Decision
from strategy.trade_desk import TradeDesk
from tests.fakes_terminal import MAGIC
from utils.trade_journal import TradeJournal

SYMBOLS = ("EURUSD", "GBPUSD")
START = 1_704_708_000  # Monday 2024-01-08 10:00 UTC
BARS, HISTORY = 130, 20
COMMISSION = 3.5
ATR = 0.0004
ENTRY_SHARE = 0.55
POLICY = ExitPolicy(1.5, 1.5, 5.0, 4)
RISK = RiskSettings(cooldown_bars=0, max_positions=6, max_positions_per_symbol=2, daily_loss_percent=50.0)
SERVER = BrokerTime("America/New_York+7")
LEAST_BARS, MOST_BARS, QUIET_BARS = 14, 80, 14
"""Bars on which orders are made, least and most, and bars after the faults in which everything must come to rest."""


@lru_cache(maxsize=2)
def market(seed: int) -> dict[str, Bars]:
    """Two random walks of M1 bars that often reach a stop or target within a few bars."""
    rng = np.random.default_rng([seed, 1])
    return {symbol: _walk(rng, symbol, price) for symbol, price in zip(SYMBOLS, (1.1, 1.27), strict=True)}


@lru_cache(maxsize=2)
def _draws(seed: int) -> Any:
    """For every symbol and bar whether there is a decision, and which side; the same after a restart."""
    return np.random.default_rng([seed, 2]).random((len(SYMBOLS), BARS, 2))


def _walk(rng: np.random.Generator, symbol: str, price: float) -> Bars:
    closes = np.round(price + np.cumsum(rng.normal(0.0, 0.00025, BARS)), 5)
    opens = np.concatenate([[price], closes[:-1]])
    reach = np.round(np.abs(rng.normal(0.0, 0.0002, (2, BARS))), 5)
    high, low = np.maximum(opens, closes) + reach[0], np.minimum(opens, closes) - reach[1]
    times = START + 60 * np.arange(BARS, dtype=np.int64)
    return Bars(symbol, Timeframe.M1, times, opens, np.round(high, 5), np.round(low, 5), closes, None, np.full(BARS, 10.0))


def broker(seed: int, book: Path | None = None) -> SimulatedMT5:
    """A hedging account on the market of a seed."""
    feeds = market(seed)
    specs = {symbol: default_spec(symbol) for symbol in feeds}
    account = SimulatedAccount(commission_per_lot=COMMISSION, slippage_points=1.0)
    return SimulatedMT5(feeds, specs, history_bars=HISTORY, account=account, broker_time=SERVER, book=book)


class Daemon:
    """One life of the daemon over a terminal; what it knows at start is the journal's and the broker's.

    Args:
        make_client: MT5Client, or a faulty one that a test plants.
    """

    def __init__(
        self,
        seed: int,
        terminal: Terminal,
        journal: TradeJournal,
        clock: Clock,
        make_client: Callable[..., MT5Client] = MT5Client,
    ) -> None:
        self._terminal, self._journal, self._clock = terminal, journal, clock
        self._client = make_client(terminal, broker_time=SERVER, magic=MAGIC, deviation=10)
        self._bars = market(seed)
        self._seed = seed
        self.desk = TradeDesk(self._client, RiskGate(RISK), POLICY, journal, commission=COMMISSION)
        self._ready, self._started = False, False

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to be found out."""
        return self._started and not self._journal.unresolved_orders() and not any(map(self.desk.unresolved, SYMBOLS))

    def bar(self, *, trades: bool = True) -> bool:
        """One bar: time passes, then what the trading loop does at every pass; False at the end of the market."""
        moved = bool(self._terminal.call(Request("advance")).value)
        self._reconnect()
        if self._ready:  # a daemon that cannot connect at its start ends, and is started again
            with suppress(RetryError):  # the loop skips the pass
                self._pass(trades)
        return moved

    def _reconnect(self) -> None:
        """As the real market does between two looks."""
        if self._ready and self._client.terminal_connected():
            return
        with suppress(TerminalUnavailable, RetryError):
            self._client.connect(login=1)
            for symbol in SYMBOLS:
                self._client.select(symbol)
            self._ready = True

    def _pass(self, trades: bool) -> None:
        now = self._clock.now()
        if not self._started:
            self.desk.start(now)
            self._started = True
        self.desk.settle(now)
        for symbol in SYMBOLS:
            try:
                self._decide(symbol, trades)
            except (DataError, RetryError):
                continue

    def _decide(self, symbol: str, trades: bool) -> None:
        now = self._clock.now()
        whole = self._bars[symbol]
        closed = int(np.searchsorted(whole.time, now.timestamp() - 60, side="right"))
        bars = whole.slice(None, closed)
        if trades:
            self.desk.manage(symbol, bars, now)
        wanted, chance = _draws(self._seed)[SYMBOLS.index(symbol), closed]
        if trades and wanted < ENTRY_SHARE:
            side = Side.LONG if chance < 0.5 else Side.SHORT
            decision = Decision(
                symbol, from_epoch(int(bars.time[-1])), side, "campaign", close=1.0, atr=ATR, versions={"scalper": 1}, expected_r=0.1
            )
            self.desk.enter(decision, bars, now)
