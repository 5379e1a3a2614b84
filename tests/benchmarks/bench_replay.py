"""Lockstep replay: bars a second through the whole daemon, by bar and many bars at a time.

The loop of `backtest` is timed from its first pass to its last: bars, features, models, votes, risk
gate, orders, the simulated broker and its book, the journal. Nothing is trained. Start and end are
left out: reading files, loading models, opening and closing the home.

How often a model takes a side is set by its threshold, for an entry costs as much as many quiet bars.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

import numpy as np

from config.loading import load_settings
from config.settings import Settings
from execution.exits import ExitPolicy
from market_data.bars import Bars
from strategy.features import WARMUP, compute
from strategy.lstm_predictor import LSTMPredictor
from strategy.predictor import FeatureWindow, Matrix, Predictor, select
from strategy.trading_loop import LoopSummary, TradingLoop
from tests.benchmarks.harness import Figure, FloatArray
from tests.benchmarks.service import FEATURES, SYMBOL, predictors
from tests.fakes_learning import market
from utils import bootstrap
from utils.cli.tester import COMMIT_BARS
from utils.played_bars import BLOCK
from utils.terminals import RunOptions

HISTORY = 3_000
CALM, BUSY = 99.5, 90.0
"""Percentile of a model's expected R from which it takes a side."""


@dataclass(frozen=True, slots=True)
class Played:
    """One replay.

    Attributes:
        rate: bars a second.
        summary: what came of it.
    """

    rate: float
    summary: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Scene:
    """Prices in a file, and who decides on them."""

    source: str
    models: Mapping[str, Predictor]
    bars: int

    def play(self, *, foresight: bool, commit_bars: int = COMMIT_BARS) -> Played:
        """The daemon over these bars, in a home of its own that is thrown away."""
        spent: list[float] = []
        original = TradingLoop.run

        def run(loop: TradingLoop, stop: object) -> LoopSummary:
            start = perf_counter()
            summary: LoopSummary = original(loop, stop)  # type: ignore[arg-type]  # handed on as it came
            spent.append(perf_counter() - start)
            return summary

        options = RunOptions((self.source,), replay=True, bars=self.bars, foresight=foresight, commit_bars=commit_bars)
        with TemporaryDirectory(ignore_cleanup_errors=True) as home, patch.object(TradingLoop, "run", run):
            result = bootstrap.run(run_settings(), options, Path(home), self.models)
        return Played(self.bars / spent[0], result.summary)


@cache
def run_settings() -> Settings:
    """Of the daemon that is timed."""
    return load_settings(Path("no.env"), {"history_bars": str(HISTORY), "log_level": "ERROR", "symbols": SYMBOL})


def written(bars: Bars, folder: Path) -> str:
    """Bars as a file, the way a source is named."""
    assert bars.tick_volume is not None
    assert bars.spread is not None
    rows = zip(bars.time, bars.open, bars.high, bars.low, bars.close, bars.tick_volume, bars.spread, strict=True)
    lines = [f"{t},{o:.5f},{h:.5f},{low:.5f},{c:.5f},{volume:.0f},{spread:.0f},0" for t, o, h, low, c, volume, spread in rows]
    path = folder / f"{SYMBOL}_M1.csv"
    path.write_text("\n".join(["time,open,high,low,close,tick_volume,spread,real_volume", *lines]) + "\n", encoding="utf-8")
    return f"{SYMBOL}={path}"


def serving(table: Matrix, percentile: float, *kinds: str) -> dict[str, Predictor]:
    """The models of the stated sizes as a backtest on files asks them, each with a side on a share of the bars.

    Args:
        table: feature rows from which the thresholds are taken, (n, F).
        percentile: of expected R; the threshold.
        kinds: which models.
    """
    exit_hash = ExitPolicy.from_settings(run_settings().exits).hash
    made: dict[str, Predictor] = {}
    for slot, model in predictors().items():
        if model.info.kind in kinds:
            expected = model.predict_many(select(slot, FeatureWindow(FEATURES, table), model.info.schema).values).expected_r
            threshold = float(np.percentile(expected, percentile))
            changes = {"info": replace(model.info, origin="file", exit_hash=exit_hash)}
            made[slot] = replace(model, **changes, inference=replace(model.inference, threshold=threshold))  # type: ignore[type-var]  # both kinds are dataclasses
    return made


# --- bare kernels -----------------------------------------------------------------------------


def _scorer_rate(models: Mapping[str, Predictor], table: Matrix, bars: int, *, many: bool) -> float:
    """Bars a second of the bare sessions on rows that are ready; many at once on every core, or one after the other."""
    batches = [_batches(model, table, bars, BLOCK if many else 1) for model in models.values()]
    jobs = [(_bare(model), batch) for model, parts in zip(models.values(), batches, strict=True) for batch in parts]
    start = perf_counter()
    if many:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda job: job[0](job[1]), jobs))
    else:
        for scorer, batch in jobs:
            scorer(batch)
    return bars / (perf_counter() - start)


