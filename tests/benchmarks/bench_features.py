"""Features and labels of a long history, beside pandas' rolling windows and a loop over a table's rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from execution.exits import ExitPolicy
from market_data.bars import Bars, FloatArray
from strategy.features import atr, compute, schema_for
from strategy.learning.labels import FLAT, LONG, SHORT, Costs, label
from tests.benchmarks import naive
from tests.benchmarks.harness import Call, Figure, paired
from tests.fakes_learning import ALL, POLICY, costs_of, market

BARS, FEATURE_BARS, LABEL_BARS = 250_000, 10_000, 1_000
MAX_AGE = 2.0


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 4."""
    bars, schema = market(BARS), schema_for(ALL)
    costs = costs_of(bars)

    def vectorised() -> None:
        compute(bars, schema)
        label(bars, atr(bars), costs, POLICY, MAX_AGE)

    rounds = paired(vectorised, _plain_features(bars), _plain_labelling(bars), rounds=10 if quick else 20)
    per_round = rounds.seconds[1] * BARS / FEATURE_BARS + rounds.seconds[2] * BARS / LABEL_BARS
    note = f"{rounds.seconds.shape[1]} rounds; the plain way on {FEATURE_BARS:,} bars of features and {LABEL_BARS:,} of labels, by the bar"
    yield Figure(
        "features_labels_250k_s",
        float(rounds.medians[0]),
        "s",
        "features and labels of 250,000 bars",
        reference=float(np.median(per_round)),
        reference_is="pandas rolling windows, and a loop over a table's rows",
        budget=1.5,
        note=note,
    )
    faster = float(np.median(per_round / rounds.seconds[0]))
    yield Figure("features_labels_speedup", faster, "x", "how many times faster than that", budget=40.0, at_least=True, note=note)


def _plain_features(bars: Bars) -> Call:
    part = bars.tail(FEATURE_BARS)
    return lambda: naive.features(naive.frame_of(part))


def _plain_labelling(bars: Bars) -> Call:
    part = bars.tail(LABEL_BARS)
    average, costs = atr(part), costs_of(part)
    return lambda: plain_labels(naive.frame_of(part), average, costs, POLICY)


def plain_labels(frame: pd.DataFrame, average: FloatArray, costs: Costs, policy: ExitPolicy) -> pd.DataFrame:
    """Class and net R of both sides, row by row and bar by bar, as one writes it first; without a future there is no row.

    `tests/unit/benchmarks` holds it to `label`, for bars that follow each other and policies that move no stop.
    """
    frame = frame.assign(cost=costs.spread)
    found = {}
    for row in range(len(frame) - policy.horizon - 1):
        if not average[row] > 0:
            continue
        future = frame.iloc[row + 1 : row + policy.horizon + 2]
        spread = future["cost"].iloc[0]
        stop = float(policy.stop_distance(average[row], spread + costs.commission, spread + costs.least_stop))
        target = float(policy.target_distance(stop))
        (long, long_age), (short, short_age) = (_walked(list(future.itertuples()), stop, target, side) for side in (1, -1))
        kind = LONG if long_age < short_age else SHORT if short_age < long_age else FLAT
        found[row] = kind, (long - costs.commission) / stop, (short - costs.commission) / stop
    return pd.DataFrame.from_dict(found, orient="index", columns=["kind", "long", "short"])


def _walked(future: list[Any], stop: float, target: float, side: int) -> tuple[float, int]:
    """Move of one trade, and the age at which it reached its target; beyond the horizon where it did not."""
    entry = future[0].open + (future[0].cost if side > 0 else 0.0)
    floor, ceiling = entry - side * stop, entry + side * target
    for age, bar in enumerate(future[:-1], start=1):
        ask = bar.cost if side < 0 else 0.0
        first, worst, best = bar.open + ask, (bar.low if side > 0 else bar.high) + ask, (bar.high if side > 0 else bar.low) + ask
        if side * (worst - floor) <= 0 and side * (first - ceiling) < 0:
            return min(side * first, side * floor) - side * entry, len(future)
        if side * (best - ceiling) >= 0:
            return max(side * first, side * ceiling) - side * entry, age
    return side * (future[-1].open + (future[-1].cost if side < 0 else 0.0) - entry), len(future)
