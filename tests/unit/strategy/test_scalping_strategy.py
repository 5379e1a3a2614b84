"""Decisions: who may vote, who is silent and why, vetoes, versions, and a swap between two bars."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest

from config.errors import ArtifactError, PredictionFailed
from config.settings import FilterSettings
from execution.orders import Side
from strategy.active_models import ActiveModels
from strategy.asking import Scope, forecasts_of
from strategy.features import WARMUP, atr, compute, row_hash, schema_for, sequence_schema
from strategy.predictor import BundleInfo, FeatureSchema, Forecast, Forecasts, Inference, newest_rows, require_schema
from strategy.scalping_strategy import NOT_SERVING, ScalpingStrategy
from tests.fakes_learning import ALL, EVEN_PAYOFF, POLICY, market, still

SCHEMA = schema_for(ALL)
SCOPE = Scope("synthetic", "M1", POLICY.hash)
LONG, SHORT = Forecast(0.6, 0.2, Side.LONG, 0.3), Forecast(0.2, 0.6, Side.SHORT, 0.3)


@dataclass(frozen=True)
class Saying:
    """A predictor that reads its window as a real one does, and then says what it is told to."""

    info: BundleInfo
    inference: Inference
    forecast: Forecast
    fails: Exception | None = None

    def prepare(self, window):
        require_schema(self.info.slot, self.info.schema, window.schema)
        newest_rows(self.info.slot, window, self.info.rows)
        return self.say

    def say(self):
        if self.fails is not None:
            raise self.fails
        return self.forecast

    def predict_many(self, values):
        raise NotImplementedError


def saying(forecast=LONG, *, slot="scalper", version=1, threshold=0.1, fails=None, schema=SCHEMA, **scope):
    said = {"origin": "synthetic", "symbols": ("EURUSD",), "timeframe": "M1", "exit_hash": POLICY.hash, "rows": 1, **scope}
    info = BundleInfo(slot=slot, version=version, kind="random_forest", schema=schema, **said)
    return Saying(info, Inference(((0.0,) * 3,) * 3, (0.0,) * 3, EVEN_PAYOFF, threshold), forecast, fails)


@pytest.fixture(scope="module")
def bars():
    return market(WARMUP + 70)


def strategy_of(*predictors, min_votes=1):
    models = ActiveModels({predictor.info.slot: predictor for predictor in predictors})
    return models, ScalpingStrategy(models, FilterSettings(min_votes=min_votes), SCOPE, 2.0)


def decide(strategy, bars, late=60):
    return strategy.decide(bars, ALL, bars.opened_at(-1) + timedelta(seconds=late))


def test_a_decision_names_what_it_rests_on(bars):
    _, strategy = strategy_of(saying(version=7), saying(slot="xgboost", version=3))
    decision = decide(strategy, bars)
    assert (decision.symbol, decision.bar_time, decision.side) == ("EURUSD", bars.opened_at(-1), Side.LONG)
    assert decision.versions == {"scalper": 7, "xgboost": 3}
    assert decision.forecasts == {"scalper": LONG, "xgboost": LONG}
    assert decision.absent == {}
    assert decision.expected_r == pytest.approx(0.3)
    assert decision.close == bars.close[-1]
    assert decision.atr == pytest.approx(atr(bars)[-1])
    assert decision.feature_hash == row_hash(compute(bars, SCHEMA))
    assert decision.reason.startswith("2 of 2 models long")


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({"origin": "mt5"}, "learned from mt5 prices, these are synthetic"),
        ({"timeframe": "M5"}, "made for M5, not M1"),
        ({"exit_hash": "0" * 12}, f"made for exit policy 000000000000, not {POLICY.hash}"),
        ({"symbols": ("GBPUSD", "USDJPY")}, "made for GBPUSD, USDJPY, not EURUSD"),
        ({"rows": 500}, "feature rows, 500 needed"),
        ({"schema": FeatureSchema(("move_1", "oracle"))}, r"missing columns ['oracle']"),
        ({"fails": PredictionFailed("the model gave a value that is not finite")}, "not finite"),
        ({"fails": ArtifactError("scaler does not fit")}, "scaler does not fit"),
    ],
)
def test_who_cannot_speak_is_absent_with_the_reason_and_the_others_go_on(bars, scope, reason):
    _, strategy = strategy_of(saying(SHORT), saying(LONG, slot="xgboost", **scope))
    decision = decide(strategy, bars)
    assert set(decision.absent) == {"xgboost"}
    assert reason in decision.absent["xgboost"]
    assert set(decision.forecasts) == set(decision.versions) == {"scalper"}
    assert decision.side is Side.SHORT
    alone = decide(strategy_of(saying(LONG, slot="xgboost", **scope))[1], bars)
    assert (alone.side, alone.forecasts, alone.expected_r) == (None, {}, 0.0)


def test_a_slot_without_a_version_is_named_and_does_not_vote(bars):
    models = ActiveModels({"scalper": saying()})
    expected = {"EURUSD": ("scalper", "xgboost", "lstm_EURUSD")}
    strategy = ScalpingStrategy(models, FilterSettings(), SCOPE, 2.0, expected.__getitem__)
    decision = decide(strategy, bars)
    assert decision.absent == {"xgboost": NOT_SERVING, "lstm_EURUSD": NOT_SERVING}
    assert decision.reason.startswith("1 of 1 models long")


def test_weights_by_skill_count_those_that_answer_and_the_decision_names_them(bars):
    predictors = (saying(SHORT, skill=0.05), saying(LONG, slot="xgboost", skill=0.15))
    models = ActiveModels({predictor.info.slot: predictor for predictor in predictors})
    assert decide(ScalpingStrategy(models, FilterSettings(), SCOPE, 2.0), bars).side is None
    skilled = FilterSettings(ensemble_weights="skill")
    decision = decide(ScalpingStrategy(models, skilled, SCOPE, 2.0), bars)
    assert decision.side is Side.LONG
    assert decision.reason == "1 of 2 models long (expected 0.30 R); weights scalper 0.50, xgboost 1.50"
    models.swap("xgboost", saying(LONG, slot="xgboost", skill=0.15, fails=PredictionFailed("no")))
    alone = decide(ScalpingStrategy(models, skilled, SCOPE, 2.0), bars)
    assert (alone.side, alone.absent) == (Side.SHORT, {"xgboost": "no"})
    assert alone.reason.endswith("; weights scalper 0.50")


def test_a_silent_model_is_no_vote_of_one_half(bars):
    """Two votes are needed: one long and one failure is not a side, whatever the failure might have said."""
    broken = saying(LONG, slot="xgboost", fails=PredictionFailed("no"))
    decision = decide(strategy_of(saying(LONG), broken, min_votes=2)[1], bars)
    assert decision.side is None
    assert "1 of 1 models long, 2 needed" in decision.reason


def test_an_error_that_nobody_expects_is_not_hidden(bars):
    _, strategy = strategy_of(saying(fails=ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        decide(strategy, bars)


def test_without_models_the_reason_says_so(bars):
    decision = decide(strategy_of()[1], bars)
    assert (decision.side, decision.reason) == (None, "no model serves: none has passed the gate yet")


def test_models_that_expect_too_little_stay_out(bars):
    decision = decide(strategy_of(saying(threshold=0.31))[1], bars)
    assert decision.side is None
    assert decision.reason == "no model takes a side (best scalper 0.30 R, needs 0.31 R)"
    assert decide(strategy_of(saying(threshold=0.3))[1], bars).side is Side.LONG


def test_a_late_decision_is_vetoed_and_remembers_what_it_would_have_done(bars):
    decision = decide(strategy_of(saying())[1], bars, late=121)
    assert (decision.side, decision.expected_r) == (None, 0.0)
    assert decision.reason == "veto: stale bar: opened 2.0 bar lengths ago, at most 2; was: 1 of 1 models long (expected 0.30 R)"
    assert decision.forecasts == {"scalper": LONG}


def test_a_blocked_hour_is_vetoed():
    evening = market(1_400)  # from midnight UTC to 23:20, which is 18:20 in New York
    rollover = evening.slice(0, int(np.searchsorted(evening.time, evening.time[0] + 22 * 3_600 + 1_800)) + 1)
    decision = decide(strategy_of(saying())[1], rollover.tail(300))
    assert decision.side is None
    assert decision.reason.startswith("veto: blocked hour: 17:00")


def test_no_veto_where_no_side_was_taken(bars):
    decision = decide(strategy_of(saying(threshold=5.0))[1], bars, late=1_000)
    assert decision.reason.startswith("no model takes a side")


def test_a_market_that_stands_still_is_not_traded():
    dead = still(market(400), 200, 400)
    decision = decide(strategy_of(saying())[1], dead)
    assert (decision.side, decision.atr) == (None, 0.0)
    assert "missing values" in decision.absent["scalper"]


def test_too_short_a_history_has_no_forecast(bars):
    decision = decide(strategy_of(saying())[1], bars.tail(WARMUP))
    assert decision.side is None
    assert "missing values" in decision.absent["scalper"]


def test_models_read_their_own_columns_of_one_window(bars):
    few = saying(slot="lstm_EURUSD", schema=sequence_schema(ALL), rows=60)
    decision = decide(strategy_of(few, saying())[1], bars)
    assert set(decision.forecasts) == {"lstm_EURUSD", "scalper"}


def test_a_swap_changes_the_next_decision_and_names_the_new_version(bars):
    models, strategy = strategy_of(saying(LONG, version=1))
    before = decide(strategy, bars)
    models.swap("scalper", saying(SHORT, version=2))
    after = decide(strategy, bars)
    assert (before.side, before.versions) == (Side.LONG, {"scalper": 1})
    assert (after.side, after.versions) == (Side.SHORT, {"scalper": 2})
    models.remove("scalper")
    assert decide(strategy, bars).side is None


def test_a_swap_in_the_middle_of_a_decision_waits_for_the_next(bars):
    """One snapshot a decision: the first model's answer triggers a swap of the second."""
    models = ActiveModels()

    @dataclass(frozen=True)
    class Swapping(Saying):
        def prepare(self, window):
            models.swap("xgboost", saying(SHORT, slot="xgboost", version=2))
            return super().prepare(window)

    first = saying()
    models.replace({"scalper": Swapping(first.info, first.inference, LONG), "xgboost": saying(LONG, slot="xgboost", version=1)})
    strategy = ScalpingStrategy(models, FilterSettings(min_votes=2), SCOPE, 2.0)
    decision = decide(strategy, bars)
    assert decision.versions == {"scalper": 1, "xgboost": 1}
    assert decision.side is Side.LONG
    assert decide(strategy, bars).versions == {"scalper": 1, "xgboost": 2}


