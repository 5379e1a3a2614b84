"""The drift check: has the market changed since a version was taught, or does it hit less than it used to?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from config.errors import InsufficientHistory, SlotError
from config.settings import WatchSettings
from market_data.bars import Bars, Timeframe
from strategy.active_models import ActiveModels
from strategy.features import FAMILIES, WARMUP, compute, schema_around
from strategy.learning.artifact import Manifest
from strategy.learning.bundles import train_end_of
from strategy.learning.dataset import Labelling
from strategy.learning.drift import SURROUNDINGS, Hits, Population, Table, hits_of, population_of, shift_of, surroundings
from strategy.learning.jobs import Workshop
from strategy.learning.live_results import Sided, bars_needed, nothing_until, sided_after
from strategy.predictor import FeatureSchema, Predictor, select
from utils.checks import SKIPPED, CheckResult, CoolDown, Memory, retrain_pause

DRIFT = "drift"
REFERENCE_BARS = 30_000
"""Most bars before a version's training end that say how windows scatter: a month of minutes."""
BY_THE_CLOCK = frozenset(FAMILIES["session"].names)
"""Columns that tell the hour and the weekday: what they say of a window is when it was."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one version: its figures, and what of them has drifted, if anything has.

    Attributes:
        shifted: what of the market moved, of that which drifted.
    """

    slot: str
    figures: str
    drifted: str = ""
    shifted: tuple[str, ...] = ()


class DriftCheck:
    """Retrains a slot whose market or whose hit rate has drifted; then a pause for that slot.

    A pure function of history and of when the slot last drifted: a restart finds the same.

    Args:
        workshop: bars, costs, versions and settings.
        models: the predictors in service.
        state: keeps pauses, and from when on hits are watched.
        jobs: slot -> name of the job that retrains it.
    """

    name = DRIFT

    def __init__(self, workshop: Workshop, models: ActiveModels, state: Memory, jobs: Mapping[str, str]) -> None:
        self._models, self._state, self._jobs = models, state, dict(jobs)
        self._rows, self._settings = _Rows(workshop), workshop.settings.watch
        self.every = timedelta(minutes=self._settings.drift_check_minutes)

    def run(self, now: datetime) -> CheckResult:
        """One look at every version in service."""
        served = {slot: model for slot, model in sorted(self._models.snapshot().items()) if slot in self._jobs}
        self._rows.forget_all_but(served)
        findings = [self._look(slot, model, now) for slot, model in served.items()]
        drifted = [found for found in findings if found.drifted]
        fresh = [found for found in drifted if self._pause(found.slot).until(now) is None]
        for found in fresh:
            self._pause(found.slot).start(now)
            version = served[found.slot].info.version
            self._state.set(f"drift.since.{found.slot}", [version, int(now.timestamp())])
            self._state.set(f"drift.shifted.{found.slot}", [version, [*self._told(found.slot, version), *found.shifted]])
        if fresh:
            reason = "; ".join(f"{found.slot}: {found.drifted}" for found in fresh)
            return CheckResult(DRIFT, reason, retrain=tuple(self._jobs[found.slot] for found in fresh))
        words = [f"{found.slot}: {found.drifted}, but cooling down" for found in drifted]
        words += [f"{found.slot}: {found.figures}" for found in findings if not found.drifted]
        return CheckResult(SKIPPED, "; ".join(words) or "no model serves")

    def _pause(self, slot: str) -> CoolDown:
        return retrain_pause(self._state, slot, self._settings.drift_cooldown_hours)

    def _look(self, slot: str, model: Predictor, now: datetime) -> Finding:
        try:
            manifest = self._rows.manifest(model)
            market = [self._rows.shifts(model, manifest, symbol, now) for symbol in model.info.symbols]
            hits = self._rows.hits(model, manifest, self._watched_from(slot, manifest), now)
        except (InsufficientHistory, SlotError) as error:
            return Finding(slot, str(error))
        told = self._told(slot, manifest.version)
        moved = [line for lines in market for line in lines]
        drifted = [line for line in moved if line.drifted and line.what not in told]
        hit = hits_line(hits, self._settings)
        found = [*drifted, hit] if hit.drifted else drifted
        figures, reasons = (", ".join(line.text for line in lines) for lines in ([*moved, hit], found))
        return Finding(slot, figures, reasons, tuple(line.what for line in drifted))

    def _told(self, slot: str, version: int) -> list[str]:
        """What of the market has been said to have moved away from this version, and acted upon: it may stay moved for days."""
        told = self._state.get(f"drift.shifted.{slot}")
        return [str(what) for what in told[1]] if isinstance(told, list) and told[0] == version else []

    def _watched_from(self, slot: str, manifest: Manifest) -> int:
        """From the version's making on, or from its last alarm: what has been acted upon does not count twice."""
        made = int(datetime.fromisoformat(manifest.created).timestamp())
        alarm = self._state.get(f"drift.since.{slot}")
        return max(made, int(alarm[1])) if isinstance(alarm, list) and alarm[0] == manifest.version else made


@dataclass(frozen=True, slots=True)
class Line:
    """What was looked at, its figures in words, and whether they mean drift."""

    what: str
    text: str
    drifted: bool = False


