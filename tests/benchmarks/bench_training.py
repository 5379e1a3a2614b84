"""What training costs beside its bare fits, and what it does to the decisions that are made meanwhile."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import torch

from config.settings import Settings
from market_data.bars import Bars
from strategy.learning.apart import WorkshopApart
from strategy.learning.background import step_back
from strategy.learning.dataset import Dataset
from strategy.learning.forecasting import project
from strategy.learning.jobs import JobSpec, Workshop, recipe_for
from strategy.learning.lstm_recipe import LstmRecipe, _Rows, warm_up
from strategy.learning.recipes import Candidate, develop
from strategy.learning.tree_recipe import TreeRecipe, booster_of, both_images, forest_of
from strategy.learning.validation import final_split, walk_forward
from strategy.lstm_model import BiLSTMWithAttention
from tests.benchmarks.harness import Figure, paired
from tests.benchmarks.service import predictors, strategy_over, windows
from tests.fakes_learning import ALL, BOOSTER, FOREST, LSTM, fresh_purse, market, workshop

JOBS = (FOREST, BOOSTER, LSTM)
BARS = 250_000
PAUSE_S = 0.003
"""Between two decisions: the loop sleeps, the trainer has the machine, and the caches are its own."""

OPEN_GATE: Mapping[str, Any] = {"gate_profile": "threshold", "min_accuracy": 0.0, "min_directional_rows": 10, "max_latency_ms": 1_000}
"""With `every_loss_passes`, so that every job goes all the way, through compiling and publishing."""

SMALL = ({"tree_train_rows": 10_000}, {"lstm_train_rows": 3_000})
TINY = ({"tree_train_rows": 5_000, "tree_count": 40, "boost_rounds": 40, "tree_folds": 2}, {"lstm_train_rows": 2_000, "lstm_epochs": 3})


def settings_of(training: Mapping[str, Any], lstm: Mapping[str, Any]) -> Settings:
    """Defaults but for these, on the CPU, with a gate that lets every candidate pass."""
    return Settings(training=dict(training), lstm={"lstm_device": "cpu", **lstm}, gate=dict(OPEN_GATE))


@contextmanager
def every_loss_passes() -> Iterator[None]:
    """A network that was taught for seconds may be no better than zero; what it costs does not hang on that."""

    def developed(*told: Any, **also: Any) -> Candidate:
        return replace(develop(*told, **also), val_loss_ratio=0.5)

    with patch("strategy.learning.jobs.develop", developed):
        yield


@cache
def history() -> Bars:
    """A quarter of a million bars with a predictable part."""
    return market(BARS, edge=1.0)


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 2 and 5."""
    settings = settings_of(*(SMALL if quick else ({}, {})))
    warm_up()
    retrain(settings_of(*TINY), history().tail(20_000))  # imports and first calls are no part of a retrain
    yield _overhead(settings, rounds=1 if quick else 10)
    yield _peak(quick)
    yield from _beside_the_loop(TINY if quick else SMALL, rounds=2 if quick else 10)


# --- a whole retrain ----------------------------------------------------------------------------


def retrain(settings: Settings, bars: Bars, apart: bool = False) -> None:
    """All three models, through gate, compiler and registry, into a new folder.

    Args:
        settings: of a gate that is open.
        bars: of the one symbol.
        apart: each in a child, where the BiLSTM has to pass by itself.

    Raises:
        RuntimeError: a candidate did not pass, so not all of the way was gone.
    """
    with TemporaryDirectory() as folder, every_loss_passes():
        shop = workshop(Path(folder), settings, {bars.symbol: bars})
        maker = WorkshopApart(shop) if apart else shop
        for spec in JOBS:
            if maker.run(spec, fresh_purse(spec.slot), threading.Event()).manifest is None and not apart:
                raise RuntimeError(f"{spec.name}: the gate turned the candidate down")


def _overhead(settings: Settings, rounds: int) -> Figure:
    bare = [bare_fits(spec, settings, history()) for spec in JOBS]

    def fits() -> None:
        for fit in bare:
            fit()

    taken = paired(lambda: retrain(settings, history()), fits, rounds=rounds, warm_up=0)
    whole, alone = taken.medians
    rows = f"{settings.training.tree_train_rows:,} rows for the trees, {settings.lstm.lstm_train_rows:,} for the BiLSTM"
    return Figure(
        "train_overhead",
        taken.ratio(),
        "x",
        "a retrain of all three models over the bare fits",
        budget=1.15,
        note=f"{rounds} pairs; {whole:.1f} s over {alone:.1f} s; {rows}",
    )


def bare_fits(spec: JobSpec, settings: Settings, bars: Bars) -> Callable[[], None]:
    """The library calls of a job on ready arrays: every fold's fit and the artifact's."""
    with TemporaryDirectory() as folder:
        shop = workshop(Path(folder), settings, {bars.symbol: bars})
        data = _development(shop, spec, bars)
    recipe = recipe_for(spec, settings)
    return _bare_lstm(recipe, data) if isinstance(recipe, LstmRecipe) else _bare_trees(recipe, data)  # type: ignore[arg-type]


def _development(shop: Workshop, spec: JobSpec, bars: Bars) -> Dataset:
    """The rows that teach, as `develop` splits them off."""
    recipe = recipe_for(spec, shop.settings)
    most = shop._most_rows(spec)
    full = shop.labelled({bars.symbol: bars.tail(most + shop.spare_bars(recipe.window))}, recipe.window, most)
    data = project(full, shop._schema(spec))
    return data.take(final_split(data.time, data.end, shop.settings.training.final_fraction, shop._horizon_seconds).train)


