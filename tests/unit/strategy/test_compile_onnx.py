from __future__ import annotations

import base64
import json
import subprocess
import threading
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
from loguru import logger

from strategy import compile_onnx as module
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


@pytest.mark.parametrize("kind", ["random_forest", "xgboost"])
def test_the_same_model_compiles_to_the_same_bytes(kind):
    """Converters name graphs at random unless told not to; two equal jobs must leave equal files."""
    assert convert(kind, native_files(kind)[".pkl"], COLUMNS, 1) == compiled_files(kind)[".onnx"]


def test_conversion_leaves_no_process_behind_and_says_nothing(capfd):
    before = {child.pid for child in psutil.Process().children()}
    with _messages() as lines:
        assert compile_onnx("random_forest", native_files("random_forest"), COLUMNS, 1)
    assert {child.pid for child in psutil.Process().children()} <= before
    assert lines == []
    output, complaints = capfd.readouterr()
    assert output == ""
    assert [line for line in complaints.splitlines() if "compiling to ONNX" not in line] == []


def test_a_model_that_cannot_be_read_gives_none_and_the_reason(monkeypatch):
    """The request is larger than a pipe holds: waits that time out must not cut it short."""
    monkeypatch.setattr(module, "_POLL_S", 0.02)
    with _messages() as lines:
        assert compile_onnx("xgboost", {".pkl": b"\x80junk" + bytes(500_000)}, COLUMNS, 1) is None
    assert "xgboost: not compiled to ONNX, the converter ended with 1: ValueError" in lines[0]


def test_a_conversion_that_takes_too_long_is_killed():
    before = {child.pid for child in psutil.Process().children()}
    with _messages() as lines:
        assert compile_onnx("xgboost", native_files("xgboost"), COLUMNS, 1, timeout_s=0.1) is None
    assert "no answer in 0.1 s" in lines[0]
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_cancelled_conversion_is_killed():
    cancel = threading.Event()
    cancel.set()
    with _messages() as lines:
        assert compile_onnx("xgboost", native_files("xgboost"), COLUMNS, 1, cancel=cancel) is None
    assert "cancelled" in lines[0]


def test_no_child_process_means_no_compiled_model(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("too many processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with _messages() as lines:
        assert compile_onnx("xgboost", native_files("xgboost"), COLUMNS, 1) is None
    assert "too many processes" in lines[0]


@pytest.mark.parametrize(("output", "reason"), [(b"", "wrote nothing"), (b"not base64!", "cannot be read")])
def test_a_strange_reply_is_no_model(output, reason):
    reply, why = module._decoded(0, output, b"")
    assert reply is None
    assert reason in why


@pytest.mark.parametrize(("kind", "files"), [("forest", {".pkl": b""}), ("lstm", {".pkl": b""})])
def test_an_unknown_kind_or_a_missing_model_file_is_an_error(kind, files):
    with pytest.raises(ValueError, match=kind):
        compile_onnx(kind, files, COLUMNS, 1)


@pytest.mark.filterwarnings("ignore")  # the child ignores them too
def test_early_stopping_survives_the_conversion():
    rng = np.random.default_rng(0)
    noise = (rows(100, seed=11), rng.integers(0, 3, 100))
    model = fitted_tree("xgboost").set_params(n_estimators=30, early_stopping_rounds=4)
    model.fit(rows(300, seed=12), rng.integers(0, 3, 300), eval_set=[noise], verbose=False)
    compiled = convert("xgboost", tree_files(model, SCHEMA)[".pkl"], COLUMNS, 1)
    np.testing.assert_allclose(open_session(compiled, 1)(rows(20)), model.predict_proba(rows(20)), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_deep_network_of_any_batch_size_compiles():
    network, scaler, target = fitted_lstm(hidden=3, layers=2)
    scorer = open_session(convert("lstm", lstm_files(network, scaler, target, SCHEMA)[".pth"], COLUMNS, 9))
    for batch in (1, 2, 33):
        windows = rows(batch * 9).reshape(batch, 9, COLUMNS)
        np.testing.assert_allclose(scorer(windows), torch_scorer(network)(windows), atol=1e-5)


def test_a_request_is_plain_json():
    seen = {}

    def run(request, timeout_s, cancel):
        seen.update(json.loads(request))
        return b"model", ""

    original, module._run_child = module._run_child, run
    try:
        assert compile_onnx("xgboost", {".pkl": b"\x00\xff", "_features.pkl": b"unused"}, 4, 1) == b"model"
    finally:
        module._run_child = original
    assert base64.b64decode(seen.pop("model")) == b"\x00\xff"
    assert seen == {"kind": "xgboost", "n_features": 4, "rows": 1}


def test_an_unknown_kind_has_no_converter():
    with pytest.raises(KeyError):
        convert("forest", b"", 4, 1)
