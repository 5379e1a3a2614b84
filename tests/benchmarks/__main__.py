"""Every speed figure of the daemon: `python -m tests.benchmarks --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter

from loguru import logger

from tests.benchmarks.baseline import Change, compared, compared_pairs
from tests.benchmarks.harness import Figure
from tests.benchmarks.results import Run, load, machine, save
from tests.benchmarks.table import comparison, table

HERE = Path(__file__).parent
TOPICS = tuple(sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")))
BASELINE = HERE / "baseline.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: measured; 5: a budget was missed, or something was slower than the baseline beyond its noise."""
    asked = _parser().parse_args(arguments)
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    if asked.against is not None:
        return _told(compared_pairs(asked.against, _passed_on(asked), asked.pairs))
    run = Run(machine(), ())
    for _ in range(asked.repeats):
        for figure in _measured(asked.only, asked.quick):
            run = run.with_figure(figure)
            if asked.json is not None:
                save(run, asked.json)  # at once: a topic that fails must not take the others' figures with it
    sys.stdout.write(table(run.figures()))
    missed = any(figure.verdict == "over" for figure in run.figures())
    if asked.baseline is None:
        return 5 if missed else 0
    return max(_told(compared(load(asked.baseline), run)), 5 if missed else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under three minutes in all on a quiet machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, by key")
    parser.add_argument("--only", nargs="+", default=TOPICS, choices=TOPICS, metavar="TOPIC", help=f"some of {', '.join(TOPICS)}")
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="measure all so often; a comparison needs several to know the noise"
    )
    parser.add_argument("--baseline", type=Path, nargs="?", const=BASELINE, metavar="FILE", help="compare with a file that --json wrote")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="compare with another checkout, in pairs of runs that take turns")
    parser.add_argument("--pairs", type=int, default=7, metavar="N", help="how many pairs --against runs")
    return parser


def _measured(topics: Sequence[str], quick: bool) -> Iterator[Figure]:
    for topic in topics:
        start = perf_counter()
        yield from import_module(f"tests.benchmarks.bench_{topic}").figures(quick)
        sys.stderr.write(f"{topic}: {perf_counter() - start:.0f} s\n")


def _passed_on(asked: argparse.Namespace) -> list[str]:
    return [*(["--quick"] if asked.quick else []), "--only", *asked.only]


def _told(changes: Sequence[Change]) -> int:
    sys.stdout.write(comparison(changes))
    return 5 if any(change.verdict == "slower" for change in changes) else 0


if __name__ == "__main__":
    sys.exit(main())
