"""Calls and replies between a terminal and a program in another process, as bytes.

No object is ever pickled: a message is JSON, followed by the bytes of its arrays. What the official
module would refuse stays recognisable, so the refusal is the same on both sides.

This file is also loaded on its own by the stand-in package, by any Python from 3.10 on, so it
imports the standard library and NumPy alone.
"""

from __future__ import annotations

import json
import operator
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np

ADDRESS, KEY, SHADOW = "SIMULATED_MT5_ADDRESS", "SIMULATED_MT5_KEY", "SIMULATED_MT5_SHADOW"
"""Environment variables by which a program finds its terminal."""

FUNCTIONS = (
    "initialize",
    "login",
    "shutdown",
    "version",
    "last_error",
    "account_info",
    "terminal_info",
    "symbols_total",
    "symbols_get",
    "symbol_info",
    "symbol_info_tick",
    "symbol_select",
    "market_book_add",
    "market_book_get",
    "market_book_release",
    "copy_rates_from",
    "copy_rates_from_pos",
    "copy_rates_range",
    "copy_ticks_from",
    "copy_ticks_range",
    "orders_total",
    "orders_get",
    "order_calc_margin",
    "order_calc_profit",
    "order_check",
    "order_send",
    "positions_total",
    "positions_get",
    "history_orders_total",
    "history_orders_get",
    "history_deals_total",
    "history_deals_get",
)
"""The functions of the module."""

_LENGTH = struct.Struct("<I")
_PLAIN = (bool, int, float, str)


def packed(value: Any) -> bytes:
    """The message that holds a value: None, numbers, text, dates, records, arrays, tuples and dicts of these.

    Anything else is described by its type's name and by the number that it can stand for.
    """
    blobs: list[bytes] = []
    text = json.dumps(_told(value, blobs)).encode("ascii")
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def unpacked(message: bytes, records: Mapping[str, Any]) -> Any:
    """The value that a message holds.

    Args:
        message: as `packed` made it.
        records: the reader's own record types by name.

    Raises:
        ValueError: the message is damaged.
        KeyError: it names a record that the reader does not have.
    """
    start = _LENGTH.size + _LENGTH.unpack_from(message)[0]
    return _Reader(message, start, records).value(json.loads(message[_LENGTH.size : start]))


def _told(value: Any, blobs: list[bytes]) -> Any:
    """A JSON value; only what carries a tag is an object there."""
    if value is None:
        return None
    for kind in _PLAIN:  # a subclass counts as what it derives from, as it does for the official core
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, np.ndarray) and value.dtype.names:
        blobs.append(value.tobytes())
        return {"array": [list(map(list, value.dtype.descr)), len(value)]}
    if isinstance(value, tuple):
        name = type(value).__name__ if hasattr(type(value), "__match_args__") else None
        return {"tuple": [name, [_told(item, blobs) for item in value]]}
    if isinstance(value, dict):
        return {"dict": [[_told(key, blobs), _told(item, blobs)] for key, item in value.items()]}
    if isinstance(value, datetime) and value == value:  # not pandas' NaT  # noqa: PLR0124, RUF100
        return {"date": value.timestamp()}
    return {"other": _described(value)}


def _described(value: Any) -> list[Any]:
    """Type name, whole number and number of a foreign object; None where it stands for none."""
    whole = _tried(operator.index, value)
    return [type(value).__name__, whole, None if whole is not None else _tried(float, value)]


def _tried(convert: Any, value: Any) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError):
        return None


class _Reader:
    """Rebuilds a value; arrays are taken from the message one after another."""

    def __init__(self, message: bytes, start: int, records: Mapping[str, Any]) -> None:
        self._message, self._at, self._records = message, start, records

    def value(self, told: Any) -> Any:
        if not isinstance(told, dict):
            return told
        ((tag, held),) = told.items()
        return getattr(self, f"_{tag}")(held)

    def _array(self, held: Any) -> Any:
        dtype = np.dtype([(name, kind) for name, kind in held[0]])
        start, self._at = self._at, self._at + held[1] * dtype.itemsize
        # A bytearray, because a program may write into what it was given.
        return np.frombuffer(bytearray(self._message[start : self._at]), dtype)

    def _tuple(self, held: Any) -> Any:
        items = tuple(self._each(held[1]))
        return items if held[0] is None else self._records[held[0]](items)

    def _dict(self, held: Any) -> dict[Any, Any]:
        return {self.value(key): self.value(item) for key, item in held}

    def _date(self, held: Any) -> datetime:
        return datetime.fromtimestamp(held, timezone.utc)  # noqa: UP017  # datetime.UTC is younger than some programs' Python

    def _other(self, held: Any) -> Any:
        return stranger(*held)

    def _each(self, told: list[Any]) -> Iterator[Any]:
        return (self.value(item) for item in told)


def stranger(name: str, whole: int | None, number: float | None) -> Any:
    """An object of a type that nobody knows here, which converts as the original does.

    >>> operator.index(stranger("int64", 5, None)), isinstance(stranger("int64", 5, None), int)
    (5, False)
    """
    body: dict[str, Any] = {}
    if whole is not None:
        body |= {"__index__": lambda _: whole, "__bool__": lambda _: bool(whole)}
    elif number is not None:
        body |= {"__float__": lambda _: number, "__bool__": lambda _: bool(number)}
    return type(name, (), body)()
