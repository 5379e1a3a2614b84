"""The predictor over a BiLSTM with attention, on ONNX Runtime or torch.

Torch takes seconds to import, so it is imported only where the torch backend is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from loguru import logger
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from config.errors import ArtifactError, PredictionFailed, SlotError
from strategy.bundle import GOLDEN, ONNX, all_rows, file_bytes, owner, pickled, require_columns, unpickled, window_rows
from strategy.golden import check_golden
from strategy.onnx_session import Scorer, open_session
from strategy.predictor import BundleInfo, FeatureSchema, FeatureWindow, Forecast, Forecasts, Inference, Matrix

if TYPE_CHECKING:
    from strategy.lstm_model import BiLSTMWithAttention

WEIGHTS = ".pth"
SCALER = "_scaler.pkl"
TARGET_SCALER = "_target_scaler.pkl"
COLUMNS = "_cols.pkl"

CLIP = 8.0  # standard deviations; one wild tick must not saturate every gate
BATCH = 512  # windows in memory at once: 5 MB at 60 rows of 40 features


@dataclass(frozen=True, slots=True, eq=False)
class Standardiser:
    """What a fitted StandardScaler does, as two float32 arrays of shape (F,)."""

    mean: Matrix
    scale: Matrix

    @classmethod
    def of(cls, name: str, scaler: Any, size: int) -> Standardiser:
        """The figures of a fitted StandardScaler over `size` columns.

        Raises:
            ArtifactError: if it is none, or was fitted on another number of columns.
        """
        try:
            mean, scale = (np.asarray(part, np.float32).copy() for part in (scaler.mean_, scaler.scale_))
        except (AttributeError, TypeError, ValueError) as e:
            raise ArtifactError(f"{name}: stored scaler is no fitted StandardScaler ({e}); retrain this slot") from e
        if mean.shape != (size,) or scale.shape != (size,) or not (np.isfinite(mean).all() and (scale > 0).all()):
            raise ArtifactError(f"{name}: scaler over {mean.shape} columns, ({size},) with positive scales needed; retrain this slot")
        mean.flags.writeable = scale.flags.writeable = False
        return cls(mean, scale)

    def apply(self, values: Matrix) -> Matrix:
        """Standardised values, clipped to +-`CLIP`; a new float32 array of the same shape."""
        scaled = np.subtract(values, self.mean, dtype=np.float32)
        scaled /= self.scale
        # Not np.clip, which for one window takes longer than all the rest of this.
        np.maximum(scaled, -CLIP, out=scaled)
        return np.minimum(scaled, CLIP, out=scaled)


@dataclass(frozen=True, slots=True, eq=False)
class LSTMPredictor:
    """A frozen BiLSTM bundle; safe to use from many threads, never changes its input.

    Attributes:
        info: identity and scope; `rows` is the sequence length T.
        inference: calibration over the scores `[r, |r|]`, r the predicted return in ATR.
        features: standardises feature rows.
        target: turns the network's output back into a return in ATR.
        network: windows (B, T, F) to scaled returns (B,).
        backend: `onnx` or `torch`.
        exact: one batch and many differ in the order of float32 sums.
    """

    exact: ClassVar[bool] = False

    info: BundleInfo
    inference: Inference
    features: Standardiser
    target: Standardiser
    network: Scorer = field(repr=False)
    backend: str

    @classmethod
    def load_artifacts(cls, info: BundleInfo, inference: Inference, files: Mapping[str, bytes]) -> LSTMPredictor:
        """The bundle of a version.

        The compiled network serves where there is one and its forecasts agree with the golden
        rows; then torch is never imported. Otherwise torch serves, on one thread.

        Args:
            info: from the manifest.
            inference: from the manifest.
            files: suffix to bytes. They hold pickles: the registry has verified signature and
                hashes before they come here, and no other source may be passed.

        Raises:
            ArtifactError: a file is missing, unreadable, or does not fit the others.
            SchemaMismatch: stored columns differ from the manifest's.
        """
        name = owner(info)
        require_columns(info, unpickled(name, files, COLUMNS))
        features = Standardiser.of(name, unpickled(name, files, SCALER), len(info.schema.names))
        target = Standardiser.of(name, unpickled(name, files, TARGET_SCALER), 1)

        def build(network: Scorer, backend: str) -> LSTMPredictor:
            return cls(info, inference, features, target, network, backend)

        return _compiled(info, files, build) or build(_torch_network(info, files), "torch")

    def preprocess(self, window: FeatureWindow) -> Matrix:
        """The newest T rows, standardised: (1, T, F) float32, ready for the network.

        Raises:
            SchemaMismatch: columns differ from those it was trained on.
            PredictionFailed: too few rows, or a missing value among them.
        """
        return self.features.apply(window_rows(self.info, window))[None]

    def prepare(self, window: FeatureWindow) -> Callable[[], Forecast]:
        """The call that makes the forecast for the newest row of a window.

        Raises:
            SchemaMismatch: columns differ from those it was trained on.
            PredictionFailed: too few rows, or a missing value; from the call: no finite result.
        """
        return partial(self._forecast, self.preprocess(window))

    def predict(self, window: FeatureWindow) -> Forecast:
        """Forecast for the newest row of a window; raises what `prepare` and its call do."""
        return self.prepare(window)()

    def predict_many(self, values: Matrix) -> Forecasts:
        """Forecasts of every full window of (n, F); shape (n - T + 1,), oldest first.

        Windows are laid out `BATCH` at a time, so memory does not grow with T times n.

        Raises:
            PredictionFailed: fewer than T rows, a missing value, or no finite result.
        """
        scaled = self.features.apply(all_rows(self.info, values))
        views = sliding_window_view(scaled, self.info.rows, axis=0).transpose(0, 2, 1)  # (n - T + 1, T, F), no copy
        parts = [self.network(np.ascontiguousarray(views[start : start + BATCH])) for start in range(0, len(views), BATCH)]
        return self.inference.forecasts(lstm_scores(self._returns(np.concatenate(parts))))

    def _forecast(self, scaled: Matrix) -> Forecast:
        # In plain numbers, as `_returns` has it of many: four calls of NumPy for one number cost more than the vote.
        expected = float(self.network(scaled)[0]) * float(self.target.scale[0]) + float(self.target.mean[0])
        if not math.isfinite(expected):
            raise PredictionFailed(f"{owner(self.info)}: the network gave a value that is not finite")
        return self.inference.forecast((expected, abs(expected)))

    def _returns(self, scaled: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Predicted returns in ATR, (n,)."""
        returns: NDArray[np.float64] = scaled.astype(np.float64) * self.target.scale + self.target.mean
        if not np.isfinite(returns).all():
            raise PredictionFailed(f"{owner(self.info)}: the network gave a value that is not finite")
        return returns


