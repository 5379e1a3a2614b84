"""Deciding threads while models are swapped a thousand times a second: no decision may mix two versions.

Every version of a slot has other columns in another order, another scaler and another model, so its
forecast on a given window is its own. A forecast that is not exactly that of the version it is said to
come from was made from parts of two.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import SlotError
from config.settings import FilterSettings
from market_data.clock import SystemClock
from strategy.active_models import ActiveModels
from strategy.asking import Scope, forecasts_of
from strategy.bundle import GOLDEN, ONNX
from strategy.compile_onnx import compile_onnx
from strategy.features import WARMUP, compute, schema_for
from strategy.golden import golden_bytes
from strategy.learning.artifact import Draft, VerifiedArtifact, manifest_of
from strategy.learning.bundles import inference_json, load_bundle
from strategy.learning.registry import Registry
from strategy.learning.serving import ModelServer
from strategy.predictor import FeatureSchema, FeatureWindow, Forecast, Inference, Payoff, Predictor
from strategy.scalping_strategy import ScalpingStrategy
from strategy.tree_predictor import tree_files
from tests.fakes_learning import ALL, POLICY, market
from tests.fakes_models import LSTM_INFERENCE, SEQUENCE, TREE_INFERENCE, expected_of
from tests.fakes_registry import accept, make_registry, successor

SLOTS: Mapping[str, str] = {"scalper": "random_forest", "xgboost": "xgboost", "lstm_EURUSD": "lstm"}
QUICK: Mapping[str, str] = {**SLOTS, "scalper": "xgboost"}
"""Without compiling: the forest's own code is slow, and the library warns of several threads in it."""
COLUMNS = 8
SWAPS_PER_SECOND = 1_000
DECIDE_EVERY = 20
"""Of so many reads one is a whole decision, from bars; the others begin at the features."""

Versions = Mapping[str, tuple[Predictor, ...]]


@dataclass
class StormReport:
    """What a storm came to; `problems` are forecasts that belong to no version."""

    reads: int = 0
    decisions: int = 0
    swaps: int = 0
    loaded: int = 0
    changes: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Arena:
    """Versions of three slots in a registry, the bars to decide on, and what each version says of them.

    Args:
        root: folder of the registry.
        versions: of each slot.
        compiled: models are compiled, as they are in service; takes some seconds for each.
    """

    def __init__(self, root: Path, versions: int, *, compiled: bool) -> None:
        self.registry = make_registry(root, keep=1_000)
        for number in range(versions):
            for slot, kind in (SLOTS if compiled else QUICK).items():
                publish(self.registry, slot, kind, seed=1_000 * number + len(slot), compiled=compiled)
        self.pool: Versions = {slot: tuple(load_bundle(self.registry.open(slot, n + 1)) for n in range(versions)) for slot in SLOTS}
        self.bars = market(WARMUP + SEQUENCE + 60, seed=5)
        self.window = compute(self.bars, schema_for(ALL))
        self.scope = Scope("synthetic", "M1", POLICY.hash)
        self.expected = {slot: self._said(models) for slot, models in self.pool.items()}

    def _said(self, models: tuple[Predictor, ...]) -> dict[int, Forecast]:
        said = {model.info.version: self.forecasts({model.info.slot: model})[model.info.slot] for model in models}
        assert len(set(said.values())) == len(said), "two versions say the same, so a mixture could hide"
        return said

    def forecasts(self, snapshot: Mapping[str, Predictor]) -> dict[str, Forecast]:
        """What the predictors of a snapshot say of the newest row."""
        return forecasts_of(snapshot, self.window, "EURUSD", self.scope, self.bars.opened_at(-1))[0]

    def strategy(self, models: ActiveModels) -> ScalpingStrategy:
        """The strategy over models that are being swapped."""
        return ScalpingStrategy(models, FilterSettings(), self.scope, 2.0)

    def mixed(self, versions: Mapping[str, int], forecasts: Mapping[str, Forecast]) -> list[str]:
        """Slots whose forecast is not that of the version it is said to come from."""
        wrong = [slot for slot, said in forecasts.items() if said != self.expected[slot][versions[slot]]]
        return [f"{slot} v{versions[slot]}: {forecasts[slot]}" for slot in wrong]