def hits_line(hits: Hits | None, settings: WatchSettings) -> Line:
    """What the hit rate says."""
    if hits is None:
        return Line("hits", "too few sides to know a usual hit rate")
    figures = f"hit rate {hits.lately:.2f} lately, {hits.usual:.2f} usual, Page-Hinkley {hits.statistic:.1f}"
    return Line("hits", f"{figures} of {settings.drift_hits:g} over {hits.blocks} blocks", hits.statistic > settings.drift_hits)


Looks = Mapping[str, tuple[tuple[str, ...], Table]]
"""Columns of a stretch of bars by what they describe: their names, and a table of shape (n, F)."""


class _Rows:
    """Bars, and what was worked out of them before; asks for no more than is new."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop, self._settings = workshop, workshop.settings
        self._bar_seconds = Timeframe[workshop.settings.symbols.timeframe].seconds
        self._manifests: dict[tuple[str, int], Manifest] = {}
        self._usual: dict[tuple[str, int, str], Mapping[str, Population | None]] = {}
        self._sided: dict[tuple[str, int, str], Sided] = {}

    def forget_all_but(self, served: Mapping[str, Predictor]) -> None:
        """Drops what belongs to versions that no longer serve."""
        now = {(slot, model.info.version) for slot, model in served.items()}
        self._manifests = {key: value for key, value in self._manifests.items() if key in now}
        self._usual = {key: value for key, value in self._usual.items() if key[:2] in now}
        self._sided = {key: value for key, value in self._sided.items() if key[:2] in now}

    def manifest(self, model: Predictor) -> Manifest:
        """Of a version in service."""
        key = model.info.slot, model.info.version
        if key not in self._manifests:
            self._manifests[key] = self._workshop.registry.open(*key).manifest
        return self._manifests[key]

    def shifts(self, model: Predictor, manifest: Manifest, symbol: str, now: datetime) -> tuple[Line, ...]:
        """How far one symbol's newest window has moved from what taught the version."""
        key = model.info.slot, model.info.version, symbol
        if key not in self._usual:
            self._usual[key] = self._usual_of(model.info.schema, manifest, symbol, now)
        bars = self._workshop.history(symbol, self._settings.watch.drift_window_bars + 2 * WARMUP)
        looks = self._looks(bars, model.info.schema)
        return tuple(self._line(symbol, what, self._usual[key][what], table) for what, (_, table) in looks.items())

    def _line(self, symbol: str, what: str, usual: Population | None, table: Table) -> Line:
        shift, limit = shift_of(usual, table) if usual is not None else None, self._settings.watch.drift_psi
        name = f"{symbol} {what}"
        if shift is None:
            return Line(name, f"{name}: too few bars to compare")
        moved = f"{name} {shift.ratio:.1f} times as far off as usual, {limit:g} allowed"
        most = f", most {shift.column}" if shift.column != what else ""
        return Line(name, f"{moved}{most} (PSI {shift.index:.2f})", shift.ratio > limit)

    def hits(self, model: Predictor, manifest: Manifest, since: int, now: datetime) -> Hits | None:
        """The version's hit rate over all rows that did not teach it."""
        how = self._workshop.labelling(model.info.rows)
        begin = train_end_of(manifest)
        parts = [self._sided_of(model, symbol, how, begin, now) for symbol in model.info.symbols]
        time, result = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "result"))
        return hits_of(time, result, 2 * (how.policy.horizon + 1) * self._bar_seconds, since)

    def _sided_of(self, model: Predictor, symbol: str, how: Labelling, begin: int, now: datetime) -> Sided:
        key = model.info.slot, model.info.version, symbol
        done = self._sided.get(key, nothing_until(begin))
        bars = self._workshop.history(symbol, bars_needed(now.timestamp() - done.judged, self._bar_seconds, how))
        self._sided[key] = done = done.then(sided_after(model, bars, self._workshop.costs, how, done.judged))
        return done

    def _usual_of(self, schema: FeatureSchema, manifest: Manifest, symbol: str, now: datetime) -> dict[str, Population | None]:
        ended = datetime.fromisoformat(manifest.last_bar)
        most = int((now - ended).total_seconds()) // self._bar_seconds + REFERENCE_BARS + WARMUP
        bars = self._workshop.history(symbol, most)
        taught = bars.slice(None, int(np.searchsorted(bars.time, int(ended.timestamp()), side="right"))).tail(REFERENCE_BARS + WARMUP)
        window = self._settings.watch.drift_window_bars
        return {what: population_of(names, table, window) for what, (names, table) in self._looks(taught, schema).items()}

    def _looks(self, bars: Bars, schema: FeatureSchema) -> Looks:
        """Features together, for they share their scatter; volatility and spread each by itself."""
        names = tuple(name for name in schema.names if name not in BY_THE_CLOCK)
        around = zip(SURROUNDINGS, surroundings(bars, self._workshop.costs(bars).spread), strict=True)
        window = select("drift", compute(bars, schema_around(bars.capabilities, schema)), FeatureSchema(names))
        return {"features": (names, window.values), **{name: ((name,), table) for name, table in around}}
