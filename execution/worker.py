"""The terminal's module in a worker process, which is killed and replaced when a call misses its deadline.

A call that hangs inside the module cannot be ended in its own process: the module holds the
interpreter's lock and has no time-out. Killing its process can. The call's outcome is then
unknown, and the next `initialize` starts a new worker.

A worker whose daemon dies ends as soon as it listens again: at once when idle, after its call
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from config.errors import ScalperError
from execution.broker_house import deafen
from execution.channel import Deadlines, Hosted, answer_all, await_data, receive, say, spoken_error
from execution.far_terminal import FarTerminal, GivenUp
from execution.handshake import Line
from execution.wire import LONGEST_REQUEST

START_SECONDS = 120.0
"""How long a worker may take to import its module and, where it is simulated, to load its market."""

GRACE_SECONDS = 0.5
"""How long a worker may take to end by itself before it is killed."""


def worker_terminal(make: Callable[[], Any], deadlines: Deadlines, also: Collection[str] = ()) -> FarTerminal:
    """A terminal whose module lives in a worker process.

    Args:
        make: makes the module there; a function of a module, or a `partial` of one, whose
            arguments can be pickled.
        deadlines: of calls; a worker that misses one is killed.
        also: functions beyond the official module's that may be called.

    Raises:
        OSError: the worker did not start.
        StopError: the error of `make`.
    """
    return FarTerminal(partial(_start, make, frozenset(also)), deadlines)


class _WorkerLine:
    """The pipe to a worker; to hang up is to kill."""

    def __init__(self, pipe: Line, process: BaseProcess) -> None:
        self._pipe = pipe
        self._process = process
        self.send_bytes = pipe.send_bytes
        self.recv_bytes = pipe.recv_bytes
        self.poll = pipe.poll

    def close(self) -> None:
        self._pipe.close()
        self._process.join(GRACE_SECONDS)  # an idle one ends by itself, and closes its book
        self._process.kill()
        self._process.join()
        self._process.close()


def _start(make: Callable[[], Any], also: frozenset[str], given_up: GivenUp) -> Line:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(make, theirs, also), name="terminal", daemon=True)
    process.start()
    theirs.close()
    line = _WorkerLine(ours, process)
    with ExitStack() as undo:
        undo.callback(line.close)
        _await_start(line, given_up)
        undo.pop_all()
    return line


def _await_start(line: Line, given_up: GivenUp) -> None:
    await_data(line, START_SECONDS, given_up, "the terminal's worker process")
    match receive(line, LONGEST_REQUEST):
        case ("ready",):
            return
        case ("raised", str(name), str(text)):
            raise spoken_error(name, text)
    raise ConnectionError("the terminal's worker process talks nonsense")


def _work(make: Callable[[], Any], line: Line, also: frozenset[str]) -> None:
    """The worker's process, from start to end."""
    deafen()
    try:
        module = make()
    except ScalperError as error:
        say(line, ("raised", type(error).__name__, str(error)))
        return
    say(line, ("ready",))
    answer_all(line, Hosted.of(module, also))
    if hasattr(module, "close"):
        module.close()