def test_forecasts_do_not_depend_on_more_history_than_needed(bars):
    longer = market(WARMUP + 900)
    window_a = compute(longer.tail(WARMUP + 80), SCHEMA)
    window_b = compute(longer, SCHEMA)
    snapshot = {"scalper": saying()}
    now = bars.opened_at(-1)
    assert forecasts_of(snapshot, window_a, "EURUSD", SCOPE, now) == forecasts_of(snapshot, window_b, "EURUSD", SCOPE, now)
    assert row_hash(window_a) == row_hash(window_b)


@pytest.mark.parametrize(("hours", "votes"), [(0.0, True), (2.0, False), (2.5, True)])
def test_an_expired_version_does_not_vote_and_the_decision_says_so(bars, hours, votes):
    now = bars.opened_at(-1) + timedelta(seconds=61)
    predictor = saying(made=int(now.timestamp()) - 7_200)
    strategy = ScalpingStrategy(ActiveModels({"scalper": predictor}), FilterSettings(), replace(SCOPE, expiry_hours=hours), 2.0)
    decision = strategy.decide(bars, ALL, now)
    assert (decision.side is Side.LONG) == votes
    assert dict(decision.absent) == ({} if votes else {"scalper": "expired: made 2.0 h ago, at most 2 h"})


def test_a_version_of_unknown_age_never_expires(bars):
    strategy = ScalpingStrategy(ActiveModels({"scalper": saying()}), FilterSettings(), replace(SCOPE, expiry_hours=0.1), 2.0)
    assert decide(strategy, bars).side is Side.LONG


