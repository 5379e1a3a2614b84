"""One training job: history -> rows -> candidate -> gate -> published version.

When a job runs, and what becomes of its result, is the AutoTrainer's business; how a model is
made is here and below.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version

import numpy as np

from config.errors import FitCancelled, SlotError, TooNew
from config.settings import Settings
from execution.exits import ExitPolicy
from market_data.bars import Bars, Capabilities, Timeframe
from market_data.clock import from_epoch, utc_text
from market_data.costs import spread_of
from market_data.instruments import SymbolSpec
from market_data.sessions import parse_sessions
from strategy.asking import expired
from strategy.compile_onnx import compile_onnx
from strategy.features import WARMUP, schema_for, sequence_schema
from strategy.golden import golden_bytes
from strategy.learning.artifact import Draft, Manifest, VerifiedArtifact, manifest_of
from strategy.learning.budget import Grant, Purse
from strategy.learning.bundles import check_bundle, inference_json, info_of, load_bundle, recipe_of, train_end_of
from strategy.learning.case import Case, Peer, prepared
from strategy.learning.dataset import Dataset, Labelling, LastBuilt, build
from strategy.learning.forecasting import forecasts_on, project
from strategy.learning.gate import GateReport, judge, passing_symbols, unproven, with_causality, with_latency, worth_testing
from strategy.learning.labels import Costs
from strategy.learning.lookahead import SAMPLED_CUTS, Examination, Subject, examine
from strategy.learning.recipes import MIN_TRAIN_ROWS, Candidate, Recipe, develop
from strategy.learning.registry import Registry
from strategy.predictor import FeatureSchema, FeatureWindow

SIDED_SHARE = 0.2
"""Of the final rows: what a model usually takes a side on, by which the least rows of a job are reckoned."""
GOLDEN_ROWS = 16
LATENCY_TRIES = 25
LIBRARIES = ("numpy", "scikit-learn", "xgboost", "torch", "TA-Lib", "onnxruntime")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Which model a job makes.

    Attributes:
        name: `train:<slot>`, as the journal and the due table call it.
        kind: `random_forest`, `xgboost` or `lstm`.
        symbols: whose history teaches it.
    """

    slot: str
    kind: str
    symbols: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the job."""
        return f"train:{self.slot}"


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of a job.

    Attributes:
        manifest: of the published version; None where the gate rejected the candidate.
        active: whether that version is the slot's active one now.
        rows: rows that taught the artifact.
        final_end: newest row that the gate looked at, epoch seconds.
        event: what the registry did with a version that is not active: `published` into a pinned slot, `waiting`
            or `shadow`.
        why: what kept it from serving at once, where something did.
    """

    spec: JobSpec
    report: GateReport
    manifest: Manifest | None
    active: bool
    rows: int
    epochs: int
    final_end: int
    event: str = "published"
    why: str = ""


