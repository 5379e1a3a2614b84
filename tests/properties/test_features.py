"""Features of any market: no look at the future, no infinite value, no memory beyond the warm-up."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.bars import Bars, Timeframe
from strategy.features import OPTIONAL, WARMUP, compute, schema_for
from tests.fakes_learning import ALL, leaking, remembering

COUNT = 420
SCHEMA = schema_for(ALL, tuple(OPTIONAL))
FRIDAY_BEFORE_THE_CHANGE = 1_709_931_600


@st.composite
def _markets(draw):
    """Bars with pauses, still stretches, jumps, and prices on a coarse or a fine grid."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = draw(st.sampled_from([1e-5, 1e-3, 0.25]))
    moves = rng.integers(-draw(st.integers(1, 30)), draw(st.integers(1, 30)) + 1, COUNT)
    moves[rng.random(COUNT) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0
    quiet = draw(st.integers(0, COUNT))
    moves[quiet : quiet + draw(st.integers(0, 250))] = 0
    gaps = np.where(rng.random(COUNT) < 0.05, rng.integers(-50, 51, COUNT), 0) * draw(st.booleans())
    close = 100_000 + np.cumsum(moves + gaps)
    opened = close - moves
    reach = rng.integers(0, draw(st.sampled_from([1, 20])), (2, COUNT)) * (moves != 0)
    pauses = np.where(rng.random(COUNT) < draw(st.sampled_from([0.0, 0.1])), rng.integers(2, 3_000, COUNT), 1)
    time = FRIDAY_BEFORE_THE_CHANGE + 60 * np.cumsum(pauses)
    top, bottom = np.maximum(opened, close) + reach[0], np.minimum(opened, close) - reach[1]
    volume = np.maximum(rng.poisson(draw(st.sampled_from([1, 50])), COUNT), 1).astype(np.float64)
    spread = rng.integers(0, draw(st.sampled_from([1, 30])), COUNT).astype(np.float64)
    return Bars("EURUSD", Timeframe.M1, time, *(grid * part for part in (opened, top, bottom, close)), volume, spread)


def _columns(bars):
    values = compute(bars, SCHEMA).values
    return {name: values[:, index] for index, name in enumerate(SCHEMA.names)}


@settings(max_examples=40, deadline=None)
@given(_markets(), st.lists(st.integers(WARMUP + 1, COUNT - 1), min_size=1, max_size=3))
def test_no_feature_of_any_market_reads_the_future(bars, cuts):
    assert leaking(_columns, bars, cuts) == set()


@settings(max_examples=40, deadline=None)
@given(_markets(), st.integers(1, COUNT - WARMUP - 2))
def test_no_feature_of_any_market_remembers_beyond_the_warmup(bars, start):
    assert remembering(_columns, bars, (start,), WARMUP) == set()


@settings(max_examples=40, deadline=None)
@given(_markets())
def test_every_value_is_a_number_of_sane_size_or_missing(bars):
    values = compute(bars, SCHEMA).values
    assert not np.isinf(values).any()
    # A thousand average ranges: a jump after a still market can be large, dust divided by dust is larger.
    assert np.nanmax(np.abs(values), initial=0.0) < 1e5
