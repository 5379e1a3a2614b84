"""The manners of the module: how a call fails, which arguments it takes, one error for all."""

from __future__ import annotations

import functools
import inspect
import operator
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from execution.simulated import constants as mt5

Params = ParamSpec("Params")
Value = TypeVar("Value")

SUCCESS = (mt5.RES_S_OK, "Success")
LONGEST_TEXT = 29
"""Characters of a symbol or comment; the official core refuses more."""


class CallFailed(Exception):
    """A call that answers with its failure value and leaves this `last_error`; never leaves the module."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


class WrongType(TypeError):
    """An argument on which the official core's parser gives up; it becomes a SystemError there, and here."""


class CallState(Protocol):
    """What a call needs of its owner."""

    _lock: threading.RLock
    _error: tuple[int, str]


Owner = TypeVar("Owner", bound=CallState)


def terminal_call(
    failure: Any = None, refused: Any = ...
) -> Callable[[Callable[Concatenate[Owner, Params], Value]], Callable[Concatenate[Owner, Params], Value]]:
    """Makes a method a module function: one at a time, its outcome in `last_error`.

    Args:
        failure: what the function returns when it cannot do its work.
        refused: what it returns for bad arguments, where that differs.

    Raises:
        SystemError: from the function, for an argument of a type that the official parser gives up on.
        TypeError: from the function, for keywords or arguments that it does not take at all.
    """

    def wrap(method: Callable[Concatenate[Owner, Params], Value]) -> Callable[Concatenate[Owner, Params], Value]:
        check = _convention(method)

        @functools.wraps(method)
        def call(self: Owner, /, *args: Params.args, **kwargs: Params.kwargs) -> Value:
            check(len(args), len(kwargs))
            with self._lock:
                self._error = SUCCESS
                try:
                    value = method(self, *args, **kwargs)
                except CallFailed as failed:
                    self._error = (failed.code, failed.message)
                    bad_arguments = refused is not ... and failed.code == mt5.RES_E_INVALID_PARAMS
                    return refused if bad_arguments else failure  # type: ignore[no-any-return]  # the documented failure value of this function
                except WrongType as error:
                    raise SystemError(f"<built-in function {method.__name__}> returned a result with an exception set") from error
                return value

        return call

    return wrap


def _convention(method: Callable[..., Any]) -> Callable[[int, int], None]:
    """The test that the interpreter makes before it calls a function of the official core.

    A function without parameters takes nothing, one with `*args` alone takes no keywords.
    """
    kinds = {parameter.kind for parameter in inspect.signature(method).parameters.values()}
    name = method.__name__
    takes_args, takes_keywords = inspect.Parameter.VAR_POSITIONAL in kinds, inspect.Parameter.VAR_KEYWORD in kinds

    def check(args: int, keywords: int) -> None:
        if keywords and not takes_keywords:
            raise TypeError(f"{name}() takes no keyword arguments")
        if args and not takes_args:
            raise TypeError(f"{name}() takes no arguments ({args} given)")

    return check


def without_arguments(method: Callable[[Any], Value]) -> Callable[..., Value]:
    """Makes a method a module function that takes no arguments and leaves `last_error` alone."""
    check = _convention(method)

    @functools.wraps(method)
    def call(self: Any, /, *args: Any, **keywords: Any) -> Value:
        check(len(args), len(keywords))
        return method(self)

    return call


def invalid(message: str = "Invalid arguments") -> CallFailed:
    """The failure of arguments that the client side refuses."""
    return CallFailed(mt5.RES_E_INVALID_PARAMS, message)


def expect(args: tuple[Any, ...], least: int, most: int | None = None) -> None:
    """Checks the number of positional arguments."""
    if not least <= len(args) <= (most if most is not None else least):
        raise invalid()


def text(value: object) -> str:
    """A symbol's name: str, at most 29 characters."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise invalid()
    return value


def integer(value: Any) -> int:
    """A C int; what is no integer raises, as the official core's parser does."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise WrongType(str(error)) from None


def number(value: Any) -> float:
    """A C double; what is no number raises, as the official core's parser does."""
    if isinstance(value, str | bytes | bytearray):
        raise WrongType(f"must be real number, not {type(value).__name__}")
    try:
        return float(value)
    except TypeError:
        raise WrongType(f"must be real number, not {type(value).__name__}") from None


def stamp(value: object) -> int:
    """Epoch seconds of a date argument: int, float or datetime.

    A naive datetime is taken in this machine's local zone, as the official module takes it.
    """
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, int | float):
        return int(value)
    raise invalid()


def matches(name: str, group: str) -> bool:
    """Whether a name passes a group mask: comma list, `*` wildcard, `!` excludes, applied in order.

    >>> [matches(name, "*,!*USD*") for name in ("EURGBP", "EURUSD")]
    [True, False]
    """
    chosen = False
    for part in filter(None, (piece.strip() for piece in group.split(","))):
        if _fits(name, part.removeprefix("!")):
            chosen = not part.startswith("!")
    return chosen


def _fits(name: str, mask: str) -> bool:
    head, *rest = mask.split("*")
    if not rest:
        return name == mask
    if not name.startswith(head):
        return False
    position = len(head)
    for piece in rest[:-1]:
        found = name.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(name) - position >= len(rest[-1]) and name.endswith(rest[-1])
