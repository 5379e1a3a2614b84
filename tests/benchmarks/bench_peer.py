"""Beside a peer: the same bars and the same fitted trees through `backtesting` (PyPI) and through our replay.

Both get the classifier of the stated size and the same threshold; both hold one position at a time with
a stop and a target in ATR and a limit in bars. The peer reads feature columns that were worked out
before, which is its idiom; it keeps no journal, has no risk gate and no broker with a book. So the
figures compare what it takes to try a model on history, not two like programs.

`backtesting` is no dependency: it brings pandas and a plotting library. Where it is not installed the figures
say so and stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from execution.exits import ExitPolicy
from market_data.bars import Bars
from market_data.importers import import_file
from strategy.features import WARMUP, atr, compute
from strategy.predictor import Forecast, Matrix, Predictor
from strategy.tree_predictor import tree_scores
from tests.benchmarks.bench_replay import CALM, HISTORY, Scene, run_settings, serving, written
from tests.benchmarks.harness import Figure, FloatArray
from tests.benchmarks.service import FEATURES, served
from tests.fakes_learning import market
from tests.real_data import found_folder

ABSENT = "`backtesting` is not installed here: `python -m pip install backtesting` in an environment of its own"
RECORDED = "EURUSD_M1_20180531_20180629_mt5.csv.gz"
CASH, LEVERAGE = 1_000_000.0, 100.0
SIZE, COST = 10_000, 1e-4
"""Units of an entry, and the round trip in price units from which the least stop follows."""

Asked = Callable[[int], Forecast]


def figures(quick: bool) -> Iterator[Figure]:
    """Bars a second of both, the model asked bar by bar and about all bars at once."""
    rounds, few, many = (3, 400, 2_048) if quick else (10, 2_048, 20_480)
    bars, origin = _bars(HISTORY + many + 2)
    table = compute(bars, FEATURES).values
    models = serving(table[WARMUP : WARMUP + 2_000], CALM, "xgboost")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = written(bars, Path(folder))
        for batched, count in ((False, few), (True, many)):
            scene = Scene(source, models, count)
            ours, theirs = _turns(scene, bars, table, rounds, batched=batched)
            yield _figure(ours, theirs, f"{rounds} rounds of {count} {origin} bars", batched=batched)


def _bars(count: int) -> tuple[Bars, str]:
    """The newest bars of a recorded month of EURUSD; of the synthetic market where none is at hand."""
    folder = found_folder()
    if folder is None or not (folder / RECORDED).exists():
        return market(count, seed=4, edge=1.0), "synthetic"
    return import_file(folder / RECORDED).bars.tail(count), "recorded"


def _figure(ours: list[float], theirs: list[float], played: str, *, batched: bool) -> Figure:
    way = "all bars at once" if batched else "bar by bar"
    return Figure(
        "peer_batched_bars_per_s" if batched else "peer_bars_per_s",
        float(np.median(ours)),
        "bars/s",
        f"our replay, one boosted model, {way}",
        reference=float(np.median(theirs)) if theirs else None,
        reference_is=f"backtesting, the same model asked {way}" if theirs else "",
        at_least=True,
        note=f"{played}; ours writes a journal and a broker's book" if theirs else f"{played}; {ABSENT}",
    )


def _turns(scene: Scene, bars: Bars, table: Matrix, rounds: int, *, batched: bool) -> tuple[list[float], list[float]]:
    """Bars a second of ours and of the peer, which take turns."""
    ours: list[float] = []
    theirs: list[float] = []
    (model,) = scene.models.values()
    for _ in range(rounds):
        ours.append(scene.play(foresight=batched).rate)
        if find_spec("backtesting") is not None:
            theirs.append(_peer(bars.slice(0, HISTORY + scene.bars), table, model, batched=batched))
    return ours, theirs


# --- the peer ---------------------------------------------------------------------------------


def _peer(bars: Bars, table: Matrix, model: Predictor, *, batched: bool) -> float:
    """Bars a second of one run of the peer, from its first bar with a model to its last."""
    import pandas as pd
    from backtesting import Backtest  # type: ignore[import-not-found]  # no dependency, see above

    columns = {"Open": bars.open, "High": bars.high, "Low": bars.low, "Close": bars.close, "Volume": bars.tick_volume}
    frame = pd.DataFrame(columns, index=pd.to_datetime(bars.time, unit="s"))
    spread = float(np.median(bars.spread)) * 1e-5 if bars.spread is not None else 0.0
    test = Backtest(frame, _strategy(table[: len(bars)], atr(bars), model, batched=batched), cash=CASH, margin=1 / LEVERAGE, spread=spread)
    start = perf_counter()
    test.run()
    return (len(bars) - HISTORY) / (perf_counter() - start)


def _strategy(table: Matrix, ranges: FloatArray, model: Predictor, *, batched: bool) -> Any:
    """A strategy class of the peer; the history before the first decision is skipped."""
    from backtesting import Strategy

    asked = _all_at_once(table, model) if batched else _one_by_one(table, model)
    policy = ExitPolicy.from_settings(run_settings().exits)

    class Trees(Strategy):  # type: ignore[misc]  # untyped where it is not installed
        def init(self) -> None:
            self.forecast = asked()

        def next(self) -> None:
            at = len(self.data) - 1
            if at >= HISTORY:
                _end_old(self, at, policy.horizon)
                _enter(self, self.forecast(at), model.inference.threshold, policy, float(ranges[at]))

    return Trees


def _one_by_one(table: Matrix, model: Predictor) -> Callable[[], Asked]:
    classifier = served("xgboost").native
    return lambda: lambda at: model.inference.forecast(tree_scores(classifier.predict_proba(table[at : at + 1]))[0].tolist())


def _all_at_once(table: Matrix, model: Predictor) -> Callable[[], Asked]:
    classifier = served("xgboost").native

    def ask() -> Asked:
        known = model.inference.forecasts(tree_scores(classifier.predict_proba(table[HISTORY:])))
        return lambda at: known.at(at - HISTORY)

    return ask


def _end_old(strategy: Any, at: int, horizon: int) -> None:
    for trade in strategy.trades:
        if at - trade.entry_bar >= horizon:
            trade.close()


def _enter(strategy: Any, forecast: Forecast, threshold: float, policy: ExitPolicy, range_: float) -> None:
    if forecast.expected_r < threshold or strategy.position:
        return
    price, side, stop = float(strategy.data.Close[-1]), int(forecast.side), policy.stop_distance(range_, COST, 0.0)
    order = strategy.buy if side > 0 else strategy.sell
    order(size=SIZE, sl=price - side * stop, tp=price + side * policy.target_distance(stop))
