"""How the settings decide: who is expected to vote on a symbol."""

from __future__ import annotations

from datetime import timedelta

from config.settings import Settings
from strategy.active_models import ActiveModels
from strategy.scalping_strategy import NOT_SERVING
from tests.fakes_learning import ALL, market
from utils.deciding import decision_bars, strategy_of


def _absent(**changes):
    settings = Settings(lstm={"lstm_seq_length": 10}, **changes)
    bars = market(decision_bars(settings))
    return strategy_of(settings, "synthetic", ActiveModels()).decide(bars, ALL, bars.opened_at(-1) + timedelta(seconds=60)).absent


def test_every_slot_that_the_settings_call_for_is_named_until_it_serves():
    assert _absent() == dict.fromkeys(("scalper", "xgboost", "lstm_EURUSD"), NOT_SERVING)


def test_a_kind_that_is_switched_off_is_not_missed():
    assert _absent(models={"use_lstm": False, "use_xgboost": False}) == {"scalper": NOT_SERVING}
