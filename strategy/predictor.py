"""What a predictor is: one immutable bundle that turns a feature window into a forecast."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add, mul
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.errors import PredictionFailed, SchemaMismatch
from execution.orders import Side

Matrix = NDArray[np.float32]
Value = TypeVar("Value", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The feature columns, in order."""

    names: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Twelve hex digits over names and order."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class FeatureWindow:
    """The newest feature rows of one symbol: `values` is (T, F) float32, oldest first."""

    schema: FeatureSchema
    values: Matrix


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model expects of the next bars.

    Attributes:
        p_long, p_short: calibrated probabilities that a long / a short trade reaches its
            target first; their sum is at most 1, the rest is flat.
        side: the side with the higher expectation.
        expected_r: R per trade that this side is expected to make after costs.
    """

    p_long: float
    p_short: float
    side: Side
    expected_r: float


@dataclass(frozen=True, slots=True)
class Payoff:
    """Mean net R of training trades by side and outcome; turns probabilities into R."""

    win_long: float
    loss_long: float
    win_short: float
    loss_short: float

    def expected(self, p_long: Value, p_short: Value) -> tuple[Value, Value]:
        """Expected net R of a long and of a short trade, of one row or elementwise of many."""
        long = p_long * self.win_long + (1.0 - p_long) * self.loss_long
        short = p_short * self.win_short + (1.0 - p_short) * self.loss_short
        return long, short


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Forecasts of many rows: arrays of shape (n,); `side` is +1 or -1."""

    p_long: NDArray[np.float64]
    p_short: NDArray[np.float64]
    side: NDArray[np.int64]
    expected_r: NDArray[np.float64]

    def part(self, rows: slice) -> Forecasts:
        """Some of the rows."""
        return Forecasts(self.p_long[rows], self.p_short[rows], self.side[rows], self.expected_r[rows])

    def at(self, index: int) -> Forecast:
        """Row `index` as a single forecast."""
        return Forecast(float(self.p_long[index]), float(self.p_short[index]), Side(int(self.side[index])), float(self.expected_r[index]))


def forecast_from_probabilities(p_long: float, p_short: float, payoff: Payoff) -> Forecast:
    """The forecast of one row's calibrated probabilities.

    Raises:
        PredictionFailed: if a value is not finite.
    """
    if not (math.isfinite(p_long) and math.isfinite(p_short)):
        raise PredictionFailed("the model gave a value that is not finite")
    long, short = payoff.expected(p_long, p_short)
    return Forecast(p_long, p_short, Side.LONG if long >= short else Side.SHORT, max(long, short))


def forecasts_from_probabilities(p_long: NDArray[np.float64], p_short: NDArray[np.float64], payoff: Payoff) -> Forecasts:
    """Forecasts of calibrated probabilities.

    Raises:
        PredictionFailed: if a value is not finite.
    """
    if not (np.isfinite(p_long).all() and np.isfinite(p_short).all()):
        raise PredictionFailed("the model gave a value that is not finite")
    long, short = payoff.expected(p_long, p_short)
    return Forecasts(p_long, p_short, np.where(long >= short, 1, -1), np.maximum(long, short))


@dataclass(frozen=True, slots=True)
class Inference:
    """The scalars beside the fitted model that a forecast needs; stored in the manifest.

    Attributes:
        weights, bias: multinomial logistic layer over the model's raw scores, rows in the
            order flat, long, short: `softmax(weights @ scores + bias)`. For trees the scores
            are the logs of the three class probabilities; for the BiLSTM `[r, |r|]` with r
            the predicted return in ATR.
        payoff: mean R by side and outcome.
        threshold: expected R from which the model takes a side; frozen before the final window.
    """

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, float, float]
    payoff: Payoff
    threshold: float

    def forecast(self, scores: Sequence[float]) -> Forecast:
        """The forecast of one row's k raw scores; what `forecasts` says of it, to the last digit.

        In plain numbers: on a dozen of them NumPy takes ten times as long.
        """
        # Added one by one: from Python 3.12 on `sum` rounds otherwise than any array does.
        logits = [reduce(add, map(mul, row, scores), bias) for row, bias in zip(self.weights, self.bias, strict=True)]
        top = max(logits)
        flat, long, short = (math.exp(logit - top) for logit in logits)
        total = flat + long + short
        return forecast_from_probabilities(long / total, min(short / total, 1.0 - long / total), self.payoff)

    def forecasts(self, scores: NDArray[np.float64]) -> Forecasts:
        """Forecasts of raw scores of shape (n, k).

        The same operations as in `forecast`, in the same order, so that a replay that works many
        bars out at once journals what one that goes bar by bar does.
        """
        logits = [reduce(add, map(mul, row, scores.T), bias) for row, bias in zip(self.weights, self.bias, strict=True)]
        top = np.maximum.reduce(logits)
        flat, long, short = (_exp(logit - top) for logit in logits)
        total = flat + long + short
        # Rounding may lift a sum to a hair above 1, which no pair of probabilities has.
        return forecasts_from_probabilities(long / total, np.minimum(short / total, 1.0 - long / total), self.payoff)


