"""What goes through the wire comes out equal, and nothing but plain data comes out."""

from __future__ import annotations

import json
import pickle
import struct
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.simulated.structs import STRUCTS, TICK_DTYPE, OrderSendResult, Tick, TradeRequest
from execution.wire import Foreign, decode, encode
from market_data.bars import RATES_DTYPE

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
plain = st.recursive(scalars, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner))


@given(plain)
def test_plain_data_comes_back_equal_and_of_the_same_type(value):
    back = decode(encode(value))
    assert repr(back) == repr(value)


@pytest.mark.parametrize("kind", STRUCTS.values(), ids=STRUCTS)
def test_every_record_comes_back_as_the_same_record(kind):
    record = kind(range(len(kind.__match_args__)))
    back = decode(encode((record, record)))
    assert type(back[0]) is kind
    assert back == (record, record)


def test_a_record_inside_a_record_stays_one():
    request = TradeRequest(range(17))
    back = decode(encode(OrderSendResult((10009, 1, 2, 0.1, 1.1, 1.0, 1.2, "done", 5, 0, request))))
    assert back.request.volume == 4
    assert type(back.request) is TradeRequest


def test_an_official_record_that_does_not_pickle_comes_back_as_ours():
    # The official types are structseqs of the same names: tuples with __match_args__, in `builtins`.
    official = type("Tick", (tuple,), {"__match_args__": Tick.__match_args__, "__module__": "builtins", "__reduce__": None})
    foreign = official((1, 1.1, 1.2, 0.0, 0, 1000, 134, 0.0))
    with pytest.raises(TypeError):
        pickle.dumps(foreign)
    back = decode(encode(foreign))
    assert type(back) is Tick
    assert (back.bid, back.time_msc) == (1.1, 1000)


@pytest.mark.parametrize("dtype", [RATES_DTYPE, np.dtype(TICK_DTYPE), np.dtype("<i8")], ids=["rates", "ticks", "plain"])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_arrays_keep_layout_and_values_and_can_be_written(dtype, rows):
    array = np.frombuffer(np.random.default_rng(1).bytes(rows * dtype.itemsize), dtype)
    back, other = decode(encode((array, array[:0])))
    assert back.dtype == dtype
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    assert len(other) == 0


def test_dates_keep_their_zone():
    date = datetime(2024, 3, 10, 7, 30, 1, 5, tzinfo=UTC)
    assert decode(encode([date, date.replace(tzinfo=None)])) == [date, date.replace(tzinfo=None)]


def test_infinity_and_not_a_number_survive():
    up, nan = decode(encode((float("inf"), float("nan"))))
    assert up == float("inf")
    assert nan != nan


def test_a_mapping_is_a_dict_at_the_other_end():
    assert decode(encode(MappingProxyType({"sl": 1.1}))) == {"sl": 1.1}


@pytest.mark.parametrize("value", [np.int64(1), np.float32(1), b"x", {1, 2}, object(), datetime(2024, 1, 1, tzinfo=UTC).date()])
def test_what_is_no_plain_data_arrives_as_something_that_no_function_takes(value):
    back = decode(encode({"position": value, "volume": 0.1}))
    assert type(back["position"]) is Foreign
    assert back["volume"] == 0.1


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.array(["x"]), np.array([object()])])
def test_an_array_that_the_module_does_not_have_is_refused(array):
    with pytest.raises(TypeError, match="cannot be sent"):
        encode(array)


def message(tree, blobs=b""):
    text = json.dumps(tree).encode()
    return struct.pack("<I", len(text)) + text + blobs


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\xff\xff\xff\x7f{}",
        pickle.dumps({"a": 1}),
        message({"a": 1}),
        message(["call", "os.system"]),
        message(["Tick", 1, 2]),
        message(["tuple", {"a": 1}]),
        message([]),
        message([["x"]]),
        message(["dict", 1]),
        message(["dict", ["list"], 1]),
        message(["time", "now"]),
        message(["array", [["x", "|O"]], 8], bytes(8)),
        message(["array", [["x", "<i8"]], 8], bytes(7)),
        message(["array", [["x", "<i8"]], 7], bytes(7)),
        message(["array", [["x", "<i8"]], -1], b""),
        message(1, b"more"),
        struct.pack("<I", 40_000) + b"[" * 40_000,
    ],
)
def test_bytes_that_are_no_message_are_an_error_and_nothing_else(data):
    with pytest.raises(ValueError, match="not a message"):
        decode(data)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_fail(data):
    with suppress(ValueError):
        decode(data)
