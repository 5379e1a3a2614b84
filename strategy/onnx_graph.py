"""ONNX files, written from their parts: nodes, weights, one input and the outputs.

An ONNX file is a protocol buffer: fields of a number and a value, one after the other. This module
writes the few that our graphs need, whole columns at a time: a forest's file takes milliseconds
and holds the interpreter's lock against nobody.

Sources: https://protobuf.dev/programming-guides/encoding, and `onnx.proto` for the field numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_IR_VERSION = 8
_OPSETS = {"": 17, "ai.onnx.ml": 1}

Shape = Sequence[int | str]
Value = int | str | NDArray[np.floating] | NDArray[np.integer] | list[bytes]


class Kind(IntEnum):
    """Element types of tensors."""

    FLOAT = 1
    INT64 = 7


def node(operator: str, inputs: Iterable[str], outputs: Iterable[str], *, domain: str = "", **attributes: Value) -> bytes:
    """A node of a graph.

    Args:
        operator: its name in the domain.
        inputs: names of values that it reads.
        outputs: names of values that it makes.
        domain: empty for the standard operators.
        **attributes: a number, a text, an array of numbers, or a list of texts.
    """
    wired = [*(_text(1, name) for name in inputs), *(_text(2, name) for name in outputs)]
    told = [_field(5, _attribute(name, value)) for name, value in attributes.items()]
    return b"".join([*wired, _text(4, operator), *told, _text(7, domain)])


def onnx_file(
    name: str,
    nodes: Iterable[bytes],
    weights: Mapping[str, NDArray[np.generic]],
    given: tuple[str, Shape],
    answers: Mapping[str, tuple[Kind, Shape]],
) -> bytes:
    """A graph as the bytes of its file; equal parts give equal bytes.

    Args:
        name: of the graph.
        nodes: made by `node`, in an order in which each finds its inputs.
        weights: constants by name: float32, or int64.
        given: name and shape of the float32 input; a text stands for an axis of any length.
        answers: type and shape of each output by name.
    """
    constants = [_field(5, _tensor(constant, values)) for constant, values in weights.items()]
    outputs = [_field(12, _declared(output, kind, shape)) for output, (kind, shape) in answers.items()]
    inputs = _field(11, _declared(given[0], Kind.FLOAT, given[1]))
    graph = b"".join([*(_field(1, part) for part in nodes), _text(2, name), *constants, inputs, *outputs])
    opsets = [_field(8, _text(1, domain) + _number(2, version)) for domain, version in _OPSETS.items()]
    return b"".join([_number(1, _IR_VERSION), _field(7, graph), *opsets])


# --- messages -----------------------------------------------------------------------------------


def _attribute(name: str, value: Value) -> bytes:
    """The value's field, and the number of its type in field 20."""
    if isinstance(value, int):
        content, kind = _number(3, value), 2
    elif isinstance(value, str):
        content, kind = _text(4, value), 3
    elif isinstance(value, list):
        content, kind = _texts(9, value), 8
    elif value.dtype.kind == "f":
        content, kind = _field(7, value.astype("<f4").tobytes()), 6
    else:
        content, kind = _field(8, varints(value.astype(np.int64))), 7
    return _text(1, name) + content + _number(20, kind)


def _tensor(name: str, values: NDArray[np.generic]) -> bytes:
    whole = np.issubdtype(values.dtype, np.integer)
    kind, raw = (Kind.INT64, values.astype("<i8")) if whole else (Kind.FLOAT, values.astype("<f4"))
    return b"".join([*(_number(1, size) for size in values.shape), _number(2, kind), _text(8, name), _field(9, raw.tobytes())])


def _declared(name: str, kind: Kind, shape: Shape) -> bytes:
    """Name, type and shape of an input or output."""
    sizes = [_field(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape]
    tensor = _number(1, kind) + _field(2, b"".join(sizes))
    return _text(1, name) + _field(2, _field(1, tensor))


# --- fields -------------------------------------------------------------------------------------

_VARINT, _BYTES = 0, 2


def _number(field: int, value: int) -> bytes:
    return varints(np.array([field << 3 | _VARINT, value]))


def _field(field: int, content: bytes) -> bytes:
    return varints(np.array([field << 3 | _BYTES, len(content)])) + content


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _texts(field: int, texts: list[bytes]) -> bytes:
    written = {text: _field(field, text) for text in set(texts)}
    return b"".join([written[text] for text in texts])


def varints(values: NDArray[np.integer]) -> bytes:
    """Whole numbers in seven bits a byte, lowest first; a set eighth bit says that more follow.

    Args:
        values: shape (n,), none negative.

    Raises:
        ValueError: one is negative.

    >>> varints(np.array([5, 300])).hex()
    '05ac02'
    """
    if values.min(initial=0) < 0:
        raise ValueError(f"whole numbers of 0 or more are written, not {values.min()}")
    most = int(values.max(initial=0))
    shifts = 7 * np.arange(max(1, -(-most.bit_length() // 7)))
    rest = values[:, None] >> shifts  # (n, bytes)
    more = np.append(rest[:, 1:] > 0, np.zeros((len(values), 1), dtype=np.bool_), axis=1)
    needed = np.append(np.ones((len(values), 1), dtype=np.bool_), rest[:, 1:] > 0, axis=1)
    return bytes((rest & 0x7F | more << 7).astype(np.uint8)[needed].tobytes())
