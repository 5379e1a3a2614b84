"""The gate's vectorised vote is the trading loop's vote, row by row."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.orders import Side
from strategy.ensemble import combine, combine_many
from strategy.predictor import Forecasts

SLOTS = ("scalper", "xgboost", "lstm_EURUSD", "extra")
# Round figures meet thresholds and cancel in sums; the free ones do not.
EXPECTED = st.one_of(st.sampled_from([-0.1, 0.0, 0.05, 0.1]), st.floats(-2.0, 2.0))
WEIGHTS = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0]), st.floats(0.0, 5.0))


@st.composite
def _cases(draw):
    slots = draw(st.lists(st.sampled_from(SLOTS), min_size=1, unique=True))
    n = draw(st.integers(1, 6))
    sides = st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n)
    values = st.lists(EXPECTED, min_size=n, max_size=n)
    p = np.full(n, 0.4)
    forecasts = {slot: Forecasts(p, p, np.array(draw(sides)), np.array(draw(values))) for slot in slots}
    thresholds = {slot: draw(st.sampled_from([0.0, 0.05, 0.1])) for slot in slots}
    weights = draw(st.none() | st.dictionaries(st.sampled_from(slots), WEIGHTS))
    return forecasts, thresholds, draw(st.integers(0, 4)), weights


@given(_cases())
@settings(max_examples=300, deadline=None)
def test_combine_many_equals_combine_row_by_row(case):
    forecasts, thresholds, min_votes, weights = case
    found = combine_many(forecasts, thresholds, min_votes, weights)
    n = len(next(iter(forecasts.values())).side)
    expected = [combine({s: f.at(i) for s, f in forecasts.items()}, thresholds, min_votes, weights).side or 0 for i in range(n)]
    assert found.tolist() == [int(side) for side in expected]


@given(_cases())
@settings(max_examples=200, deadline=None)
def test_a_side_has_its_votes_and_a_reason(case):
    forecasts, thresholds, min_votes, weights = case
    verdict = combine({s: f.at(0) for s, f in forecasts.items()}, thresholds, min_votes, weights)
    assert verdict.reason
    if verdict.side is None:
        assert verdict.expected_r == 0.0
        return
    agreeing = [s for s, vote in verdict.votes.items() if vote == verdict.side]
    assert len(agreeing) >= max(1, min_votes)
    assert all(forecasts[s].expected_r[0] >= thresholds[s] for s in agreeing)
    assert verdict.side in (Side.LONG, Side.SHORT)
