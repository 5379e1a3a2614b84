"""Who is asked, on which thread, and that two threads hear what one does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest

from config.errors import PredictionFailed
from execution.orders import Side
from strategy.asking import Scope, forecasts_of_all
from strategy.predictor import BundleInfo, FeatureSchema, FeatureWindow, Forecast, Forecasts
from strategy.side_by_side import SideBySide, one_by_one

SCHEMA = FeatureSchema(("a", "b"))
SCOPE = Scope("synthetic", "M1", "policy")
NOW = datetime(2024, 1, 2, tzinfo=UTC)
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")
PATIENCE_S = 20.0
"""After which a test that hangs fails; reached by none that passes."""


@dataclass
class Model:
    """Expects the newest value of column `a`; may refuse what it reads, or fail where it is asked."""

    slot: str
    rows: int = 1
    symbols: tuple[str, ...] = SYMBOLS
    unreadable: float = -1.0
    failing: float = -1.0
    during: Callable[[], object] = field(default=lambda: None)
    read_by: set[int] = field(default_factory=set)

    @property
    def info(self) -> BundleInfo:
        return BundleInfo(self.slot, 1, "lstm", "synthetic", self.symbols, "M1", "policy", self.rows, SCHEMA)

    def prepare(self, window: FeatureWindow) -> Callable[[], Forecast]:
        self.read_by.add(threading.get_ident())
        value = float(window.values[-1, 0])
        if value == self.unreadable:
            raise PredictionFailed(f"{self.slot}: a gap")

        def ask() -> Forecast:
            self.during()
            if value == self.failing:
                raise PredictionFailed(f"{self.slot}: no finite value")
            return Forecast(0.5, 0.2, Side.LONG, value)

        return ask

    def predict_many(self, values: np.ndarray) -> Forecasts:
        if {self.unreadable, self.failing} & set(values[:, 0].tolist()):
            raise PredictionFailed("some row")
        one = np.ones(len(values))
        return Forecasts(0.5 * one, 0.2 * one, one.astype(int), values[:, 0].astype(float))


def windows_of(*symbols: str) -> dict[str, FeatureWindow]:
    """Of each symbol its number in every column, 0 for the first."""
    return {symbol: FeatureWindow(SCHEMA, np.full((60, 2), SYMBOLS.index(symbol), np.float32)) for symbol in symbols}


def told(models, maker, *symbols):
    return forecasts_of_all({model.slot: model for model in models}, windows_of(*symbols), SCOPE, NOW, maker)


CROWD = (
    Model("forest"),
    Model("deep", rows=60),
    Model("own", rows=60, symbols=("GBPUSD",)),
    Model("gap", unreadable=1.0),
    Model("failing", failing=2.0),
    Model("deep_gap", rows=60, unreadable=0.0),
    Model("deep_failing", rows=60, failing=1.0),
)


@pytest.mark.parametrize("symbols", [SYMBOLS, SYMBOLS[:1], SYMBOLS[1:2], SYMBOLS[2:]])
def test_two_threads_hear_what_one_does(symbols):
    found = told(CROWD, SideBySide(2), *symbols)
    assert found == told(CROWD, one_by_one, *symbols)
    for symbol in symbols:
        said, silent = found[symbol]
        assert set(said) | set(silent) == {model.slot for model in CROWD}
        assert {forecast.expected_r for forecast in said.values()} == {float(SYMBOLS.index(symbol))}


def test_each_silent_model_says_why_of_its_own_symbol_alone():
    found = told(CROWD, one_by_one, *SYMBOLS)
    outside = {"own": "made for GBPUSD, not EURUSD"}
    assert found["EURUSD"][1] == outside | {"deep_gap": "deep_gap: a gap"}
    assert found["GBPUSD"][1] == {"gap": "gap: a gap", "deep_failing": "deep_failing: no finite value"}
    assert found["USDJPY"][1] == {"own": "made for GBPUSD, not USDJPY", "failing": "failing: no finite value"}


def test_trees_answer_while_a_network_runs_and_all_read_on_the_callers_thread():
    both = threading.Barrier(2, timeout=PATIENCE_S)  # one thread alone would stand before it for good
    models = (Model("forest", during=both.wait), Model("lstm", rows=60, during=both.wait))
    assert set(told(models, SideBySide(2), "EURUSD")["EURUSD"][0]) == {"forest", "lstm"}
    assert models[0].read_by == models[1].read_by == {threading.get_ident()}


def test_nobody_to_ask_is_no_answer():
    assert told((), SideBySide(2), "EURUSD") == {"EURUSD": ({}, {})}
