"""The file of figures: each key with its value, and under `details` all that was measured of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.harness import Figure


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one machine.

    Attributes:
        machine: what it is; figures of different ones compare by their ratios alone.
        measured: every figure as often as it was measured, in order.
    """

    machine: Mapping[str, Any]
    measured: tuple[Figure, ...]

    def with_figure(self, figure: Figure) -> Run:
        """The same run and one figure more."""
        return replace(self, measured=(*self.measured, figure))

    def values(self, key: str) -> list[Figure]:
        """A figure, as often as it was measured."""
        return [figure for figure in self.measured if figure.key == key]

    def figures(self) -> list[Figure]:
        """One figure for each key, in the order of the first measurement: its medians."""
        return [_median(self.values(key)) for key in dict.fromkeys(figure.key for figure in self.measured)]


def _median(figures: list[Figure]) -> Figure:
    last = figures[-1]
    told = {name: [getattr(figure, name) for figure in figures] for name in ("value", "reference", "limit")}
    return replace(last, **{name: None if None in values else median(values) for name, values in told.items()})


def machine() -> dict[str, Any]:
    """What figures depend on beside the code."""
    return {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}


def _processor() -> str:
    """The processor's name; on Linux `platform` knows the architecture alone."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def save(run: Run, path: Path) -> None:
    """Writes keys and values, and the details behind them."""
    figures = run.figures()
    details = {figure.key: [_told(other) for other in run.values(figure.key)] for figure in figures}
    told = {figure.key: _rounded(figure.value) for figure in figures}
    text = json.dumps({**told, "machine": run.machine, "details": details}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> Run:
    """What `save` wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is no such file.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    return Run(told["machine"], tuple(Figure(**figure) for figures in told["details"].values() for figure in figures))


def _told(figure: Figure) -> dict[str, Any]:
    told = {name: value for name, value in asdict(figure).items() if value is not None and value is not False and value != ""}
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in told.items()}


def _rounded(value: float) -> float:
    """Five digits: more are noise."""
    return float(f"{value:.5g}")
