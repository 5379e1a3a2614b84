"""Requests and replies as bytes, for a terminal that lives in another process.

A message is the length of its JSON text (4 bytes), the text, and the raw bytes of its arrays.
JSON and not pickle, because reading a pickle runs whatever code it names: here only plain data,
our own record types and the module's few array layouts can come out, whoever sent the bytes. JSON
and not `marshal`, because that format changes with the Python version and must not be fed foreign
bytes. JSON's floats are exact (`repr` round trip), its integers have any size.

The official module's records do not pickle at all; they travel as name and values and come back
as the record of the same name. Scalars are themselves; everything else is a list that begins with
its tag.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from execution.simulated.structs import STRUCTS

LONGEST_REQUEST = 2**20
LONGEST_REPLY = 2**28
"""Bytes of a message; the largest reply is 99,999 bars of 60 bytes, or as many symbols as a broker has."""

_HEAD = struct.Struct("<I")
_FORMATS = frozenset({"<i8", "<u8", "<f8", "<i4", "<u4"})
_SCALARS = (bool, int, float, str)


class Foreign:
    """Stands for an argument that is no plain data: the module at the other end refuses it by its own rules."""


def encode(value: Any) -> bytes:
    """One message.

    Args:
        value: scalars, `None`, datetimes, tuples, lists, mappings, the module's records and its
            arrays of one dimension, nested as they like; what else there is becomes `Foreign`,
            a NumPy integer too.

    Raises:
        TypeError: an array of a layout that the module does not have.
    """
    blobs: list[bytes] = []
    text = json.dumps(_flat(value, blobs), separators=(",", ":")).encode("ascii")
    return b"".join((_HEAD.pack(len(text)), text, *blobs))


def decode(data: bytes) -> Any:
    """The value of a message that `encode` made.

    Raises:
        ValueError: the bytes are no such message.
    """
    try:
        (length,) = _HEAD.unpack_from(data)
        tree = json.loads(data[_HEAD.size : _HEAD.size + length])
        reader = _Blobs(memoryview(data)[_HEAD.size + length :])
        value = _whole(tree, reader)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"not a message of a terminal: {type(error).__name__}: {error}") from error
    if len(reader.rest):
        raise ValueError(f"not a message of a terminal: {len(reader.rest)} bytes too many")
    return value


def _flat(value: Any, blobs: list[bytes]) -> Any:
    if value is None or isinstance(value, _SCALARS):
        return value
    if isinstance(value, np.ndarray):
        return _flat_array(value, blobs)
    if isinstance(value, datetime):
        return ["time", value.isoformat()]
    if isinstance(value, Mapping):
        return ["dict", *(_flat(part, blobs) for item in value.items() for part in item)]
    if isinstance(value, tuple | list):
        return [_tag(value), *(_flat(item, blobs) for item in value)]
    return ["foreign"]


def _tag(value: tuple[Any, ...] | list[Any]) -> str:
    """The record's name; an ordinary tuple or list is none of them."""
    name = type(value).__name__
    return name if name in STRUCTS and hasattr(value, "__match_args__") else "tuple" if isinstance(value, tuple) else "list"


def _flat_array(array: NDArray[Any], blobs: list[bytes]) -> list[Any]:
    layout = [[name, kind] for name, kind, *_ in array.dtype.descr]
    if array.ndim != 1 or not {kind for _, kind in layout} <= _FORMATS:
        raise TypeError(f"an array of {array.dtype} with {array.ndim} dimensions cannot be sent to a terminal")
    blobs.append(array.tobytes())
    return ["array", layout, len(blobs[-1])]


class _Blobs:
    """The raw bytes behind the text, taken from front to back."""

    def __init__(self, rest: memoryview) -> None:
        self.rest = rest

    def take(self, size: int) -> bytearray:
        if not 0 <= size <= len(self.rest):
            raise ValueError(f"{size} bytes announced, {len(self.rest)} there")
        taken, self.rest = bytearray(self.rest[:size]), self.rest[size:]
        return taken


def _whole(tree: Any, blobs: _Blobs) -> Any:
    if not isinstance(tree, list):
        if tree is not None and not isinstance(tree, _SCALARS):
            raise ValueError("an object where none can be")
        return tree
    tag, *items = tree
    if tag == "array":
        layout, size = items
        return _whole_array(layout, size, blobs)
    if tag == "time":
        return datetime.fromisoformat(*items)
    return _gathered(tag, [_whole(item, blobs) for item in items])


def _gathered(tag: str, items: list[Any]) -> Any:
    if tag == "foreign":
        return Foreign()
    if tag == "list":
        return items
    if tag == "dict":
        return dict(zip(items[::2], items[1::2], strict=True))
    return tuple(items) if tag == "tuple" else STRUCTS[tag](items)


def _whole_array(layout: list[list[str]], size: int, blobs: _Blobs) -> NDArray[Any]:
    """The array, which its reader owns and may write to."""
    if not {kind for _, kind in layout} <= _FORMATS:
        raise ValueError(f"{layout} is no layout of the module's arrays")
    plain = len(layout) == 1 and not layout[0][0]
    dtype = np.dtype(layout[0][1]) if plain else np.dtype([(name, kind) for name, kind in layout])
    return np.frombuffer(blobs.take(size), dtype)
