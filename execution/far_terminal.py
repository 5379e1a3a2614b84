"""A terminal in another process: the same requests, each with a deadline.

The module in this process cannot be given one: it holds the interpreter's lock while it waits for
the terminal, so whatever would watch it stands still as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from execution.channel import SLICE, Deadlines, ask
from execution.handshake import Line
from execution.terminal import Reply, Request
from market_data.clock import ManualClock, SystemClock, from_epoch

LAST_SECONDS = 2.0
"""How long calls may still take once the daemon has been told to end."""

GivenUp = Callable[[], bool]


class FarTerminal:
    """Calls a terminal over a line that it opens, and drops at the first error.

    Safe to call from any thread; one call at a time. After an error every call fails at once,
    as the official module's do, until `initialize` opens a new line. While that lasts the other
    threads' calls fail at once too, so a thread that tries to reconnect keeps nobody waiting.

    Args:
        open_line: a new line; asked with a function that says whether to give up.
        deadlines: of calls.

    Attributes:
        clock: a simulated terminal's instant, as of its last answer; a real one never sets it.
    """

    def __init__(self, open_line: Callable[[GivenUp], Line], deadlines: Deadlines) -> None:
        self._open_line = open_line
        self._deadlines = deadlines
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._opening = False
        self._wall = SystemClock()
        self._last_moment: float | None = None
        self.clock = ManualClock(from_epoch(0))
        with self._lock:
            self._open()

    def call(self, request: Request) -> Reply:
        """Asks the terminal.

        Raises:
            OSError: no line, or no answer in time: what became of the call is not known.
            StopError: a new line cannot be opened, for a reason that trying again does not mend.
        """
        opens = request.function == "initialize"
        self._acquire(opens)
        try:
            self._opening = opens
            if self._line is None and opens and not self._given_up():
                self._open()
            return self._ask(request)
        finally:
            self._opening = False
            self._lock.release()

    def interrupt(self) -> None:
        """The daemon ends: calls get `LAST_SECONDS` more, all together, and no new line is opened after that."""
        self._last_moment = self._wall.monotonic() + LAST_SECONDS

    def close(self) -> None:
        """Hangs up."""
        with self._lock:
            self._drop()

    def _acquire(self, opens: bool) -> None:
        """The lock, waited for in slices: on Windows a signal cannot end a longer wait."""
        while not self._lock.acquire(timeout=SLICE):
            if self._opening and not opens:
                raise ConnectionError("the terminal is being connected again")

    def _given_up(self) -> bool:
        return self._last_moment is not None and self._wall.monotonic() > self._last_moment

    def _open(self) -> None:
        self._line = self._open_line(self._given_up)
        self._ask(Request("last_error"))  # brings the clock

    def _ask(self, request: Request) -> Reply:
        if self._line is None:
            raise ConnectionError("no connection to the process of the terminal")
        try:
            reply, now = ask(self._line, request, self._deadlines.of(request.function), self._given_up)
        except OSError:
            self._drop()
            raise
        if now is not None:
            self.clock.set(from_epoch(now))
        return reply

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
