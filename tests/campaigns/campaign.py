"""The whole send-once campaign; can be stopped at any time and goes on where it was.

    python -m tests.campaigns.campaign --runs 10000 --results FOLDER
    python -m tests.campaigns.campaign --runs 1100 --results FOLDER --kills
    python -m tests.campaigns.campaign --results FOLDER --table docs/campaigns/send_once.md

Results are one JSON line per batch. The first two need no more than a folder; the last writes what
both have come to so far. Runs are seeded: `run_once(seed, folder)` repeats one of them, except for
the instant at which a real process is killed.
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
from typing import Any

from loguru import logger

from tests.campaigns.killed import Killer
from tests.campaigns.send_once import Report, run_once

Total = dict[str, Any]

BATCH = 25
MODES = ("faults", "kills")
DOCUMENT = """# The send-once campaign

Every run drives the real trade desk, position book, journal and terminal client against the simulated
broker until it has made at least a dozen orders. Five of them, and two other calls, meet a fault; in
part of the runs the daemon dies at a drawn point, once or more, and starts again. Then the faults end,
time passes, and the books are compared:

- no key was handed to the terminal twice, and the broker has at most one order for each;
- every order of the broker has its intent, and the journal knows ticket and volume;
- an order that the journal calls filled exists, one that it calls refused or never sent does not;
- deals of both are the same, and so is their money; a closed trade nets what its deals net;
- open trades and open positions are the same, and every one of them has its stop and its target;
- the reason of every close is the broker's, or that of our order.

"Killed" means a real process that was ended from outside; the broker lived on in another process.
A planted re-send is found by the same comparison (`tests/campaigns/test_send_once.py`).

Made by `python -m tests.campaigns.campaign`.

| | in one process | killed |
|---|---|---|
{sums}

Faults that struck, by kind, call and step:

| fault | call | step | in one process | killed |
|---|---|---|---|---|
{faults}
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs what is missing; 1 where any run has found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=None, help="folder for journals, best in memory")
    parser.add_argument("--table", type=Path, default=None, help="write this file and run nothing")
    parser.add_argument("--kills", action="store_true", help="the daemon in a process that is killed, the broker in another")
    options = parser.parse_args(arguments)
    if options.table is not None:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(document(*(total(options.results / f"{name}.jsonl") for name in MODES)), encoding="utf-8")
        return 0
    logger.remove()
    options.results.mkdir(parents=True, exist_ok=True)
    mode = MODES[options.kills]
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


def _line(first: int, reports: list[Report]) -> Total:
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


def lines(results: Path) -> Iterator[Total]:
    """The batches so far; a last line that was cut off is not one."""
    if not results.is_file():
        return
    for text in results.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def total(results: Path) -> Total:
    """All batches together."""
    batches = list(lines(results))
    counted = ("runs", "orders", "deaths", "deadly_runs")
    sums: Total = {name: sum(batch[name] for batch in batches) for name in counted}
    sums["least_orders"] = min((batch["least_orders"] for batch in batches), default=0)
    for name in ("faults", "states"):
        sums[name] = dict(sorted(sum((Counter(batch[name]) for batch in batches), Counter()).items()))
    sums["problems"] = {seed: problems for batch in batches for seed, problems in batch["problems"].items()}
    return sums


def document(faults: Total, kills: Total) -> str:
    """The page with both tables."""
    rows = {
        "runs": "runs",
        "orders": "orders",
        "least_orders": "fewest orders of a run",
        "deadly_runs": "runs in which the daemon died",
        "deaths": "deaths of the daemon",
        "wrong_runs": "runs with any difference",
    }
    both = [{**found, "wrong_runs": len(found["problems"])} for found in (faults, kills)]
    sums = [f"| {text} | {both[0][name]:,} | {both[1][name]:,} |" for name, text in rows.items()]
    labels = sorted(faults["faults"].keys() | kills["faults"].keys())
    struck = [f"| {name} | {faults['faults'].get(name, 0):,} | {kills['faults'].get(name, 0):,} |" for name in labels]
    return DOCUMENT.format(sums="\n".join(sums), faults="\n".join(struck))


if __name__ == "__main__":
    sys.exit(main())
