"""What a reader waits for a model that is being swapped in a thousand times a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Event, Thread
from time import perf_counter_ns

import numpy as np

from market_data.bars import FloatArray
from strategy.active_models import ActiveModels
from strategy.predictor import Predictor
from tests.benchmarks.harness import Figure, percentiles
from tests.fakes_models import inference_of, info_of

SWAPS_PER_S, BUDGET_US = 1_000, 10.0
WORK_BYTES = 128 * 1_024
"""Hashed between two reads, a tenth of a millisecond: so every few reads meet a swap."""


class _Silent:
    """A predictor that nobody asks."""

    def __init__(self, version: int) -> None:
        self.info, self.inference = info_of("random_forest", version), inference_of("random_forest")


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 3."""
    models = ActiveModels({"scalper": _silent(1), "xgboost": _silent(1)})
    rounds, reads = (10, 2_000) if quick else (30, 5_000)
    alone, beside, swaps = [], [], 0
    for _ in range(rounds):
        alone.append(_reads(models, reads))
        with _swapping(models) as swapped:
            beside.append(_reads(models, reads))
        swaps += swapped[0]
    added = [late - early for late, early in zip(map(_p99, beside), map(_p99, alone), strict=True)]
    beside_us = float(np.median([_p99(times) for times in beside]))
    worst = max(float(times.max()) for times in beside)
    yield Figure(
        "swap_wait_p99_us",
        beside_us,
        "us",
        "a reader's whole wait for its snapshot at a thousand swaps a second, 99 of 100",
        budget=BUDGET_US,
        note=f"{float(np.median(added)):+.2f} us against no swaps; {rounds} pairs of {reads} reads, {swaps} swaps; the slowest read {worst:.0f} us",
    )


def _silent(version: int) -> Predictor:
    return _Silent(version)  # type: ignore[return-value]


def _p99(times: FloatArray) -> float:
    return percentiles(times)[1]


def _reads(models: ActiveModels, count: int) -> FloatArray:
    """Microseconds of each read; between two of them the reader lets go of the interpreter, as a model's run does."""
    spent, work = np.empty(count), bytes(WORK_BYTES)
    for turn in range(count):
        sha256(work)
        start = perf_counter_ns()
        models.snapshot()
        spent[turn] = perf_counter_ns() - start
    return spent / 1e3


@contextmanager
def _swapping(models: ActiveModels) -> Iterator[list[int]]:
    """Swaps in another thread meanwhile; yields where their number will stand."""
    stop, swapped = Event(), [0]

    def swap() -> None:
        while not stop.wait(1.0 / SWAPS_PER_S):
            swapped[0] += 1
            models.swap("scalper", _silent(swapped[0]))

    thread = Thread(target=swap, name="swapping")
    thread.start()
    try:
        yield swapped
    finally:
        stop.set()
        thread.join()
