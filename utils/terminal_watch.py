"""Keeps an eye on a terminal that can be lost: connects it again, and says why nothing may be opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from loguru import logger

from config.errors import DataError, RetryError, ScalperError
from execution.orders import Account, Quote
from execution.quote_watch import QuoteWatch
from execution.terminal_session import Link
from market_data.clock import Clock

FIRST_PAUSE, MOST_PAUSE = 1.0, 30.0
"""Seconds between two tries to connect again: at first, and at most."""


GLANCE = 0.01
"""Seconds between two looks at a try to connect that is waited for."""


class Watched(Protocol):
    """What is looked at."""

    @property
    def selected(self) -> tuple[str, ...]:
        """Symbols in use."""
        ...

    def link(self) -> Link:
        """How far the line to the broker reaches."""
        ...

    def account(self) -> Account:
        """The account; raises AccountChanged where it is another."""
        ...

    def quote(self, symbol: str) -> Quote:
        """The latest tick."""
        ...


class TerminalWatch:
    """Looks once a pass, on the loop's thread; `blocked` may be asked from any.

    A lost terminal is connected again on a thread of its own, for that can take a minute, and the
    loop must go on hearing commands meanwhile. What happened at the broker in between comes with
    the loop's next reconciliation.

    Args:
        client: the terminal.
        connect: connects again.
        clock: of the machine; its monotonic hand paces the tries.
        quotes: judges quotes; None where they cannot be stale (a simulated market).
    """

    def __init__(self, client: Watched, connect: Callable[[], object], clock: Clock, quotes: QuoteWatch | None = None) -> None:
        self._client = client
        self._connect = connect
        self._clock = clock
        self._quotes = quotes
        self._trouble: str | None = None
        self._told: str | None = None
        self._attempt: threading.Thread | None = None
        self._pause, self._next_try = FIRST_PAUSE, 0.0

    def look(self) -> bool:
        """Whether the terminal answers; where it does not, a try to connect it is under way or due."""
        if self._connecting():
            return False
        link = self._client.link()
        self._trouble = self._find_trouble(link)
        self._tell()
        if link is Link.GONE:
            self._try_again()
        return link is not Link.GONE

    def blocked(self, symbol: str = "") -> str | None:
        """Why nothing may be opened now, or None.

        Args:
            symbol: the one that is to be traded; empty asks about the terminal alone.
        """
        return self._trouble or (self._quotes.trouble(symbol) if self._quotes is not None else None)

    def wait(self, stop: threading.Event) -> bool:
        """Waits for a try that is under way; False where `stop` was set before its end."""
        while self._connecting() and not stop.wait(GLANCE):
            pass
        return not stop.is_set()

    def join(self) -> None:
        """Waits for a try that is under way."""
        if self._attempt is not None:
            self._attempt.join()

    def _find_trouble(self, link: Link) -> str | None:
        if link is Link.GONE:
            return "the terminal does not answer; it is being connected again"
        if link is Link.OFFLINE:
            return "the terminal has lost its server; it connects again by itself"
        try:
            self._client.account()
            self._look_at_quotes()
        except RetryError as error:
            return str(error)
        return None

    def _look_at_quotes(self) -> None:
        if self._quotes is None:
            return
        for symbol in self._client.selected:
            with suppress(DataError):  # before the first tick, which `blocked` says
                self._quotes.look(self._client.quote(symbol))

    def _tell(self) -> None:
        news = self.blocked()
        if news == self._told:
            return
        if news is not None:
            logger.warning("no entries: {}", news)
        elif self._told is not None:
            logger.info("entries are allowed again")
        self._told = news

    def _connecting(self) -> bool:
        return self._attempt is not None and self._attempt.is_alive()

    def _try_again(self) -> None:
        if self._clock.monotonic() >= self._next_try:
            self._attempt = threading.Thread(target=self._reconnect, name="reconnect", daemon=True)
            self._attempt.start()

    def _reconnect(self) -> None:
        try:
            self._connect()
        except (ScalperError, OSError) as error:
            logger.warning("the terminal is gone: {}; next try in {:.0f} s", error, self._pause)
            self._next_try = self._clock.monotonic() + self._pause
            self._pause = min(2 * self._pause, MOST_PAUSE)
        else:
            logger.info("the terminal answers again")
            self._pause = FIRST_PAUSE
