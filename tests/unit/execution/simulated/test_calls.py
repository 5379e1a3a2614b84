from datetime import UTC, date, datetime

import pytest

from execution.simulated import calls


@pytest.mark.parametrize(
    ("name", "group", "passes"),
    [
        ("EURUSD", "*", True),
        ("EURUSD", "EUR*", True),
        ("EURUSD", "*USD", True),
        ("EURUSD", "*RU*", True),
        ("EURUSD", "E*U*D", True),
        ("EURUSD", "eur*", False),
        ("EURUSD", "GBP*", False),
        ("EURUSD", "GBP*,EURUSD", True),
        ("EURUSD", "*,!EUR*", False),
        ("EURGBP", "*,!*USD*,!*JPY*", True),
        ("EURUSD", "!EURUSD", False),
        ("ABA", "ABA*ABA", False),
        ("EURUSD", "", False),
    ],
)
def test_group_masks(name, group, passes):
    assert calls.matches(name, group) is passes


def test_dates():
    noon = datetime(2024, 1, 8, 12, tzinfo=UTC)
    assert calls.stamp(noon) == calls.stamp(int(noon.timestamp())) == calls.stamp(noon.timestamp() + 0.5)
    with pytest.raises(calls.CallFailed):
        calls.stamp(date(2024, 1, 8))


def test_texts_are_short():
    assert calls.text("x" * 29) == "x" * 29
    with pytest.raises(calls.CallFailed):
        calls.text("x" * 30)


def test_numbers_of_another_type_raise():
    with pytest.raises(TypeError):
        calls.integer(1.0)
    with pytest.raises(TypeError):
        calls.number("1.0")
