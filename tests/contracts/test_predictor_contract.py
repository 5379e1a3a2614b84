"""Every predictor, on every backend, against the one contract."""

from __future__ import annotations

from tests.contracts.predictor_contract import PredictorContract
from tests.fakes_models import compiled_files, load, native_files


class TestNativeForest(PredictorContract):
    def make(self):
        predictor = load("random_forest", native_files("random_forest"))
        assert predictor.backend == "native"
        return predictor


class TestOnnxForest(PredictorContract):
    def make(self):
        predictor = load("random_forest", compiled_files("random_forest"))
        assert predictor.backend == "onnx"
        return predictor


class TestNativeXGBoost(PredictorContract):
    def make(self):
        predictor = load("xgboost", native_files("xgboost"))
        assert predictor.backend == "native"
        return predictor


class TestOnnxXGBoost(PredictorContract):
    def make(self):
        predictor = load("xgboost", compiled_files("xgboost"))
        assert predictor.backend == "onnx"
        return predictor


class TestTorchLSTM(PredictorContract):
    def make(self):
        predictor = load("lstm", native_files("lstm"))
        assert predictor.backend == "torch"
        return predictor


class TestOnnxLSTM(PredictorContract):
    def make(self):
        predictor = load("lstm", compiled_files("lstm"))
        assert predictor.backend == "onnx"
        return predictor
