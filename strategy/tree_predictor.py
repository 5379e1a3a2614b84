"""The predictor over a RandomForest or an XGBoost classifier, native or compiled to ONNX."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from config.errors import ArtifactError, PredictionFailed, SlotError
from strategy.bundle import GOLDEN, ONNX, all_rows, owner, pickled, require_columns, unpickled, window_rows
from strategy.golden import read_golden
from strategy.onnx_session import Scorer, open_session
from strategy.predictor import BundleInfo, FeatureSchema, FeatureWindow, Forecast, Forecasts, Inference, Matrix

MODEL = ".pkl"
COLUMNS = "_features.pkl"

CLASSES = (0, 1, 2)  # flat, long, short: the order of every probability row
PROBABILITY_FLOOR = 1e-6
PARITY = 1e-5  # largest difference in probability between compiled and native

_PROBABILITIES = 1  # classifiers compile to (label, probabilities)


@dataclass(frozen=True, slots=True, eq=False)
class TreePredictor:
    """A frozen tree bundle; safe to use from many threads, never changes its input.

    Attributes:
        info: identity and scope; `rows` is 1.
        inference: calibration over the logs of the class probabilities.
        scorer: (n, F) float32 rows to (n, 3) probabilities of flat, long, short.
        backend: `onnx` or `native`.
        exact: a row's trees are added up in the same order, whatever rows are beside it.
    """

    exact: ClassVar[bool] = True

    info: BundleInfo
    inference: Inference
    scorer: Scorer
    backend: str

    def prepare(self, window: FeatureWindow) -> Callable[[], Forecast]:
        """The call that makes the forecast for the newest row of a window.

        Raises:
            SchemaMismatch: columns differ from those it was trained on.
            PredictionFailed: no row, or a missing value; from the call: no finite result.
        """
        return partial(self._forecast, window_rows(self.info, window))

    def predict(self, window: FeatureWindow) -> Forecast:
        """Forecast for the newest row of a window; raises what `prepare` and its call do."""
        return self.prepare(window)()

    def predict_many(self, values: Matrix) -> Forecasts:
        """Forecasts of every row of (n, F).

        Raises:
            PredictionFailed: no row, a missing value, or no finite result.
        """
        return self.inference.forecasts(self._scores(all_rows(self.info, values)))

    def _forecast(self, row: Matrix) -> Forecast:
        return self.inference.forecast(self._scores(row)[0].tolist())

    def _scores(self, rows: Matrix) -> NDArray[np.float64]:
        try:
            return tree_scores(self.scorer(rows))  # (n, 3)
        except ValueError as e:  # how both libraries refuse an input
            raise PredictionFailed(f"{owner(self.info)}: the model refused its input: {e}") from e


def tree_scores(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Raw scores of class probabilities: their logs, floored at `PROBABILITY_FLOOR`; shape (n, 3)."""
    floored = np.maximum(probabilities.astype(np.float64), PROBABILITY_FLOOR)
    return np.log(floored)


def tree_files(model: Any, schema: FeatureSchema) -> dict[str, bytes]:
    """A fitted classifier as the files of a version, by suffix.

    Args:
        model: RandomForestClassifier or XGBClassifier over classes 0 flat, 1 long, 2 short.
        schema: its columns, in the order it was fitted on.

    The stored copy predicts on one thread; the model given stays as it is.
    """
    single = copy.copy(model).set_params(n_jobs=1)
    return {MODEL: pickled(single), COLUMNS: pickled(list(schema.names))}


def load_tree(info: BundleInfo, inference: Inference, files: Mapping[str, bytes]) -> TreePredictor:
    """A predictor over the files of a version.

    The compiled model serves where there is one and it agrees with the native model on the golden
    rows within `PARITY`; otherwise the native model serves.

    Args:
        info: from the manifest.
        inference: from the manifest.
        files: suffix to bytes. They hold pickles: the registry has verified signature and hashes
            before they come here, and no other source may be passed.

    Raises:
        ArtifactError: a file is missing or unreadable, or the model has other classes.
        SchemaMismatch: stored columns differ from the manifest's.
    """
    require_columns(info, unpickled(owner(info), files, COLUMNS))
    native = native_scorer(info, unpickled(owner(info), files, MODEL))
    compiled = _agreeing_onnx(info, files, native)
    if compiled is not None:
        return TreePredictor(info, inference, compiled, "onnx")
    return TreePredictor(info, inference, native, "native")


def native_scorer(info: BundleInfo, model: Any) -> Scorer:
    """The classifier's own probabilities, on one thread.

    Raises:
        ArtifactError: if it was not trained on the three classes and the bundle's columns.
    """
    classes = [int(label) for label in getattr(model, "classes_", ())]
    columns = getattr(model, "n_features_in_", None)
    if classes != list(CLASSES) or columns != len(info.schema.names):
        raise ArtifactError(
            f"{owner(info)}: model of classes {classes} and {columns} columns, "
            f"{list(CLASSES)} and {len(info.schema.names)} needed; retrain this slot"
        )
    if hasattr(model, "get_booster"):
        return _booster_scorer(model)
    model.set_params(n_jobs=1)
    scorer: Scorer = model.predict_proba
    return scorer


def _booster_scorer(model: Any) -> Scorer:
    """Skips the scikit-learn wrapper, whose checks cost more than the trees."""
    booster = model.get_booster()
    booster.set_param({"nthread": 1})
    booster.feature_names = None  # rows come as plain matrices; the schema names their columns
    rounds = _best_rounds(model)

    def score(rows: Matrix) -> NDArray[np.floating[Any]]:
        result: NDArray[np.floating[Any]] = booster.inplace_predict(rows, iteration_range=(0, rounds), validate_features=False)
        return result

    return score


def _best_rounds(model: Any) -> int:
    """Rounds to use: up to the best one after early stopping; 0 means all."""
    try:
        return int(model.best_iteration) + 1
    except AttributeError:  # fitted without early stopping
        return 0


def _agreeing_onnx(info: BundleInfo, files: Mapping[str, bytes], native: Scorer) -> Scorer | None:
    if ONNX not in files or GOLDEN not in files:
        return None
    try:
        compiled = open_session(files[ONNX], _PROBABILITIES)
        rows, _ = read_golden(files[GOLDEN])
        worst = float(np.max(np.abs(compiled(rows) - native(rows))))
    except (SlotError, ValueError) as e:
        logger.warning("{}: compiled model not used, {}; the native model serves", owner(info), e)
        return None
    if worst <= PARITY:
        return compiled
    logger.warning("{}: compiled model differs by {:.3g}, {:g} allowed; the native model serves", owner(info), worst, PARITY)
    return None
