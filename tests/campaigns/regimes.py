"""What becomes of a version when the market changes, and what befalls one on a market that does not.

    python -m tests.campaigns.regimes --results FOLDER [--changes 50] [--lively 20] [--months 24]
    python -m tests.campaigns.regimes --results FOLDER --table docs/campaigns/regimes.md

Each case is a market of its own with a real trainer on it: history, jobs, gate, registry, checks and
their schedule are the daemon's; only the trading loop is absent. A seed with which no version serves
when the change comes is no case: the next one is taken. Results are one JSON line a seed; what is there
already is not run again, so it can be stopped at any time. Several processes may share the work and the
file, each with `--share INDEX COUNT`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
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
from strategy.learning.jobs import JobSpec, Workshop
from strategy.learning.live_results import sided_after
from strategy.learning.registry import Registry
from strategy.learning.serving import ModelServer
from tests.fakes_learning import market
from tests.fakes_recorder import ListRecorder
from utils.auto_trainer import AutoTrainer
from utils.drift_check import DRIFT, DriftCheck
from utils.failing_check import FAILING, FailingCheck
from utils.probation_check import ProbationCheck, life_rules
from utils.shared_state import SharedState

BACK = 16_000
"""Bars before the trainer starts."""
CALM, NOTICED, WHOLE = 1_440, 2_000, 8_000
"""Bars before the change, after it in which it must be noticed, and after it until the case ends."""
MONTH = 21 * 1_440
STEP = 30
"""Bars between two wakings of the trainer."""
MINUTE = 60
MOMENTUM_BARS, MOMENTUM, FLOW_BARS, FLOW, SURGE = 20, 0.3, 12, 0.8, 2.5
CHANGES = ("sign", "mechanism", "gone")
"""Changes that cost a model its edge."""
LIVELY, STILL = "volatility", "none"
"""A change that leaves a model its edge, and no change at all."""
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
        "mechanism": other,
        "gone": replace(before, strength=0.0),
        "volatility": replace(before, volatility=2.0),
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
    """What came of one market; bars count from the change, or from where it would have been.

    Attributes:
        served: whether a version served when the change came; if not, nothing was played after it.
        alarms, words: bars at which drift asked for a retrain, and what each said.
        failed, failures: bars at which a version that no longer paid was taken out of service, and the words.
        put_back: bars at which probation put a former version back.
        replaced: bars until a version whose whole final window lies after the change took over; None: never.
        former_r: net R a side, over all bars after the change, of the version that served then.
        newest_r: net R a side over the newest NOTICED bars of the version that votes at the end; None: none does.
    """

    kind: str
    seed: int
    served: bool
    alarms: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    failed: tuple[int, ...] = ()
    failures: tuple[str, ...] = ()
    put_back: tuple[int, ...] = ()
    replaced: int | None = None
    former_r: float | None = None
    newest_r: float | None = None
    promotions: int = 0


class Bench:
    """A trainer on a market that is shown to it bar by bar."""

    def __init__(self, bars: Bars, folder: Path) -> None:
        self.bars, self.row = bars, BACK
        self.clock = ManualClock(self._instant())
        self.state = SharedState(folder / "state.db", self.clock)
        rules = life_rules(SETTINGS.life)
        registry = Registry(folder / "models", origin="synthetic", key=b"k" * 32, keep_versions=50, clock=self.clock, rules=rules)
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
        jobs = {SLOT: JOB.name}
        drift = DriftCheck(self.workshop, self.models, self.state, jobs)
        probation = ProbationCheck(self.workshop, self.state, record=lambda: None)
        failing = FailingCheck(self.workshop, self.state, jobs, record=lambda: None)
        self.trainer = AutoTrainer(
            workshop=self.workshop,
            jobs=(JOB,),
            server=server,
            chronicle=self.recorder,
            state=self.state,
            clock=self.clock,
            wall=SystemClock(),
            training=SETTINGS.training,
            checks=(drift, probation, failing),
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

    def earned(self, version: int, newest: int) -> float | None:
        """Net R a side of a version over so many of the newest bars; None where it takes no side."""
        if not version:
            return None
        model = load_bundle(self.workshop.registry.open(SLOT, version))
        shown = self.bars.slice(0, self.row + 1)
        how = self.workshop.labelling(model.info.rows)
        sided = sided_after(model, shown.tail(newest + 300), self.workshop.costs, how, int(shown.time[-newest]))
        return round(float(sided.result.mean()), 4) if len(sided.result) else None

    def told(self, outcome: str, since: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Bars since a row at which a job or check came to an outcome, and its words."""
        found = [(self.row_of(run.started) - since, run.reason) for run in self.recorder.runs if run.outcome == outcome]
        later = [one for one in found if one[0] > 0]
        return tuple(row for row, _ in later), tuple(reason for _, reason in later)

    def learned_since(self, row: int) -> int | None:
        """Bars from a row until a version took over that was judged by nothing before it."""
        for change in self.workshop.registry.state().slot(SLOT).history:
            if change.event == "promoted" and change.after is not None:
                taught = datetime.fromisoformat(self.workshop.registry.open(SLOT, change.after).manifest.last_bar)
                if taught.timestamp() >= self.bars.time[row]:
                    return self.row_of(datetime.fromisoformat(change.at)) - row
        return None

    def row_of(self, instant: datetime) -> int:
        """The bar at which something happened."""
        return int(np.searchsorted(self.bars.time, instant.timestamp())) - 1

    def _instant(self) -> Any:
        return from_epoch(int(self.bars.time[self.row]) + MINUTE) + timedelta(seconds=1)


