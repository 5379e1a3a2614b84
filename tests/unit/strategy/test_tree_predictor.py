from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.errors import ArtifactError, PredictionFailed, SchemaMismatch
from strategy.bundle import pickled
from strategy.predictor import FeatureSchema, FeatureWindow
from strategy.tree_predictor import PROBABILITY_FLOOR, tree_files, tree_scores
from tests.fakes_models import (
    COLUMNS,
    SCHEMA,
    TREE_INFERENCE,
    compiled_files,
    fitted_tree,
    load,
    native_files,
    rows,
    window,
    with_golden,
)

TREES = ("random_forest", "xgboost")
ROOT = Path(__file__).parents[3]


def test_scores_are_floored_logs():
    np.testing.assert_allclose(tree_scores(np.array([[0.0, 0.25, 0.75]], np.float32)), np.log([[PROBABILITY_FLOOR, 0.25, 0.75]]))


@pytest.mark.parametrize("kind", TREES)
def test_forecasts_are_the_calibrated_probabilities_of_the_model(kind):
    model = fitted_tree(kind)
    values = rows(25, seed=6)
    expected = TREE_INFERENCE.forecasts(tree_scores(model.predict_proba(values)))
    found = load(kind, tree_files(model, SCHEMA)).predict_many(values)
    np.testing.assert_allclose(found.p_long, expected.p_long, atol=1e-6)
    np.testing.assert_allclose(found.p_short, expected.p_short, atol=1e-6)
    np.testing.assert_array_equal(found.side, expected.side)


@pytest.mark.parametrize("kind", TREES)
def test_the_compiled_model_forecasts_as_the_native_one(kind):
    values = rows(2000, seed=7)
    native, compiled = load(kind, native_files(kind)), load(kind, compiled_files(kind))
    assert (native.backend, compiled.backend) == ("native", "onnx")
    found, expected = compiled.predict_many(values), native.predict_many(values)
    np.testing.assert_allclose(found.p_long, expected.p_long, atol=2e-5)
    np.testing.assert_allclose(found.expected_r, expected.expected_r, atol=1e-4)


@pytest.mark.parametrize("files", [native_files, compiled_files])
@pytest.mark.parametrize("kind", TREES)
def test_a_row_among_many_has_the_forecast_that_it_has_alone(kind, files):
    predictor, values = load(kind, files(kind)), rows(200, seed=8)
    many = predictor.predict_many(values)
    assert [many.at(i) for i in range(200)] == [predictor.predict(FeatureWindow(SCHEMA, values[i : i + 1])) for i in range(200)]


@pytest.mark.parametrize("kind", TREES)
def test_bytes_round_trip_gives_equal_predictions(kind):
    first = load(kind, native_files(kind)).predict_many(rows(30))
    second = load(kind, tree_files(fitted_tree(kind), SCHEMA)).predict_many(rows(30))
    np.testing.assert_array_equal(first.p_long, second.p_long)


@pytest.mark.parametrize("kind", TREES)
def test_the_given_model_keeps_its_thread_count_and_the_stored_one_has_one(kind):
    model = fitted_tree(kind).set_params(n_jobs=2)
    again = load(kind, tree_files(model, SCHEMA))
    assert model.n_jobs == 2
    assert again.predict(window()) == load(kind, native_files(kind)).predict(window())


def test_rounds_after_the_best_are_left_out_native_and_compiled():
    rng = np.random.default_rng(0)
    noise = (rows(100, seed=11), rng.integers(0, 3, 100))
    x, y = rows(300, seed=12), rng.integers(0, 3, 300)
    model = fitted_tree("xgboost").set_params(n_estimators=30, early_stopping_rounds=4).fit(x, y, eval_set=[noise], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    values = rows(20)
    found = load("xgboost", tree_files(model, SCHEMA)).predict_many(values)
    np.testing.assert_allclose(found.p_long, TREE_INFERENCE.forecasts(tree_scores(model.predict_proba(values))).p_long, atol=1e-6)


@pytest.mark.parametrize("kind", TREES)
def test_stored_columns_must_be_the_manifests(kind):
    other = FeatureSchema(("other", *SCHEMA.names[1:]))
    with pytest.raises(SchemaMismatch) as caught:
        load(kind, native_files(kind), schema=other)
    assert caught.value.missing == ("other",)
    assert caught.value.unexpected == ("feature_0",)


def test_a_model_over_other_columns_is_refused():
    files = {**native_files("xgboost"), "_features.pkl": pickled([*SCHEMA.names, "more"])}
    with pytest.raises(ArtifactError, match=f"{COLUMNS} columns"):
        load("xgboost", files, schema=FeatureSchema((*SCHEMA.names, "more")))


def test_a_model_without_the_three_classes_is_refused():
    model = fitted_tree("random_forest")
    x = rows(50)
    model.fit(x, (x[:, 0] > 0).astype(int))
    with pytest.raises(ArtifactError, match=r"classes \[0, 1\]"):
        load("random_forest", tree_files(model, SCHEMA))


def test_a_file_that_holds_no_model_is_refused():
    with pytest.raises(ArtifactError, match="classes"):
        load("xgboost", {**native_files("xgboost"), ".pkl": pickled("a string")})


@pytest.mark.parametrize("suffix", [".pkl", "_features.pkl"])
def test_a_missing_file_is_an_artifact_error(suffix):
    files = {name: data for name, data in native_files("xgboost").items() if name != suffix}
    with pytest.raises(ArtifactError, match="missing"):
        load("xgboost", files)


@pytest.mark.parametrize("kind", TREES)
def test_a_damaged_compiled_model_leaves_the_native_one_serving(kind):
    files = compiled_files(kind)
    predictor = load(kind, {**files, ".onnx": files[".onnx"][:100]})
    assert predictor.backend == "native"


def test_the_compiled_model_of_another_fit_is_not_used():
    predictor = load("xgboost", {**compiled_files("xgboost"), ".onnx": compiled_files("random_forest")[".onnx"]})
    assert predictor.backend == "native"
    assert predictor.predict(window()) == load("xgboost", native_files("xgboost")).predict(window())


def test_without_golden_rows_the_compiled_model_is_not_trusted():
    files = {name: data for name, data in compiled_files("xgboost").items() if name != "_golden.npz"}
    assert load("xgboost", files).backend == "native"


def test_a_slightly_different_compiled_model_is_caught_by_the_golden_inputs():
    other = tree_files(fitted_tree("xgboost", learning_rate=0.301), SCHEMA)
    files = {**other, ".onnx": compiled_files("xgboost")[".onnx"]}
    assert load("xgboost", with_golden("xgboost", files)).backend == "native"


@pytest.mark.parametrize("kind", TREES)
def test_what_is_not_a_number_is_a_failed_prediction(kind):
    predictor = replace(load(kind, native_files(kind)), scorer=lambda values: np.full((len(values), 3), np.nan))
    with pytest.raises(PredictionFailed, match="not finite"):
        predictor.predict(window())


def test_a_refusing_library_is_a_failed_prediction():
    def refuse(values):
        raise ValueError("wrong dtype")

    with pytest.raises(PredictionFailed, match="scalper v1: the model refused its input: wrong dtype"):
        replace(load("random_forest", native_files("random_forest")), scorer=refuse).predict(window())


def test_importing_the_predictors_does_not_import_torch():
    code = "import sys, strategy.tree_predictor, strategy.lstm_predictor, strategy.compile_onnx; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
