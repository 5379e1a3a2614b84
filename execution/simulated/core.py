"""The simulated terminal's state: connection, last error, market, broker, book."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import DataError, HomeError, ScalperError
from execution.simulated import constants as mt5
from execution.simulated.book import Book
from execution.simulated.calls import SUCCESS, CallFailed
from execution.simulated.dealer import Dealer
from execution.simulated.engine import Engine
from execution.simulated.feed import BarFeed, Feed
from execution.simulated.ledger import NOTHING, Ledger, SimulatedAccount
from execution.simulated.market import Market, fingerprint, first_instant
from execution.simulated.money import Money
from execution.simulated.terms import BrokerTerms, default_terms
from execution.simulated.tick_feed import TickFeed
from execution.simulated.trade import TradeDesk
from market_data.bars import Bars, IntArray
from market_data.clock import BrokerTime, ManualClock, epoch_msc
from market_data.instruments import SymbolSpec
from market_data.quotes import Quotes


class TerminalCore:
    """Market, broker and book behind the module's functions.

    One lock serialises every call, so threads may share a terminal.

    Attributes:
        algo_trading: the terminal's Algo Trading button.
        connected: whether the terminal reaches its server.
        api_disabled: the terminal's option against trading from Python.
    """

    api_disabled = False
    _holds = False

    def __init__(
        self,
        feeds: Mapping[str, Bars | Quotes],
        specs: Mapping[str, SymbolSpec],
        *,
        history_bars: int,
        account: SimulatedAccount,
        broker_time: BrokerTime,
        book: Path | None,
        start: datetime | None = None,
        terms: Mapping[str, BrokerTerms] | None = None,
    ) -> None:
        self._lock, self._error, self._initialized = threading.RLock(), SUCCESS, False
        self._depth: set[str] = set()
        made = {symbol: _feed(history, _spec(specs, symbol), broker_time, terms) for symbol, history in feeds.items()}
        self._identity = _identity(made, account)
        self._book = None if book is None else Book(book)
        try:
            self._open(made, account, broker_time, partial(first_instant, made, history_bars, start))
        except ScalperError:
            self.close()
            raise

    def _open(self, feeds: Mapping[str, Feed], account: SimulatedAccount, broker_time: BrokerTime, first: Callable[[], int]) -> None:
        """Resumes the book, or opens the account at the first instant."""
        saved = None if self._book is None else self._resume(self._book)
        state, ledger = saved if saved is not None else _beginning(first())
        self._market, self._ledger = Market(feeds, state["now"], broker_time), ledger
        money = Money(self._market, {symbol: feed.spec for symbol, feed in feeds.items()}, account.currency, account.leverage)
        self._dealer = Dealer(ledger, self._market, money, account)
        self._engine = Engine(self._dealer)
        self._desk = TradeDesk(self._dealer, {symbol for symbol in state["selected"] if symbol in feeds})
        self._written: dict[str, Any] = {}
        if saved is None:
            self._dealer.deposit(account.balance, self._market.server_msc())
        self._commit(durable=True)

    @property
    def clock(self) -> ManualClock:
        """The simulated now, UTC."""
        return self._market.clock

    def advance(self) -> bool:
        """Plays the market to the next instant at which any symbol opens a bar.

        Bars that end by then are completed first, with their stops and targets; then the bars
        of that instant open, and their opens are the quotes. What happened is committed.

        Returns:
            False at the end of the data, where nothing changes: the last bar stays open.
        """
        with self._lock:
            moved = self._engine.advance()
            if moved:
                self._commit(durable=False)
            return moved

    def instants(self, count: int) -> IntArray:
        """When the next bars open, at most `count` instants, UTC epoch milliseconds; none where recorded quotes are played or an order waits for its price."""
        with self._lock:
            return np.zeros(0, np.int64) if self._market.tick_feeds or self._ledger.working else self._market.instants(count)

    def leap(self, instant: int) -> None:
        """Plays the market to one of those instants, UTC epoch milliseconds. What happened is committed."""
        with self._lock:
            self._engine.leap(instant)
            self._commit(durable=False)

    def advance_to(self, now: datetime) -> None:
        """Plays the market up to an instant, also one inside a bar.

        Whole bars are played as `advance` plays them. Of the bar that `now` falls into the open, the
        extremes and the close are quoted as its time passes; the forming bar, stops and targets move
        with them. What happened is committed. An instant that has passed changes nothing.

        Args:
            now: aware.

        Raises:
            ValueError: for a naive datetime.
        """
        if now.tzinfo is None:
            raise ValueError(f"advance_to({now!r}) needs an aware datetime")
        with self._lock:
            self._engine.advance_to(epoch_msc(now))
            self._commit(durable=False)

    def hold(self) -> None:
        """From now on the book is written by `commit` and `close` alone: for replays, which can be played again."""
        if self._book is not None:
            self._book.hold()
            self._holds = True

    def commit(self) -> None:
        """Writes the book as it is now."""
        with self._lock:
            if self._book is not None and self._holds:
                self._book.commit(self._market.now)

    @property
    def revision(self) -> int:
        """A number that grows whenever positions, orders, deals or the balance change."""
        return self._ledger.revision + self._ledger.next_order + self._ledger.next_deal

    def close(self) -> None:
        """Closes the broker's book, with what was held back; the terminal cannot be used afterwards."""
        with self._lock:
            self.commit()
            self._holds = False  # a second call has nothing to write
            if self._book is not None:
                self._book.close()

    @property
    def algo_trading(self) -> bool:
        """Whether the Algo Trading button is on."""
        return self._desk.algo_trading

    @algo_trading.setter
    def algo_trading(self, on: bool) -> None:
        self._desk.algo_trading = on

    @property
    def connected(self) -> bool:
        """Whether the terminal reaches its server."""
        return self._desk.connected

    @connected.setter
    def connected(self, on: bool) -> None:
        self._desk.connected = on

    def _require_connection(self) -> None:
        if not self._initialized:
            raise CallFailed(mt5.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")

    def _feed(self, symbol: str, code: int = mt5.RES_E_NOT_FOUND) -> Feed:
        """The symbol's feed, after the test for a connection."""
        self._require_connection()
        feed = self._market.feeds.get(symbol)
        if feed is None:
            message = "Terminal: Not found" if code == mt5.RES_E_NOT_FOUND else "Terminal: Call failed"
            raise CallFailed(code, message)
        return feed

    def _quoted(self, symbol: str) -> Feed:
        """The feed of a symbol in Market Watch that has a quote."""
        feed = self._feed(symbol)
        if symbol not in self._desk.selected or feed.position < 0:
            raise CallFailed(mt5.RES_E_NOT_FOUND, "Terminal: Not found")
        return feed

    def _commit(self, *, durable: bool) -> None:
        """Writes what changed; without a book only forgets it.

        Not durable and without changes of the ledger, only the instant can have changed.
        """
        changes = self._ledger.take_changes()
        if self._book is None:
            return
        if changes is NOTHING and not durable:
            self._book.save_now(self._market.now)
            return
        ledger = self._ledger
        state = {
            "identity": self._identity,
            "now": self._market.now,
            "balance": ledger.balance,
            "next_order": ledger.next_order,
            "next_deal": ledger.next_deal,
            "selected": sorted(self._desk.selected),
        }
        self._book.save({key: value for key, value in state.items() if self._written.get(key) != value}, changes, durable=durable)
        self._written = state

    def _resume(self, book: Book) -> tuple[dict[str, Any], Ledger] | None:
        saved = book.load()
        if saved is not None and saved[0].get("identity") != self._identity:
            raise HomeError(
                f"the simulated broker's book {book.path} was made with {saved[0].get('identity')}, not with {self._identity}; "
                "put SYMBOLS, the source, SYNTHETIC_SEED, SYNTHETIC_EDGE, HISTORY_BARS, TIMEFRAME and the account back, or choose another --home"
            )
        return saved


def _beginning(now: int) -> tuple[dict[str, Any], Ledger]:
    """State and ledger of a new account."""
    return {"now": now, "selected": []}, Ledger()


def _identity(feeds: Mapping[str, Feed], account: SimulatedAccount) -> str:
    """What must not change under a book: account, symbols, data."""
    return f"account {account.login} in {account.currency}, market {fingerprint(feeds)}"


def _feed(history: Bars | Quotes, spec: SymbolSpec, broker_time: BrokerTime, terms: Mapping[str, BrokerTerms] | None) -> Feed:
    """Bars or quotes as a market; without terms of its own the symbol has the usual ones."""
    chosen = (terms or {}).get(spec.name) or (BrokerTerms() if spec.problems() else default_terms(spec))
    if isinstance(history, Quotes):
        return TickFeed(history, spec, broker_time, chosen)
    return BarFeed(history, spec, broker_time, chosen)


def _spec(specs: Mapping[str, SymbolSpec], symbol: str) -> SymbolSpec:
    spec = specs.get(symbol)
    if spec is None or spec.name != symbol:
        raise DataError(f"{symbol}: no specification of that name; give one, for example default_spec({symbol!r})")
    return spec
