"""A simulated broker in a process of its own: it lives on when the daemon dies.

The broker listens on the loopback address only, and lets in who proves to know its key. Every
accepted order is in its book before it is answered. What travels is plain data (`wire`).
"""

from __future__ import annotations

import json
import pickle
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from config.errors import HomeError, TerminalUnavailable
from execution.broker_house import CLOSE
from execution.channel import SLICE, Deadlines, ask, await_data, spoken_error
from execution.far_terminal import FarTerminal, GivenUp
from execution.handshake import Address, dial
from execution.simulated.structs import STRUCTS
from execution.terminal import Request
from execution.wire import decode

START_SECONDS = 120.0
"""How long a broker may take to load its market."""

END_SECONDS = 10.0
"""How long it may take to end."""

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); from execution.broker_house import main; main()"


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
    process: subprocess.Popen[bytes] = field(repr=False)

    def connect(self, deadlines: Deadlines | None = None) -> FarTerminal:
        """A new client."""
        return connect_broker(self.address, self.key, deadlines)

    def stop(self, seconds: float = 10.0) -> None:
        """Ends it cleanly; one that does not end in time is killed. What was answered is in its book either way."""
        with suppress(TerminalUnavailable, HomeError):  # it may have ended already
            close_broker(self.address, self.key)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()


def start_broker(
    make: Callable[[], Any], *, also: Collection[str] = (), linger_seconds: float = 3_600.0, given_up: GivenUp = lambda: False
) -> BrokerProcess:
    """Starts a broker in a new process and waits until it listens.

    A plain process and not one of `multiprocessing`: those have a helper that keeps the daemon's
    own output open, and are waited for when the daemon ends.

    Args:
        make: makes the simulated terminal there; a function of a module, or a `partial` of one,
            whose arguments can be pickled.
        also: functions beyond the official module's that clients may call; `advance` always is.
        linger_seconds: without a client for so long, it ends by itself.
        given_up: asked while it starts; True ends it.

    Raises:
        TerminalUnavailable: it did not start.
        StopError: the error of `make`.
    """
    key = secrets.token_bytes(32)
    process = _spawn(json.dumps(sys.path).encode() + b"\n" + pickle.dumps((make, key, frozenset(also), linger_seconds)))
    with ExitStack() as undo:
        undo.callback(process.wait)
        undo.callback(process.kill)
        broker = BrokerProcess(_announced(process, given_up), key, process)
        undo.pop_all()
    return broker


def _spawn(orders: bytes) -> subprocess.Popen[bytes]:
    """A process that Ctrl-C in this console does not reach, and that holds none of its handles."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    process = subprocess.Popen(  # noqa: S603  # our own interpreter with a text of our own
        [sys.executable, "-c", _BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **apart
    )
    assert process.stdin is not None  # noqa: S101  # it is a pipe
    with suppress(OSError), process.stdin as pipe:  # it may have died at once; then it announces nothing
        pipe.write(orders)
    return process


def _announced(process: subprocess.Popen[bytes], given_up: GivenUp) -> Address:
    match _first_words(process, given_up):
        case ("listens", str(host), int(port)):
            return host, port
        case ("raised", str(name), str(text)):
            error = spoken_error(name, text)
            raise TerminalUnavailable(f"the simulated broker did not start: {error}") if isinstance(error, OSError) else error
    raise TerminalUnavailable("the simulated broker did not start, and did not say why")


def _first_words(process: subprocess.Popen[bytes], given_up: GivenUp) -> Any:
    """All that a new broker writes; read on a thread, for Windows cannot interrupt a read."""
    heard: list[bytes] = []
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    with process.stdout as pipe:
        reader = threading.Thread(target=lambda: heard.append(pipe.read()), name="broker announcement", daemon=True)
        reader.start()
        for _ in range(int(START_SECONDS / SLICE)):
            reader.join(SLICE)
            if heard or given_up():
                break
        if not heard:
            process.kill()  # ends the read
            reader.join()
    try:
        return decode(heard[0], STRUCTS)
    except ValueError:
        return None


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
        return FarTerminal(partial(dial, address, key), deadlines or Deadlines())
    except OSError as error:
        raise TerminalUnavailable(f"no simulated broker answers at {address[0]}:{address[1]}: {error}") from error


def close_broker(address: Address, key: bytes) -> None:
    """Tells a broker to end, and waits until its process is gone: a book has one writer.

    Raises:
        TerminalUnavailable: there is none.
        HomeError: it does not end.
    """
    try:
        line = dial(address, key)
    except OSError as error:
        raise TerminalUnavailable(f"no simulated broker answers at {address[0]}:{address[1]}: {error}") from error
    with closing(line):
        try:
            ask(line, Request(CLOSE), END_SECONDS)
            await_data(line, END_SECONDS, lambda: False, "the end of the broker")  # it hangs up when it ends
        except TimeoutError as error:
            raise HomeError(f"the simulated broker at {address[0]}:{address[1]} does not end: end its process, then start again") from error
        except OSError:
            return  # it was gone before it could answer
