"""The whole send-once campaign; can be stopped at any time and goes on where it was.

    python -m tests.campaigns.campaign --runs 10000 --results FOLDER

Results are one JSON line per batch; `table` makes them the table of `docs/campaigns/send_once.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from loguru import logger

from tests.campaigns.killed import Killer
from tests.campaigns.send_once import Report, run_once

BATCH = 25


def main(arguments: list[str] | None = None) -> int:
    """Runs what is missing; 1 where any run has found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=None, help="folder for journals, best in memory")
    parser.add_argument("--kills", action="store_true", help="the daemon in a process that is killed, the broker in another")
    options = parser.parse_args(arguments)
    logger.remove()
    options.results.mkdir(parents=True, exist_ok=True)
    mode = "kills" if options.kills else "faults"
    with ExitStack() as open_things:
        scratch = Path(open_things.enter_context(tempfile.TemporaryDirectory(dir=options.scratch)))
        run = open_things.enter_context(closing(Killer(scratch))).run_once if options.kills else partial(run_once, folder=scratch)
        play(run, options.runs, options.results / f"{mode}.jsonl")
    totals = total(options.results / f"{mode}.jsonl")
    sys.stdout.write(json.dumps(totals, indent=1) + "\n")
    return 1 if totals["problems"] else 0


def play(run: Callable[[int], Report], runs: int, results: Path) -> None:
    """Runs the seeds that no line of the results names yet."""
    done = {line["first"] for line in lines(results)}
    for first in range(0, runs, BATCH):
        if first in done:
            continue
        reports = [run(seed) for seed in range(first, min(first + BATCH, runs))]
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_line(first, reports), sort_keys=True) + "\n")


def _line(first: int, reports: list[Report]) -> dict[str, object]:
    return {
        "first": first,
        "runs": len(reports),
        "orders": sum(report.orders for report in reports),
        "least_orders": min(report.orders for report in reports),
        "deaths": sum(report.deaths for report in reports),
        "deadly_runs": sum(report.deaths > 0 for report in reports),
        "faults": sum((report.faults for report in reports), Counter()),
        "states": sum((report.states for report in reports), Counter()),
        "problems": {report.seed: report.problems for report in reports if report.problems},
    }


def lines(results: Path) -> Iterator[dict[str, object]]:
    """The batches so far; a last line that was cut off is not one."""
    if not results.is_file():
        return
    for text in results.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def total(results: Path) -> dict[str, object]:
    """All batches together."""
    batches = list(lines(results))
    counted = ("runs", "orders", "deaths", "deadly_runs")
    sums: dict[str, object] = {name: sum(batch[name] for batch in batches) for name in counted}
    sums["least_orders"] = min((batch["least_orders"] for batch in batches), default=0)
    for name in ("faults", "states"):
        sums[name] = dict(sorted(sum((Counter(batch[name]) for batch in batches), Counter()).items()))
    sums["problems"] = {seed: problems for batch in batches for seed, problems in batch["problems"].items()}
    return sums


if __name__ == "__main__":
    sys.exit(main())
