"""Three models of the sizes that the budgets are stated for, served as the daemon serves them, and the bars they read.

A RandomForest of 300 trees down to depth 20, XGBoost of 300 rounds, a BiLSTM of 64 units and two layers over sixty
rows. They are fitted on a market with an edge for a few seconds: what a decision costs depends on the
sizes, not on the skill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from typing import Any

import numpy as np

from config.settings import FilterSettings
from market_data.bars import Bars
from strategy.active_models import ActiveModels
from strategy.asking import Scope
from strategy.bundle import GOLDEN, ONNX
from strategy.compile_onnx import compile_onnx
from strategy.features import WARMUP, compute, schema_for, sequence_schema
from strategy.golden import golden_bytes
from strategy.lstm_predictor import LSTMPredictor, lstm_files
from strategy.predictor import BundleInfo, FeatureSchema, Matrix, Predictor
from strategy.scalping_strategy import ScalpingStrategy
from strategy.tree_predictor import load_tree, tree_files
from tests.fakes_learning import ALL, POLICY, market
from tests.fakes_models import expected_of, inference_of

SYMBOL, ORIGIN, TIMEFRAME = "EURUSD", "synthetic", "M1"
TREES, DEPTH, ROUNDS, BOOST_DEPTH = 300, 20, 300, 3
HIDDEN, LAYERS, SEQUENCE = 64, 2, 60
TRAIN_ROWS = 12_000

SLOTS: Mapping[str, str] = {"random_forest": "scalper", "xgboost": "xgboost", "lstm": f"lstm_{SYMBOL}"}
FEATURES = schema_for(ALL)
WINDOW = WARMUP + SEQUENCE + 1
"""Bars that a decision fetches."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One model in service and the object of its library behind it.

    Attributes:
        native: the fitted classifier or network, for naive references.
    """

    predictor: Predictor
    native: Any
    files: Mapping[str, bytes]


@cache
def training_bars() -> Bars:
    """Bars with a predictable part."""
    return market(TRAIN_ROWS + WARMUP + 60, seed=3, edge=1.0)


@cache
def training_rows() -> tuple[Matrix, np.ndarray[Any, Any]]:
    """Feature rows and three classes, by the next half hour's move in ranges."""
    bars = training_bars()
    table = compute(bars, FEATURES).values[WARMUP:-30]
    ahead = (bars.close[30:] - bars.close[:-30])[WARMUP:]
    edge = 0.6 * ahead.std()
    return table, np.where(ahead > edge, 1, np.where(ahead < -edge, 2, 0))


@cache
def served(kind: str) -> Served:
    """A model of the stated size, on ONNX Runtime.

    Args:
        kind: `random_forest`, `xgboost` or `lstm`.
    """
    x, y = training_rows()
    schema, rows = (sequence_schema(ALL), SEQUENCE) if kind == "lstm" else (FEATURES, 1)
    x = x[:, [FEATURES.names.index(name) for name in schema.names]]
    info = BundleInfo(SLOTS[kind], 1, kind, ORIGIN, (SYMBOL,), TIMEFRAME, POLICY.hash, rows, schema)
    native, files, load = _fitted(kind, x, y, schema)
    inputs = np.stack([x[start : start + rows] for start in range(16)]) if kind == "lstm" else x[:16]
    files[GOLDEN] = golden_bytes(inputs, expected_of(load(info, inference_of(kind), files), inputs))
    compiled = compile_onnx(kind, files, len(schema.names), rows)
    if compiled is None:
        raise RuntimeError(f"{kind}: not compiled, so there is nothing to time")
    files[ONNX] = compiled
    return Served(load(info, inference_of(kind), files), native, files)


def _fitted(kind: str, x: Matrix, y: Any, schema: FeatureSchema) -> tuple[Any, dict[str, bytes], Any]:
    if kind == "lstm":
        network, files = _network(x, schema)
        return network, files, LSTMPredictor.load_artifacts
    model = (_forest if kind == "random_forest" else _booster)().fit(x, y)
    return model, tree_files(model, schema), load_tree


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, max_depth=DEPTH, min_samples_leaf=20, max_features="sqrt", random_state=0, n_jobs=1)


def _booster() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=ROUNDS, max_depth=BOOST_DEPTH, learning_rate=0.05, random_state=0, n_jobs=1)


def _network(x: Matrix, schema: FeatureSchema) -> tuple[Any, dict[str, bytes]]:
    """Random weights: a network's time does not hang on what it learned."""
    import torch
    from sklearn.preprocessing import StandardScaler

    from strategy.lstm_model import BiLSTMWithAttention

    torch.manual_seed(0)
    network = BiLSTMWithAttention(len(schema.names), HIDDEN, LAYERS).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return network, lstm_files(network, StandardScaler().fit(x), StandardScaler().fit(x[:, :1]), schema)


def predictors(symbols: tuple[str, ...] = (SYMBOL,)) -> dict[str, Predictor]:
    """Slot -> predictor: the trees for all symbols, a network for each."""
    trees = {SLOTS[kind]: _for(served(kind).predictor, symbols) for kind in ("random_forest", "xgboost")}
    return trees | {f"lstm_{symbol}": _for(served("lstm").predictor, (symbol,), f"lstm_{symbol}") for symbol in symbols}


def _for(predictor: Any, symbols: tuple[str, ...], slot: str = "") -> Predictor:
    changed: Predictor = replace(predictor, info=replace(predictor.info, symbols=symbols, slot=slot or predictor.info.slot))
    return changed


def strategy_over(models: Mapping[str, Predictor], max_age_bars: float = 2.0) -> ScalpingStrategy:
    """The strategy with default filters."""
    return ScalpingStrategy(ActiveModels(models), FilterSettings(), Scope(ORIGIN, TIMEFRAME, POLICY.hash), max_age_bars)


@cache
def fresh_bars() -> Bars:
    """Bars that no model was fitted on."""
    return market(6_000, seed=4, edge=1.0)


def windows(bars: Bars | None = None) -> cycle[Bars]:
    """Windows as the loop fetches them, the newest bar another one each time, without end."""
    bars = fresh_bars() if bars is None else bars
    return cycle([bars.slice(end - WINDOW, end) for end in range(300, len(bars), 7)])


def first(count: int, source: cycle[Bars]) -> list[Bars]:
    """The next windows as a list."""
    return list(islice(source, count))
