"""How often the gate is wrong: candidates whose truth is measured, and months of retraining on noise.

    python -m tests.campaigns.promotion candidates --results FOLDER --count 1000
    python -m tests.campaigns.promotion months --results FOLDER --count 60
    python -m tests.campaigns.promotion table --results FOLDER --table docs/campaigns/promotion.md

Can be stopped at any time and goes on where it was; results are JSON lines. Everything is seeded.
`--part 0/2` does every second unit of work, so that two processes share it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from config.settings import FilterSettings, GateSettings, Settings
from execution.simulated import default_spec
from market_data.bars import Bars
from market_data.synthetic import MECHANISMS, synthetic_bars
from strategy.features import schema_for, sequence_schema
from strategy.learning.budget import START_SHARE, Grant, Purse
from strategy.learning.case import Peer, prepared
from strategy.learning.dataset import Dataset, Labelling, build
from strategy.learning.evidence import mean, one_at_a_time
from strategy.learning.forecasting import project
from strategy.learning.gate import GateReport, judge, worth_testing
from strategy.learning.jobs import JobSpec, recipe_for
from strategy.learning.labels import Costs
from strategy.learning.recipes import Candidate, develop, side_result
from tests.campaigns.promotion_table import document
from tests.fakes_learning import ALL, POLICY, MemoryState, costs_of

Line = dict[str, Any]

HORIZON_SECONDS = 60 * (POLICY.horizon + 1)
WINDOW = 10
TRUTH_BARS, HISTORY_BARS, FINAL_SHARE = 200_000, 36_000, 0.85
BATCH = 5
"""Histories of one market that are judged while its truth is in memory."""
LSTM_EVERY = 10
LEAST = (200, 7_500)
"""Rows for which the threshold is chosen: as shipped, and so many that a candidate makes 1,000 trades."""
KINDS = {"random_forest": "scalper", "xgboost": "xgboost", "lstm": "lstm_EURUSD"}
NEVER = threading.Event()
HISTORIES, TRUTHS, NOISE = 20_000, 900_000, 600_000
"""First seeds: of histories, of the bars that tell the truth, of months. No limit of the gate was chosen on these."""

MARKETS: tuple[tuple[tuple[str, ...], float], ...] = (
    ((), 0.0),
    (("trend",), 1.0),
    (("reversion",), 0.5),
    (("flow",), 0.5),
    (("hours",), 1.0),
    (MECHANISMS, 0.4),
    (("trend",), 1.5),
    (("reversion",), 1.0),
    (("flow",), 1.0),
    (("hours",), 2.0),
    (MECHANISMS, 0.7),
    ((), 0.0),
    (("trend",), 2.0),
    (("reversion",), 1.5),
    (("flow",), 1.5),
    (("hours",), 3.0),
    (MECHANISMS, 1.0),
    (("reversion",), 2.0),
    (("trend",), 3.0),
    (("flow",), 2.0),
)


def settings_of(seed: int, rows: int) -> Settings:
    """Small models; the gate is the one that serves."""
    training = {"tree_count": 10, "boost_rounds": 15, "tree_folds": 2, "tree_train_rows": rows, "train_seed": seed}
    lstm = {"lstm_seq_length": WINDOW, "lstm_hidden": 4, "lstm_epochs": 3, "lstm_batch": 256, "lstm_train_rows": rows, "lstm_device": "cpu"}
    return Settings(training=training, lstm={**lstm, "lstm_learning_rate": 0.005})


def rows_of_market(bars: Bars, most: int, *, free: bool = False) -> Dataset:
    """Training rows with the whole schema; `free`: as if trading cost nothing."""
    how = Labelling(POLICY, 2.0, FilterSettings().blocked_hours, WINDOW)
    costs = Costs(np.zeros(len(bars)), 0.0, 0.0) if free else costs_of(bars)
    return build({"EURUSD": bars}, {"EURUSD": costs}, schema_for(ALL), how, most)


def market_bars(market: int, seed: int, count: int, start: datetime) -> Bars:
    """Bars of one of MARKETS."""
    mechanisms, edge = MARKETS[market]
    spec = default_spec("EURUSD")
    return synthetic_bars(spec, start=start, count=count, seed=seed, edge=edge, price=1.1, mechanisms=mechanisms or MECHANISMS)


@dataclass(frozen=True)
class Views:
    """The same rows as trees and as the BiLSTM read them."""

    whole: Dataset
    sequence: Dataset

    @classmethod
    def of(cls, data: Dataset) -> Views:
        return cls(data, project(data, sequence_schema(ALL)))

    def of_kind(self, kind: str) -> Dataset:
        return self.sequence if kind == "lstm" else self.whole

    def take(self, rows: Any) -> Views:
        return Views(self.whole.take(rows), self.sequence.take(rows))


# --- candidates whose truth is known ----------------------------------------------------------


@lru_cache(maxsize=1)
def truth_rows(market: int) -> Views:
    """Fresh bars of a market on which no candidate was made."""
    bars = market_bars(market, TRUTHS + market, TRUTH_BARS, datetime(2030, 1, 7, tzinfo=UTC))
    return Views.of(rows_of_market(bars, TRUTH_BARS))


def candidate_lines(unit: int) -> Iterator[Line]:
    """One batch: BATCH histories of one market, every kind, judged and held against the truth."""
    market = unit % len(MARKETS)
    for seed in range(unit * BATCH, (unit + 1) * BATCH):
        bars = market_bars(market, HISTORIES + seed, HISTORY_BARS, datetime(2024, 1, 8, tzinfo=UTC))
        views = Views.of(rows_of_market(bars, HISTORY_BARS))
        for kind in KINDS:
            if kind != "lstm" or (seed % BATCH == 0 and unit // len(MARKETS) % 2 == 0):
                yield {
                    "unit": unit,
                    "seed": seed,
                    "market": market,
                    **_one(views.of_kind(kind), truth_rows(market).of_kind(kind), kind, seed),
                }


def _one(data: Dataset, truth: Dataset, kind: str, seed: int) -> Line:
    settings = settings_of(seed, HISTORY_BARS)
    made = developed(kind, data, settings, FINAL_SHARE, LEAST[seed % 2])
    gate = settings.gate
    alpha = gate.gate_alpha_month * START_SHARE if worth_testing(made, gate) else 0.0
    report = judged(made, gate, Grant(alpha, len(made.final)), None)
    return {"kind": kind, **_verdict(report), **_truth(made, truth)}


def developed(kind: str, data: Dataset, settings: Settings, share: float, least: int) -> Candidate:
    """The candidate that a job would make of these rows."""
    recipe = recipe_for(JobSpec(KINDS[kind], kind, ("EURUSD",)), settings)
    return develop(recipe, data, horizon_seconds=HORIZON_SECONDS, final_fraction=share, least_sides=least, cancel=NEVER)


def judged(made: Candidate, gate: GateSettings, grant: Grant, champion: Candidate | None) -> GateReport:
    """The gate's verdict; what needs an artifact on disk, which is the latency, is not asked."""
    slot = KINDS[made.kind]
    peers = {} if champion is None else {slot: peer_of(champion, made.final)}
    return judge(prepared(slot, made, gate, FilterSettings(), grant=grant, recipe="small", bar_seconds=60, peers=peers))


