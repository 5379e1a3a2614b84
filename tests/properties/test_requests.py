"""Every request that our code can build is one that the module takes, whatever types the intent carries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from execution.orders import OrderIntent, Side
from execution.simulated.requests import parse_request
from execution.translate import deal_request, filling_modes
from tests.fakes_terminal import EURUSD


def numbers(values, *kinds):
    return st.builds(lambda value, kind: kind(value), values, st.sampled_from(kinds))


whole = st.integers(0, 2**31 - 1)
prices = numbers(st.floats(0, 1e6), float, np.float64, np.float32) | numbers(st.integers(0, 10**6), int, np.int64, np.int32)
integers = numbers(whole, int, np.int64, np.uint32, np.uint64, float)

intents = st.builds(
    OrderIntent,
    key=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    symbol=st.just("EURUSD"),
    side=st.sampled_from(Side),
    volume=prices,
    price=prices,
    sl=prices,
    tp=prices,
    deviation=integers,
    magic=integers | st.integers(2**53, 2**64 - 1),
    created=st.just(datetime(2024, 1, 8, tzinfo=UTC)),
    position=integers | st.integers(2**53, 2**63),
)
specs = st.builds(
    lambda mask, exemode, tick: replace(EURUSD, filling_mode=mask, exemode=exemode, tick_size=tick),
    st.integers(0, 7),
    st.integers(0, 3),
    st.sampled_from([0.0, 1e-5, 0.25, 5]),
)


@given(intents, specs, st.sampled_from(Side))
def test_the_strict_parser_takes_every_market_order(intent, spec, side):
    for filling in filling_modes(spec):
        request = deal_request(intent, spec, side, filling)
        parsed = parse_request((request,), {})
        assert {name: getattr(parsed, name) for name in request} == request
        assert parsed.type == (0 if side is Side.LONG else 1)
        assert bool(parsed.position) == bool(intent.position)
