from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from config.errors import ArtifactError, PredictionFailed, SchemaMismatch
from strategy import lstm_predictor
from strategy.bundle import pickled
from strategy.lstm_model import torch_scorer
from strategy.lstm_predictor import CLIP, Standardiser, lstm_files, lstm_scores
from strategy.predictor import FeatureSchema
from tests.fakes_models import (
    COLUMNS,
    LSTM_INFERENCE,
    SCHEMA,
    SEQUENCE,
    compiled_files,
    fitted_lstm,
    load,
    native_files,
    rows,
    window,
)

ROOT = Path(__file__).parents[3]


def _without(files, suffix):
    return {name: data for name, data in files.items() if name != suffix}


def test_scores_are_the_return_and_its_size():
    np.testing.assert_array_equal(lstm_scores(np.array([0.5, -2.0])), [[0.5, 0.5], [-2.0, 2.0]])


def test_preprocess_standardises_and_clips_the_newest_rows():
    predictor = load("lstm", native_files("lstm"))
    given = window(12)
    given.values[-1, 0], given.values[-1, 1] = 1e6, -1e6
    found = predictor.preprocess(given)
    _, scaler, _ = fitted_lstm()
    expected = np.clip(scaler.transform(given.values[-SEQUENCE:]), -CLIP, CLIP)
    assert found.shape == (1, SEQUENCE, COLUMNS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert (found[0, -1, 0], found[0, -1, 1]) == (CLIP, -CLIP)


def test_the_forecast_is_that_of_the_unscaled_return():
    predictor = load("lstm", native_files("lstm"))
    _, _, target = fitted_lstm()
    scaled = predictor.network(predictor.preprocess(window()))
    returns = target.inverse_transform(scaled[:, None].astype(np.float64))[:, 0]
    expected = LSTM_INFERENCE.forecasts(lstm_scores(returns)).at(0)
    assert predictor.predict(window()).p_long == pytest.approx(expected.p_long, abs=1e-6)


def test_the_compiled_network_forecasts_as_torch():
    torch_served, compiled = load("lstm", native_files("lstm")), load("lstm", compiled_files("lstm"))
    assert (torch_served.backend, compiled.backend) == ("torch", "onnx")
    values = rows(1200, seed=7)
    np.testing.assert_allclose(compiled.predict_many(values).p_long, torch_served.predict_many(values).p_long, atol=1e-5)


def test_many_rows_never_become_one_great_batch(monkeypatch):
    predictor = load("lstm", native_files("lstm"))
    whole = predictor.predict_many(rows(40))
    sizes = []

    def watched(windows):
        sizes.append(windows.shape)
        return predictor.network(windows)

    monkeypatch.setattr(lstm_predictor, "BATCH", 16)
    found = replace(predictor, network=watched).predict_many(rows(40))
    assert sizes == [(16, SEQUENCE, COLUMNS), (16, SEQUENCE, COLUMNS), (4, SEQUENCE, COLUMNS)]
    np.testing.assert_allclose(found.p_long, whole.p_long, atol=1e-6)


def test_bytes_round_trip_gives_equal_predictions():
    network, scaler, target = fitted_lstm()
    served = load("lstm", lstm_files(network, scaler, target, SCHEMA))
    values = rows(30)
    scaled = served.features.apply(values)
    windows = np.stack([scaled[i : i + SEQUENCE] for i in range(30 - SEQUENCE + 1)])
    expected = target.inverse_transform(torch_scorer(network)(windows)[:, None].astype(np.float64))[:, 0]
    np.testing.assert_allclose(served.predict_many(values).p_long, LSTM_INFERENCE.forecasts(lstm_scores(expected)).p_long, atol=1e-6)


def test_hidden_units_and_layers_come_from_the_weights():
    predictor = load("lstm", lstm_files(*fitted_lstm(hidden=7, layers=2), SCHEMA))
    assert 0.0 <= predictor.predict(window()).p_long <= 1.0


@pytest.mark.parametrize("suffix", [".pth", "_scaler.pkl", "_target_scaler.pkl", "_cols.pkl"])
def test_a_missing_file_is_named(suffix):
    with pytest.raises(ArtifactError, match=rf"lstm_EURUSD v1: file \*{suffix} is missing"):
        load("lstm", _without(native_files("lstm"), suffix))


def test_stored_columns_must_be_the_manifests():
    with pytest.raises(SchemaMismatch) as caught:
        load("lstm", native_files("lstm"), schema=FeatureSchema(("other", *SCHEMA.names[1:])))
    assert caught.value.missing == ("other",)
    assert caught.value.unexpected == ("feature_0",)


def _fitted(columns: int) -> StandardScaler:
    return StandardScaler().fit(rows(20, columns=columns))


@pytest.mark.parametrize("scaler", ["a string", StandardScaler(), _fitted(COLUMNS + 1)])
def test_a_scaler_that_does_not_fit_is_refused(scaler):
    with pytest.raises(ArtifactError, match="scaler"):
        load("lstm", {**native_files("lstm"), "_scaler.pkl": pickled(scaler)})


def test_a_target_scaler_over_many_columns_is_refused():
    with pytest.raises(ArtifactError, match="scaler"):
        load("lstm", {**native_files("lstm"), "_target_scaler.pkl": pickled(_fitted(2))})


def test_a_network_over_other_columns_is_refused():
    schema = FeatureSchema((*SCHEMA.names, "more"))
    files = {**native_files("lstm"), "_cols.pkl": pickled(list(schema.names)), "_scaler.pkl": pickled(_fitted(COLUMNS + 1))}
    with pytest.raises(ArtifactError, match="network over 6 columns, 7 needed"):
        load("lstm", files, schema=schema)


def test_a_damaged_compiled_network_leaves_torch_serving():
    files = compiled_files("lstm")
    assert load("lstm", {**files, ".onnx": files[".onnx"][:100]}).backend == "torch"


def test_a_compiled_network_that_misses_the_golden_rows_leaves_torch_serving():
    other = lstm_files(*fitted_lstm(hidden=5), SCHEMA)
    from tests.fakes_models import with_golden

    predictor = load("lstm", {**with_golden("lstm", other), ".onnx": compiled_files("lstm")[".onnx"]})
    assert predictor.backend == "torch"


def test_without_golden_rows_the_compiled_network_is_not_trusted():
    assert load("lstm", _without(compiled_files("lstm"), "_golden.npz")).backend == "torch"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_a_failed_prediction(value):
    predictor = replace(load("lstm", compiled_files("lstm")), network=lambda windows: np.full(len(windows), value, np.float32))
    with pytest.raises(PredictionFailed, match="not finite"):
        predictor.predict(window())


def test_a_standardiser_cannot_be_changed():
    standardiser = Standardiser.of("x", _fitted(3), 3)
    with pytest.raises(ValueError, match="read-only"):
        standardiser.mean[0] = 1.0


SERVE_WITHOUT_TORCH = """
import sys
from pathlib import Path

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is not here")

sys.meta_path.insert(0, NoTorch())
from tests.fakes_models import load, window
folder = Path(sys.argv[1])
files = {path.name.removeprefix("lstm"): path.read_bytes() for path in folder.iterdir()}
predictor = load("lstm", files)
assert predictor.backend == "onnx"
predictor.predict(window())
predictor.predict_many(window().values)
"""


def test_serving_the_compiled_network_never_imports_torch(tmp_path):
    for suffix, data in compiled_files("lstm").items():
        (tmp_path / f"lstm{suffix}").write_bytes(data)
    command = [sys.executable, "-c", SERVE_WITHOUT_TORCH, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
