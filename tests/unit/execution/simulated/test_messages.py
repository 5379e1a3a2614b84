import operator
from datetime import UTC, date, datetime
from enum import IntEnum

import numpy as np
import pytest

from execution.simulated.messages import FUNCTIONS, packed, unpacked
from execution.simulated.structs import STRUCTS, TICK_DTYPE, BookInfo, OrderCheckResult, TradeRequest
from market_data.bars import RATES_DTYPE


def through(value):
    return unpacked(packed(value), STRUCTS)


class Kind(IntEnum):
    BUY = 1


@pytest.mark.parametrize(
    "value", [None, True, 5, -(2**63), 2**64, 0.1, 1e308, "", "Überkreuz \U0001f600", (), (1, ("a", None)), {"a": {"b": 1.5}}, {5: "x"}]
)
def test_plain_values_arrive_as_they_are(value):
    assert through(value) == value
    assert type(through(value)) is type(value)


def test_what_derives_from_a_plain_type_arrives_as_that_type():
    assert [type(value) for value in through((np.float64(1.5), Kind.BUY, np.str_("x")))] == [float, int, str]


def test_records_arrive_as_the_readers_own_types():
    record = OrderCheckResult((0, *[1.0] * 6, "Done", TradeRequest([0] * 17)))
    back = through((record, BookInfo((1, 1.1, 5, 5.0))))
    assert back == (record, BookInfo((1, 1.1, 5, 5.0)))
    assert (type(back[0]), type(back[0].request), type(back[1])) == (OrderCheckResult, TradeRequest, BookInfo)


def test_arrays_keep_dtype_and_can_be_written():
    rates = np.zeros(3, RATES_DTYPE)
    rates["close"] = [1.1, 1.2, 1.3]
    ticks = np.zeros(0, np.dtype(TICK_DTYPE))
    first, second, third = through((rates, ticks, rates[1:]))
    assert (first.dtype, second.dtype, len(second)) == (rates.dtype, ticks.dtype, 0)
    assert first.tobytes() == rates.tobytes()
    assert third["close"].tolist() == [1.2, 1.3]
    first["close"][0] = 9.0
    assert first["close"][0] == 9.0


def test_a_naive_date_is_fixed_by_the_sender():
    naive = datetime(2024, 1, 8, 12, 0, 0, 500_000)  # noqa: DTZ001  # that is what programs pass
    assert through(naive) == naive.astimezone(UTC)


@pytest.mark.parametrize("value", [np.int64(5), np.int32(5), np.uint64(5)])
def test_a_foreign_whole_number_stays_foreign(value):
    back = through(value)
    assert not isinstance(back, int)
    assert operator.index(back) == 5
    assert type(back).__name__ == type(value).__name__


def test_a_foreign_number_stays_foreign():
    back = through(np.float32(1.5))
    assert (isinstance(back, float), float(back)) == (False, 1.5)
    with pytest.raises(TypeError, match="'float32' object cannot be interpreted as an integer"):
        operator.index(back)


@pytest.mark.parametrize("value", [object(), [1, 2], date(2024, 1, 8), b"x", np.array([1, 2])])
def test_anything_else_is_a_stranger(value):
    back = through(value)
    assert type(back).__name__ == type(value).__name__
    assert not isinstance(back, int | float | str | tuple | dict | datetime)


def test_there_are_32_functions():
    assert len(set(FUNCTIONS)) == len(FUNCTIONS) == 32
