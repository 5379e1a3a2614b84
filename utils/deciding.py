"""How the settings decide a bar: said once, for the daemon and for whoever replays it."""

from __future__ import annotations

from functools import cache

from config.settings import Settings
from execution.exits import ExitPolicy
from strategy.active_models import ActiveModels
from strategy.asking import Scope
from strategy.features import WARMUP
from strategy.foreseeing import ForeseeingStrategy
from strategy.foresight import Foresight
from strategy.learning.bundles import origin_kind
from strategy.learning.jobs import specs_of
from strategy.scalping_strategy import ScalpingStrategy


def strategy_of(settings: Settings, origin: str, models: ActiveModels, foresight: Foresight | None = None) -> ScalpingStrategy:
    """The strategy over given models, for prices of an origin.

    Args:
        settings: of filters, exits and models.
        origin: of the home.
        models: in service.
        foresight: of a market that is played; None: every bar is worked out when it is decided.
    """
    exit_hash = ExitPolicy.from_settings(settings.exits).hash
    scope = Scope(origin_kind(origin), settings.symbols.timeframe, exit_hash, settings.life.model_expiry_hours)

    @cache
    def expected(symbol: str) -> tuple[str, ...]:
        return tuple(spec.slot for spec in specs_of(settings, (symbol,)))

    extra = settings.models.feature_families
    rest = (models, settings.filters, scope, settings.data.max_bar_age_bars, expected, extra)
    return ScalpingStrategy(*rest) if foresight is None else ForeseeingStrategy(foresight, *rest)


def decision_bars(settings: Settings) -> int:
    """Bars that a decision reads."""
    horizon = ExitPolicy.from_settings(settings.exits).horizon
    return max(WARMUP + settings.lstm.lstm_seq_length, horizon + 1) + 1
