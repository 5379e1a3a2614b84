"""A simulated broker in a process of its own: it lives on when the daemon dies.

The broker listens on the loopback address only, and lets in who proves to know its key. Every
accepted order is in its book before it is answered. What travels is plain data (`wire`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from config.errors import TerminalUnavailable
from execution.broker_house import CLOSE, Address, dial, keep_house
from execution.channel import Deadlines, Line, await_data, receive, spoken_error
from execution.far_terminal import FarTerminal
from execution.terminal import Request
from execution.wire import LONGEST_REQUEST

START_SECONDS = 120.0
"""How long a broker may take to load its market."""


@dataclass(slots=True)
class BrokerProcess:
    """A broker that was started from here.

    Attributes:
        address: where it listens.
        key: what a client must know.
        process: for `kill` and its exit code.
    """

    address: Address
    key: bytes
    process: BaseProcess = field(repr=False)

    def connect(self, deadlines: Deadlines | None = None) -> FarTerminal:
        """A new client."""
        return connect_broker(self.address, self.key, deadlines)

    def stop(self, seconds: float = 10.0) -> None:
        """Ends it cleanly; one that does not end in time is killed. What was answered is in its book either way."""
        with suppress(TerminalUnavailable):  # it may have ended already
            close_broker(self.address, self.key)
        self.process.join(seconds)
        self.kill()

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.join()


def start_broker(make: Callable[[], Any], *, also: Collection[str] = (), linger_seconds: float = 3_600.0) -> BrokerProcess:
    """Starts a broker in a new process and waits until it listens.

    Args:
        make: makes the simulated terminal there; a function of a module, or a `partial` of one,
            whose arguments can be pickled.
        also: functions beyond the official module's that clients may call; `advance` always is.
        linger_seconds: without a client for so long, it ends by itself.

    Raises:
        TerminalUnavailable: it did not start.
        StopError: the error of `make`.
    """
    key = secrets.token_bytes(32)
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=keep_house, args=(make, key, theirs, frozenset(also), linger_seconds), name="broker")
    process.start()
    theirs.close()
    try:
        return BrokerProcess(_announced(ours), key, process)
    except BaseException:
        process.kill()
        process.join()
        raise
    finally:
        ours.close()


def _announced(pipe: Line) -> Address:
    try:
        await_data(pipe, START_SECONDS, lambda: False, "the simulated broker")
        match receive(pipe, LONGEST_REQUEST):
            case ("listens", str(host), int(port)):
                return host, port
            case ("raised", str(name), str(text)):
                raise spoken_error(name, text)
    except OSError as error:
        raise TerminalUnavailable(f"the simulated broker did not start: {error}") from error
    raise TerminalUnavailable("the simulated broker did not say where it listens")


# --- the client -------------------------------------------------------------------------------


def connect_broker(address: Address, key: bytes, deadlines: Deadlines | None = None) -> FarTerminal:
    """A connection to a broker that listens.

    Args:
        address: host and port, as the broker announced them.
        key: the same for both.
        deadlines: of calls.

    Raises:
        TerminalUnavailable: nobody listens there, or the key is another.
    """
    try:
        return FarTerminal(lambda given_up: dial(address, key), deadlines or Deadlines())
    except OSError as error:
        raise TerminalUnavailable(f"no simulated broker answers at {address[0]}:{address[1]}: {error}") from error


def close_broker(address: Address, key: bytes) -> None:
    """Tells a broker to end.

    Raises:
        TerminalUnavailable: there is none.
    """
    client = connect_broker(address, key)
    with closing(client), suppress(OSError):  # it may be gone before it could answer
        client.call(Request(CLOSE))
