import pytest

from execution.simulated.calls import CallFailed
from execution.simulated.requests import parse_request
from execution.simulated.structs import TradeRequest


def test_missing_keys_are_zero_or_empty():
    request = parse_request(({"action": 1},), {})
    assert request == TradeRequest((1, 0, 0, "", 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, "", 0, 0))


@pytest.mark.parametrize("name", ["action", "magic", "order", "deviation", "type", "type_filling", "type_time", "position", "position_by"])
@pytest.mark.parametrize("value", [-1, 1.0, "1", None, 2**64])
def test_whole_numbers_are_unsigned(name, value):
    with pytest.raises(CallFailed) as refused:
        parse_request(({name: value},), {})
    assert (refused.value.code, refused.value.message) == (-2, f'Invalid "{name}" argument')


def test_the_expiration_may_be_negative():
    assert parse_request(({"expiration": -1},), {}).expiration == -1


def test_a_dict_and_keywords_exclude_each_other():
    for args, keywords in (((), {}), (({"action": 1},), {"magic": 1}), (({}, {}), {}), ((TradeRequest(range(17)),), {})):
        with pytest.raises(CallFailed):
            parse_request(args, keywords)
    assert parse_request((), {"magic": 2**64 - 1}).magic == 2**64 - 1
