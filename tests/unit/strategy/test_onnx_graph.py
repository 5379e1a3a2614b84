from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.onnx_graph import Kind, node, onnx_file, varints
from strategy.onnx_session import open_session


def _read(data: bytes) -> list[int]:
    """The plain way, byte by byte."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found


@given(st.lists(st.integers(0, 2**62)))
def test_numbers_come_back(numbers):
    assert _read(varints(np.array(numbers, dtype=np.int64))) == numbers


@given(st.lists(st.integers(0, 2**62), min_size=1))
def test_no_number_takes_more_bytes_than_it_needs(numbers):
    assert len(varints(np.array(numbers))) == sum(max(1, -(-number.bit_length() // 7)) for number in numbers)


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="-3"):
        varints(np.array([1, -3]))


def test_a_graph_with_weights_and_attributes_runs():
    turned = node("Transpose", ["rows"], ["turned"], perm=np.array([1, 0]))
    picked = node("Gather", ["turned", "which"], ["picked"], axis=0)
    scaled = node("Mul", ["picked", "factor"], ["answer"])
    weights = {"which": np.array([2, 0]), "factor": np.array(3.0)}
    scorer = open_session(onnx_file("small", [turned, picked, scaled], weights, ("rows", ["n", 3]), {"answer": (Kind.FLOAT, [2, "n"])}))
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(scorer(table), 3.0 * table.T[[2, 0]])