def peer_of(champion: Candidate, final: Dataset) -> Peer:
    """A promoted candidate's forecasts on another one's final rows."""
    inference = champion.inference
    return Peer(inference.forecasts(champion.model.scores(final)), inference.threshold, champion.train_end, "small")


def _verdict(report: GateReport) -> Line:
    kept = ("p_value", "alpha", "expectancy_r", "directional_rows", "trades", "trade_expectancy_r")
    figures = {name: report.metrics.get(name) for name in kept}
    return {"promoted": report.passed, "failed": [finding.rule for finding in report.findings if not finding.passed], **figures}


def _truth(made: Candidate, truth: Dataset) -> Line:
    said = made.inference.forecasts(made.model.scores(truth))
    side = np.where(said.expected_r >= made.inference.threshold, said.side, 0)
    result = side_result(truth, side)
    trades = one_at_a_time(truth, side)
    found = {"truth_r": mean(result[trades]), "truth_rows_r": mean(result[side != 0])}
    return {**{name: round(value, 5) if np.isfinite(value) else None for name, value in found.items()}, "truth_trades": len(trades)}


# --- months of retraining on noise ------------------------------------------------------------

MONTHS = tuple(datetime(2024, month, 1, tzinfo=UTC) for month in range(1, 13))
HOURS = {"random_forest": 4.0, "xgboost": 6.0, "lstm": 8.0}
MONTH_ROWS, LEAD = 4_000, timedelta(days=6)
MONTH_FINAL = 0.35


