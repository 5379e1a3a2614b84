"""Markets, statistics and tiny settings for tests of features, labels and training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from config.settings import Settings
from execution.exits import ExitPolicy
from execution.simulated import default_spec
from market_data.bars import Bars, Capabilities, FloatArray, IntArray
from market_data.clock import from_epoch
from market_data.synthetic import synthetic_bars
from strategy.compile_onnx import MODEL_FILES
from strategy.features import schema_for
from strategy.learning.budget import Purse
from strategy.learning.bundles import inference_json
from strategy.learning.dataset import Dataset, Labelling, build
from strategy.learning.jobs import JobSpec, Workshop
from strategy.learning.labels import Costs
from strategy.learning.registry import Registry
from strategy.past import Column, Past
from strategy.predictor import FeatureSchema, Forecasts, Inference, Payoff
from tests.fakes_models import inference_of, info_of, native_files
from tests.fakes_registry import accept, make_registry, successor

START = datetime(2024, 1, 8, tzinfo=UTC)
POLICY = ExitPolicy(1.5, 1.5, 5.0, 15)
POINT = 1e-5
ALL = Capabilities(volume=True, spread=True)


# --- markets ----------------------------------------------------------------------------------


def market(count: int, *, seed: int = 1, edge: float = 0.0, symbol: str = "EURUSD", start: datetime = START) -> Bars:
    """Synthetic bars; at edge 0 their price is a martingale."""
    return synthetic_bars(default_spec(symbol), start=start, count=count, seed=seed, edge=edge, price=1.1)


def without(bars: Bars, *columns: str) -> Bars:
    """The same bars from a source that does not record some columns."""
    return replace(bars, **dict.fromkeys(columns))


def scaled_prices(bars: Bars, factor: float) -> Bars:
    return replace(bars, **{name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")})


def still(bars: Bars, first: int, last: int) -> Bars:
    """The same bars, but the market does not move from row `first` up to `last`."""
    prices = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for column in prices.values():
        column[first:last] = bars.close[first - 1]
    return replace(bars, **prices)


def with_gaps(bars: Bars, seed: int = 0) -> Bars:
    """The same bars, each opening a little away from the last close; still a martingale where they were one."""
    opened = np.round(bars.open + 2e-5 * np.random.default_rng(seed).standard_normal(len(bars)), 5)
    return replace(bars, open=opened, high=np.maximum(bars.high, opened), low=np.minimum(bars.low, opened))


def costs_of(bars: Bars, commission: float = 7e-5) -> Costs:
    assert bars.spread is not None
    return Costs(bars.spread * POINT, commission, 0.0)


# --- look-ahead -------------------------------------------------------------------------------

Columns = Callable[[Bars], Mapping[str, NDArray[Any]]]


def leaking(columns: Columns, bars: Bars, cuts: Iterable[int]) -> set[str]:
    """Names of the columns of which any row changes when the bars after it are not there yet."""
    full, found = columns(bars), set[str]()
    for cut in cuts:
        early = columns(bars.slice(0, cut))
        found |= {name for name in full if not np.array_equal(early[name], full[name][:cut], equal_nan=True)}
    return found


def remembering(columns: Columns, bars: Bars, starts: Iterable[int], warmup: int) -> set[str]:
    """Names of the columns of which any row beyond the warm-up depends on where the history begins."""
    full, found = columns(bars), set[str]()
    for start in starts:
        late = columns(bars.slice(start, None))
        found |= {
            name
            for name in full
            if not np.allclose(late[name][warmup:], full[name][start + warmup :], rtol=1e-5, atol=1e-6, equal_nan=True)
        }
    return found


def one_bar_ahead(past: Past, period: int) -> Column:
    """A planted fault, in the place of `features._slope`: it ends at the next bar's close."""
    ahead = np.append(past.bars.close[1:], past.bars.close[-1])
    return past.distance(past.at(ahead), past.at(past.bars.close, period), period)


# --- evidence ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Auc:
    """Area under the curve, its standard error by blocks, and the distance from 0.5 in standard errors."""

    value: float
    error: float

    @property
    def distance(self) -> float:
        if self.error == 0.0:  # a constant says nothing; one that is always right says everything
            return 0.0 if self.value == 0.5 else float("inf")
        return abs(self.value - 0.5) / self.error


def block_auc(scores: NDArray[Any], up: NDArray[np.bool_], block: IntArray) -> Auc:
    """How well `scores` tell rows that rose from rows that fell, with a block jackknife.

    Every row's influence on the area is its place among the rows of the other class, less the
    area itself; the variance is that of the blocks' sums of influences, so what depends on each
    other inside a block is counted once.

    Source: DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988), with blocks for rows.
    """
    rank = rankdata(scores)
    ups, downs = int(up.sum()), int((~up).sum())
    place = np.empty(len(scores))
    place[up] = (rank[up] - rankdata(scores[up])) / downs
    place[~up] = 1.0 - (rank[~up] - rankdata(scores[~up])) / ups
    value = float(place[up].mean())
    influence = (place - value) / np.where(up, ups, downs)
    sums = np.bincount(block, weights=influence)
    return Auc(value, float(np.sqrt((sums**2).sum())))