def _bare_trees(recipe: TreeRecipe, data: Dataset) -> Callable[[], None]:
    folds = walk_forward(data.time, data.end, recipe.folds, embargo=960)
    arrays = [both_images(data.take(split.train)) for split in folds] + [both_images(data)]

    def fit() -> None:
        for values, kind, weights in arrays:
            (forest_of if recipe.kind == "random_forest" else booster_of)(recipe).fit(values, kind, sample_weight=weights)

    return fit


def _bare_lstm(recipe: LstmRecipe, data: Dataset) -> Callable[[], None]:
    """A plain loop over windows that are all laid out beforehand; as many epochs as the job itself takes."""
    epochs = recipe.fit(data, 960, threading.Event()).model.epochs
    split = walk_forward(data.time, data.end, 4, 960)[-1]
    train, held = (_laid_out(data.take(rows), recipe.window) for rows in (split.train, split.test))

    def fit() -> None:
        model = BiLSTMWithAttention(train[0].shape[2], recipe.lstm.lstm_hidden, recipe.lstm.lstm_layers, recipe.lstm.lstm_dropout)
        optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lstm.lstm_learning_rate, weight_decay=0.01)
        for _ in range(epochs):
            model.train()
            for rows in torch.randperm(len(train[0])).split(recipe.lstm.lstm_batch):
                optimiser.zero_grad()
                torch.nn.functional.mse_loss(model(train[0][rows]), train[1][rows]).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
            model.eval()
            with torch.inference_mode():
                for rows in torch.arange(len(held[0])).split(512):
                    torch.nn.functional.mse_loss(model(held[0][rows]), held[1][rows])

    return fit


def _laid_out(data: Dataset, window: int) -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.preprocessing import StandardScaler

    scaler, target = StandardScaler().fit(data.values), StandardScaler().fit(data.forward[:, None])
    return next(_Rows(data, scaler, target, window).batches(len(data), np.arange(len(data))))


def _peak(quick: bool) -> Figure:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        peak = pool.submit(peak_of_a_retrain, quick).result()
    note = "a process of its own; fewer rows than by default" if quick else "a process of its own, at the default row caps"
    return Figure("train_peak_mb", peak, "MB", "most memory of a retrain with 250,000 bars loaded", budget=1_500.0, note=note)


def peak_of_a_retrain(quick: bool) -> float:
    """MB; runs in a child, whose memory holds nothing else."""
    retrain(settings_of(*(SMALL if quick else ({}, {}))), history())
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


# --- beside the loop ----------------------------------------------------------------------------


def _beside_the_loop(sizes: tuple[Mapping[str, Any], Mapping[str, Any]], rounds: int) -> Iterator[Figure]:
    decide = _decider()
    idle, thread, process = (np.empty((rounds, 2)) for _ in range(3))  # p99 and the longest, seconds
    _until(decide, lambda start: perf_counter() - start > 1.0)
    for turn in range(rounds):
        idle[turn] = _until(decide, lambda start: perf_counter() - start > 3.0)
        for found, apart in ((thread, False), (process, True)):
            trainer = threading.Thread(target=_train_quietly, args=(sizes, apart))
            trainer.start()
            found[turn] = _until(decide, lambda start, trainer=trainer: not trainer.is_alive())
            trainer.join()
    rows = f"{sizes[0]['tree_train_rows']:,} rows for the trees, {sizes[1]['lstm_train_rows']:,} for the BiLSTM"
    note = f"{rounds} rounds of idling and two retrains ({rows}); a decision every {1e3 * PAUSE_S:g} ms"
    for name, found, budget in (("thread", thread, 1.75), ("process", process, 1.5)):
        ratio = float(np.median(found[:, 0] / idle[:, 0]))
        what = f"99th percentile of a decision while a {name} trains, over idle"
        milliseconds = f"{1e3 * np.median(found[:, 0]):.2f} ms over {1e3 * np.median(idle[:, 0]):.2f} ms"
        yield Figure(f"training_p99_ratio_{name}", ratio, "x", what, budget=budget, note=f"{note}; {milliseconds}")
    yield Figure(
        "training_worst_stall_ms",
        1e3 * float(np.median(thread[:, 1])),
        "ms",
        "longest decision of a retrain in a thread",
        reference=1e3 * float(np.median(idle[:, 1])),
        reference_is="longest while idle",
        budget=15.0,
        note=f"median of {rounds} rounds, the worst of all {1e3 * thread[:, 1].max():.1f} ms; other programs' share is in the reference",
    )


def _decider() -> Callable[[], None]:
    strategy, source = strategy_over(predictors()), windows()

    def decide() -> None:
        bars = next(source)
        strategy.decide(bars, ALL, bars.opened_at(-1) + timedelta(seconds=60))

    return decide


def _until(decide: Callable[[], None], done: Callable[[float], bool]) -> tuple[float, float]:
    """99th percentile and longest of the decisions made until then, seconds."""
    pause, start, times = threading.Event(), perf_counter(), []
    gc.collect()
    while not done(start) or len(times) < 100:
        pause.wait(PAUSE_S)
        began = perf_counter()
        decide()
        times.append(perf_counter() - began)
    return float(np.percentile(times, 99)), max(times)


def _train_quietly(sizes: tuple[Mapping[str, Any], Mapping[str, Any]], apart: bool) -> None:
    """As the AutoTrainer's thread does."""
    step_back(1)
    retrain(settings_of(*sizes), history().tail(20_000), apart)
