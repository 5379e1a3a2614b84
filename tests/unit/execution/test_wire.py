"""What goes through the wire comes out equal, and nothing but plain data comes out."""

from __future__ import annotations

import json
import operator
import pickle
import struct
import subprocess
import sys
import time
from collections import OrderedDict, namedtuple
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, IntEnum
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution import wire
from execution.simulated.structs import STRUCTS, TICK_DTYPE, BookInfo, OrderCheckResult, OrderSendResult, Tick, TradeRequest
from execution.wire import decode, decode_call, encode
from market_data.bars import RATES_DTYPE

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
plain = st.recursive(scalars, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner))


def through(value):
    return decode(encode(value, STRUCTS), STRUCTS)


def type_name(value):
    """An id that is the same in every process: the text of an object names its address."""
    return type(value).__name__


def layout_name(array):
    """Likewise for arrays."""
    return f"{array.dtype}, {array.ndim}"


# --- plain data -------------------------------------------------------------------------------


@given(plain)
def test_plain_data_comes_back_equal_and_of_the_same_type(value):
    assert repr(through(value)) == repr(value)


@pytest.mark.parametrize(
    "value", [None, True, 5, -(2**63), 2**64, 0.1, 1e308, "", "Überkreuz \U0001f600", (), (1, ("a", None)), {"a": {"b": 1.5}}, {5: "x"}]
)
def test_plain_values_arrive_as_they_are(value):
    assert through(value) == value
    assert type(through(value)) is type(value)


class Kind(IntEnum):
    BUY = 1


class Name(str, Enum):  # noqa: UP042  # programs for older Pythons have such names, and str() of one is another text
    EURO = "EURUSD"


def test_what_derives_from_a_plain_type_arrives_as_that_type():
    back = through((np.float64(1.5), Kind.BUY, np.str_("x"), Name.EURO, OrderedDict(a=1)))
    assert back == (1.5, 1, "x", "EURUSD", {"a": 1})
    assert [type(value) for value in back] == [float, int, str, str, dict]


def test_infinity_and_not_a_number_survive():
    up, nan = through((float("inf"), float("nan")))
    assert up == float("inf")
    assert nan != nan


def test_a_call_is_a_name_arguments_and_keywords():
    assert decode_call(encode(("orders_get", (1,), {"ticket": 5}), STRUCTS), STRUCTS) == ("orders_get", (1,), {"ticket": 5})


@pytest.mark.parametrize("value", [None, (), ("orders_get", ()), (1, (), {}), ("orders_get", [], {}), ["orders_get", (), {}]])
def test_what_is_no_call_is_an_error(value):
    with pytest.raises(ValueError, match="no call"):
        decode_call(encode(value, STRUCTS), STRUCTS)


# --- records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STRUCTS.values(), ids=STRUCTS)
def test_every_record_comes_back_as_the_same_record(kind):
    record = kind(range(len(kind.__match_args__)))
    back = through((record, record))
    assert type(back[0]) is kind
    assert back == (record, record)


def test_a_record_inside_a_record_stays_one():
    request = TradeRequest(range(17))
    back = through(OrderSendResult((10009, 1, 2, 0.1, 1.1, 1.0, 1.2, "done", 5, 0, request)))
    assert back.request.volume == 4
    assert type(back.request) is TradeRequest


def test_records_arrive_as_the_readers_own_types():
    record = OrderCheckResult((0, *[1.0] * 6, "Done", TradeRequest([0] * 17)))
    own = {name: type(name, (kind,), {}) for name, kind in STRUCTS.items()}
    back = decode(encode((record, BookInfo((1, 1.1, 5, 5.0))), STRUCTS), own)
    assert back == (record, BookInfo((1, 1.1, 5, 5.0)))
    assert [type(part) for part in (back[0], back[0].request, back[1])] == [
        own[name] for name in ("OrderCheckResult", "TradeRequest", "BookInfo")
    ]


def test_an_official_record_that_does_not_pickle_comes_back_as_ours():
    # The official types are structseqs of the same names: tuples with __match_args__, in `builtins`.
    official = type("Tick", (tuple,), {"__match_args__": Tick.__match_args__, "__module__": "builtins", "__reduce__": None})
    foreign = official((1, 1.1, 1.2, 0.0, 0, 1000, 134, 0.0))
    with pytest.raises(TypeError):
        pickle.dumps(foreign)
    back = through(foreign)
    assert type(back) is Tick
    assert (back.bid, back.time_msc) == (1.1, 1000)


@pytest.mark.parametrize("value", [time.gmtime(0), namedtuple("Tick", "bid ask")(1.1, 1.2), namedtuple("Pair", "a b")(1, 2)])
def test_somebody_elses_record_is_a_tuple(value):
    assert through(value) == tuple(value)
    assert type(through(value)) is tuple