def test_a_decision_is_the_same_twice(bars):
    _, strategy = strategy_of(saying(), saying(SHORT, slot="xgboost"))
    assert decide(strategy, bars) == decide(strategy, replace(bars))


def test_a_stopped_slot_is_absent_with_its_reason(bars):
    models = ActiveModels({"xgboost": saying(slot="xgboost")})
    models.remove("scalper", "version 3: -0.300 R a trade")
    strategy = ScalpingStrategy(models, FilterSettings(), SCOPE, 2.0, lambda symbol: ("scalper", "xgboost", "lstm_EURUSD"))
    decision = strategy.decide(bars, ALL, bars.opened_at(-1) + timedelta(minutes=1))
    assert decision.absent == {"scalper": "stopped: version 3: -0.300 R a trade", "lstm_EURUSD": NOT_SERVING}
    assert decision.versions == {"xgboost": 1}
    models.remove("xgboost")
    alone = strategy.decide(bars, ALL, bars.opened_at(-1) + timedelta(minutes=1))
    assert (alone.side, alone.reason) == (None, "no model serves: scalper stopped")


# --- many symbols at one close ------------------------------------------------------------------


@dataclass(frozen=True)
class Counting(Saying):
    """Says the sum of its row as expected R, and counts how it is asked."""

    asked: list = field(default_factory=list)

    def prepare(self, window):
        row = newest_rows(self.info.slot, window, self.info.rows)[-1]

        def ask():
            self.asked.append(1)
            return Forecast(0.5, 0.2, Side.LONG, float(row.sum()))

        return ask

    def predict_many(self, values):
        if not np.isfinite(values).all():
            raise PredictionFailed("missing values in some row")
        self.asked.append(len(values))
        one = np.ones(len(values))
        return Forecasts(0.5 * one, 0.2 * one, one.astype(int), np.array([float(row.sum()) for row in values]))


SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")


def many(*changes):
    """Bars of several symbols, and the instant after their close."""
    found = [market(WARMUP + 70, symbol=symbol, seed=seed) for seed, symbol in enumerate(SYMBOLS)]
    return [(change(bars) if change else bars, ALL) for bars, change in zip(found, (*changes, *(None,) * len(found)), strict=False)]


def counting(**scope):
    said = saying(symbols=SYMBOLS, **scope)
    return Counting(said.info, said.inference, said.forecast)


def test_a_model_that_serves_all_symbols_is_asked_once_and_says_the_same():
    closed, model = many(), counting()
    _, strategy = strategy_of(model)
    now = closed[0][0].opened_at(-1) + timedelta(seconds=60)
    together = strategy.decide_all(closed, now)
    assert model.asked == [len(SYMBOLS)]
    assert together == [strategy.decide(bars, known, now) for bars, known in closed]
    assert [decision.symbol for decision in together] == list(SYMBOLS)


def test_a_symbol_that_cannot_be_read_leaves_the_others_their_forecasts():
    closed, model = many(lambda bars: still(bars, 60, len(bars))), counting()
    first, *others = strategy_of(model)[1].decide_all(closed, closed[0][0].opened_at(-1) + timedelta(seconds=60))
    assert "missing values" in first.absent["scalper"] and not first.forecasts
    assert all(set(other.forecasts) == {"scalper"} for other in others)


def test_a_model_of_one_symbol_and_one_that_reads_many_rows_are_asked_by_symbol():
    closed = many()
    own, deep = saying(slot="lstm_GBPUSD", symbols=("GBPUSD",)), counting(slot="deep", rows=60)
    decisions = strategy_of(own, deep)[1].decide_all(closed, closed[0][0].opened_at(-1) + timedelta(seconds=60))
    assert [set(decision.forecasts) for decision in decisions] == [{"deep"}, {"deep", "lstm_GBPUSD"}, {"deep"}]
    assert decisions[0].absent == {"lstm_GBPUSD": "made for GBPUSD, not EURUSD"}
    assert deep.asked == [1, 1, 1]
