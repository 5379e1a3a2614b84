"""The two ends of a connection on this machine prove to each other that they know one key.

The proof is that of `multiprocessing`, which every version of Python gives and takes alike; no
object is ever pickled.

This file is also loaded on its own by the stand-in package, by any Python from 3.10 on, so it
imports the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from typing import Protocol

LOOPBACK = "127.0.0.1"

KNOCK_SECONDS = 10.0
"""How long a listener may take to ask for the key."""

_SLICE = 0.2  # on Windows a signal cannot end a longer wait

_STRANGER = (AssertionError, AuthenticationError, EOFError, OSError, ValueError)
"""How the proof fails with somebody who is none of ours, by Python version."""

Address = tuple[str, int]


class Line(Protocol):
    """A connection of `multiprocessing`: a socket, or a pipe, which on Windows is another type."""

    def send_bytes(self, buf: bytes) -> None:
        """Sends one message."""
        ...

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Receives one message; a longer one is an OSError."""
        ...

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to read, or the other side has hung up."""
        ...

    def close(self) -> None:
        """Hangs up."""
        ...


def admits(guest: Connection, key: bytes) -> bool:
    """Whether a guest knows the key; asked by the listener, which proves it too, in the order in which `dial` does."""
    try:
        deliver_challenge(guest, key)
        answer_challenge(guest, key)
    except _STRANGER:
        return False
    return True


def dial(address: Address, key: bytes, given_up: Callable[[], bool] = lambda: False) -> Line:
    """A connection on which both sides have proved the key.

    Args:
        address: where the listener is.
        key: of both.
        given_up: asked while the listener says nothing; True ends the wait.

    Raises:
        TimeoutError: somebody listens and says nothing.
        OSError: nobody listens, or it is somebody else.
    """
    connection = Client(address, family="AF_INET")
    try:
        _await_question(connection, given_up)
        answer_challenge(connection, key)
        deliver_challenge(connection, key)
    except TimeoutError:
        connection.close()
        raise
    except _STRANGER as error:
        connection.close()
        raise ConnectionError(f"the listener at {address[0]}:{address[1]} is not this broker: {error}") from error
    return connection


def _await_question(connection: Line, given_up: Callable[[], bool]) -> None:
    for _ in range(round(KNOCK_SECONDS / _SLICE)):
        if connection.poll(_SLICE):
            return
        if given_up():
            break
    raise TimeoutError(f"the listener says nothing for {KNOCK_SECONDS:g} s")