def native_models() -> AbstractContextManager[object]:
    """Forests serve as they are: compiling each takes longer than everything else, and changes no forecast."""
    return patch("strategy.learning.jobs.compile_onnx", lambda *arguments, **options: None)


def run_case(kind: str, seed: int, after: int | None = None) -> Case:
    """Plays one market; for how long after the change hangs on its kind, unless it is said."""
    begin = BACK + CALM
    end = begin + (after or (MONTH if kind == STILL else WHOLE))
    bars = regime_market(seed, kind, begin, end + 1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, native_models(), Bench(bars, Path(folder)) as bench:
        bench.play(begin)
        former = bench.version()
        if not former:
            return Case(kind, seed, served=False)
        bench.play(end)
        return Case(
            kind,
            seed,
            True,
            *bench.told(DRIFT, begin),
            *bench.told(FAILING, begin),
            bench.told("rolled_back", begin)[0],
            bench.learned_since(begin),
            bench.earned(former, end - begin),
            bench.earned(bench.version(), NOTICED),
            len(bench.told("promoted", begin)[0]),
        )


# --- all of them --------------------------------------------------------------------------------


def lines(results: Path) -> Iterator[Mapping[str, Any]]:
    """The cases so far; a last line that was cut off is none."""
    for text in results.read_text(encoding="utf-8").splitlines() if results.is_file() else ():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


Seeded = tuple[str, int]


def kind_of(group: str, seed: int) -> str:
    """The kind of a group's market."""
    return CHANGES[seed % len(CHANGES)] if group == "changes" else group


def next_case(cases: Sequence[Mapping[str, Any]], wanted: Mapping[str, int], seeds: Sequence[int]) -> Seeded | None:
    """A market of the group that lacks most; None when every group has its number of cases.

    Args:
        cases: played so far.
        wanted: group -> how many cases.
        seeds: to choose from, in order.
    """
    done = {(case["kind"], case["seed"]) for case in cases}
    have = {
        group: sum(case["served"] and case["kind"] in (CHANGES if group == "changes" else (group,)) for case in cases) for group in wanted
    }
    short = [group for group, count in wanted.items() if have[group] < count]
    if not short:
        return None
    group = min(short, key=lambda name: have[name] / wanted[name])
    return next(case for case in ((kind_of(group, seed), seed) for seed in seeds) if case not in done)


def play(results: Path, wanted: Mapping[str, int], seeds: Sequence[int]) -> None:
    """Runs cases until every group has its number."""
    while (case := next_case(list(lines(results)), wanted, seeds)) is not None:
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
    parser.add_argument("--lively", type=int, default=20)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("INDEX", "COUNT"), help="every COUNTth seed alone")
    parser.add_argument("--table", type=Path, default=None, help="write this file and run nothing")
    options = parser.parse_args(arguments)
    results = options.results / "regimes.jsonl"
    if options.table is not None:
        from tests.campaigns.regimes_table import document

        options.table.write_text(document(list(lines(results))), encoding="utf-8")
        return 0
    logger.remove()
    options.results.mkdir(parents=True, exist_ok=True)
    wanted = {"changes": options.changes, LIVELY: options.lively, STILL: options.months}
    play(results, wanted, range(options.first + options.share[0], options.first + 1_000, options.share[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