def specs_of(settings: Settings, symbols: tuple[str, ...]) -> tuple[JobSpec, ...]:
    """The jobs that the settings call for, trees first: they are ready sooner."""
    models = settings.models
    jobs: list[JobSpec] = []
    if models.use_random_forest:
        jobs.append(JobSpec(models.model_path, "random_forest", symbols))
    if models.use_xgboost:
        jobs.append(JobSpec(models.xgb_model_path, "xgboost", symbols))
    if models.use_lstm:
        jobs += [JobSpec(f"{models.lstm_model_path}_{symbol}", "lstm", (symbol,)) for symbol in symbols]
    return tuple(jobs)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every job works with.

    Attributes:
        history: (symbol, most bars) -> closed bars.
        known: what the source records of a symbol.
        instrument: the symbol's specification.
        registry: where versions are published.
        now: the instant that dates a version.
        publishing: held while a version is published, so that nobody loads it meanwhile.
        built: the rows of the newest job; the next one may need the same.
    """

    settings: Settings
    origin: str
    history: Callable[[str, int], Bars]
    known: Callable[[str], Capabilities]
    instrument: Callable[[str], SymbolSpec]
    registry: Registry
    now: Callable[[], datetime]
    publishing: Callable[[], AbstractContextManager[None]] = nullcontext
    built: LastBuilt = field(default_factory=LastBuilt, repr=False, compare=False)

    def run(self, spec: JobSpec, purse: Purse, cancel: threading.Event) -> JobResult:
        """Trains, judges and, if the gate passes it, publishes one candidate.

        Args:
            spec: which model.
            purse: the slot's budget; what this try spends is written down before it is judged.
            cancel: set to stop; takes effect within a slice of a fit.

        Raises:
            FitCancelled: `cancel` was set.
            InsufficientHistory: too few bars.
            TooNew: too few rows since the market changed, where the slot's last version has failed.
            ScalperError: anything else that went wrong; what serves is unchanged.
        """
        recipe = recipe_for(spec, self.settings)
        histories = self._histories(spec, recipe)
        full = self._of_this_market(spec, self._rows(spec, recipe.window, histories))
        data = project(full, self._schema(spec))
        candidate = develop(
            recipe,
            data,
            horizon_seconds=self._horizon_seconds,
            final_fraction=self.settings.training.final_fraction,
            least_sides=self.settings.gate.min_directional_rows,
            cancel=cancel,
        )
        files = self._files(candidate, recipe, data)
        draft = self._draft(spec, recipe, candidate, data)
        case = self._case(candidate, full.take(np.isin(full.time, candidate.final.time)), draft, self._grant(candidate, purse))
        report, manifest = with_causality(judge(case), self._examined(histories)), None
        if report.passed:
            files = self._compiled(draft, files, cancel)
            report = with_latency(report, self._latency_ms(draft, files, candidate.final), self.settings.gate.max_latency_ms)
            manifest = self._publish(draft, files, case, report) if report.passed else None
        final_end = int(candidate.final.time[-1])
        active, *became = self._place(manifest) if manifest is not None else (False, "", "")
        return JobResult(spec, report, manifest, active, candidate.train_rows, candidate.model.epochs, final_end, *became)

    def _place(self, manifest: Manifest) -> tuple[bool, str, str]:
        """Whether a version that was just published is active, and what the slot's history says of it and why."""
        slot = self.registry.state().slot(manifest.slot)
        told = [(change.event, change.reason) for change in slot.history if change.after == manifest.version]
        return slot.active == manifest.version, *(told[-1] if told else ("published", ""))

    @property
    def policy(self) -> ExitPolicy:
        """Where trades end."""
        return ExitPolicy.from_settings(self.settings.exits)

    @property
    def _horizon_seconds(self) -> int:
        return (self.policy.horizon + 1) * Timeframe[self.settings.symbols.timeframe].seconds

    def _most_rows(self, spec: JobSpec) -> int:
        return self.settings.lstm.lstm_train_rows if spec.kind == "lstm" else self.settings.training.tree_train_rows

    def _of_this_market(self, spec: JobSpec, rows: Dataset) -> Dataset:
        """The rows since the market changed, where a version of the slot failed over that."""
        changed = self.registry.state().slot(spec.slot).learn_from
        if changed is None:
            return rows
        fresh = rows.take(rows.time >= datetime.fromisoformat(changed).timestamp())
        least = min(self._least_rows, self._most_rows(spec))
        if len(fresh) < min(least, len(rows)):
            raise TooNew(spec.slot, len(fresh), least, changed)
        return fresh

    @property
    def _least_rows(self) -> int:
        """Rows whose newest share is a final window with the least number of sides, and whose others are enough to teach."""
        final = self.settings.training.final_fraction
        judging = self.settings.gate.min_directional_rows / SIDED_SHARE / final
        purged = 4 * (self.policy.horizon + 1)
        return math.ceil(max(judging, (MIN_TRAIN_ROWS + purged) / (1.0 - final)))

    def _rows(self, spec: JobSpec, window: int, histories: Mapping[str, Bars]) -> Dataset:
        most = self._most_rows(spec)
        how = (self.settings, window, most, self._full_schema(spec.symbols), *map(self.instrument, spec.symbols))
        return self.built.get(how, histories, lambda: self.labelled(histories, window, most))

    def _histories(self, spec: JobSpec, recipe: Recipe) -> dict[str, Bars]:
        each = self._most_rows(spec) // len(spec.symbols) + self.spare_bars(recipe.window)
        return {symbol: self.history(symbol, each) for symbol in spec.symbols}

    def spare_bars(self, window: int) -> int:
        """Bars of a history that give no row: warm-up, the first window, and the newest labels."""
        return WARMUP + window + self.policy.horizon + 2

    def labelled(self, histories: Mapping[str, Bars], window: int, most: int) -> Dataset:
        """Features and labels of some histories, with every column that their sources can fill.

        Args:
            histories: closed bars by symbol.
            window: feature rows that one forecast reads.
            most: rows; the newest are kept.

        Raises:
            InsufficientHistory: a symbol gives no row.
        """
        costs = {symbol: self.costs(bars) for symbol, bars in histories.items()}
        return build(histories, costs, self._full_schema(tuple(histories)), self.labelling(window), most)

    def labelling(self, window: int) -> Labelling:
        """How rows become labels for a model that reads so many of them."""
        filters, data = self.settings.filters, self.settings.data
        sessions = parse_sessions(filters.trading_sessions)
        return Labelling(self.policy, data.max_bar_age_bars, filters.blocked_hours, window, sessions)

    def _examined(self, histories: Mapping[str, Bars]) -> tuple[Examination, ...]:
        """A sample of the look-ahead analysis, on the very bars that taught and judged."""
        subject = subject_of(self.settings, self._full_schema(tuple(histories)), self.instrument)
        return tuple(examine(bars, subject, SAMPLED_CUTS, whole=False) for bars in histories.values())

    def costs(self, bars: Bars) -> Costs:
        """What trading these bars would have cost; the same figures as the simulated broker's."""
        return trading_costs(self.settings, self.instrument(bars.symbol), bars)

    def _common(self, symbols: tuple[str, ...]) -> Capabilities:
        known = Capabilities(volume=True, spread=True)
        for symbol in symbols:
            known &= self.known(symbol)
        return known

    def _full_schema(self, symbols: tuple[str, ...]) -> FeatureSchema:
        """Every column that serves some model."""
        return schema_for(self._common(symbols), self.settings.models.feature_families)

    def _schema(self, spec: JobSpec) -> FeatureSchema:
        return sequence_schema(self._common(spec.symbols)) if spec.kind == "lstm" else self._full_schema(spec.symbols)

    def _files(self, candidate: Candidate, recipe: Recipe, data: Dataset) -> dict[str, bytes]:
        files = candidate.model.files(data)
        rows = candidate.final.row[:GOLDEN_ROWS]
        windows = data.table[rows[:, None] + np.arange(1 - recipe.window, 1)]
        said = candidate.forecasts
        expected = {name: getattr(said, name)[: len(rows)] for name in ("p_long", "p_short", "expected_r")}
        files["_golden.npz"] = golden_bytes(windows if recipe.window > 1 else windows[:, 0], expected)
        return files

    def _draft(self, spec: JobSpec, recipe: Recipe, candidate: Candidate, data: Dataset) -> Draft:
        taught = data.time[data.end <= candidate.train_end]
        return Draft(
            slot=spec.slot,
            kind=spec.kind,
            created=utc_text(self.now()),
            origin=self.origin,
            features=data.schema.names,
            feature_hash=data.schema.hash,
            exit=self.policy.definition,
            exit_hash=self.policy.hash,
            symbols=spec.symbols,
            timeframe=self.settings.symbols.timeframe,
            first_bar=utc_text(from_epoch(int(taught[0]))),
            last_bar=utc_text(from_epoch(int(taught[-1]))),
            rows=candidate.train_rows,
            seed=self.settings.training.train_seed,
            hyper_parameters=dict(candidate.model.hyper_parameters),
            libraries={name: version(name) for name in LIBRARIES if name != "torch" or spec.kind == "lstm"},
            metrics={},
            gate_report={},
            parent=self.registry.serving(spec.slot),
            inference=inference_json(candidate.inference, train_end=candidate.train_end, recipe=self._recipe_hash(spec, data.schema)),
            input_rows=recipe.window,
        )

    def _recipe_hash(self, spec: JobSpec, schema: FeatureSchema) -> str:
        """Changes with anything that makes two versions more than a refresh of one recipe."""
        training = self.settings.training
        sizes = {"lstm": self.settings.lstm.model_dump(mode="json"), "xgboost": training.boost_rounds, "random_forest": training.tree_count}
        parts = [spec.kind, spec.symbols, schema.hash, self.policy.hash, sizes[spec.kind]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def _grant(self, candidate: Candidate, purse: Purse) -> Grant:
        """The level at which the candidate is tested; nothing is spent on one that cannot pass."""
        gate, times = self.settings.gate, candidate.final.time
        if gate.gate_profile == "threshold" or not worth_testing(candidate, gate):
            return Grant(0.0, purse.unseen(times))
        return purse.draw(times, gate.min_new_rows, gate.gate_alpha_month, self.now())

    def _case(self, candidate: Candidate, final: Dataset, draft: Draft, grant: Grant) -> Case:
        return prepared(
            draft.slot,
            candidate,
            self.settings.gate,
            self.settings.filters,
            grant=grant,
            recipe=str(draft.inference["recipe"]),
            bar_seconds=Timeframe[self.settings.symbols.timeframe].seconds,
            peers=self._peers(final),
        )

    def _peers(self, final: Dataset) -> dict[str, Peer]:
        """What votes now, with its forecasts on the candidate's final rows; what cannot answer, or has expired, is left out."""
        artifacts, _ = self.registry.open_active()
        peers: dict[str, Peer] = {}
        for slot, artifact in artifacts.items():
            manifest = artifact.manifest
            fits = manifest.exit_hash == self.policy.hash and set(manifest.features) <= set(final.schema.names)
            if not fits or expired(info_of(manifest), self.settings.life.model_expiry_hours, self.now()):
                continue
            # What cannot be loaded does not serve either, and must not keep its slot from being trained anew.
            with suppress(SlotError):
                predictor = load_bundle(artifact)
                forecasts = forecasts_on(predictor, final)
                skill = predictor.info.skill
                peers[slot] = Peer(forecasts, predictor.inference.threshold, train_end_of(manifest), recipe_of(manifest), skill)
        return peers

    def _compiled(self, draft: Draft, files: dict[str, bytes], cancel: threading.Event) -> dict[str, bytes]:
        compiled = compile_onnx(draft.kind, files, len(draft.features), draft.input_rows)
        if cancel.is_set():
            raise FitCancelled("the job was told to stop before it published")
        return files if compiled is None else {**files, ".onnx": compiled}

    def _latency_ms(self, draft: Draft, files: Mapping[str, bytes], final: Dataset) -> float:
        """Median time of one forecast by the artifact as it will be served."""
        predictor = load_bundle(VerifiedArtifact(manifest_of(draft, 1, files), files))
        rows = predictor.info.rows
        window = FeatureWindow(final.schema, final.table[final.row[0] + 1 - rows : final.row[0] + 1])
        times = []
        for _ in range(LATENCY_TRIES):
            started = time.perf_counter()
            predictor.predict(window)
            times.append(1e3 * (time.perf_counter() - started))
        return float(np.median(times))

    def _publish(self, draft: Draft, files: Mapping[str, bytes], case: Case, report: GateReport) -> Manifest:
        judged = replace(draft, metrics=dict(report.metrics), gate_report=report.as_json(), symbols=passing_symbols(case))
        with self.publishing():
            return self.registry.publish(judged, files, check_bundle, unproven=unproven(report))


def trading_costs(settings: Settings, instrument: SymbolSpec, bars: Bars) -> Costs:
    """What trading these bars of an instrument would have cost."""
    lot_value = instrument.risk_per_lot(1.0)
    commission, spread = 2 * settings.risk.commission_per_lot / lot_value, spread_of(bars, instrument.point)
    return Costs(spread * instrument.point, commission, instrument.stops_level * instrument.point, lot_value)


def subject_of(settings: Settings, schema: FeatureSchema, instrument: Callable[[str], SymbolSpec]) -> Subject:
    """What a look-ahead analysis examines: features and labels as the settings' jobs make them."""

    def costs(bars: Bars) -> Costs:
        return trading_costs(settings, instrument(bars.symbol), bars)

    return Subject(schema, costs, ExitPolicy.from_settings(settings.exits), settings.data.max_bar_age_bars)


def recipe_for(spec: JobSpec, settings: Settings) -> Recipe:
    """The recipe of a job's kind; torch is imported only where an LSTM is made."""
    if spec.kind == "lstm":
        from strategy.learning.lstm_recipe import LstmRecipe

        return LstmRecipe.from_settings(settings.lstm, settings.training)
    from strategy.learning.tree_recipe import TreeRecipe

    return TreeRecipe.xgboost(settings.training) if spec.kind == "xgboost" else TreeRecipe.random_forest(settings.training)
