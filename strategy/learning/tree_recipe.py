"""RandomForest and XGBoost: walk-forward refits judge the recipe, one more fit is the artifact."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from xgboost import XGBClassifier
from xgboost.callback import TrainingCallback

from config.errors import DataError, FitCancelled
from config.settings import TrainingSettings
from market_data.bars import FloatArray, IntArray
from strategy.learning.dataset import Dataset
from strategy.learning.labels import FLAT, LONG, SHORT
from strategy.learning.recipes import Fit
from strategy.learning.validation import Split, log_loss_rows, walk_forward
from strategy.mirror import mirror
from strategy.predictor import Matrix
from strategy.tree_predictor import tree_files

SLICE = 10
"""Trees grown between two looks at the cancel event."""


@dataclass(frozen=True, slots=True)
class FittedTrees:
    """A forest or a booster."""

    model: Any
    epochs: int
    hyper_parameters: Mapping[str, object]

    def scores(self, data: Dataset) -> FloatArray:
        """Log class probabilities, shape (n, 3)."""
        return np.asarray(np.log(np.clip(self.model.predict_proba(data.values), 1e-6, 1.0)), dtype=np.float64)

    def files(self, data: Dataset) -> dict[str, bytes]:
        """Estimator and columns."""
        return tree_files(self.model, data.schema)


@dataclass(frozen=True, slots=True)
class TreeRecipe:
    """One of the two tree models.

    Attributes:
        kind: `random_forest` or `xgboost`.
        folds: walk-forward refits.
        size: trees or rounds.
    """

    kind: str
    folds: int
    size: int
    seed: int
    threads: int
    window: int = 1

    @classmethod
    def random_forest(cls, training: TrainingSettings) -> TreeRecipe:
        """The RandomForest that the settings describe."""
        return cls("random_forest", training.tree_folds, training.tree_count, training.train_seed, training.train_threads)

    @classmethod
    def xgboost(cls, training: TrainingSettings) -> TreeRecipe:
        """The XGBoost model that the settings describe."""
        return cls("xgboost", training.tree_folds, training.boost_rounds, training.train_seed, training.train_threads)

    def fit(self, data: Dataset, embargo: int, cancel: threading.Event) -> Fit:
        """Out-of-fold scores over walk-forward folds, and the artifact on all rows.

        Raises:
            DataError: the rows do not hold all three outcomes.
            FitCancelled: `cancel` was set.
        """
        folds = [split for split in walk_forward(data.time, data.end, self.folds, embargo) if _teaches(data, split)]
        if not folds:
            raise DataError(f"{'+'.join(data.symbols)}: no fold has flat, long and short outcomes to learn from; load more history")
        scored = [self._fit(data.take(split.train), cancel).scores(data.take(split.test)) for split in folds]
        held = np.concatenate([split.test for split in folds])
        scores = np.concatenate(scored)
        fold = np.concatenate([np.full(len(split.test), index) for index, split in enumerate(folds)])
        return Fit(self._fit(data, cancel), held, scores, fold, _loss_ratio(scores, data, held, folds))

    def _fit(self, data: Dataset, cancel: threading.Event) -> FittedTrees:
        grow = _grow_forest if self.kind == "random_forest" else _grow_booster
        model = grow(self, data, cancel)
        keep = (
            "max_depth",
            "max_features",
            "max_samples",
            "min_samples_leaf",
            "learning_rate",
            "subsample",
            "colsample_bytree",
            "min_child_weight",
        )
        chosen = {name: value for name, value in model.get_params().items() if name in keep}
        return FittedTrees(model, self.size, {"trees": self.size, "folds": self.folds, **chosen})


def _teaches(data: Dataset, split: Split) -> bool:
    """Whether a fold has rows on both sides and all three classes to learn."""
    return len(split.test) > 0 and len(np.unique(data.kind[split.train])) == 3


def _loss_ratio(scores: FloatArray, data: Dataset, held: IntArray, folds: list[Split]) -> float:
    """Log-loss over that of each fold's own training class shares."""
    trivial = [np.tile(np.bincount(data.kind[split.train], minlength=3) / len(split.train), (len(split.test), 1)) for split in folds]
    kind = data.kind[held]
    return float(log_loss_rows(np.exp(scores), kind).mean() / log_loss_rows(np.concatenate(trivial), kind).mean())


def both_images(data: Dataset) -> tuple[Matrix, IntArray, FloatArray]:
    """Rows, classes and weights of the market and of its mirror image, in which long and short change places."""
    swapped = np.array([FLAT, SHORT, LONG])[data.kind]
    weights = data.balance()
    return (
        np.concatenate([data.values, mirror(data.values, data.schema)]),
        np.concatenate([data.kind, swapped]),
        np.concatenate([weights, weights]),
    )


def forest_of(recipe: TreeRecipe) -> RandomForestClassifier:
    """The forest before its fit."""
    return RandomForestClassifier(
        n_estimators=recipe.size,
        max_depth=6,
        max_features="sqrt",
        max_samples=0.25,
        min_samples_leaf=50,
        random_state=recipe.seed,
        n_jobs=recipe.threads,
    )


def _grow_forest(recipe: TreeRecipe, data: Dataset, cancel: threading.Event) -> RandomForestClassifier:
    """Grows in slices, so that a cancel takes effect within one."""
    forest = forest_of(recipe).set_params(warm_start=True)
    values, kind, weights = both_images(data)
    for trees in [*range(SLICE, recipe.size, SLICE), recipe.size]:
        _stop_if(cancel)
        forest.set_params(n_estimators=trees).fit(values, kind, sample_weight=weights)
    # One-row forecasts pay tens of milliseconds for threads that have nothing to share.
    return forest.set_params(n_jobs=1, warm_start=False)


def booster_of(recipe: TreeRecipe) -> XGBClassifier:
    """The booster before its fit."""
    return XGBClassifier(
        n_estimators=recipe.size,
        objective="multi:softprob",
        max_depth=3,
        learning_rate=0.03,
        subsample=0.4,
        colsample_bytree=0.5,
        min_child_weight=50,
        reg_lambda=5.0,
        tree_method="hist",
        random_state=recipe.seed,
        n_jobs=recipe.threads,
    )


def _grow_booster(recipe: TreeRecipe, data: Dataset, cancel: threading.Event) -> XGBClassifier:
    booster = booster_of(recipe).set_params(callbacks=[_StopOnCancel(lambda: cancel.is_set())])
    values, kind, weights = both_images(data)
    booster.fit(values, kind, sample_weight=weights)
    _stop_if(cancel)
    return booster.set_params(callbacks=None)


class _StopOnCancel(TrainingCallback):
    """Ends boosting after the current round."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self._cancelled = cancelled

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """True stops the fit."""
        return self._cancelled()


def _stop_if(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise FitCancelled("the fit was told to stop")
