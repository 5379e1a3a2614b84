"""Calls and replies as bytes, for a terminal that lives in another process.

A message is the length of its JSON text (4 bytes), the text, and the raw bytes of its arrays.
JSON and not pickle, because reading a pickle runs whatever code it names: here only plain data,
the reader's own record types and arrays of numbers can come out, whoever sent the bytes. JSON and
not `marshal`, because that format changes with the Python version and must not be fed foreign
bytes. JSON's floats are exact (`repr` round trip), its integers have any size.

What the official module would refuse stays recognisable, so the refusal is the same on both
sides. Its records do not pickle at all; they travel as name and values and come back as the
reader's record of the same name. Scalars are themselves; everything else is a list that begins
with its tag.

This file is also loaded on its own by the stand-in package, by any Python from 3.10 on, so it
imports the standard library and NumPy alone; each side says which record types it has.
"""

from __future__ import annotations

import json
import operator
import struct
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_REQUEST = 2**20
LONGEST_REPLY = 2**30
"""Bytes of a message; the largest replies are ticks of 60 bytes each."""

_HEAD = struct.Struct("<I")
_FORMATS = frozenset({"<i8", "<u8", "<f8", "<i4", "<u4"})
_SCALARS = (bool, int, float, str)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # datetime.UTC is younger than some programs' Python

Records = Mapping[str, Any]
"""Record types by name: tuples built from one iterable, with their fields in `__match_args__`."""


def encode(value: Any, records: Records) -> bytes:
    """One message.

    Args:
        value: scalars, `None`, datetimes, tuples, lists, dicts, records and arrays of one
            dimension, nested as they like. A subclass counts as what it derives from, as it does
            for the official core. Anything else is told by its type's name and by the number
            that it can stand for. A datetime without a zone is fixed by the sender's own.
        records: the record types that the reader has, too.
    """
    writer = _Writer(records)
    text = json.dumps(writer.flat(value), separators=(",", ":")).encode("ascii")
    return b"".join((_HEAD.pack(len(text)), text, *writer.blobs))


def decode(message: bytes, records: Records) -> Any:
    """The value of a message that `encode` made; its arrays are the reader's own, to write into as well.

    Args:
        message: from anybody.
        records: the reader's own record types.

    Raises:
        ValueError: the bytes are no such message.
    """
    try:
        (length,) = _HEAD.unpack_from(message)
        reader = _Reader(memoryview(message)[_HEAD.size + length :], records)
        value = reader.whole(json.loads(message[_HEAD.size : _HEAD.size + length].decode("ascii")))
        reader.end()
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"not a message of a terminal: {type(error).__name__}: {error}") from error
    return value


def decode_call(message: bytes, records: Records) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """A function's name, its arguments and its keywords.

    Raises:
        ValueError: the message is no call.
    """
    call = decode(message, records)
    if not isinstance(call, tuple) or [type(part) for part in call] != [str, tuple, dict]:
        raise ValueError("not a message of a terminal: no call")
    return call


# --- writing ----------------------------------------------------------------------------------


class _Writer:
    """Makes a JSON tree of a value, and puts its arrays aside."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.blobs: list[bytes] = []

    def flat(self, value: Any) -> Any:
        if value is None or isinstance(value, _SCALARS):
            return value
        if isinstance(value, dict):
            return ["dict", *(self.flat(part) for item in value.items() for part in item)]
        if isinstance(value, (tuple, list)):
            return [self._tag(value), *map(self.flat, value)]
        if isinstance(value, datetime) and value == value:  # not pandas' NaT  # noqa: PLR0124, RUF100
            return ["time", datetime.isoformat(_zoned(value))]
        if isinstance(value, np.ndarray) and _is_plain(value):
            self.blobs.append(value.tobytes())
            return ["array", value.dtype.descr, len(self.blobs[-1])]
        return ["foreign", *_described(value)]

    def _tag(self, value: tuple[Any, ...] | list[Any]) -> str:
        """The record's name, where both name and fields are a record's."""
        if isinstance(value, list):
            return "list"
        name, fields = type(value).__name__, getattr(type(value), "__match_args__", None)
        return name if name in self._records and fields == self._records[name].__match_args__ else "tuple"


def _is_plain(array: NDArray[Any]) -> bool:
    """Whether an array is a column of numbers or of records of numbers."""
    fields: list[tuple[Any, ...]] = array.dtype.descr  # a title makes the name a pair, a field of several dimensions has a third part
    return array.ndim == 1 and all(len(field) == 2 and isinstance(field[0], str) and field[1] in _FORMATS for field in fields)


def _zoned(value: datetime) -> datetime:
    """A date that means the same to every reader; one that this machine's zone does not reach stays as it is."""
    if value.utcoffset() is not None:
        return value
    try:
        return _EPOCH + timedelta(seconds=value.timestamp())
    except (OSError, OverflowError, ValueError):
        return value


def _described(value: Any) -> list[Any]:
    """Type name, whole number and number of a foreign object; None where it stands for none."""
    whole = _tried(operator.index, value)
    return [type(value).__name__, whole, None if whole is not None else _tried(float, value)]


def _tried(convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except (ArithmeticError, TypeError, ValueError, Warning):
        return None


# --- reading ----------------------------------------------------------------------------------


class _Reader:
    """Rebuilds a value; its arrays are taken from the bytes behind the text, front to back."""

    def __init__(self, rest: memoryview, records: Records) -> None:
        self._rest, self._records = rest, records

    def whole(self, tree: Any) -> Any:
        if not isinstance(tree, list):
            if isinstance(tree, dict):
                raise ValueError("an object where none can be")  # noqa: TRY004  # it is the message that is wrong
            return tree
        tag, *items = tree
        if tag == "array":
            return self._array(*items)
        if tag == "time":
            return datetime.fromisoformat(*items)
        if tag == "foreign":
            return _foreign(*items)
        return self._gathered(tag, [self.whole(item) for item in items])

    def end(self) -> None:
        if len(self._rest):
            raise ValueError(f"{len(self._rest)} bytes too many")

    def _gathered(self, tag: str, items: list[Any]) -> Any:
        if tag == "list":
            return items
        if tag == "dict":
            return {items[at]: items[at + 1] for at in range(0, len(items), 2)}
        return tuple(items) if tag == "tuple" else self._records[tag](items)

    def _array(self, layout: list[list[str]], size: int) -> NDArray[Any]:
        if not {kind for _, kind in layout} <= _FORMATS:
            raise ValueError(f"{layout} is no layout of the module's arrays")
        plain = len(layout) == 1 and not layout[0][0]
        dtype = np.dtype(layout[0][1]) if plain else np.dtype([(name, kind) for name, kind in layout])
        return np.frombuffer(self._taken(size), dtype)

    def _taken(self, size: int) -> bytearray:
        if not 0 <= size <= len(self._rest):
            raise ValueError(f"{size} bytes announced, {len(self._rest)} there")
        taken, self._rest = bytearray(self._rest[:size]), self._rest[size:]
        return taken


def _foreign(name: str, whole: int | None, number: float | None) -> Any:
    if type(whole) not in (int, type(None)) or type(number) not in (float, type(None)):
        raise ValueError(f"{whole!r} or {number!r} is no number")
    return stranger(name, whole, number)


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