def lstm_scores(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw scores `[r, |r|]` of predicted returns in ATR; shape (n, 2)."""
    return np.stack((returns, np.abs(returns)), axis=1)


def lstm_files(model: BiLSTMWithAttention, scaler: Any, target_scaler: Any, schema: FeatureSchema) -> dict[str, bytes]:
    """A fitted network and its StandardScalers as the files of a version, by suffix.

    Args:
        model: fitted on windows that `Standardiser.apply` made.
        scaler: over the feature columns, fitted on training rows alone.
        target_scaler: over the forward return in ATR, fitted on training rows alone.
        schema: the feature columns, in order.
    """
    from strategy.lstm_model import state_bytes

    return {
        WEIGHTS: state_bytes(model),
        SCALER: pickled(scaler),
        TARGET_SCALER: pickled(target_scaler),
        COLUMNS: pickled(list(schema.names)),
    }


def _torch_network(info: BundleInfo, files: Mapping[str, bytes]) -> Scorer:
    from strategy.lstm_model import network_from, torch_scorer

    network = network_from(owner(info), file_bytes(owner(info), files, WEIGHTS))
    if network.lstm.input_size != len(info.schema.names):
        raise ArtifactError(
            f"{owner(info)}: network over {network.lstm.input_size} columns, {len(info.schema.names)} needed; retrain this slot"
        )
    return torch_scorer(network)


def _compiled(info: BundleInfo, files: Mapping[str, bytes], build: Callable[[Scorer, str], LSTMPredictor]) -> LSTMPredictor | None:
    if ONNX not in files or GOLDEN not in files:
        return None
    try:
        predictor = build(open_session(files[ONNX]), "onnx")
        check_golden(predictor, files[GOLDEN])
    except SlotError as e:
        logger.warning("{}: compiled network not used, {}; torch serves", owner(info), e)
        return None
    return predictor