# --- arrays -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [RATES_DTYPE, np.dtype(TICK_DTYPE), np.dtype("<i8")], ids=["rates", "ticks", "plain"])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_arrays_keep_layout_and_values_and_can_be_written(dtype, rows):
    array = np.frombuffer(np.random.default_rng(1).bytes(rows * dtype.itemsize), dtype)
    message = encode((array, array[:0], array[1:]), STRUCTS)
    back, none, rest = decode(message, STRUCTS)
    assert (back.dtype, none.dtype, len(none)) == (dtype, dtype, 0)
    assert (back.tobytes(), rest.tobytes()) == (array.tobytes(), array[1:].tobytes())
    back.view("u1")[:] = 7  # the reader's own: neither the message nor another array changes
    assert rest.tobytes() == array[1:].tobytes()
    assert decode(message, STRUCTS)[0].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2)),
        np.array(["x"]),
        np.array([object()]),
        np.zeros(2, ">i8"),
        np.zeros(2, [("x", "<i8", (2,))]),
        np.zeros(2, [(("title", "x"), "<i8")]),
        np.zeros(2, np.dtype([("x", "<i4"), ("y", "<i8")], align=True)),
    ],
    ids=layout_name,
)
def test_an_array_that_the_module_does_not_have_arrives_as_a_stranger(array):
    back = through(array)
    assert type(back).__name__ == "ndarray"
    assert not isinstance(back, np.ndarray)


# --- dates ------------------------------------------------------------------------------------


def test_dates_keep_their_instant_and_their_zone():
    for zone in (UTC, timezone(timedelta(hours=-3, minutes=30))):
        moment = datetime(2024, 3, 10, 7, 30, 1, 5, tzinfo=zone)
        assert through([moment]) == [moment]
        assert through(moment).utcoffset() == moment.utcoffset()


def test_a_naive_date_is_fixed_by_the_sender():
    naive = datetime(2024, 1, 8, 12, 0, 0, 500_000)  # noqa: DTZ001  # that is what programs pass
    assert through(naive) == naive.astimezone(UTC)


def test_a_date_that_no_zone_reaches_arrives_as_it_is(monkeypatch):
    class Early(datetime):
        def timestamp(self):
            raise OverflowError  # as on some systems before 1970

    assert through(Early(1, 1, 1)) == datetime(1, 1, 1)  # noqa: DTZ001  # likewise


def test_a_pandas_date_is_a_date_and_its_nothing_is_none():
    assert through(pd.Timestamp("2024-01-08 12:00:00.000001234", tz="UTC")) == datetime(2024, 1, 8, 12, 0, 0, 1, tzinfo=UTC)
    assert type(through(pd.NaT)).__name__ == "NaTType"
    assert not isinstance(through(pd.NaT), datetime)


# --- foreign objects --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.int64(5), np.int32(5), np.uint64(5)])
def test_a_foreign_whole_number_stays_foreign(value):
    back = through({"position": value, "volume": 0.1})
    assert back["volume"] == 0.1
    assert not isinstance(back["position"], int)
    assert operator.index(back["position"]) == 5
    assert type(back["position"]).__name__ == type(value).__name__


def test_a_foreign_number_stays_foreign():
    back = through(np.float32(1.5))
    assert (isinstance(back, float), float(back)) == (False, 1.5)
    with pytest.raises(TypeError, match="'float32' object cannot be interpreted as an integer"):
        operator.index(back)


@pytest.mark.parametrize("value", [object(), date(2024, 1, 8), b"x", {1, 2}, MappingProxyType({"sl": 1.1}), 1j], ids=type_name)
def test_anything_else_is_a_stranger(value):
    back = through(value)
    assert type(back).__name__ == type(value).__name__
    assert not isinstance(back, int | float | str | tuple | list | dict | datetime)


# --- damage -----------------------------------------------------------------------------------


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
        message(["foreign", "x", 1]),
        message(["foreign", "x", "1", None]),
        message(["foreign", "x", True, None]),
        message(["foreign", "x", None, 1]),
        message(["foreign", 5, None, None]),
        message(["foreign", "\0", None, None]),
        message(["array", [["x", "|O"]], 8], bytes(8)),
        message(["array", [["x", "<i8"]], 8], bytes(7)),
        message(["array", [["x", "<i8"]], 7], bytes(7)),
        message(["array", [["x", "<i8"]], -1], b""),
        message(["array", [["x", "<i8"], ["x", "<i8"]], 16], bytes(16)),
        message(["array", [], 0]),
        message(1, b"more"),
        struct.pack("<I", 3) + b'"\xff"',
        struct.pack("<I", 40_000) + b"[" * 40_000,
    ],
)
def test_bytes_that_are_no_message_are_an_error_and_nothing_else(data):
    with pytest.raises(ValueError, match="not a message"):
        decode(data, STRUCTS)


def test_a_record_that_the_reader_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="not a message of a terminal: KeyError: 'Tick'"):
        decode(encode(Tick(range(8)), STRUCTS), {})


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_fail(data):
    with suppress(ValueError):
        decode(data, STRUCTS)


@settings(max_examples=50)
@given(plain, st.data())
def test_a_damaged_message_does_nothing_but_decode_or_fail(value, data):
    whole = bytearray(encode((value, np.arange(3)), STRUCTS))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(ValueError):
        decode(bytes(whole), STRUCTS)


# --- alone ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["wire", "handshake", "simulated/functions", "simulated/structs", "simulated/constants", "simulated/shortcuts"]
)
def test_what_the_stand_in_shares_needs_nothing_but_numpy(name):
    file = (wire.__file__.removesuffix("wire.py") + name + ".py").replace("\\", "/")
    code = (
        "import sys, runpy; before = set(sys.modules);"
        f"runpy.run_path({file!r});"
        "found = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(found - {'numpy', '__mp_main__'}))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