def publish(registry: Registry, slot: str, kind: str, seed: int, *, compiled: bool) -> None:
    """A version whose columns, scaler, model and calibration are its own."""
    rng = np.random.default_rng(seed)
    schema = FeatureSchema(tuple(str(name) for name in rng.permutation(schema_for(ALL).names)[:COLUMNS]))
    inference = _inference(TREE_INFERENCE if kind != "lstm" else LSTM_INFERENCE, rng)
    said: dict[str, Any] = {
        "kind": kind,
        "features": schema.names,
        "feature_hash": schema.hash,
        "exit_hash": POLICY.hash,
        "input_rows": SEQUENCE if kind == "lstm" else 1,
        "inference": inference_json(inference, train_end=0, recipe="r"),
    }
    files = lstm(schema, rng) if kind == "lstm" else tree_files(tree(kind, rng), schema)
    drafted = successor(registry, slot, **said)
    registry.publish(drafted, with_onnx(drafted, files, rng) if compiled else files, accept)


def with_onnx(drafted: Draft, files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    """The same files with the compiled model, and the golden rows that it is compared on."""
    length = drafted.input_rows
    inputs = rng.normal(size=(20, COLUMNS) if length == 1 else (20, length, COLUMNS)).astype(np.float32)
    native = load_bundle(VerifiedArtifact(manifest_of(drafted, 1, files), files))
    onnx = compile_onnx(drafted.kind, files, COLUMNS, length)
    assert onnx is not None, f"{drafted.kind} does not compile"
    return {**files, ONNX: onnx, GOLDEN: golden_bytes(inputs, expected_of(native, inputs))}


def _inference(like: Inference, rng: np.random.Generator) -> Inference:
    bias = tuple(float(value) for value in rng.normal(0, 0.3, 3))
    return Inference(like.weights, (bias[0], bias[1], bias[2]), Payoff(1.2, -1.05, 1.1, -1.02), 0.05)


def tree(kind: str, rng: np.random.Generator) -> Any:
    """A small classifier of its own."""
    from sklearn.ensemble import RandomForestClassifier
    from xgboost import XGBClassifier

    seed, x = int(rng.integers(10_000)), rng.normal(size=(300, COLUMNS)).astype(np.float32)
    y = np.digitize(x @ rng.normal(size=COLUMNS), [-1.0, 1.0])
    if kind == "random_forest":
        return RandomForestClassifier(3, max_depth=4, random_state=seed, n_jobs=1).fit(x, y)
    return XGBClassifier(n_estimators=4, max_depth=3, random_state=seed, n_jobs=1).fit(x, y)


def lstm(schema: FeatureSchema, rng: np.random.Generator) -> dict[str, bytes]:
    """A network with random weights, under scalers of its own."""
    import torch
    from sklearn.preprocessing import StandardScaler

    from strategy.lstm_model import BiLSTMWithAttention
    from strategy.lstm_predictor import lstm_files

    torch.set_num_threads(1)
    torch.manual_seed(int(rng.integers(10_000)))
    x = rng.normal(rng.normal(size=COLUMNS), rng.uniform(0.5, 3.0, COLUMNS), (200, COLUMNS))
    target = StandardScaler().fit(rng.normal(0.0, rng.uniform(0.5, 2.0), (200, 1)))
    return lstm_files(BiLSTMWithAttention(COLUMNS, 4, 1, 0.1).eval(), StandardScaler().fit(x), target, schema)


def storm(arena: Arena, reads: int, *, readers: int, seed: int, disk: bool = True, swapper: Any = None) -> StormReport:
    """Readers decide until they have done their reads, a writer swaps, another loads what a command promoted.

    Args:
        reads: of all readers together.
        disk: whether versions are also promoted in the registry and loaded from its files.
        swapper: `swapper(models, arena, rng)` swaps once; a swap of one slot, or of all, otherwise.
    """
    report, models = StormReport(), ActiveModels({slot: pool[0] for slot, pool in arena.pool.items()})
    end, clock = threading.Event(), SystemClock()
    work: list[Callable[[], None]] = [lambda: swap(models, arena, report, end, seed, swapper or swapped)]
    if disk:
        work.append(lambda: load(models, arena, report, end, seed))
    looks = [StormReport() for _ in range(readers)]
    started = clock.monotonic()
    with eager_threads(), running(work, end):
        decide_all(models, arena, looks, reads // readers)
    report.seconds = clock.monotonic() - started
    for look in looks:
        report.reads += look.reads
        report.decisions += look.decisions
        report.changes += look.changes
        report.problems += look.problems
    return report


def decide_all(models: ActiveModels, arena: Arena, looks: list[StormReport], each: int) -> None:
    """All readers, to their end."""
    threads = [threading.Thread(target=decide, args=(models, arena, look, each)) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def decide(models: ActiveModels, arena: Arena, look: StormReport, reads: int) -> None:
    """Reads a snapshot and decides by it, again and again."""
    strategy, now = arena.strategy(models), arena.bars.opened_at(-1) + timedelta(minutes=1)
    before: dict[str, int] = {}
    for number in range(reads):
        if number % DECIDE_EVERY == 0:
            decision = strategy.decide(arena.bars, ALL, now)
            versions, forecasts = dict(decision.versions), dict(decision.forecasts)
            look.decisions += 1
        else:
            snapshot = models.snapshot()
            versions, forecasts = {slot: model.info.version for slot, model in snapshot.items()}, arena.forecasts(snapshot)
        look.problems += [] if forecasts.keys() == SLOTS.keys() else [f"only {sorted(forecasts)} had a forecast"]
        look.problems += arena.mixed(versions, forecasts)
        look.changes += versions != before
        before = versions
        look.reads += 1


def swap(models: ActiveModels, arena: Arena, report: StormReport, end: threading.Event, seed: int, once: Any) -> None:
    """Keeps to the pace, however late a thread is woken."""
    rng, clock = np.random.default_rng([seed, 1]), SystemClock()
    started = clock.monotonic()
    while not end.wait(0.0005):
        due = int((clock.monotonic() - started) * SWAPS_PER_SECOND)
        while report.swaps < due and not end.is_set():
            once(models, arena, rng)
            report.swaps += 1


def swapped(models: ActiveModels, arena: Arena, rng: np.random.Generator) -> None:
    """One slot, or all of them in one step."""
    chosen = {slot: pool[int(rng.integers(len(pool)))] for slot, pool in arena.pool.items()}
    if rng.random() < 0.3:
        models.replace(chosen)
    else:
        slot = str(rng.choice(list(chosen)))
        models.swap(slot, chosen[slot])


def load(models: ActiveModels, arena: Arena, report: StormReport, end: threading.Event, seed: int) -> None:
    """Promotes a version in the registry and adopts it, as a command and the loop do: through the files."""
    rng, server = np.random.default_rng([seed, 2]), ModelServer(arena.registry, models)
    while not end.wait(0.01):
        slot = str(rng.choice(list(SLOTS)))
        with suppress(SlotError):
            arena.registry.promote(slot, int(rng.integers(len(arena.pool[slot]))) + 1)
        report.loaded += sum(change.after != change.before for change in server.adopt())


class TornModel:
    """The fault of old: model, columns and version written one after the other into what readers hold."""

    def __init__(self, model: Any) -> None:
        self.info, self.inference, self.scorer = model.info, model.inference, model.scorer

    def take(self, model: Any) -> None:
        """Becomes another version, in three writes."""
        self.info = model.info
        self.inference = model.inference
        self.scorer = model.scorer

    def prepare(self, window: FeatureWindow) -> Callable[[], Forecast]:
        """As the tree predictor does, over whatever is there at each moment."""
        from strategy.bundle import window_rows
        from strategy.tree_predictor import tree_scores

        rows = window_rows(self.info, window)
        return lambda: self.inference.forecast(tree_scores(self.scorer(rows))[0].tolist())


@contextmanager
def eager_threads() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual, so that they meet at more places."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@contextmanager
def running(work: list[Callable[[], None]], end: threading.Event) -> Iterator[None]:
    """Threads that work until the block ends."""
    threads = [threading.Thread(target=target) for target in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()
