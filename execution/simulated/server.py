"""Serves a simulated terminal to programs in other processes on this machine."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from multiprocessing.connection import Connection, Listener
from typing import Any

from execution.handshake import LOOPBACK, admits
from execution.simulated.functions import ADDRESS, FUNCTIONS, KEY
from execution.simulated.link import Session
from execution.simulated.module import SimulatedMT5
from execution.simulated.structs import STRUCTS
from execution.wire import LONGEST_REQUEST, decode_call, encode
from market_data.clock import Clock


class Pace:
    """Simulated time that follows a clock from the first question on.

    Args:
        clock: what it follows.
        speed: simulated seconds per second.
        start: the first instant; None: the clock's own now.
    """

    def __init__(self, clock: Clock, speed: float, start: datetime | None = None) -> None:
        self._clock, self._speed, self._start = clock, speed, start
        self._began: float | None = None

    def due(self) -> datetime:
        """The instant that the market should have reached."""
        if self._start is None:
            self._start = self._clock.now()
        if self._began is None:
            self._began = self._clock.monotonic()
        return self._start + timedelta(seconds=(self._clock.monotonic() - self._began) * self._speed)


class TerminalServer:
    """A terminal on a loopback port; every connection is a program of its own, with its own `last_error`.

    Before each call the market is played to the instant that is due. Who connects must know the key,
    and can call the functions of the module, nothing else.

    Args:
        terminal: what is served.
        due: the instant that the market should have reached.
    """

    def __init__(self, terminal: SimulatedMT5, due: Callable[[], datetime]) -> None:
        self._terminal, self._due = terminal, due
        self._key = secrets.token_bytes(32)
        self._listener = Listener((LOOPBACK, 0))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="terminal-server", daemon=True)
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a program finds this terminal."""
        host, port = self._listener.address[:2]
        return {ADDRESS: f"{host}:{port}", KEY: self._key.hex()}

    def close(self) -> None:
        """Lets nobody in any more; who is connected finds the line cut at the next call."""
        if self._closing.is_set():
            return
        self._closing.set()
        with suppress(OSError):  # a connection wakes the thread; on some systems closing the port does not
            socket.create_connection((LOOPBACK, int(self._listener.address[1])), timeout=1).close()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                continue  # it hung up at once
            threading.Thread(target=self._serve, args=(connection,), name="terminal-program", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """Answers one program until it ends; one that says nothing keeps nobody else waiting."""
        session = Session()
        with connection, suppress(OSError, EOFError):
            if not admits(connection, self._key):
                return
            while True:
                name, args, keywords = _call(connection)
                if self._closing.is_set():
                    return
                connection.send_bytes(encode(self._answer(session, name, args, keywords), STRUCTS))

    def _answer(self, session: Session, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[str, Any, tuple[int, str]]:
        """What a call gave: its value, or the type and text of what it raised; and its `last_error`."""
        if name not in FUNCTIONS:
            return "TypeError", f"the module has no function {name}", session.error
        with self._terminal.serving(session):
            self._terminal.advance_to(self._due())
            try:
                kind, value = "value", getattr(self._terminal, name)(*args, **keywords)
            except (OverflowError, SystemError, TypeError, ValueError) as error:
                kind, value = type(error).__name__, str(error)
            return kind, value, self._terminal.last_error()


def _call(connection: Connection) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The next call.

    Raises:
        OSError: the line is cut, or what came is no call.
    """
    try:
        return decode_call(connection.recv_bytes(LONGEST_REQUEST), STRUCTS)
    except ValueError as error:
        raise ConnectionError(f"the program talks nonsense: {error}") from error
