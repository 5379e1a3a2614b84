from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from config.errors import ArtifactError, PredictionFailed
from strategy.golden import check_golden, golden_bytes, read_golden
from tests.fakes_models import KINDS, expected_of, load, native_files, rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_meets_its_own_golden_rows(kind):
    files = native_files(kind)
    check_golden(load(kind, files), files["_golden.npz"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["p_long", "p_short", "expected_r"])
def test_an_altered_expectation_is_found(kind, field):
    files = native_files(kind)
    inputs, expected = read_golden(files["_golden.npz"])
    expected[field][-1] += 2e-4
    with pytest.raises(ArtifactError, match=rf"predict_many differs from the golden rows by 0\.0002 in {field}"):
        check_golden(load(kind, files), golden_bytes(inputs, expected))


@pytest.mark.parametrize("kind", KINDS)
def test_an_altered_input_is_found(kind):
    files = native_files(kind)
    inputs, expected = read_golden(files["_golden.npz"])
    inputs[..., 0] += 1.0
    with pytest.raises(ArtifactError, match="differs"):
        check_golden(load(kind, files), golden_bytes(inputs, expected))


def test_a_difference_within_the_tolerance_passes():
    files = native_files("xgboost")
    inputs, expected = read_golden(files["_golden.npz"])
    expected["p_long"] += 5e-5
    check_golden(load("xgboost", files), golden_bytes(inputs, expected))


def test_an_expectation_of_nan_never_passes():
    files = native_files("xgboost")
    inputs, expected = read_golden(files["_golden.npz"])
    expected["p_short"][3] = np.nan
    with pytest.raises(ArtifactError, match="p_short"):
        check_golden(load("xgboost", files), golden_bytes(inputs, expected))


@dataclass(frozen=True)
class _Skewed:
    """Right in batches, wrong one by one."""

    inner: object

    @property
    def info(self):
        return self.inner.info

    def predict_many(self, values):
        return self.inner.predict_many(values)

    def predict(self, window):
        return self.inner.predict(type(window)(window.schema, window.values + np.float32(1.0)))


def test_single_calls_are_checked_too():
    files = native_files("xgboost")
    with pytest.raises(ArtifactError, match="predict differs"):
        check_golden(_Skewed(load("xgboost", files)), files["_golden.npz"])


class _Failing(_Skewed):
    def predict_many(self, values):
        raise PredictionFailed("no")


def test_a_failed_forecast_is_an_artifact_error():
    files = native_files("xgboost")
    with pytest.raises(ArtifactError, match="gave no forecast"):
        check_golden(_Failing(load("xgboost", files)), files["_golden.npz"])


def test_bytes_keep_inputs_and_expectations():
    inputs = rows(4)
    expected = expected_of(load("xgboost", native_files("xgboost")), inputs)
    again, values = read_golden(golden_bytes(inputs, expected))
    np.testing.assert_array_equal(again, inputs)
    for name, column in expected.items():
        np.testing.assert_array_equal(values[name], column)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"junk", lambda data: data[:-30]])
def test_unreadable_golden_rows_are_an_artifact_error(damage):
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_golden(damage(native_files("xgboost")["_golden.npz"]))


def test_empty_golden_rows_are_refused():
    nothing = np.empty(0)
    with pytest.raises(ArtifactError, match="empty"):
        read_golden(golden_bytes(rows(0), {"p_long": nothing, "p_short": nothing, "expected_r": nothing}))


def test_expectations_must_fit_the_inputs():
    with pytest.raises(ArtifactError, match="missing"):
        golden_bytes(rows(3), {"p_long": np.zeros(3)})
    with pytest.raises(ArtifactError, match="3 inputs"):
        golden_bytes(rows(3), {"p_long": np.zeros(3), "p_short": np.zeros(2), "expected_r": np.zeros(3)})
