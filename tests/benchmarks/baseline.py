"""A regression told from noise: against figures on file, or against another checkout in pairs of runs.

Figures on file were taken at another time, maybe on another machine. So what is compared is the value over its own
limit or reference, which the same disturbances moved; a bare value is compared on the same machine alone. A change
counts where the medians differ by more than three times the scatter of both sides, and by a tenth at least.

Two checkouts are the sharper way: they take turns, so each pair of runs met the same machine. A change counts where
Wilcoxon's signed-rank test finds the pairs shifted and their median ratio is a twentieth or more from one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import wilcoxon

from tests.benchmarks.harness import Figure
from tests.benchmarks.results import Run, load

LEAST_CHANGE, LEAST_PAIRED_CHANGE = 0.10, 0.05
UNKNOWN_NOISE = 0.15
"""Scatter that is assumed of a figure that was measured once: runs on a shared machine differ by so much."""

SCATTERS, LEVEL = 3.0, 0.05
LEAST_VALUE = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One figure now against before.

    Attributes:
        times: how many times worse; below 1: better.
        noise: from which factor on it counts; not a number where it is decided by pairs.
        verdict: "slower", "faster", "same" or "not compared".
        why: what the verdict rests on.
    """

    key: str
    times: float
    noise: float
    verdict: str
    why: str


def compared(before: Run, now: Run) -> list[Change]:
    """Every figure that both runs have."""
    same_machine = before.machine == now.machine
    known = {figure.key for figure in before.figures()}
    keys = [figure.key for figure in now.figures() if figure.key in known]
    return [_change(key, before.values(key), now.values(key), same_machine) for key in keys]


def _change(key: str, before: Sequence[Figure], now: Sequence[Figure], same_machine: bool) -> Change:
    by = _measure((*before, *now))
    if by == "value" and not same_machine:
        return Change(key, float("nan"), float("nan"), "not compared", "a bare value of another machine")
    old, new = ([_worse(figure, by) for figure in figures] for figures in (before, now))
    times = median(new) / median(old)
    scatter = float(np.hypot(_scatter(old), _scatter(new)))
    noise = 1.0 + max(LEAST_CHANGE, SCATTERS * scatter)
    why = f"by {by}; {len(old)} and {len(new)} measurements, scatter {100 * scatter:.0f} %"
    return Change(key, times, noise, _verdict(times, noise), why)


def _measure(figures: Sequence[Figure]) -> str:
    """What the figures are judged by: over the limit, over the reference, or bare."""
    for by in ("limit", "reference"):
        if all(getattr(figure, by) for figure in figures):
            return by
    return "value"


def _worse(figure: Figure, by: str) -> float:
    """Greater is worse; never nothing, so that it can be divided by."""
    value = max(figure.value / getattr(figure, by) if by != "value" else figure.value, LEAST_VALUE)
    return 1.0 / value if figure.at_least else value


def _scatter(values: Sequence[float]) -> float:
    """Relative standard error of the median, from the median distance to it; assumed where there is one value alone."""
    if len(values) < 3:
        return UNKNOWN_NOISE
    centre = median(values)
    distance = median(abs(value - centre) for value in values)
    return 1.2533 * 1.4826 * distance / centre / float(np.sqrt(len(values)))


def _verdict(times: float, noise: float) -> str:
    if times > noise:
        return "slower"
    return "faster" if times < 1.0 / noise else "same"


def compared_pairs(folder: Path, arguments: Sequence[str], pairs: int) -> list[Change]:
    """Runs another checkout and this one in turns.

    Args:
        folder: the other checkout; it has this command too.
        arguments: for both.
        pairs: how many; fewer than six cannot show anything at the level of 5 %.
    """
    here = Path(__file__).parents[2]
    runs = [(_run(folder, arguments), _run(here, arguments)) if turn % 2 else _turned(here, folder, arguments) for turn in range(pairs)]
    keys = [figure.key for figure in runs[0][1].figures() if runs[0][0].values(figure.key)]
    return [_paired_change(key, runs) for key in keys]


def _turned(here: Path, folder: Path, arguments: Sequence[str]) -> tuple[Run, Run]:
    now = _run(here, arguments)
    return _run(folder, arguments), now


def _run(folder: Path, arguments: Sequence[str]) -> Run:
    with TemporaryDirectory() as place:
        path = Path(place, "figures.json")
        command = [sys.executable, "-m", "tests.benchmarks", "--json", str(path), *arguments]
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)  # a missed budget is an exit code, and no trouble here
        return load(path)


def _paired_change(key: str, runs: Sequence[tuple[Run, Run]]) -> Change:
    both = [(before.values(key), now.values(key)) for before, now in runs]
    pairs = [(_worse(old[0], "value"), _worse(new[0], "value")) for old, new in both if old and new]
    logs = np.log([new / old for old, new in pairs])
    times = float(np.exp(np.median(logs)))
    chance = float(wilcoxon(logs).pvalue) if np.any(logs) else 1.0
    moved = chance < LEVEL and abs(np.log(times)) > np.log1p(LEAST_PAIRED_CHANGE)
    verdict = ("slower" if times > 1 else "faster") if moved else "same"
    return Change(key, times, float("nan"), verdict, f"{len(logs)} pairs, chance {chance:.2g}")
