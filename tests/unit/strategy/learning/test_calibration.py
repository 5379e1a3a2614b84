"""A calibration corrects what is bold or timid, and never makes a weak model certain of anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from strategy.learning.calibration import IDENTITY, calibrated, identity_of_priors
from strategy.learning.labels import FLAT, LONG


def drawn(count, *, edge, seed, shift=(0.0, 0.0, 0.0)):
    """True log-probabilities and outcomes drawn by them."""
    rng = np.random.default_rng(seed)
    log_p = log_softmax(np.log([0.6, 0.2, 0.2]) + edge * rng.standard_normal((count, 3)) + np.asarray(shift), axis=1)
    kind = (rng.random(count)[:, None] > np.exp(log_p).cumsum(axis=1)[:, :2]).sum(axis=1)
    return log_p, kind


def loss(layer, log_p, kind):
    weights, bias = (np.asarray(part) for part in layer)
    return -log_softmax(log_p @ weights.T + bias, axis=1)[np.arange(len(kind)), kind].mean()


@pytest.mark.parametrize("slope", [0.3, 3.0])
def test_the_temperature_that_was_planted_is_found(slope):
    log_p, kind = drawn(40_000, edge=0.8, seed=1)
    weights, _ = calibrated(slope * log_p, kind)
    assert weights[0][0] == pytest.approx(1 / slope, rel=0.1)
    assert weights == tuple(tuple(weights[0][0] * (row == column) for column in range(3)) for row in range(3))


def test_a_class_that_is_said_too_often_is_shifted():
    log_p, kind = drawn(40_000, edge=0.5, seed=2)
    wrong = log_softmax(log_p + np.array([0.0, 0.7, 0.0]), axis=1)
    assert loss(calibrated(wrong, kind), wrong, kind) == pytest.approx(loss(IDENTITY, log_p, kind), abs=2e-3)


def test_a_model_that_is_wrong_says_nothing_rather_than_the_contrary():
    log_p, kind = drawn(20_000, edge=0.8, seed=4)
    reversed_ = log_softmax(-log_p, axis=1)
    weights, bias = calibrated(reversed_, kind)
    assert weights[0][0] == pytest.approx(0.0, abs=1e-9)
    assert np.exp(bias) / np.exp(bias).sum() == pytest.approx(np.bincount(kind) / len(kind), abs=0.01)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), edge=st.floats(0.0, 1.0), slope=st.floats(0.1, 5.0))
def test_the_order_of_rows_is_the_models(seed, edge, slope):
    """Long against short is ranked as before, whatever was fitted; a free matrix turned it around on real prices."""
    log_p, kind = drawn(600, edge=edge, seed=seed)
    weights, bias = (np.asarray(part) for part in calibrated(slope * log_p, kind))
    logits = slope * log_p @ weights.T + bias
    before, after = log_p[:, 1] - log_p[:, 2], logits[:, 1] - logits[:, 2]
    assert np.all(np.diff(after[np.argsort(before)]) >= -1e-9)


def test_a_calibration_that_does_not_help_later_rows_is_not_kept():
    kept = [calibrated(*drawn(5_000, edge=0.5, seed=seed)) == IDENTITY for seed in range(12)]
    assert 3 <= sum(kept) <= 11  # by luck it helps now and then


def test_without_all_classes_the_layer_answers_with_their_shares():
    weights, bias = identity_of_priors(np.array([FLAT] * 60 + [LONG] * 40), 2)
    assert weights == ((0.0, 0.0),) * 3
    assert np.exp(bias) == pytest.approx([61 / 103, 41 / 103, 1 / 103])
