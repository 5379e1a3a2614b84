"""The two lines of a terminal, to the program and to the broker's server, and how they fail."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from execution.simulated import constants as mt5
from execution.simulated.calls import SUCCESS, CallFailed
from execution.simulated.core import TerminalCore
from execution.simulated.feed import Feed


@dataclass
class Session:
    """What the module keeps for one program.

    Attributes:
        initialized: whether the program has connected.
        error: its `last_error`.
        depth: symbols whose depth of market it has subscribed to.
    """

    initialized: bool = False
    error: tuple[int, str] = SUCCESS
    depth: set[str] = field(default_factory=set)


class TerminalLink(TerminalCore):
    """A terminal whose lines can be cut.

    Attributes:
        answers: whether the terminal starts; where not, `initialize` waits for its timeout.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.answers = True
        self._breaks: tuple[int, str] | None = None
        self._stale: dict[str, Feed] = {}

    def break_pipe(self, *, sending: bool = True) -> None:
        """Cuts the line to the program: its next call fails, later ones have no connection until `initialize`.

        Args:
            sending: whether the request is lost, or the answer to it.
        """
        self._breaks = (
            (mt5.RES_E_INTERNAL_FAIL_SEND, "IPC send failed") if sending else (mt5.RES_E_INTERNAL_FAIL_RECEIVE, "IPC recv failed")
        )

    @property
    def connected(self) -> bool:
        """Whether the terminal reaches its server; where not, it shows the quotes and bars that it has."""
        return self._desk.connected

    @connected.setter
    def connected(self, on: bool) -> None:
        with self._lock:
            self._desk.connected = on
            self._stale = {} if on else {symbol: copy.copy(feed) for symbol, feed in self._market.feeds.items()}

    @contextmanager
    def serving(self, session: Session) -> Iterator[None]:
        """Calls inside are those of one of several programs that share the terminal."""
        with self._lock:
            own = Session(self._initialized, self._error, self._depth)
            self._be(session)
            try:
                yield
            finally:
                session.initialized, session.error = self._initialized, self._error
                self._be(own)

    def _be(self, session: Session) -> None:
        self._initialized, self._error, self._depth = session.initialized, session.error, session.depth

    def _start(self, timeout_ms: int) -> None:
        """Connects the program, or waits in vain."""
        self._initialized, self._breaks = False, None
        if not self.answers:
            threading.Event().wait(timeout_ms / 1000)
            raise CallFailed(mt5.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")

    def _require_connection(self) -> None:
        if self._initialized and self._breaks is not None:
            broken, self._breaks, self._initialized = self._breaks, None, False
            raise CallFailed(*broken)
        super()._require_connection()

    def _feed(self, symbol: str, code: int = mt5.RES_E_NOT_FOUND) -> Feed:
        """The feed as the terminal knows it."""
        return self._stale.get(symbol, super()._feed(symbol, code))
