"""From closed bars to a decision with three compiled models of the default sizes.

References timed in the same run: the models' bare sessions, and as many subtractions of sixty
numbers as a handful of NumPy calls per feature. Rounds are interleaved and the fastest of each is
taken, so a busy machine slows both alike. The goal is 0.8 ms for half of all decisions and 1.5 ms
for 99 of 100, on an idle machine; figures are shown with `pytest -rP`.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from itertools import cycle
from time import perf_counter

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from config.settings import FilterSettings, LstmSettings, TrainingSettings
from strategy.active_models import ActiveModels
from strategy.bundle import GOLDEN, ONNX
from strategy.compile_onnx import compile_onnx
from strategy.features import WARMUP, compute, row_hash, schema_for, sequence_schema
from strategy.golden import golden_bytes
from strategy.lstm_predictor import LSTMPredictor, lstm_files
from strategy.predictor import BundleInfo, select
from strategy.scalping_strategy import ScalpingStrategy, Scope
from strategy.tree_predictor import load_tree, tree_files
from tests.fakes_learning import ALL, POLICY, market
from tests.fakes_models import expected_of, inference_of

log = logging.getLogger(__name__)
pytestmark = pytest.mark.slow

ROWS, CALLS = LstmSettings().lstm_seq_length, 600
SLOTS = {"random_forest": "scalper", "xgboost": "xgboost", "lstm": "lstm_EURUSD"}
FEATURES = schema_for(ALL)


def _forest(x, y):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TrainingSettings().tree_count, max_depth=8, min_samples_leaf=20, random_state=0, n_jobs=1).fit(x, y)


def _booster(x, y):
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=TrainingSettings().boost_rounds, max_depth=4, random_state=0, n_jobs=1).fit(x, y)


def _network_files(x, schema):
    import torch

    from strategy.lstm_model import BiLSTMWithAttention

    settings = LstmSettings()
    torch.manual_seed(0)
    network = BiLSTMWithAttention(len(schema.names), settings.lstm_hidden, settings.lstm_layers).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return lstm_files(network, StandardScaler().fit(x), StandardScaler().fit(x[:, :1]), schema)


def _compiled(kind, table):
    """A predictor of the default size, on ONNX Runtime as in service."""
    schema, rows = (sequence_schema(ALL), ROWS) if kind == "lstm" else (FEATURES, 1)
    x = table[:, [FEATURES.names.index(name) for name in schema.names]]
    info = BundleInfo(SLOTS[kind], 1, kind, "synthetic", ("EURUSD",), "M1", POLICY.hash, rows, schema)
    if kind == "lstm":
        files, load = _network_files(x, schema), LSTMPredictor.load_artifacts
        inputs = np.stack([x[start : start + ROWS] for start in range(16)])
    else:
        y = np.digitize(x[:, 0] + x[:, 30], [-0.5, 0.5])
        files, load = tree_files((_forest if kind == "random_forest" else _booster)(x, y), schema), load_tree
        inputs = x[:16]
    files[GOLDEN] = golden_bytes(inputs, expected_of(load(info, inference_of(kind), files), inputs))
    files[ONNX] = compile_onnx(kind, files, len(schema.names), rows)
    predictor = load(info, inference_of(kind), files)
    assert predictor.backend == "onnx"
    return predictor


@pytest.fixture(scope="module")
def bars():
    return market(6_000, seed=3)


@pytest.fixture(scope="module")
def models(bars):
    table = compute(bars, FEATURES).values[WARMUP:4_000]
    return {SLOTS[kind]: _compiled(kind, table) for kind in SLOTS}


@pytest.fixture(scope="module")
def windows(bars):
    """Windows as the loop fetches them, never the same twice in a row."""
    return cycle([bars.slice(end - WARMUP - ROWS - 1, end) for end in range(300, 6_000, 7)])


def _timed(calls, windows):
    """Seconds of every call, in turns, each turn on the next window: name -> shape (CALLS,)."""
    spent = {name: np.empty(CALLS) for name in calls}
    for turn in range(-20, CALLS):  # the first turns warm up
        bars = next(windows)
        for name, call in calls.items():
            start = perf_counter()
            call(bars)
            spent[name][max(turn, 0)] = perf_counter() - start
    for name, seconds in spent.items():
        log.warning("%-24s p50 %5.0f us, p99 %5.0f us, least %5.0f us", name, *(1e6 * np.percentile(seconds, [50, 99, 0])))
    return spent


def _subtractions(_):
    """Four for each feature."""
    left, right = np.ones(61), np.ones(61)
    for _ in range(4 * len(FEATURES.names)):
        left - right


def test_features_cost_a_handful_of_calls_each(windows):
    spent = _timed({"features": lambda bars: compute(bars, FEATURES), "subtractions": _subtractions}, windows)
    assert spent["features"].min() < 6.0 * spent["subtractions"].min()


def test_a_decision_is_mostly_features_and_models(models, windows):
    """What votes, filters, checks and records add to them stays below what they take themselves."""
    scope = Scope("synthetic", "M1", POLICY.hash)
    strategy = ScalpingStrategy(ActiveModels(models), FilterSettings(), scope, 2.0)
    window = compute(next(windows), FEATURES)
    inputs = {slot: select(slot, window, model.info.schema, model.info.rows) for slot, model in models.items()}
    calls = {
        "decide": lambda bars: strategy.decide(bars, ALL, bars.opened_at(-1) + timedelta(seconds=60)),
        "features": lambda bars: compute(bars, FEATURES),
        **{f"predict {slot}": lambda _, slot=slot: models[slot].predict(inputs[slot]) for slot in models},
        **{f"session {slot}": _session(models[slot], inputs[slot]) for slot in models},
        "row hash": lambda _: row_hash(window),
    }
    spent = {name: seconds.min() for name, seconds in _timed(calls, windows).items()}
    parts = sum(seconds for name, seconds in spent.items() if name.startswith(("features", "predict")))
    sessions = sum(seconds for name, seconds in spent.items() if name.startswith("session"))
    assert spent["decide"] < 2.0 * parts
    assert parts - spent["features"] < 8.0 * sessions


def _session(model, given):
    scorer, rows = (model.network, given.values[None]) if model.info.kind == "lstm" else (model.scorer, given.values)
    return lambda _: scorer(rows)
