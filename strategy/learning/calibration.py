"""From a model's raw scores to probabilities: a calibration that is kept only where it helps later rows."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from market_data.bars import FloatArray, IntArray
from strategy.predictor import Inference

PULL = 1e-3
"""Pull of a calibration towards none, nats: what a few hundred rows cannot show is not believed."""

Layer = tuple[tuple[tuple[float, ...], ...], tuple[float, float, float]]

IDENTITY: Layer = (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0))
"""The layer that leaves log-probabilities as they are."""


def is_identity(inference: Inference) -> bool:
    """Whether the scores are served as they are, because calibration did not help."""
    return (inference.weights, inference.bias) == IDENTITY


def calibrated(scores: FloatArray, kind: IntArray) -> Layer:
    """The layer that turns raw scores into log-probabilities.

    Three scores are log-probabilities, which are forecasts already: a temperature and a shift of each class
    are kept only if, fitted on the older 60 % of the held rows, they lower the log-loss of the newer 40 %. Two
    scores are a predicted return, which becomes probabilities through a multinomial logistic layer alone.
    """
    if scores.shape[1] != 3:
        return _logistic(scores, kind) or identity_of_priors(kind, scores.shape[1])
    cut = int(len(kind) * 0.6)
    trial = _tempered(scores[:cut], kind[:cut])
    if _loss(trial, scores[cut:], kind[cut:]) >= _loss(IDENTITY, scores[cut:], kind[cut:]):
        return IDENTITY
    return _tempered(scores, kind)


def _tempered(log_p: FloatArray, kind: IntArray) -> Layer:
    """Temperature scaling with a shift of each class.

    One slope for all classes, never negative, keeps the order in which the model ranks its rows. A free 3 x 3
    matrix would be fitted to columns that nearly repeat each other, and answers rows unlike those with certainty.

    Sources: Guo et al., On calibration of modern neural networks (2017); Alexandari, Kundaje and Shrikumar,
    Maximum likelihood with bias-corrected calibration is hard to beat at label shift adaptation (2020).
    """
    told = np.eye(3)[kind]
    none = np.array([1.0, 0.0, 0.0, 0.0])  # slope, and the shifts of flat, long and short

    def loss(at: FloatArray) -> tuple[float, FloatArray]:
        said = log_softmax(at[0] * log_p + at[1:], axis=1)
        error = (np.exp(said) - told) / len(kind)
        uphill = np.append((error * log_p).sum(), error.sum(axis=0))
        pull = PULL * (at - none)
        return float(0.5 * pull @ (at - none) - (told * said).sum() / len(kind)), uphill + pull

    slope, *shifts = minimize(loss, none, jac=True, method="L-BFGS-B", bounds=[(0.0, None), *[(None, None)] * 3]).x.tolist()
    flat, long, short = shifts
    return ((slope, 0.0, 0.0), (0.0, slope, 0.0), (0.0, 0.0, slope)), (flat, long, short)


def identity_of_priors(kind: IntArray, width: int) -> Layer:
    """A layer that ignores the scores and answers with the class shares."""
    shares = (np.bincount(kind, minlength=3) + 1.0) / (len(kind) + 3.0)
    flat, long, short = (float(value) for value in np.log(shares))
    return ((0.0,) * width,) * 3, (flat, long, short)


def _logistic(scores: FloatArray, kind: IntArray) -> Layer | None:
    """None where a class is absent, so that no three-class layer can be fitted."""
    if len(np.unique(kind)) < 3:
        return None
    scale = scores.std(axis=0) + 1e-12
    layer = LogisticRegression(C=0.1, max_iter=500).fit(scores / scale, kind)
    weights = tuple(tuple(float(w) for w in row) for row in layer.coef_ / scale)
    flat, long, short = (float(value) for value in layer.intercept_)
    return weights, (flat, long, short)


def _loss(layer: Layer, scores: FloatArray, kind: IntArray) -> float:
    weights, bias = layer
    said = log_softmax(scores @ np.asarray(weights).T + np.asarray(bias), axis=1)
    return float(-said[np.arange(len(kind)), kind].mean())
