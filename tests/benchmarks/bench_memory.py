"""Memory over many retrains and swaps in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from strategy.active_models import ActiveModels
from strategy.learning.serving import ModelServer
from tests.benchmarks.bench_training import OPEN_GATE, every_loss_passes
from tests.benchmarks.harness import Figure
from tests.fakes_learning import BOOSTER, FOREST, LSTM, fresh_purse, market, small_settings, workshop

TINY: dict[str, Any] = {
    "training": {"tree_train_rows": 2_000, "tree_count": 10, "boost_rounds": 10, "tree_folds": 2},
    "lstm": {"lstm_train_rows": 2_000, "lstm_epochs": 1, "lstm_seq_length": 10, "lstm_hidden": 4},
    "gate": dict(OPEN_GATE),
}


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 8."""
    cycles = 24 if quick else 200
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        resident = np.array(pool.submit(resident_after_cycles, cycles).result())
    late = slice(cycles // 4, None)
    slope = float(np.polyfit(np.arange(cycles)[late], resident[late], 1)[0])
    note = (
        f"{cycles} cycles of all three tiny models, the first quarter is warm-up; {resident[0]:.0f} MB at first, {resident[-1]:.0f} at last"
    )
    yield Figure("rss_slope_mb_per_cycle", slope, "MB", "growth of memory with every retrain and swap", budget=0.1, note=note)


def resident_after_cycles(cycles: int) -> list[float]:
    """MB after each cycle of three retrains and their swaps; runs in a child.

    Raises:
        RuntimeError: not all models came to serve, so nothing was swapped.
    """
    bars, process, resident = market(2_600, edge=1.0), psutil.Process(), []
    with TemporaryDirectory() as folder, every_loss_passes():
        shop = workshop(Path(folder), small_settings(**TINY), {"EURUSD": bars})
        models = ActiveModels()
        server = ModelServer(shop.registry, models)
        for cycle in range(1, cycles + 1):
            for spec in (FOREST, BOOSTER, LSTM):
                shop.run(spec, fresh_purse(spec.slot), threading.Event())
                server.refresh()
            served = sorted(model.info.version for model in models.snapshot().values())
            if served != [cycle] * 3:
                raise RuntimeError(f"versions {served} serve after {cycle} cycles")
            resident.append(process.memory_info().rss / 2**20)
    return resident
