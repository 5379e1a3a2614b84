"""Small model versions of dummy bytes, a registry over a folder, and a process that publishes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from market_data.clock import ManualClock
from strategy.learning.artifact import Draft, VerifiedArtifact
from strategy.learning.libraries import installed
from strategy.learning.registry import Registry

KEY = b"k" * 32
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
FILES: Mapping[str, bytes] = {".pkl": b"model bytes", "_features.pkl": b"columns", "_golden.npz": b"golden rows"}
OLD: Mapping[str, bytes] = {".pkl": b"the old one", "_features.pkl": b"columns"}
NEW: Mapping[str, bytes] = {".pkl": b"the new one", "_features.pkl": b"columns"}


def draft(slot: str = "scalper", **changes: Any) -> Draft:
    said: dict[str, Any] = {
        "slot": slot,
        "kind": "random_forest",
        "created": "2026-01-05T12:00:00.000Z",
        "origin": "synthetic",
        "features": ("return_1", "atr_14"),
        "feature_hash": "0123456789ab",
        "exit": {"stop": 1.5, "horizon": 30},
        "exit_hash": "ba9876543210",
        "symbols": ("EURUSD",),
        "timeframe": "M1",
        "first_bar": "2025-12-01T00:00:00.000Z",
        "last_bar": "2026-01-05T11:58:00.000Z",
        "rows": 9_000,
        "seed": 42,
        "hyper_parameters": {"trees": 150},
        "libraries": {"scikit-learn": installed("scikit-learn")},
        "metrics": {"accuracy": 0.5312345678901234, "expectancy_r": 0.02},
        "gate_report": {"passed": True, "reasons": []},
        "parent": None,
        "inference": {"threshold": 0.55},
        "input_rows": 1,
    }
    return Draft(**{**said, **changes})


def successor(registry: Registry, slot: str = "scalper", **changes: Any) -> Draft:
    """A draft as a job makes it: it was compared with the version that serves."""
    return draft(slot, **{"parent": registry.serving(slot), **changes})


def accept(artifact: VerifiedArtifact) -> None:
    """A check that finds nothing wrong."""


def no_wait(seconds: float) -> None:
    """Retries at once."""


def no_fault(step: str) -> None:
    """Lets every step be taken."""


def make_registry(
    root: Path, *, keep: int = 5, fault: Callable[[str], None] = no_fault, key: bytes = KEY, origin: str = "synthetic", now: datetime = NOW
) -> Registry:
    return Registry(root, origin=origin, key=key, keep_versions=keep, clock=ManualClock(now), fault=fault, wait=no_wait)


def publish(registry: Registry, slot: str = "scalper", *, body: bytes = b"model bytes", activate: bool = True) -> int:
    return registry.publish(successor(registry, slot), {**FILES, ".pkl": body}, accept, activate).version


def main(arguments: list[str]) -> None:
    """`ROOT N` publishes N versions."""
    registry = make_registry(Path(arguments[0]), keep=100)
    for _ in range(int(arguments[1])):
        publish(registry)


if __name__ == "__main__":
    main(sys.argv[1:])