def _batches(model: Predictor, table: Matrix, bars: int, size: int) -> list[Matrix]:
    rows = model.info.rows
    values = select(model.info.slot, FeatureWindow(FEATURES, table), model.info.schema).values[: bars + rows - 1]
    if rows == 1:
        return [np.ascontiguousarray(values[start : start + size]) for start in range(0, bars, size)]
    windows = np.lib.stride_tricks.sliding_window_view(values, rows, axis=0).transpose(0, 2, 1)
    return [np.ascontiguousarray(windows[start : start + size]) for start in range(0, bars, size)]


def _bare(model: Predictor) -> object:
    return model.network if isinstance(model, LSTMPredictor) else model.scorer  # type: ignore[attr-defined]  # the only other kind


# --- figures ----------------------------------------------------------------------------------


def figures(quick: bool) -> Iterator[Figure]:
    """Bars a second: all three models by bar and in blocks, the trees alone in blocks, calm and busy."""
    rounds, few, many = (3, 600, 4_096) if quick else (10, 2_048, 20_480)
    bars = market(HISTORY + many + 2, seed=4, edge=1.0)
    table = compute(bars, FEATURES).values[WARMUP:]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = written(bars, Path(folder))
        yield from _all_three(source, table, rounds, few)
        yield from _trees(source, table, rounds, many)


def _all_three(source: str, table: Matrix, rounds: int, bars: int) -> Iterator[Figure]:
    scene = Scene(source, serving(table[:2_000], CALM, "random_forest", "xgboost", "lstm"), bars)
    alone, batched, each = _turns(scene, rounds, ((False, COMMIT_BARS), (True, COMMIT_BARS), (False, 0)))
    kernels = [[_scorer_rate(scene.models, table, bars, many=many) for _ in range(rounds)] for many in (False, True)]
    told = _told(scene, rounds, batched[-1])
    yield Figure(
        "replay_bars_per_s", _median(alone), "bars/s", "replay, three models, bar by bar", reference=_median(each),
        reference_is="every record committed by itself", limit=float(np.median(kernels[0])), budget=1_000.0, at_least=True, note=told,
    )  # fmt: skip
    yield Figure(
        "replay_batched_bars_per_s", _median(batched), "bars/s", "replay, three models, in blocks", reference=_median(alone),
        reference_is="bar by bar", limit=float(np.median(kernels[1])), budget=3_000.0, at_least=True, note=told,
    )  # fmt: skip


def _trees(source: str, table: Matrix, rounds: int, bars: int) -> Iterator[Figure]:
    calm = Scene(source, serving(table[:2_000], CALM, "random_forest", "xgboost"), bars)
    busy = Scene(source, serving(table[:2_000], BUSY, "random_forest", "xgboost"), bars)
    by_bar = replace(calm, bars=bars // 8)
    (blocks,) = _turns(calm, rounds, ((True, COMMIT_BARS),))
    (alone,) = _turns(by_bar, rounds, ((False, COMMIT_BARS),))
    (traded,) = _turns(busy, min(rounds, 3), ((True, COMMIT_BARS),))
    kernels = [_scorer_rate(calm.models, table, bars, many=True) for _ in range(rounds)]
    yield Figure(
        "replay_batched_trees_bars_per_s", _median(blocks), "bars/s", "replay, trees alone, in blocks", reference=_median(alone),
        reference_is="bar by bar", limit=float(np.median(kernels)), budget=30_000.0, at_least=True, note=_told(calm, rounds, blocks[-1]),
    )  # fmt: skip
    yield Figure(
        "replay_batched_trees_busy_bars_per_s", _median(traded), "bars/s", "the same, with many entries", reference=_median(blocks),
        reference_is="few entries", at_least=True, note=_told(busy, min(rounds, 3), traded[-1]),
    )  # fmt: skip


def _turns(scene: Scene, rounds: int, ways: Sequence[tuple[bool, int]]) -> list[list[Played]]:
    """Replays that take turns: for each way its rounds."""
    played: list[list[Played]] = [[] for _ in ways]
    for _ in range(rounds):
        for one, (foresight, commit_bars) in zip(played, ways, strict=True):
            one.append(scene.play(foresight=foresight, commit_bars=commit_bars))
    _require_alike([one[-1].summary for one in played])
    return played


def _require_alike(summaries: Sequence[Mapping[str, object]]) -> None:
    """The same bars must end in the same account, whatever way they went."""
    if any(summary != summaries[0] for summary in summaries):
        raise RuntimeError(f"replays of the same bars differ: {summaries}")


def _median(played: Sequence[Played]) -> float:
    rates: FloatArray = np.array([one.rate for one in played])
    return float(np.median(rates))


def _told(scene: Scene, rounds: int, one: Played) -> str:
    actions = one.summary["actions"]
    return f"{rounds} rounds of {scene.bars} bars, commits of {COMMIT_BARS}; {actions}; nothing is trained"
