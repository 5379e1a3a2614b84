"""From rows to a candidate: out-of-fold evidence for the recipe, one artifact, its untouched final window.

A recipe knows how to fit one kind of model. `develop` drives any recipe through the same steps:

1. the newest rows are set aside as the final window;
2. the recipe gives scores of older rows by models that did not see them, and the artifact;
3. on those scores: calibration (kept only if it helps later rows), payoff, operating threshold;
4. the artifact, with all of that frozen, forecasts the final window. It is never refitted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from config.errors import InsufficientHistory
from market_data.bars import FloatArray, IntArray
from strategy.learning.calibration import calibrated
from strategy.learning.dataset import Dataset
from strategy.learning.labels import LONG, SHORT
from strategy.learning.validation import blocks_of, final_split
from strategy.predictor import Forecasts, Inference, Payoff

MIN_TRAIN_ROWS = 1_000
"""Fewer rows than this teach nothing worth judging."""


class Fitted(Protocol):
    """A fitted model in memory; it is judged here, and served only after a trip through the disk."""

    @property
    def epochs(self) -> int:
        """Epochs, rounds or trees of the fit."""
        ...

    @property
    def hyper_parameters(self) -> Mapping[str, object]:
        """What it was fitted with, as JSON values."""
        ...

    def scores(self, data: Dataset) -> FloatArray:
        """Raw scores of every row, shape (n, k)."""
        ...

    def files(self, data: Dataset) -> dict[str, bytes]:
        """File suffix -> content of its artifact."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """What a recipe hands to `develop`.

    Attributes:
        model: the artifact to be.
        held: rows that judged the recipe, indices into the development rows.
        scores: their out-of-fold scores, shape (len(held), k).
        fold: shape (len(held),), which fold judged each.
        val_loss_ratio: validation loss over the loss of the trivial forecast, on held rows.
    """

    model: Fitted
    held: IntArray
    scores: FloatArray
    fold: IntArray
    val_loss_ratio: float


class Recipe(Protocol):
    """How one kind of model is fitted."""

    @property
    def kind(self) -> str:
        """`random_forest`, `xgboost` or `lstm`."""
        ...

    @property
    def window(self) -> int:
        """Feature rows that one forecast reads."""
        ...

    def fit(self, data: Dataset, embargo: int, cancel: threading.Event) -> Fit:
        """Out-of-fold scores and the artifact from development rows.

        Raises:
            FitCancelled: `cancel` was set.
        """
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted model with everything it is judged by.

    Attributes:
        inference: calibration, payoff and threshold, frozen before the final window.
        final: the rows of the final window.
        forecasts: what the artifact said there, shape (len(final),).
        raw_final: its raw scores there, shape (len(final), k).
        priors: class shares of the rows that taught, order flat, long, short.
        held, held_forecasts, fold: the out-of-fold evidence of the recipe.
        train_rows: rows that taught the artifact.
        train_end: when the last label that taught was known, epoch seconds.
        block_seconds: length of a bootstrap block.
    """

    kind: str
    model: Fitted
    inference: Inference
    final: Dataset
    forecasts: Forecasts
    raw_final: FloatArray
    priors: FloatArray
    held: Dataset
    held_forecasts: Forecasts
    fold: IntArray
    val_loss_ratio: float
    train_rows: int
    train_end: int
    block_seconds: int


def develop(
    recipe: Recipe, data: Dataset, *, horizon_seconds: int, final_fraction: float, least_sides: int, cancel: threading.Event
) -> Candidate:
    """Fits a candidate and gathers its evidence.

    Args:
        recipe: how its kind is fitted.
        data: all rows, ordered by time.
        horizon_seconds: length of a label; embargo, and half a bootstrap block.
        final_fraction: newest share of the rows that judges the artifact.
        least_sides: rows of the final window on which the model should take a side.
        cancel: set to stop the fit.

    Raises:
        InsufficientHistory: fewer than MIN_TRAIN_ROWS rows would teach.
        FitCancelled: `cancel` was set.
    """
    split = final_split(data.time, data.end, final_fraction, embargo=horizon_seconds)
    if len(split.train) < MIN_TRAIN_ROWS:
        raise InsufficientHistory("+".join(data.symbols), len(split.train), MIN_TRAIN_ROWS)
    development, final = data.take(split.train), data.take(split.test)
    fit = recipe.fit(development, horizon_seconds, cancel)
    held = development.take(fit.held)
    weights, bias = calibrated(fit.scores, held.kind)
    payoff = _payoff(development)
    open_threshold = Inference(weights, bias, payoff, 0.0)
    held_forecasts = open_threshold.forecasts(fit.scores)
    block = 2 * horizon_seconds
    threshold = _threshold(held, held_forecasts, block, least_sides / max(len(final), 1))
    inference = Inference(weights, bias, payoff, threshold)
    raw = fit.model.scores(final)
    return Candidate(
        kind=recipe.kind,
        model=fit.model,
        inference=inference,
        final=final,
        forecasts=inference.forecasts(raw),
        raw_final=raw,
        priors=np.bincount(development.kind, minlength=3) / len(development),
        held=held,
        held_forecasts=held_forecasts,
        fold=fit.fold,
        val_loss_ratio=fit.val_loss_ratio,
        train_rows=len(development),
        train_end=int(development.end.max()),
        block_seconds=block,
    )


def side_result(data: Dataset, side: IntArray) -> FloatArray:
    """Net R of taking `side` (+1, -1) on every row, shape (n,)."""
    return np.where(side > 0, data.r_long, data.r_short)


def _payoff(data: Dataset) -> Payoff:
    """Mean net R by outcome over the rows that taught, both sides together.

    Which side paid better in a few days of history says nothing of the next ones.
    """
    result = np.concatenate([data.r_long, data.r_short])
    won = np.concatenate([data.kind == LONG, data.kind == SHORT])
    win = float(result[won].mean()) if won.any() else 1.0
    loss = float(result[~won].mean()) if not won.all() else -1.0
    return Payoff(win, loss, win, loss)


def class_probabilities(forecasts: Forecasts) -> FloatArray:
    """Probabilities of flat, long, short, shape (n, 3)."""
    flat = np.clip(1.0 - forecasts.p_long - forecasts.p_short, 0.0, 1.0)
    return np.column_stack([flat, forecasts.p_long, forecasts.p_short])


SHARES = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02)
"""Shares of the rows on which a model may take a side."""


def _threshold(held: Dataset, forecasts: Forecasts, block_seconds: int, least_share: float) -> float:
    """Expected R from which to take a side: the best mean less one standard error, over SHARES.

    The standard error is that of block means, so a threshold that a few lucky hours favour
    does not win. Shares below `least_share` would leave the final window too few sides.
    """
    result = side_result(held, forecasts.side)
    block = blocks_of(held.time, block_seconds)
    shares = [share for share in SHARES if share >= 1.25 * least_share] or [SHARES[0]]
    cuts = [float(np.quantile(forecasts.expected_r, 1.0 - share)) for share in shares]
    return max(cuts, key=lambda cut: _cautious_mean(result, block, forecasts.expected_r >= cut))


def _cautious_mean(result: FloatArray, block: IntArray, taken: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    sums = np.bincount(block[taken], weights=result[taken], minlength=block.max() + 1)
    counts = np.bincount(block[taken], minlength=block.max() + 1)
    total = counts.sum()
    if total == 0:
        return float("-inf")
    mean = sums.sum() / total
    # Ratio estimator: variance of the blocks' residual sums.
    return float(mean - np.sqrt(np.sum((sums - mean * counts) ** 2)) / total)
