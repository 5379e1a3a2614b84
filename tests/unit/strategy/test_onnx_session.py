from __future__ import annotations

import numpy as np
import pytest

from config.errors import ArtifactError, PredictionFailed
from strategy.onnx_session import open_session
from tests.fakes_models import COLUMNS, compiled_files, rows


def test_a_classifier_gives_probabilities_as_its_second_output():
    scorer = open_session(compiled_files("xgboost")[".onnx"], output=1)
    found = scorer(rows(7))
    assert found.shape == (7, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_sessions_use_one_thread():
    options = open_session(compiled_files("xgboost")[".onnx"], 1).session.session_options
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"not a model", lambda data: data[: len(data) // 2]])
def test_bytes_that_are_no_model_are_an_artifact_error(damage):
    with pytest.raises(ArtifactError, match="cannot be opened"):
        open_session(damage(compiled_files("xgboost")[".onnx"]))


def test_an_output_that_is_not_there_is_an_artifact_error():
    with pytest.raises(ArtifactError, match="cannot be opened"):
        open_session(compiled_files("lstm")[".onnx"], output=1)


@pytest.mark.parametrize("batch", [rows(3, columns=COLUMNS + 1), rows(3).astype(np.float64)])
def test_a_batch_that_does_not_fit_is_a_failed_prediction(batch):
    with pytest.raises(PredictionFailed, match="refused"):
        open_session(compiled_files("xgboost")[".onnx"], 1)(batch)
