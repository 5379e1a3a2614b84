"""How soon a change of the market is noticed, and how often one is seen that never was.

    python -m tests.campaigns.regimes --results FOLDER [--changes 50] [--whole 9] [--months 24]
    python -m tests.campaigns.regimes --results FOLDER --table docs/campaigns/regimes.md

Each case is a market of its own with a real trainer on it: history, jobs, gate, registry, drift check
and their schedule are the daemon's; only the trading loop is absent. Results are one JSON line a case;
what is there already is not run again, so it can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from loguru import logger
from scipy.signal import lfilter
from scipy.stats import beta

from config.settings import Settings
from execution.simulated import default_spec
from market_data.bars import Bars, FloatArray
from market_data.clock import ManualClock, SystemClock, from_epoch
from strategy.active_models import ActiveModels
from strategy.learning.bundles import load_bundle
from strategy.learning.dataset import Labelling
from strategy.learning.jobs import JobSpec, Workshop
from strategy.learning.live_results import sided_after
from strategy.learning.registry import Registry
from strategy.learning.serving import ModelServer
from tests.fakes_learning import market
from tests.fakes_recorder import ListRecorder
from utils.auto_trainer import AutoTrainer
from utils.drift_check import DRIFT, DriftCheck
from utils.shared_state import SharedState

BACK = 16_000
"""Bars before the trainer starts."""
CALM, NOTICED, WHOLE = 1_440, 2_000, 8_000
"""Bars before the change, after it in which it must be noticed, and after it until a new model can be had."""
MONTH = 21 * 1_440
STEP = 30
"""Bars between two wakings of the trainer."""
MINUTE = 60
MOMENTUM_BARS, MOMENTUM, FLOW_BARS, FLOW, SURGE = 20, 0.3, 12, 0.8, 2.5
CHANGES = ("sign", "volatility", "mechanism")
SLOT = "scalper"
JOB = JobSpec(SLOT, "random_forest", ("EURUSD",))

SETTINGS = Settings(
    training={"tree_count": 20, "tree_folds": 2, "tree_train_rows": 8_000, "rf_retrain_hours": 12, "start_grace_seconds": 0, "replay_train_bars": 0},
    gate={"min_directional_rows": 100, "max_latency_ms": 1_000},
)  # fmt: skip


# --- markets ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Regime:
    """What makes a stretch of a market predictable, how much and with which sign, and how lively it is."""

    mechanism: str
    strength: float
    volatility: float = 1.0


def regimes(seed: int, kind: str) -> tuple[Regime, Regime]:
    """Before and after the change; `none` changes nothing.

    The mechanisms are going on after a surge, and turning back after a move (momentum of negative strength).
    """
    strength = 0.7 + 0.075 * (seed % 5)
    pair = Regime("flow", strength), Regime("momentum", -strength)
    before, other = pair if seed % 2 else pair[::-1]
    after = {
        "none": before,
        "sign": replace(before, strength=-before.strength),
        "volatility": replace(before, volatility=2.0),
        "mechanism": other,
    }
    return before, after[kind]


def regime_market(seed: int, kind: str, change: int, count: int) -> Bars:
    """A martingale with a drift that its own past tells; at row `change` what it tells is another thing."""
    walk = market(count, seed=1_000 + seed)
    before, after = regimes(seed, kind)
    early = np.arange(count) < change
    drift = np.where(early, _drift(walk, before), _drift(walk, after))
    path = np.cumsum(drift)
    lower, upper = np.minimum(path, path - drift), np.maximum(path, path - drift)
    told = {"open": path - drift, "close": path, "high": upper, "low": lower}
    logs = {name: np.log(getattr(walk, name)) + shift for name, shift in told.items()}
    pivot = logs["close"][change - 1]
    stretched = {name: np.where(early, line, pivot + after.volatility * (line - pivot)) for name, line in logs.items()}
    return replace(walk, **{name: np.round(np.exp(line), 5) for name, line in stretched.items()})


def _drift(walk: Bars, regime: Regime) -> FloatArray:
    """Log return that each bar gets on top, from bars before it."""
    step = np.diff(np.log(walk.close), prepend=np.log(walk.open[0]))
    pace = np.sqrt(np.maximum(_mean_before(step**2, 120), 1e-12))
    assert walk.tick_volume is not None
    if regime.mechanism == "momentum":
        told = MOMENTUM * np.sqrt(MOMENTUM_BARS) * _mean_before(step, MOMENTUM_BARS) / pace
    else:
        surge = np.sign(step) * (walk.tick_volume > SURGE * np.maximum(_mean_before(walk.tick_volume, 120), 1.0))
        told = FLOW * lfilter(np.r_[0.0, np.ones(FLOW_BARS)], [1.0], surge)
    return np.asarray(regime.strength * pace * np.clip(told, -2.0, 2.0))


def _mean_before(values: FloatArray, bars: int) -> FloatArray:
    return np.asarray(lfilter(np.r_[0.0, np.full(bars, 1.0 / bars)], [1.0], values))


# --- one case -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """What came of one market; bars count from the change, or from the start where there is none.

    Attributes:
        after: bars that were played after the change.
        served: whether a version served when the change came.
        alarms: bars at which drift asked for a retrain.
        words: what each alarm said.
        replaced: bars until a version whose whole final window lies after the change took over; None: never.
        former_r, newest_r: net R a side, over the newest NOTICED bars, of the version that served at the change and of the last.
    """

    kind: str
    seed: int
    after: int
    served: bool
    alarms: tuple[int, ...]
    words: tuple[str, ...]
    replaced: int | None
    former_r: float | None
    newest_r: float | None
    promotions: int


class Bench:
    """A trainer on a market that is shown to it bar by bar."""

    def __init__(self, bars: Bars, folder: Path) -> None:
        self.bars, self.row = bars, BACK
        self.clock = ManualClock(self._instant())
        self.state = SharedState(folder / "state.db", self.clock)
        registry = Registry(folder / "models", origin="synthetic", key=b"k" * 32, keep_versions=50, clock=self.clock)
        self.models, self.recorder = ActiveModels(), ListRecorder(self.clock)
        server = ModelServer(registry, self.models)
        self.workshop = Workshop(
            settings=SETTINGS,
            origin="synthetic",
            history=lambda symbol, most: self.bars.slice(0, self.row + 1).tail(most),
            known=lambda symbol: self.bars.capabilities,
            instrument=default_spec,
            registry=registry,
            now=self.clock.now,
            publishing=server.publishing,
        )
        drift = DriftCheck(self.workshop, self.models, self.state, {SLOT: JOB.name})
        self.trainer = AutoTrainer(
            workshop=self.workshop,
            jobs=(JOB,),
            server=server,
            chronicle=self.recorder,
            state=self.state,
            clock=self.clock,
            wall=SystemClock(),
            training=SETTINGS.training,
            checks=(drift,),
            lockstep=True,
        )

    def __enter__(self) -> Bench:
        self.trainer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.trainer.stop(30.0)
        self.state.close()

    def play(self, until: int) -> None:
        """Shows the bars up to a row."""
        while self.row < until:
            self.row = min(until, self.row + STEP)
            self.clock.set(self._instant())
            self.trainer.before_decisions(self.clock.now())
            self.trainer.before_decisions(self.clock.now())  # takes the swap over

    def version(self) -> int:
        """The version in service, 0 for none."""
        model = self.models.snapshot().get(SLOT)
        return model.info.version if model is not None else 0

    def earned(self, version: int) -> float | None:
        """Net R a side of a version over the newest bars; None where it takes no side."""
        if not version:
            return None
        model = load_bundle(self.workshop.registry.open(SLOT, version))
        how = Labelling(self.workshop.policy, SETTINGS.data.max_bar_age_bars, SETTINGS.filters.blocked_hours, model.info.rows)
        shown = self.bars.slice(0, self.row + 1)
        sided = sided_after(model, shown.tail(NOTICED + 300), self.workshop.costs, how, int(shown.time[-NOTICED]))
        return round(float(sided.result.mean()), 4) if len(sided.result) else None

    def row_of(self, instant: Any) -> int:
        """The bar at which something happened."""
        return int(np.searchsorted(self.bars.time, instant.timestamp())) - 1

    def _instant(self) -> Any:
        return from_epoch(int(self.bars.time[self.row]) + MINUTE) + timedelta(seconds=1)


def native_models() -> AbstractContextManager[object]:
    """Forests serve as they are: compiling each takes longer than everything else, and changes no forecast."""
    return patch("strategy.learning.jobs.compile_onnx", lambda *arguments, **options: None)


def run_case(kind: str, seed: int, after: int) -> Case:
    """Plays one market."""
    begin = BACK + CALM
    end = begin + after
    bars = regime_market(seed, kind, begin, end + 1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, native_models(), Bench(bars, Path(folder)) as bench:
        bench.play(begin)
        former = bench.version()
        bench.play(end)
        runs = bench.recorder.runs
        alarms = [(bench.row_of(run.started) - begin, run.reason) for run in runs if run.job == DRIFT and run.outcome == DRIFT]
        later = [(row, reason) for row, reason in alarms if row > 0]
        promoted = [bench.row_of(run.started) - begin for run in runs if run.outcome == "promoted"]
        final_rows = int(SETTINGS.training.tree_train_rows * SETTINGS.training.final_fraction)
        told = alarms if kind == "none" else later
        fresh = [row for row in promoted if row > final_rows and later and row > later[0][0]]
        return Case(
            kind,
            seed,
            after,
            former > 0,
            tuple(row for row, _ in told),
            tuple(reason for _, reason in told),
            fresh[0] if fresh else None,
            bench.earned(former),
            bench.earned(bench.version()),
            len(promoted),
        )


# --- all of them --------------------------------------------------------------------------------


def lines(results: Path) -> Iterator[Mapping[str, Any]]:
    """The cases so far; a last line that was cut off is none."""
    for text in results.read_text(encoding="utf-8").splitlines() if results.is_file() else ():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def wanted(changes: int, whole: int, months: int) -> Iterator[tuple[str, int, int]]:
    """Kind, seed and bars after the change, in an order in which everything gets on."""
    for seed in range(max(changes, whole, months)):
        if seed < changes:
            yield CHANGES[seed % len(CHANGES)], seed, NOTICED
        if seed % 4 == 3 and seed // 4 < months:
            yield "none", seed // 4, MONTH
        if seed % 5 == 4 and seed // 5 < whole:
            yield CHANGES[seed // 5 % len(CHANGES)], seed // 5, WHOLE
    yield from (("none", seed, MONTH) for seed in range(months))
    yield from ((CHANGES[seed % len(CHANGES)], seed, WHOLE) for seed in range(whole))


def play(results: Path, changes: int, whole: int, months: int) -> None:
    """Runs the cases that no line names yet."""
    done = {(line["kind"], line["seed"], line["after"]) for line in lines(results)}
    for case in wanted(changes, whole, months):
        if case not in done:
            done.add(case)
            found = json.dumps(asdict(run_case(*case)), sort_keys=True)
            with results.open("a", encoding="utf-8") as file:
                file.write(found + "\n")


def share(hits: int, tries: int) -> str:
    """k of n with its exact 95 % bounds (Clopper and Pearson)."""
    low = beta.ppf(0.025, hits, tries - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, tries - hits) if hits < tries else 1.0
    return f"{hits} of {tries} ({100 * hits / max(tries, 1):.0f} %, bounds {100 * low:.0f} to {100 * high:.0f} %)"


def main(arguments: list[str] | None = None) -> int:
    """Runs what is missing, or writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--whole", type=int, default=9)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--table", type=Path, default=None, help="write this file and run nothing")
    options = parser.parse_args(arguments)
    results = options.results / "regimes.jsonl"
    if options.table is not None:
        from tests.campaigns.regimes_table import document

        options.table.write_text(document(list(lines(results))), encoding="utf-8")
        return 0
    logger.remove()
    options.results.mkdir(parents=True, exist_ok=True)
    play(results, options.changes, options.whole, options.months)
    return 0


if __name__ == "__main__":
    sys.exit(main())
