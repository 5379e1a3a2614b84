"""Both ends of a connection to a terminal in another process: asking with a deadline, and answering."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import config.errors
from config.errors import ScalperError
from execution.handshake import Line
from execution.simulated.functions import FUNCTIONS
from execution.simulated.structs import STRUCTS
from execution.terminal import ModuleTerminal, Reply, Request
from execution.wire import LONGEST_REPLY, LONGEST_REQUEST, decode, decode_call, encode
from market_data.clock import SystemClock

SLICE = 0.2
"""Seconds of one wait: on Windows a signal cannot end a longer one."""

_RAISED = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, ScalperError, SystemError, TypeError, ValueError)
_SPOKEN = {
    name: kind
    for source, names in (
        (builtins, ("OverflowError", "SystemError", "TypeError", "ValueError")),
        (config.errors, ("DataError", "HomeError", "SettingsError", "StorageError", "TerminalUnavailable")),
    )
    for name in names
    if (kind := getattr(source, name))
}
"""Errors that keep their type on the way; any other is a lost connection, which proves nothing about the call."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a call may take, by what it does.

    Attributes:
        call: reading an account, a symbol, a quote, open positions.
        history: bars, ticks, past orders and deals, the list of symbols.
        order: sending an order; afterwards its outcome is unknown.
        connect: starting the terminal and logging in.
    """

    call: float = 10.0
    history: float = 60.0
    order: float = 30.0
    connect: float = 70.0

    def of(self, function: str) -> float:
        """The deadline of a function of the module."""
        if function in ("initialize", "login"):
            return self.connect
        if function == "order_send":
            return self.order
        return self.history if function.startswith(("copy_", "history_")) or function == "symbols_get" else self.call


# --- asking -----------------------------------------------------------------------------------


def ask(connection: Line, request: Request, seconds: float, given_up: Callable[[], bool] = lambda: False) -> tuple[Reply, float | None]:
    """One call over a connection; waits in slices, so that a signal is handled meanwhile.

    Args:
        connection: to a process that runs `answer_all`; used by one thread at a time. After an
            error it must not be used again: a late answer would be taken for the next one.
        request: what to call.
        seconds: how long the answer may take.
        given_up: asked in every slice; True ends the wait.

    Returns:
        The reply, and the terminal's own instant (UTC epoch seconds) where it has a clock.

    Raises:
        OSError: no answer in time, or the connection is gone; nothing is known about the call.
        Exception: what the function raised there, where it is one of a few known types.
    """
    say(connection, (request.function, request.args, dict(request.kwargs)))
    await_data(connection, seconds, given_up, request.function)
    return _reply(receive(connection, LONGEST_REPLY))


def await_data(connection: Line, seconds: float, given_up: Callable[[], bool], what: str) -> None:
    """Waits until there is something to read.

    Raises:
        TimeoutError: nothing came in time, or the wait was given up.
    """
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while not connection.poll(min(SLICE, max(0.0, end - clock.monotonic()))):
        if given_up():
            raise TimeoutError(f"{what}: given up while waiting for the answer")
        if clock.monotonic() >= end:
            raise TimeoutError(f"{what}: no answer within {seconds:g} s")


def say(connection: Line, value: Any) -> None:
    """Sends one message.

    Raises:
        OSError: the connection is gone.
    """
    connection.send_bytes(encode(value, STRUCTS))


def receive(connection: Line, longest: int) -> Any:
    """The next message.

    Raises:
        OSError: the connection is gone, or what came is no message of ours.
    """
    try:
        return decode(connection.recv_bytes(longest), STRUCTS)
    except (EOFError, ValueError) as error:
        raise ConnectionError(f"the process of the terminal is gone or talks nonsense: {type(error).__name__} {error}") from error


def _reply(message: Any) -> tuple[Reply, float | None]:
    match message:
        case ("reply", value, int(code), str(text), now):
            return Reply(value, code, text), now
        case ("raised", str(name), str(text)):
            raise spoken_error(name, text)
    raise ConnectionError("the process of the terminal talks nonsense")


def spoken_error(name: str, text: str) -> Exception:
    """The error that was raised at the other end."""
    kind = _SPOKEN.get(name)
    return ConnectionError(f"{name}: {text}") if kind is None else kind(text)


# --- answering --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hosted:
    """A module that other processes may call.

    Attributes:
        terminal: the module behind its lock.
        functions: the names that may be called; whatever else the module has stays out of reach.
        now: the instant of a simulated terminal; None for a real one.
    """

    terminal: ModuleTerminal
    functions: Collection[str]
    now: Callable[[], datetime] | None

    @classmethod
    def of(cls, module: Any, also: Collection[str] = ()) -> Hosted:
        """Takes a module, or the simulated one with its clock.

        Args:
            module: with the official functions.
            also: functions of its own that may be called too.
        """
        clock = getattr(module, "clock", None)
        return cls(ModuleTerminal(module), {*FUNCTIONS, *also}, None if clock is None else clock.now)


def answer_all(connection: Line, hosted: Hosted) -> None:
    """Answers requests until the other side hangs up."""
    while True:
        try:
            connection.send_bytes(_answer(connection.recv_bytes(LONGEST_REQUEST), hosted))
        except (EOFError, OSError):
            return


def _answer(data: bytes, hosted: Hosted) -> bytes:
    try:
        request = _request(data, hosted.functions)
        reply = hosted.terminal.call(request)
        now = None if hosted.now is None else hosted.now().timestamp()
        return encode(("reply", reply.value, reply.code, reply.message, now), STRUCTS)
    except _RAISED as error:
        return encode(("raised", type(error).__name__, str(error)), STRUCTS)


def _request(data: bytes, functions: Collection[str]) -> Request:
    function, args, kwargs = decode_call(data, STRUCTS)
    if function not in functions:
        raise ConnectionError(f"{function} is no function that this terminal answers")
    return Request(function, args, kwargs)
