"""The strategy: from closed bars and one snapshot of the models to a decision with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from config.settings import FilterSettings
from market_data.bars import Bars, Capabilities
from strategy.active_models import ActiveModels, Served
from strategy.asking import Scope, forecasts_of_all
from strategy.decision import Decision
from strategy.ensemble import Verdict, combine, weights_of
from strategy.feature_memory import FeatureMemory
from strategy.features import newest_atr, row_hash, schema_for
from strategy.filters import FilterCase, first_veto
from strategy.predictor import FeatureWindow, Forecast, Predictor
from strategy.side_by_side import SideBySide

NOT_SERVING = "no version serves"
"""Why a slot is absent that the settings call for and that has no version in service."""

STOPPED = "stopped: "
"""How the reason begins why a slot is absent whose version no longer pays."""


def _nobody(_: str) -> tuple[str, ...]:
    return ()


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
    """Decides bar by bar; of earlier bars it keeps feature rows, which it would work out again to the same digit.

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
        self._memory = FeatureMemory()
        self._make = SideBySide()

    def decide(self, bars: Bars, known: Capabilities, now: datetime) -> Decision:
        """The decision on the newest bar.

        Args:
            bars: closed bars, oldest first; enough for the warm-up and the longest window.
            known: what the source records beside prices.
            now: the instant of the decision.
        """
        return self._decided([(bars, known)], now)[0]

    def decide_all(self, closed: Sequence[tuple[Bars, Capabilities]], now: datetime) -> list[Decision]:
        """The decisions on the newest bars of several symbols; a model that serves many of them is asked once.

        Args:
            closed: of each symbol what `decide` is given.
            now: the instant of the decisions.

        Returns:
            One for each symbol, in the order given, each what `decide` says of it.
        """
        return [self.decide(*closed[0], now)] if len(closed) == 1 else self._decided(closed, now)

    def _decided(self, closed: Sequence[tuple[Bars, Capabilities]], now: datetime) -> list[Decision]:
        served = self._models.current()
        windows = {bars.symbol: self._memory.window(bars, schema_for(known, self._extra)) for bars, known in closed}
        told = forecasts_of_all(served.predictors, windows, self._scope, now, self._make)
        return [self.judge(_sight(bars, windows[bars.symbol]), served, *told[bars.symbol], now) for bars, _ in closed]

    def judge(self, sight: Sight, served: Served, forecasts: Mapping[str, Forecast], absent: Mapping[str, str], now: datetime) -> Decision:
        """The decision that follows from what was seen and forecast.

        Args:
            sight: of the newest bar.
            served: the predictors that were asked, and who was stopped.
            forecasts: slot -> what it said.
            absent: slot -> why it is silent.
            now: the instant of the decision.
        """
        snapshot = served.predictors
        voters = {slot: snapshot[slot] for slot in forecasts}
        verdict = self._vote(forecasts, voters)
        veto = self._veto(sight, now) if verdict.side is not None else None
        return Decision(
            symbol=sight.symbol,
            bar_time=sight.opened,
            side=None if veto else verdict.side,
            reason=f"veto: {veto}; was: {verdict.reason}" if veto else reason_of(verdict.reason, served),
            forecasts=forecasts,
            absent=self._absent(sight.symbol, served, absent),
            versions=versions_of(voters),
            expected_r=0.0 if veto else verdict.expected_r,
            close=sight.close,
            atr=sight.atr if sight.atr > 0 else 0.0,
            feature_hash=sight.feature_hash,
        )

    def _absent(self, symbol: str, served: Served, silent: Mapping[str, str]) -> dict[str, str]:
        """Who has no forecast: those that were not asked or did not answer, and those that should serve and do not."""
        missing = {slot: _why_absent(slot, served) for slot in self._expected(symbol) if slot not in served.predictors}
        return {**silent, **missing}

    def _veto(self, sight: Sight, now: datetime) -> str | None:
        return first_veto(FilterCase(sight.opened, now, sight.seconds, self._max_age_bars, sight.atr, self._filters))

    def _vote(self, forecasts: Mapping[str, Forecast], voters: Mapping[str, Predictor]) -> Verdict:
        return combine(forecasts, thresholds_of(voters), self._filters.min_votes, self._weights(voters))

    def _weights(self, voters: Mapping[str, Predictor]) -> dict[str, float] | None:
        return weights_of({slot: model.info.skill for slot, model in voters.items()}, self._filters.ensemble_weights)


def thresholds_of(voters: Mapping[str, Predictor]) -> dict[str, float]:
    """Slot -> expected R from which it votes."""
    return {slot: model.inference.threshold for slot, model in voters.items()}


def versions_of(voters: Mapping[str, Predictor]) -> dict[str, int]:
    """Slot -> version."""
    return {slot: model.info.version for slot, model in voters.items()}


def reason_of(verdict: str, served: Served) -> str:
    """Why it was decided so, in words: those of the vote, or why nobody could vote."""
    if served.predictors:
        return verdict
    return (
        f"no model serves: {', '.join(sorted(served.stopped))} stopped"
        if served.stopped
        else "no model serves: none has passed the gate yet"
    )


def _why_absent(slot: str, served: Served) -> str:
    return STOPPED + served.stopped[slot] if slot in served.stopped else NOT_SERVING


def _sight(bars: Bars, window: FeatureWindow) -> Sight:
    close = float(bars.close[-1])
    return Sight(bars.symbol, bars.opened_at(-1), bars.timeframe.seconds, close, newest_atr(bars), row_hash(window))
