"""What one forecast of each model costs, beside its library's own call and its bare session, and what a vote costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from execution.orders import Side
from strategy.ensemble import combine
from strategy.features import compute
from strategy.predictor import FeatureWindow, Forecast, Matrix, select
from tests.benchmarks.harness import Call, Figure, paired, repeated
from tests.benchmarks.service import FEATURES, SLOTS, WINDOW, fresh_bars, served

CALLS = 20
"""Calls that are timed together: one alone is too short."""


def figures(quick: bool) -> Iterator[Figure]:
    """What acceptance 1 is made of."""
    rounds = 12 if quick else 60
    window = compute(fresh_bars().tail(WINDOW), FEATURES)
    for kind in SLOTS:
        yield _forecast(kind, window, rounds)
    yield _vote(rounds)


def _forecast(kind: str, window: FeatureWindow, rounds: int) -> Figure:
    model: Any = served(kind).predictor
    given = select(kind, window, model.info.schema, model.info.rows)
    scorer, rows = (model.network, model.preprocess(given)) if kind == "lstm" else (model.scorer, given.values)
    times = paired(
        repeated(lambda: model.predict(given), CALLS),
        repeated(lambda: scorer(rows), CALLS),
        LIBRARY[kind](served(kind).native, rows),
        rounds=rounds,
    )
    forecast, session, library = times.medians * 1e6
    return Figure(
        f"predict_{kind}_us",
        forecast / CALLS,
        "us",
        "one forecast, from its rows to probabilities and R",
        reference=float(library),
        reference_is=REFERENCE[kind],
        limit=session / CALLS,
    )


def _predict_proba(model: Any, rows: Matrix) -> Call:
    model.set_params(n_jobs=1)
    return lambda: model.predict_proba(rows)


def _eager(network: Any, windows: Matrix) -> Call:
    import torch

    def run() -> object:
        with torch.no_grad():
            return network(torch.from_numpy(windows))

    return run


LIBRARY: Mapping[str, Callable[[Any, Matrix], Call]] = {"random_forest": _predict_proba, "xgboost": _predict_proba, "lstm": _eager}
REFERENCE = {
    "random_forest": "scikit-learn's predict_proba on one row, n_jobs=1",
    "xgboost": "XGBClassifier.predict_proba on one row, n_jobs=1",
    "lstm": "torch, eager, without gradients",
}


def _vote(rounds: int) -> Figure:
    forecasts = {slot: Forecast(0.5, 0.2, Side.LONG, 0.2) for slot in SLOTS.values()}
    levels = dict.fromkeys(forecasts, 0.05)
    times = paired(repeated(lambda: combine(forecasts, levels, 2), CALLS), rounds=rounds)
    return Figure("vote_us", float(times.medians[0]) * 1e6 / CALLS, "us", "one vote of three models")