def _exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The C library's, as `math.exp` has it: NumPy's own differs from it in the last digit."""
    return np.fromiter(map(math.exp, values.tolist()), np.float64, len(values))


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """Who a bundle is and for whom it may vote.

    Attributes:
        slot, version: its place in the registry.
        kind: `random_forest`, `xgboost` or `lstm`.
        origin: kind of prices it learned from: `synthetic`, `file` or `mt5`.
        symbols: those whose own evidence passed.
        timeframe: name of the bar length, `M1`.
        exit_hash: of the exit policy behind its labels.
        rows: feature rows that one forecast needs: 1 for trees, the sequence length else.
        made: UTC epoch seconds; 0 where unstated.
        skill: net R a trade that its gate saw, less one standard error; 0.0 where unstated.
    """

    slot: str
    version: int
    kind: str
    origin: str
    symbols: tuple[str, ...]
    timeframe: str
    exit_hash: str
    rows: int
    schema: FeatureSchema
    made: int = 0
    skill: float = 0.0


class Predictor(Protocol):
    """A frozen model bundle. Thread-safe; never changes its input."""

    @property
    def info(self) -> BundleInfo:
        """Identity and scope."""
        ...

    @property
    def inference(self) -> Inference:
        """Calibration, payoff and threshold."""
        ...

    @property
    def backend(self) -> str:
        """What runs it: `onnx`, or else the library that fitted it, which is many times slower."""
        ...

    @property
    def exact(self) -> bool:
        """Whether `predict_many` says of a row what `predict` says, to the last bit; else they differ by rounding."""
        ...

    def prepare(self, window: FeatureWindow) -> Callable[[], Forecast]:
        """Reads a window; returns the call that makes the forecast for its newest row, and needs little of the interpreter.

        Raises:
            SchemaMismatch: columns differ from those it was trained on.
            PredictionFailed: too few rows, or a missing value; from the call: no finite result.
        """
        ...

    def predict(self, window: FeatureWindow) -> Forecast:
        """Forecast for the newest row of a window: `prepare`, and its call.

        Raises:
            SchemaMismatch: columns differ from those it was trained on.
            PredictionFailed: too few rows, a missing value, or no finite result.
        """
        ...

    def predict_many(self, values: Matrix) -> Forecasts:
        """Forecasts for each row of (n, F) from row `rows - 1` on; shape (n - rows + 1,)."""
        ...


def require_schema(owner: str, wanted: FeatureSchema, given: FeatureSchema) -> None:
    """Raises SchemaMismatch unless both have the same columns in the same order."""
    if given is wanted or given.names == wanted.names:
        return
    missing = tuple(sorted(set(wanted.names) - set(given.names)))
    unexpected = tuple(sorted(set(given.names) - set(wanted.names)))
    raise SchemaMismatch(owner, missing, unexpected)


@lru_cache(maxsize=64)
def _columns(given: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.intp] | None:
    """Where the wanted columns stand among the given ones; None where some of them do not."""
    return np.array([given.index(name) for name in wanted], dtype=np.intp) if set(wanted) <= set(given) else None


def select(owner: str, window: FeatureWindow, wanted: FeatureSchema, rows: int | None = None) -> FeatureWindow:
    """The columns that a model reads, in its order.

    Args:
        owner: how the error calls the model.
        window: with these columns and maybe others.
        wanted: the model's columns.
        rows: how many of the newest rows; all of them where it is not given.

    Raises:
        SchemaMismatch: the window lacks some of them.
    """
    values = window.values if rows is None else window.values[-rows:]
    if window.schema.names == wanted.names:
        return FeatureWindow(wanted, values)
    columns = _columns(window.schema.names, wanted.names)
    if columns is None:
        raise SchemaMismatch(owner, tuple(sorted(set(wanted.names) - set(window.schema.names))), ())
    return FeatureWindow(wanted, values.take(columns, axis=1))


def newest_rows(owner: str, window: FeatureWindow, rows: int) -> Matrix:
    """The last `rows` rows, (rows, F).

    Raises:
        PredictionFailed: too few rows, or a missing value among them.
    """
    values = window.values[-rows:]
    if len(values) < rows:
        raise PredictionFailed(f"{owner}: {len(values)} feature rows, {rows} needed")
    if not np.isfinite(values).all():
        bad = [window.schema.names[i] for i in np.flatnonzero(~np.isfinite(values).all(axis=0))]
        raise PredictionFailed(f"{owner}: missing values in {bad}")
    return values
