"""Tiny fitted models and their version files, made once per test run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from strategy.bundle import GOLDEN, ONNX
from strategy.compile_onnx import compile_onnx
from strategy.golden import golden_bytes
from strategy.lstm_predictor import LSTMPredictor, Standardiser, lstm_files
from strategy.predictor import BundleInfo, FeatureSchema, FeatureWindow, Inference, Matrix, Payoff, Predictor
from strategy.tree_predictor import load_tree, tree_files

COLUMNS = 6
SEQUENCE = 5
SCHEMA = FeatureSchema(tuple(f"feature_{i}" for i in range(COLUMNS)))
PAYOFF = Payoff(1.2, -1.05, 1.1, -1.02)
TREE_INFERENCE = Inference(((1.0, 0.1, 0.0), (0.0, 1.1, 0.0), (0.1, 0.0, 0.9)), (0.0, 0.05, -0.05), PAYOFF, 0.05)
LSTM_INFERENCE = Inference(((0.0, -0.5), (1.5, 0.2), (-1.4, 0.3)), (0.4, 0.0, 0.0), PAYOFF, 0.05)
KINDS = ("random_forest", "xgboost", "lstm")


def rows(n: int, seed: int = 0, columns: int = COLUMNS) -> Matrix:
    """Standard normal feature rows."""
    return np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32)


def window(n: int = 12, seed: int = 1) -> FeatureWindow:
    return FeatureWindow(SCHEMA, rows(n, seed))


def info_of(kind: str, version: int = 1) -> BundleInfo:
    slots = {"random_forest": "scalper", "xgboost": "xgboost", "lstm": "lstm_EURUSD"}
    length = SEQUENCE if kind == "lstm" else 1
    return BundleInfo(slots[kind], version, kind, "synthetic", ("EURUSD",), "M1", "0" * 12, length, SCHEMA)


def inference_of(kind: str) -> Inference:
    return LSTM_INFERENCE if kind == "lstm" else TREE_INFERENCE


def fitted_tree(kind: str, **options: Any) -> Any:
    """A small classifier whose classes depend on the first column."""
    from sklearn.ensemble import RandomForestClassifier
    from xgboost import XGBClassifier

    x = rows(400, seed=3)
    y = np.digitize(x[:, 0] + 0.3 * x[:, 1], [-0.5, 0.5])
    if kind == "random_forest":
        return RandomForestClassifier(10, max_depth=4, random_state=0, n_jobs=1, **options).fit(x, y)
    return XGBClassifier(n_estimators=10, max_depth=3, random_state=0, n_jobs=1, **options).fit(x, y)


def fitted_lstm(hidden: int = 4, layers: int = 1) -> tuple[Any, Any, Any]:
    """A network after a few steps, its feature scaler and its target scaler."""
    import torch
    from sklearn.preprocessing import StandardScaler

    from strategy.lstm_model import BiLSTMWithAttention

    x = rows(200, seed=4) * 3.0 + 1.0
    y = x[:, :1].astype(np.float64) * 0.4 + 0.1
    scaler, target = StandardScaler().fit(x), StandardScaler().fit(y)
    torch.manual_seed(0)
    network = BiLSTMWithAttention(COLUMNS, hidden, layers, 0.1)
    scaled = torch.tensor(Standardiser.of("test", scaler, COLUMNS).apply(x)).unfold(0, SEQUENCE, 1).transpose(1, 2)
    wanted = torch.tensor(target.transform(y)[SEQUENCE - 1 :, 0], dtype=torch.float32)
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(network(scaled), wanted).backward()
        optimiser.step()
    return network.eval(), scaler, target


@cache
def native_files(kind: str) -> Mapping[str, bytes]:
    """A version without a compiled model, golden rows included."""
    files = lstm_files(*fitted_lstm(), SCHEMA) if kind == "lstm" else tree_files(fitted_tree(kind), SCHEMA)
    return with_golden(kind, files)


@cache
def compiled_files(kind: str) -> Mapping[str, bytes]:
    """The same version with its compiled model."""
    files = native_files(kind)
    compiled = compile_onnx(kind, files, COLUMNS, info_of(kind).rows)
    assert compiled is not None, f"{kind} does not compile"
    return {**files, ONNX: compiled}


def with_golden(kind: str, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    inputs = rows(20, seed=5) if kind != "lstm" else np.stack([rows(SEQUENCE, seed) for seed in range(20)])
    return {**files, GOLDEN: golden_bytes(inputs, expected_of(load(kind, files), inputs))}


def expected_of(predictor: Predictor, inputs: Matrix) -> dict[str, Any]:
    batches = [predictor.predict_many(part) for part in (inputs if inputs.ndim == 3 else [inputs])]
    return {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ("p_long", "p_short", "expected_r")}


def load(kind: str, files: Mapping[str, bytes], **changes: Any) -> Any:
    """The predictor over some files; `changes` replace parts of its info."""
    info = replace(info_of(kind), **changes)
    if kind == "lstm":
        return LSTMPredictor.load_artifacts(info, inference_of(kind), files)
    return load_tree(info, inference_of(kind), files)
