"""Golden rows: inputs with the forecasts they must give, stored beside every version.

They prove at load that what is served computes what was persisted, on whichever backend.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from config.errors import ArtifactError, PredictionFailed
from strategy.predictor import FeatureWindow, Forecast, Matrix, Predictor

FIELDS = ("p_long", "p_short", "expected_r")
TOLERANCE = 1e-4

# One-row calls are checked on a few rows only: a native forest takes milliseconds for each.
_SINGLE_ROWS = 8

Expected = dict[str, NDArray[np.float64]]


def golden_bytes(inputs: Matrix, expected: Mapping[str, NDArray[np.float64]]) -> bytes:
    """An npz file of inputs and expected forecasts.

    Args:
        inputs: (n, F) rows for trees, (n, rows, F) windows for sequence models.
        expected: `p_long`, `p_short` and `expected_r`, each of shape (n,).

    Raises:
        ArtifactError: if a field is missing or shapes differ.
    """
    missing = [name for name in FIELDS if name not in expected]
    if missing or any(np.shape(expected[name]) != (len(inputs),) for name in FIELDS):
        raise ArtifactError(f"golden rows: {len(inputs)} inputs need {list(FIELDS)} of that length; missing {missing}")
    buffer = BytesIO()
    columns = {name: np.asarray(expected[name], np.float64) for name in FIELDS}
    np.savez(buffer, allow_pickle=False, inputs=np.asarray(inputs, np.float32), **columns)
    return buffer.getvalue()


def read_golden(data: bytes) -> tuple[Matrix, Expected]:
    """Inputs and expected forecasts of an npz file.

    Raises:
        ArtifactError: if the bytes are not what `golden_bytes` writes.
    """
    try:
        with np.load(BytesIO(data), allow_pickle=False) as stored:
            inputs: Matrix = stored["inputs"]
            expected: Expected = {name: stored[name] for name in FIELDS}
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as e:
        raise ArtifactError(f"golden rows cannot be read: {e}; roll back or retrain this slot") from e
    if len(inputs) == 0 or any(len(column) != len(inputs) for column in expected.values()):
        raise ArtifactError("golden rows are empty or differ in length; roll back or retrain this slot")
    return inputs, expected


def check_golden(predictor: Predictor, golden: bytes) -> None:
    """Compares a predictor's forecasts with its golden rows, in batches and one by one.

    Raises:
        ArtifactError: if a forecast fails or differs by more than `TOLERANCE`; names the largest difference.
    """
    inputs, expected = read_golden(golden)
    name = f"{predictor.info.slot} v{predictor.info.version}"
    try:
        parts = (("predict_many", _in_batches(predictor, inputs)), ("predict", _one_by_one(predictor, inputs[:_SINGLE_ROWS])))
    except PredictionFailed as e:
        raise ArtifactError(f"{name}: golden rows gave no forecast: {e}") from e
    for call, found in parts:
        field, worst = largest_difference(found, expected)
        if not worst <= TOLERANCE:  # so written, a difference of NaN fails too
            raise ArtifactError(f"{name}: {call} differs from the golden rows by {worst:.3g} in {field}, {TOLERANCE:g} allowed")


def largest_difference(found: Expected, expected: Expected) -> tuple[str, float]:
    """The field that differs most, and by how much; `found` may hold the first rows only."""
    worst = {name: float(np.max(np.abs(found[name] - expected[name][: len(found[name])]))) for name in FIELDS}
    field = max(worst, key=lambda name: np.inf if np.isnan(worst[name]) else worst[name])
    return field, worst[field]


def _in_batches(predictor: Predictor, inputs: Matrix) -> Expected:
    batches = [predictor.predict_many(rows) for rows in (inputs if inputs.ndim == 3 else [inputs])]
    return {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in FIELDS}


def _one_by_one(predictor: Predictor, inputs: Matrix) -> Expected:
    windows = inputs if inputs.ndim == 3 else inputs[:, None, :]
    schema = predictor.info.schema
    found: list[Forecast] = [predictor.predict(FeatureWindow(schema, rows)) for rows in windows]
    return {name: np.array([getattr(forecast, name) for forecast in found]) for name in FIELDS}