class SetAfter(threading.Event):
    """A cancel that comes after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


# --- training ---------------------------------------------------------------------------------


def dataset(count: int = 3_000, *, edge: float = 1.0, seed: int = 1, window: int = 1, symbols: tuple[str, ...] = ("EURUSD",)) -> Dataset:
    """Rows as a job would build them."""
    histories = {symbol: market(count, seed=seed, edge=edge, symbol=symbol) for symbol in symbols}
    how = Labelling(POLICY, 2.0, (16, 17), window)
    return build(histories, {name: costs_of(bars) for name, bars in histories.items()}, schema_for(ALL), how, len(symbols) * count)


def rows_of(
    time: IntArray,
    kind: IntArray,
    *,
    r_long: FloatArray | None = None,
    forward: FloatArray | None = None,
    symbol: IntArray | None = None,
    symbols: tuple[str, ...] = ("EURUSD",),
    values: NDArray[np.float32] | None = None,
    horizon: int = 960,
) -> Dataset:
    """A dataset of given outcomes, with one feature column unless `values` are given."""
    n = len(time)
    long = np.where(kind == 1, 1.0, -1.0) if r_long is None else r_long
    table = np.zeros((n, 1), np.float32) if values is None else values
    return Dataset(
        schema=FeatureSchema(tuple(f"x{i}" for i in range(table.shape[1]))),
        symbols=symbols,
        table=table,
        row=np.arange(n),
        symbol=np.zeros(n, np.int64) if symbol is None else symbol,
        time=time,
        end=time + horizon,
        kind=kind,
        r_long=long,
        r_short=-long,
        forward=long if forward is None else forward,
        out_long=time + horizon,
        out_short=time + horizon,
        lot_r=np.full(n, 10.0),
    )


EVEN_PAYOFF = Payoff(1.0, -1.0, 1.0, -1.0)
IDENTITY = Inference(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0), EVEN_PAYOFF, 0.0)


def forecasts_of_sides(side: IntArray, expected_r: FloatArray, p: float = 0.4) -> Forecasts:
    return Forecasts(np.where(side > 0, p, 0.3), np.where(side > 0, 0.3, p), side, expected_r)


SMALL: Mapping[str, Any] = {
    "training": {"tree_count": 20, "boost_rounds": 15, "tree_folds": 2, "tree_train_rows": 4_000},
    "lstm": {"lstm_seq_length": 10, "lstm_hidden": 4, "lstm_epochs": 1, "lstm_train_rows": 3_000, "lstm_device": "cpu"},
    "gate": {"gate_resamples": 200, "min_directional_rows": 50, "gate_alpha_month": 0.4, "max_latency_ms": 1_000},
}


def small_settings(**sections: Mapping[str, Any]) -> Settings:
    """Settings of tiny models; `sections` override single values."""
    merged = {name: {**SMALL.get(name, {}), **sections.get(name, {})} for name in {*SMALL, *sections}}
    return Settings(**merged)


def workshop(root: Path, settings: Settings, bars: Mapping[str, Bars]) -> Workshop:
    """A workshop over given histories, publishing into `root`."""
    newest = max(int(part.time[-1]) for part in bars.values())
    return Workshop(
        settings=settings,
        origin="synthetic",
        history=lambda symbol, most: bars[symbol].tail(most),
        known=lambda symbol: bars[symbol].capabilities,
        instrument=default_spec,
        registry=make_registry(root),
        now=lambda: from_epoch(newest + 60),
    )


FOREST = JobSpec("scalper", "random_forest", ("EURUSD",))
BOOSTER = JobSpec("xgboost", "xgboost", ("EURUSD",))
LSTM = JobSpec("lstm_EURUSD", "lstm", ("EURUSD",))


# --- a registry with models that load -----------------------------------------------------------


def publish_model(registry: Registry, slot: str = "scalper", *, kind: str = "random_forest", broken: bool = False, **changes: Any) -> int:
    """Publishes a tiny model of `tests.fakes_models`; a broken one is signed and whole, and no model at all."""
    files = dict(native_files(kind))
    if broken:
        files[MODEL_FILES[kind]] = b"no model"
    info = info_of(kind)
    said: dict[str, Any] = {
        "kind": kind,
        "features": info.schema.names,
        "feature_hash": info.schema.hash,
        "symbols": info.symbols,
        "exit_hash": info.exit_hash,
        "input_rows": info.rows,
        "inference": inference_json(inference_of(kind), train_end=0, recipe="r"),
        **changes,
    }
    return registry.publish(successor(registry, slot, **said), files, accept).version


# --- what tries have used up -------------------------------------------------------------------


class MemoryState:
    """The part of the shared state that a budget needs, without a file."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.versions: dict[str, int] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def version(self, key: str) -> int:
        return self.versions.get(key, 0)

    def compare_and_set(self, key: str, expected_version: int, value: object) -> bool:
        if self.version(key) != expected_version:
            return False
        self.values[key], self.versions[key] = value, expected_version + 1
        return True


def fresh_purse(slot: str = "scalper") -> Purse:
    """The budget of a slot that has tried nothing yet."""
    return Purse(MemoryState(), slot)


# --- a predictor by rule ------------------------------------------------------------------------


class RuleModel:
    """Goes with one column's sign, where it is far from zero; learned nothing, so it can be wrong on demand."""

    def __init__(self, column: str, *, slot: str = "scalper", version: int = 1, least: float = 0.3) -> None:
        self.info = replace(info_of("random_forest", version), slot=slot, schema=schema_for(ALL), exit_hash=POLICY.hash)
        self.inference = Inference(IDENTITY.weights, IDENTITY.bias, IDENTITY.payoff, least)
        self._column = self.info.schema.names.index(column)

    def predict_many(self, values: NDArray[np.float32]) -> Forecasts:
        told = values[:, self._column].astype(np.float64)
        return forecasts_of_sides(np.where(told >= 0, 1, -1), np.abs(told))
