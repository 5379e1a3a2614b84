from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from loguru import logger

from strategy.compile_onnx import compile_onnx, convert
from strategy.lstm_model import torch_scorer
from strategy.lstm_predictor import lstm_files
from strategy.onnx_session import open_session
from strategy.tree_predictor import tree_files
from tests.fakes_models import COLUMNS, KINDS, SCHEMA, compiled_files, fitted_lstm, fitted_tree, native_files, rows


@contextmanager
def _messages():
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="WARNING")
    try:
        yield lines
    finally:
        logger.remove(sink)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_compiles_to_a_model_that_opens(kind):
    assert open_session(compiled_files(kind)[".onnx"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_model_compiles_to_the_same_bytes(kind):
    """Two equal jobs must leave equal files."""
    length = 5 if kind == "lstm" else 1
    assert convert(kind, native_files(kind), COLUMNS, length) == compiled_files(kind)[".onnx"]


def test_a_model_that_cannot_be_read_gives_none_and_the_reason():
    with _messages() as lines:
        assert compile_onnx("xgboost", {".pkl": b"\x80junk" + bytes(500)}, COLUMNS, 1) is None
    assert "xgboost: not compiled to ONNX, ArtifactError: xgboost: file *.pkl cannot be read" in lines[0]


def test_an_estimator_of_another_shape_gives_none_and_the_reason():
    with _messages() as lines:
        assert compile_onnx("random_forest", tree_files(fitted_tree("xgboost"), SCHEMA), COLUMNS, 1) is None
    assert "random_forest: not compiled to ONNX, AttributeError" in lines[0]


@pytest.mark.parametrize(("kind", "files"), [("forest", {".pkl": b""}), ("lstm", {".pkl": b""})])
def test_an_unknown_kind_or_a_missing_model_file_is_an_error(kind, files):
    with pytest.raises(ValueError, match=kind):
        compile_onnx(kind, files, COLUMNS, 1)


def test_early_stopping_survives_the_conversion():
    rng = np.random.default_rng(0)
    noise = (rows(100, seed=11), rng.integers(0, 3, 100))
    model = fitted_tree("xgboost").set_params(n_estimators=30, early_stopping_rounds=4)
    model.fit(rows(300, seed=12), rng.integers(0, 3, 300), eval_set=[noise], verbose=False)
    compiled = convert("xgboost", tree_files(model, SCHEMA), COLUMNS, 1)
    np.testing.assert_allclose(open_session(compiled, 1)(rows(20)), model.predict_proba(rows(20)), atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_deep_network_of_any_batch_size_compiles(layers):
    network, scaler, target = fitted_lstm(hidden=3, layers=layers)
    scorer = open_session(convert("lstm", lstm_files(network, scaler, target, SCHEMA), COLUMNS, 9))
    for batch in (1, 2, 33):
        windows = rows(batch * 9).reshape(batch, 9, COLUMNS)
        np.testing.assert_allclose(scorer(windows), torch_scorer(network)(windows), atol=1e-6)


def test_an_unknown_kind_has_no_converter():
    with pytest.raises(KeyError):
        convert("forest", {}, 4, 1)
