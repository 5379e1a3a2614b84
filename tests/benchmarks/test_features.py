"""Cost of features and labels, against a NumPy reference timed in the same run.

The reference is sixty rolling sums of sixty rows, by `numpy.correlate`, over as many bars: about
the work of a table of that width. Rounds are interleaved and the fastest of each is taken, so a
busy machine slows both alike. The goal is 1.5 s for 250,000 bars; figures are shown with `pytest -rP`.
"""

from __future__ import annotations

import logging
from time import perf_counter

import numpy as np
import pytest

from strategy.features import WARMUP, atr, compute, schema_for
from strategy.learning.labels import label
from tests.fakes_learning import ALL, POLICY, costs_of, market

log = logging.getLogger(__name__)

COUNT, ROUNDS = 250_000, 3


@pytest.fixture(scope="module")
def bars():
    return market(COUNT)


def _fastest(*calls, rounds=ROUNDS):
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            start = perf_counter()
            call()
            best[index] = min(best[index], perf_counter() - start)
    return best


def _rolling_sums(values, columns=60, window=60):
    ones = np.ones(window)
    for _ in range(columns):
        np.correlate(values, ones)


def test_features_and_labels_of_a_year_cost_a_few_tables_of_rolling_sums(bars):
    schema, costs = schema_for(ALL), costs_of(bars)
    features, labels, reference = _fastest(
        lambda: compute(bars, schema),
        lambda: label(bars, atr(bars), costs, POLICY, 2.0),
        lambda: _rolling_sums(bars.close),
    )
    log.warning("%d bars: features %.2f s, labels %.2f s, reference %.2f s", COUNT, features, labels, reference)
    assert features + labels < 5.0 * reference


def test_cost_grows_with_the_rows_and_not_faster(bars):
    """Four times the bars: at most ten times the time, where a quadratic step would ask for sixteen."""
    schema = schema_for(ALL)
    quarter = bars.tail(COUNT // 4)
    large, small = _fastest(lambda: compute(bars, schema), lambda: compute(quarter, schema))
    assert large < 10.0 * small


def test_a_decisions_window_costs_a_fraction_of_the_table(bars):
    """The loop computes only what the newest rows need."""
    schema = schema_for(ALL)
    window, month = bars.tail(WARMUP + 61), bars.tail(30_000)
    one, many = _fastest(lambda: compute(window, schema), lambda: compute(month, schema), rounds=20)
    log.warning("window of %d bars: %.0f us", len(window), 1e6 * one)
    assert one < 0.2 * many
