"""The strategy: from closed bars and one snapshot of the models to a decision with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from config.errors import SlotError
from config.settings import FilterSettings
from market_data.bars import Bars, Capabilities
from strategy.active_models import ActiveModels
from strategy.decision import Decision
from strategy.ensemble import Verdict, combine, weights_of
from strategy.features import ATR_PERIOD, atr, compute, row_hash, schema_for
from strategy.filters import FilterCase, first_veto
from strategy.predictor import BundleInfo, FeatureWindow, Forecast, Predictor, select

NOT_SERVING = "no version serves"
"""Why a slot is absent that the settings call for and that has no version in service."""


def _nobody(_: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a model must have been made for to vote here.

    Attributes:
        origin: kind of prices, `synthetic`, `file` or `mt5`: models of simulated prices never
            vote on real ones.
        timeframe: name of the bar length.
        exit_hash: of the exit policy in force.
        expiry_hours: age from which a version does not vote; 0 = never.
    """

    origin: str
    timeframe: str
    exit_hash: str
    expiry_hours: float = 0.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What a decision reads of the newest bar, beside the forecasts.

    Attributes:
        opened: when it opened, UTC.
        seconds: length of a bar.
        atr: as computed; not a number where it cannot be.
        feature_hash: of the feature row.
    """

    symbol: str
    opened: datetime
    seconds: int
    close: float
    atr: float
    feature_hash: str


class ScalpingStrategy:
    """Decides bar by bar; holds no state but its parts.

    Args:
        models: the predictors in service.
        filters: votes needed, and vetoes.
        scope: what a predictor must have been made for.
        max_age_bars: bar lengths after which a bar is too old to act on.
        expected: slots that should vote on a symbol; a decision names those that have no version.
        extra: optional feature families, `FEATURE_FAMILIES`.
    """

    def __init__(
        self,
        models: ActiveModels,
        filters: FilterSettings,
        scope: Scope,
        max_age_bars: float,
        expected: Callable[[str], tuple[str, ...]] = _nobody,
        extra: tuple[str, ...] = (),
    ) -> None:
        self._models = models
        self._filters = filters
        self._scope = scope
        self._max_age_bars = max_age_bars
        self._expected = expected
        self._extra = extra

    def decide(self, bars: Bars, known: Capabilities, now: datetime) -> Decision:
        """The decision on the newest bar.

        Args:
            bars: closed bars, oldest first; enough for the warm-up and the longest window.
            known: what the source records beside prices.
            now: the instant of the decision.
        """
        snapshot = self._models.snapshot()
        window = compute(bars, schema_for(known, self._extra))
        forecasts, absent = forecasts_of(snapshot, window, bars.symbol, self._scope, now)
        range_ = float(atr(bars.tail(ATR_PERIOD + 1))[-1])
        sight = Sight(bars.symbol, bars.opened_at(-1), bars.timeframe.seconds, float(bars.close[-1]), range_, row_hash(window))
        return self.judge(sight, snapshot, forecasts, absent, now)

    def judge(
        self, sight: Sight, snapshot: Mapping[str, Predictor], forecasts: Mapping[str, Forecast], absent: Mapping[str, str], now: datetime
    ) -> Decision:
        """The decision that follows from what was seen and forecast.

        Args:
            sight: of the newest bar.
            snapshot: the predictors that were asked.
            forecasts: slot -> what it said.
            absent: slot -> why it is silent.
            now: the instant of the decision.
        """
        missing = {slot: NOT_SERVING for slot in self._expected(sight.symbol) if slot not in snapshot}
        voters = {slot: snapshot[slot] for slot in forecasts}
        verdict = self._vote(forecasts, voters)
        veto = self._veto(sight, now) if verdict.side is not None else None
        return Decision(
            symbol=sight.symbol,
            bar_time=sight.opened,
            side=None if veto else verdict.side,
            reason=f"veto: {veto}; was: {verdict.reason}" if veto else _reason(verdict.reason, snapshot),
            forecasts=forecasts,
            absent={**absent, **missing},
            versions={slot: model.info.version for slot, model in voters.items()},
            expected_r=0.0 if veto else verdict.expected_r,
            close=sight.close,
            atr=sight.atr if sight.atr > 0 else 0.0,
            feature_hash=sight.feature_hash,
        )

    def _veto(self, sight: Sight, now: datetime) -> str | None:
        return first_veto(FilterCase(sight.opened, now, sight.seconds, self._max_age_bars, sight.atr, self._filters))

    def _vote(self, forecasts: Mapping[str, Forecast], voters: Mapping[str, Predictor]) -> Verdict:
        thresholds = {slot: model.inference.threshold for slot, model in voters.items()}
        weights = weights_of({slot: model.info.skill for slot, model in voters.items()}, self._filters.ensemble_weights)
        return combine(forecasts, thresholds, self._filters.min_votes, weights)


def _reason(verdict: str, snapshot: Mapping[str, Predictor]) -> str:
    return verdict if snapshot else "no model serves: none has passed the gate yet"


def forecasts_of(
    snapshot: Mapping[str, Predictor], window: FeatureWindow, symbol: str, scope: Scope, now: datetime
) -> tuple[dict[str, Forecast], dict[str, str]]:
    """What each predictor says, and why the silent ones are silent."""
    forecasts: dict[str, Forecast] = {}
    absent: dict[str, str] = {}
    for slot, predictor in snapshot.items():
        objection = out_of_scope(predictor, symbol, scope, now)
        if objection is not None:
            absent[slot] = objection
            continue
        try:
            forecasts[slot] = predictor.predict(select(slot, window, predictor.info.schema, predictor.info.rows))
        except SlotError as error:
            absent[slot] = str(error)
    return forecasts, absent


def expired(info: BundleInfo, hours: float, now: datetime) -> bool:
    """Whether a version is too old to vote; `hours` = 0 means that none ever is."""
    return bool(hours and info.made and now.timestamp() - info.made >= 3_600 * hours)


def out_of_scope(predictor: Predictor, symbol: str, scope: Scope, now: datetime) -> str | None:
    """Why a predictor may not vote here, or None."""
    info = predictor.info
    if info.origin != scope.origin:
        return f"learned from {info.origin} prices, these are {scope.origin}"
    if info.timeframe != scope.timeframe:
        return f"made for {info.timeframe}, not {scope.timeframe}"
    if info.exit_hash != scope.exit_hash:
        return f"made for exit policy {info.exit_hash}, not {scope.exit_hash}: a retrain follows"
    if symbol not in info.symbols:
        return f"made for {', '.join(info.symbols)}, not {symbol}"
    if expired(info, scope.expiry_hours, now):
        return f"expired: made {(now.timestamp() - info.made) / 3_600:.1f} h ago, at most {scope.expiry_hours:g} h"
    return None
