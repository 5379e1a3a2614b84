"""How soon a command answers, and how soon a restarted daemon with its three models decides."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import perf_counter
from typing import Any

from config.home import Home, open_home, signing_key
from market_data.clock import SystemClock
from strategy.learning.bundles import check_bundle, inference_json
from strategy.learning.registry import Registry
from tests.benchmarks.harness import Figure, paired
from tests.benchmarks.service import ORIGIN, SLOTS, served
from tests.fakes_registry import draft

ROOT = Path(__file__).parents[2]
LOOK_S, GIVE_UP_S = 0.02, 120.0


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 9."""
    rounds = paired(
        lambda: _run("main.py", "--help"), lambda: _run("-c", "pass"), lambda: _run("-c", "import typer"), rounds=5 if quick else 11
    )
    help_s, bare, typer = rounds.medians
    note = f"the bare interpreter takes {bare:.2f} s; median of {rounds.seconds.shape[1]} processes"
    yield Figure(
        "help_s", float(help_s), "s", "python main.py --help", limit=float(typer), budget=0.5, note=f"kernel: importing typer; {note}"
    )
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = home_with_models(Path(folder, "home"))
        imports = paired(lambda: _run("-c", LIBRARIES), rounds=3).medians
        spent = sorted(_to_first_decision(home, decided) for decided in range(3 if quick else 7))
    yield Figure(
        "restart_to_decision_s",
        spent[len(spent) // 2],
        "s",
        "process start to the first decision's row, three models in the home",
        limit=float(imports[0]),
        budget=6.0,
        note=f"kernel: importing the libraries that the daemon needs; {spent[0]:.1f} to {spent[-1]:.1f} s over {len(spent)} starts",
    )


LIBRARIES = "import pandas, sklearn.ensemble, xgboost, torch, onnxruntime, talib, pydantic_settings, loguru"


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def home_with_models(path: Path) -> Home:
    """A home that has the three models, as a former run would have left it."""
    home = open_home(path, ORIGIN)
    registry = Registry(home.models, origin=ORIGIN, key=signing_key(home, None), keep_versions=5, clock=SystemClock())
    for kind, slot in SLOTS.items():
        model: Any = served(kind).predictor
        said = {
            "kind": kind,
            "features": model.info.schema.names,
            "feature_hash": model.info.schema.hash,
            "symbols": model.info.symbols,
            "exit_hash": model.info.exit_hash,
            "input_rows": model.info.rows,
            "inference": inference_json(model.inference, train_end=0, recipe="r"),
        }
        registry.publish(draft(slot, **said), dict(served(kind).files), check_bundle)
    return home


def _to_first_decision(home: Home, decided: int) -> float:
    """Seconds from the start of the process to one decision more than there are; the daemon is then ended."""
    start = perf_counter()
    command = [sys.executable, "main.py", "run", "--home", str(home.path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            while (rows := _decisions(home)) <= decided:
                _require(daemon.poll() is None and perf_counter() - start < GIVE_UP_S, f"no decision after {perf_counter() - start:.0f} s")
                Event().wait(LOOK_S)
            return perf_counter() - start
        finally:
            daemon.kill()
            _require(rows >= 0, "the journal cannot be read")


def _require(true: bool, what: str) -> None:
    if not true:
        raise RuntimeError(what)


def _decisions(home: Home) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{home.journal.as_posix()}?mode=ro", uri=True)) as journal:
        return int(journal.execute("SELECT count(*) FROM decisions").fetchone()[0])
    return 0
