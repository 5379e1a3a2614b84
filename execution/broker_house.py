"""Inside the process of a simulated broker: the listener, its door and its clients."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from typing import Any

from config.errors import ScalperError
from execution.channel import Hosted, answer_all
from execution.handshake import LOOPBACK, admits
from execution.simulated.structs import STRUCTS
from execution.wire import encode
from market_data.clock import SystemClock

CLOSE = "close_broker"
"""A request that ends the broker's process."""


def deafen() -> None:
    """Ctrl-C reaches every process of a console; this one ends when its owner says so."""
    for name in ("SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def main() -> None:
    """The broker's process: its orders come on standard input, and its announcement goes to standard output."""
    make, key, also, linger_seconds = pickle.loads(sys.stdin.buffer.read())  # noqa: S301  # from the process that started this one, over its own pipe
    keep_house(make, key, also, linger_seconds, _announce)


def keep_house(make: Callable[[], Any], key: bytes, also: frozenset[str], linger_seconds: float, announce: Callable[[bytes], None]) -> None:
    """A broker, from start to end.

    Args:
        make: makes the simulated terminal.
        key: what a client must know.
        also: functions beyond the official module's that clients may call.
        linger_seconds: without a client for so long, it ends.
        announce: told once where the broker listens, or why it cannot start.
    """
    deafen()
    try:
        module = make()
    except (ScalperError, OSError) as error:
        announce(encode(("raised", type(error).__name__, str(error)), STRUCTS))
        return
    ended = threading.Event()
    module.close_broker = ended.set
    house = _House(Hosted.of(module, {"advance", CLOSE, *also}), key, ended)
    with Listener((LOOPBACK, 0), family="AF_INET", backlog=8) as listener:
        threading.Thread(target=house.let_in, args=(listener,), name="doorman", daemon=True).start()
        announce(encode(("listens", *listener.address), STRUCTS))
        house.stay(linger_seconds)
    module.close()


def _announce(words: bytes) -> None:
    """Says it and closes the pipe: whoever started this process reads to the end."""
    sys.stdout.buffer.write(words)
    sys.stdout.buffer.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class _House:
    """Who is in, and when the last one left."""

    def __init__(self, hosted: Hosted, key: bytes, ended: threading.Event) -> None:
        self._hosted = hosted
        self._key = key
        self._ended = ended
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._guests = 0
        self._empty_since = self._clock.monotonic()

    def stay(self, linger_seconds: float) -> None:
        """Until somebody ends it, or nobody comes any more."""
        while not self._ended.wait(0.5):
            with self._lock:
                if not self._guests and self._clock.monotonic() - self._empty_since > linger_seconds:
                    return

    def let_in(self, listener: Listener) -> None:
        """One thread for each client: one that knocks and says nothing keeps nobody else waiting."""
        while True:
            try:
                guest = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(guest,), name="client", daemon=True).start()

    def _serve(self, guest: Connection) -> None:
        with guest:
            if not admits(guest, self._key):
                return
            self._count(1)
            answer_all(guest, self._hosted)
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._guests += change
            self._empty_since = self._clock.monotonic()