def month_lines(unit: int) -> Iterator[Line]:
    """One calendar month of a market without an edge; every slot retrains at its interval.

    In every second month trading costs nothing: there each candidate's truth is exactly zero, which is
    the hardest case that there is.
    """
    first = MONTHS[unit % len(MONTHS)]
    after = (first + timedelta(days=32)).replace(day=1)
    bars = market_bars(0, NOISE + unit, int((after - first + LEAD) / timedelta(minutes=1)), first - LEAD)
    free = unit % 2 == 1
    views = Views.of(rows_of_market(bars, len(bars), free=free))
    for kind in KINDS:
        if kind != "lstm" or unit % LSTM_EVERY < 2:
            yield {
                "unit": unit,
                "kind": kind,
                "free": free,
                "month": f"{first:%Y-%m}",
                **_slot_month(views.of_kind(kind), kind, unit, first, after),
            }


def _slot_month(data: Dataset, kind: str, unit: int, first: datetime, after: datetime) -> Line:
    settings = settings_of(unit, MONTH_ROWS)
    purse, champion = Purse(MemoryState(), KINDS[kind]), None
    counts, spent, newest = {"tries": 0, "tested": 0, "promoted": 0}, 0.0, 0
    for now in instants(first, after, timedelta(hours=HOURS[kind])):
        known = np.flatnonzero(data.end <= now.timestamp())[-MONTH_ROWS:]
        if len(known) < MONTH_ROWS or int(data.time[known[-1]]) == newest:
            continue  # a market that stood still gives the same candidate and the same verdict
        newest = int(data.time[known[-1]])
        made = developed(kind, data.take(known), settings, MONTH_FINAL, LEAST[0])
        grant = granted(made, settings.gate, purse, now)
        passed = judged(made, settings.gate, grant, champion).passed if grant.alpha > 0 else False
        champion = made if passed else champion
        counts = {"tries": counts["tries"] + 1, "tested": counts["tested"] + (grant.alpha > 0), "promoted": counts["promoted"] + passed}
        spent += grant.alpha
    return {**counts, "spent": round(spent, 6)}


def granted(made: Candidate, gate: GateSettings, purse: Purse, now: datetime) -> Grant:
    """The level that the slot's budget has for a candidate."""
    times = made.final.time
    if not worth_testing(made, gate):
        return Grant(0.0, purse.unseen(times))
    return purse.draw(times, gate.min_new_rows, gate.gate_alpha_month, now)


def instants(first: datetime, after: datetime, every: timedelta) -> Iterable[datetime]:
    """When jobs are due in a month."""
    steps = int((after - first) / every)
    return (first + step * every for step in range(steps))


# --- the machinery ----------------------------------------------------------------------------

WORK: Mapping[str, Callable[[int], Iterator[Line]]] = {"candidates": candidate_lines, "months": month_lines}


def main(arguments: list[str] | None = None) -> int:
    """Does what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=(*WORK, "table"))
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100, help="histories, or months")
    parser.add_argument("--part", default="0/1", help="which share of the units: index/of")
    parser.add_argument("--table", type=Path, default=None)
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    if options.work == "table":
        found = {name: list(lines(options.results, name)) for name in WORK}
        text = document(found["candidates"], found["months"], MARKETS)
        options.table.write_text(text, encoding="utf-8") if options.table else sys.stdout.write(text)
        return 0
    index, of = (int(part) for part in options.part.split("/"))
    units = options.count // BATCH if options.work == "candidates" else options.count
    play(options.work, range(index, units, of), options.results / f"{options.work}.{index}.jsonl")
    return 0


def play(work: str, units: Iterable[int], results: Path) -> None:
    """Works off the units that no result names yet."""
    play_with(WORK[work], units, results)


def play_with(work: Callable[[int], Iterable[Line]], units: Iterable[int], results: Path) -> None:
    """As `play`, with any work; `results` is named `<work>.<part>.jsonl`."""
    done = {line["unit"] for line in lines(results.parent, results.name.partition(".")[0])}
    for unit in units:
        if unit not in done:
            found = "".join(json.dumps(line, sort_keys=True) + "\n" for line in work(unit))
            with results.open("a", encoding="utf-8") as file:
                file.write(found)


def lines(folder: Path, work: str) -> Iterator[Line]:
    """All results so far; a last line that was cut off is not one."""
    for path in sorted(folder.glob(f"{work}.*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except json.JSONDecodeError:
                continue


if __name__ == "__main__":
    sys.exit(main())
