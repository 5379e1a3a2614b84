"""What the optional feature families, and votes weighed by skill, earn out of sample.

    python -m tests.campaigns.ablation families --results FOLDER --data FOLDER
    python -m tests.campaigns.ablation weights --results FOLDER
    python -m tests.campaigns.ablation table --results FOLDER --table docs/ABLATION.md

`families`: on stretches of real files and of synthetic markets the same XGBoost recipe learns from the
older half with different columns, and is judged on the newer half. `weights`: a RandomForest and an
XGBoost model of one history vote on fresh bars of its market, once as equals, once by their skill.
Can be stopped at any time and goes on where it was; results are JSON lines. Everything is seeded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from config.settings import FilterSettings, Settings
from execution.simulated import default_spec
from market_data.bars import Bars, FloatArray
from market_data.importers import import_file
from market_data.synthetic import MECHANISMS, synthetic_bars
from strategy.ensemble import combine_many, weights_of
from strategy.features import OPTIONAL, schema_for
from strategy.learning.dataset import Dataset, Labelling, build
from strategy.learning.evidence import log_loss_gain, one_at_a_time
from strategy.learning.jobs import project, trading_costs
from strategy.learning.recipes import Candidate, class_probabilities, side_result
from strategy.learning.validation import block_mean, blocks_of
from tests.campaigns.ablation_table import document
from tests.campaigns.promotion import Line, developed, lines, play_with
from tests.fakes_learning import POLICY
from utils.simulation import spec_of

EXTRA = tuple(OPTIONAL)
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    **{f"only {name}": (name,) for name in EXTRA},
    "all": EXTRA,
    **{f"all but {name}": tuple(other for other in EXTRA if other != name) for name in EXTRA},
}
FILES = tuple(f"{symbol}_M1_20230801_20231130_histdata.csv.gz" for symbol in ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD"))
SYNTHETIC: tuple[tuple[tuple[str, ...], float], ...] = (((), 0.0), *(((name,), 1.0) for name in MECHANISMS))
ROWS, STRETCHES, SHARE = 12_000, 2, 0.5
SETTINGS = Settings(training={"boost_rounds": 40, "tree_count": 30, "tree_folds": 2, "tree_train_rows": ROWS})


def synthetic(market: int, seed: int, count: int) -> Bars:
    """Bars of one of SYNTHETIC."""
    mechanisms, edge = SYNTHETIC[market]
    start = datetime(2024, 1, 8, tzinfo=UTC)
    chosen = mechanisms or MECHANISMS
    return synthetic_bars(default_spec("EURUSD"), start=start, count=count, seed=seed, edge=edge, price=1.1, mechanisms=chosen)


def rows_of(bars: Bars, extra: tuple[str, ...]) -> Dataset:
    """Training rows as a job makes them."""
    how = Labelling(POLICY, 2.0, FilterSettings().blocked_hours, 1)
    costs = trading_costs(SETTINGS, spec_of(bars, "USD"), bars)
    return build({bars.symbol: bars}, {bars.symbol: costs}, schema_for(bars.capabilities, extra), how, len(bars))


# --- families -----------------------------------------------------------------------------------


def markets(data: Path) -> Iterator[tuple[str, Bars]]:
    """Name and bars of every stretch, interleaved so that an early stop has seen every market."""
    real = {name[:6]: import_file(data / name).bars for name in FILES}
    for stretch in range(STRETCHES):
        for name, bars in real.items():
            end = len(bars) - stretch * ROWS
            yield f"real {name}", bars.slice(end - ROWS, end)
        for market, (mechanisms, _) in enumerate(SYNTHETIC):
            yield f"synthetic {'+'.join(mechanisms) or 'none'}", synthetic(market, 70_000 + 100 * market + stretch, ROWS)


def family_lines(name: str, bars: Bars) -> Iterator[Line]:
    """Every variant on one stretch, held against the usual columns row by row."""
    full = rows_of(bars, EXTRA)
    base: dict[str, FloatArray] = {}
    for variant, extra in VARIANTS.items():
        made = developed("xgboost", project(full, schema_for(bars.capabilities, extra)), SETTINGS, SHARE, 200)
        found = _by_row(made)
        base = base or found
        block = blocks_of(made.final.time, made.block_seconds)
        line: Line = {"market": name, "variant": variant, "rows": len(made.final)}
        for figure, values in found.items():
            gain = block_mean(values - base[figure], block)
            line |= {figure: float(values.mean()), f"{figure}_gain": gain.value, f"{figure}_error": gain.error}
        yield line


def _by_row(made: Candidate) -> dict[str, FloatArray]:
    """Nats better than class priors, and net R of the side taken or 0, for every final row."""
    taken = made.forecasts.expected_r >= made.inference.threshold
    result = np.where(taken, side_result(made.final, made.forecasts.side), 0.0)
    return {"nats": log_loss_gain(made.final, class_probabilities(made.forecasts), made.priors), "net_r": result}


# --- weights ------------------------------------------------------------------------------------

VOTERS = {"random_forest": "scalper", "xgboost": "xgboost"}


def weight_lines(unit: int) -> Iterator[Line]:
    """Two models of one history vote on as many bars that follow it."""
    market = 1 + unit % (len(SYNTHETIC) - 1)
    rows = rows_of(synthetic(market, 80_000 + unit, 2 * ROWS), ())
    cut = len(rows) // 2
    past, fresh = rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))
    made = {slot: developed(kind, past, SETTINGS, SHARE, 200) for kind, slot in VOTERS.items()}
    skills = {slot: _skill(candidate) for slot, candidate in made.items()}
    said = {slot: candidate.inference.forecasts(candidate.model.scores(fresh)) for slot, candidate in made.items()}
    thresholds = {slot: candidate.inference.threshold for slot, candidate in made.items()}
    line: Line = {"unit": unit, "market": SYNTHETIC[market][0][0]}
    for how in ("equal", "skill"):
        side = combine_many(said, thresholds, 1, weights_of(skills, how))
        result = side_result(fresh, side)[one_at_a_time(fresh, side)]
        line |= {f"{how}_trades": len(result), f"{how}_net_r": float(result.sum())}
    yield line


def _skill(made: Candidate) -> float:
    taken = made.forecasts.expected_r >= made.inference.threshold
    result = side_result(made.final, made.forecasts.side)[taken]
    found = block_mean(result, blocks_of(made.final.time, made.block_seconds)[taken])
    return found.value - found.error if np.isfinite(found.error) else 0.0


# --- the machinery ------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Does what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("families", "weights", "table"))
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=None, help="folder of the real files")
    parser.add_argument("--count", type=int, default=40, help="histories of `weights`")
    parser.add_argument("--table", type=Path, default=None)
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    results = options.results / f"{options.work}.0.jsonl"
    if options.work == "families":
        stretches = list(markets(options.data))
        play_with(lambda unit: ({"unit": unit, **line} for line in family_lines(*stretches[unit])), range(len(stretches)), results)
    elif options.work == "weights":
        play_with(weight_lines, range(options.count), results)
    else:
        text = document(list(lines(options.results, "families")), list(lines(options.results, "weights")))
        options.table.write_text(text, encoding="utf-8") if options.table else sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
