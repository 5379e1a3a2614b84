"""One-row latency of the predictors, each against a named reference timed in the same run.

References: the library's own call for the compiled models, the bare session for what a predictor
adds round it. Rounds of both are interleaved and the fastest of each is taken, so a busy machine
slows both alike. Figures are shown with `pytest -rP`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

import pytest

from execution.orders import Side
from strategy.ensemble import combine
from strategy.predictor import Forecast
from tests.fakes_models import compiled_files, fitted_tree, load, native_files, rows, window

log = logging.getLogger(__name__)

ROUNDS, CALLS = 15, 20


def _ratio(name: str, measured: Callable[[], object], reference: Callable[[], object]) -> float:
    """Fastest round of `measured` over the fastest of `reference`."""
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for i, call in enumerate((measured, reference)):
            start = perf_counter()
            for _ in range(CALLS):
                call()
            best[i] = min(best[i], perf_counter() - start)
    log.warning("%s: %.1f us against %.1f us", name, *(1e6 * seconds / CALLS for seconds in best))
    return best[0] / best[1]


@pytest.mark.parametrize("kind", ["random_forest", "xgboost"])
def test_compiled_trees_are_faster_than_the_librarys_own_call(kind):
    model, row, given = fitted_tree(kind), rows(1), window()
    predictor = load(kind, compiled_files(kind))
    assert _ratio(f"{kind} onnx / predict_proba", lambda: predictor.predict(given), lambda: model.predict_proba(row)) < 0.7


def test_native_xgboost_is_not_slower_than_the_wrapper():
    model, row, given = fitted_tree("xgboost"), rows(1), window()
    predictor = load("xgboost", native_files("xgboost"))
    assert _ratio("xgboost inplace / predict_proba", lambda: predictor.predict(given), lambda: model.predict_proba(row)) < 1.5


def test_the_compiled_network_is_faster_than_torch():
    compiled, native, given = load("lstm", compiled_files("lstm")), load("lstm", native_files("lstm")), window()
    assert _ratio("lstm onnx / torch", lambda: compiled.predict(given), lambda: native.predict(given)) < 1.0


def test_calibration_and_checks_stay_small_beside_the_model():
    """Fixed work of a prediction, against the bare session run of a tiny model."""
    predictor, given = load("xgboost", compiled_files("xgboost")), window()
    row = given.values[-1:]
    assert _ratio("xgboost predict / session", lambda: predictor.predict(given), lambda: predictor.scorer(row)) < 20.0


def test_a_vote_is_cheaper_than_one_prediction():
    forecasts = {slot: Forecast(0.5, 0.2, Side.LONG, 0.2) for slot in ("scalper", "xgboost", "lstm_EURUSD")}
    levels = dict.fromkeys(forecasts, 0.05)
    predictor, given = load("xgboost", compiled_files("xgboost")), window()
    assert _ratio("combine / predict", lambda: combine(forecasts, levels, 2), lambda: predictor.predict(given)) < 0.5
