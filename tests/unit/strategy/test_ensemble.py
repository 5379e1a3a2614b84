from __future__ import annotations

import numpy as np
import pytest

from execution.orders import Side
from strategy.ensemble import Verdict, combine, combine_many, silence, silences, weights_of
from strategy.predictor import Forecast, Forecasts

LEVEL = {"scalper": 0.05, "xgboost": 0.05, "lstm_EURUSD": 0.05}


def _long(r: float) -> Forecast:
    return Forecast(0.5, 0.2, Side.LONG, r)


def _short(r: float) -> Forecast:
    return Forecast(0.2, 0.5, Side.SHORT, r)


def test_two_of_three_long():
    verdict = combine({"scalper": _long(0.25), "xgboost": _long(0.17), "lstm_EURUSD": _short(0.01)}, LEVEL, 2)
    assert verdict.side is Side.LONG
    assert verdict.votes == {"scalper": 1, "xgboost": 1, "lstm_EURUSD": 0}
    assert verdict.expected_r == pytest.approx(0.21)
    assert verdict.reason == "2 of 3 models long (expected 0.21 R)"


def test_the_majority_wins_over_one_against():
    verdict = combine({"scalper": _short(0.1), "xgboost": _short(0.2), "lstm_EURUSD": _long(0.9)}, LEVEL, 2)
    assert verdict == Verdict(Side.SHORT, {"lstm_EURUSD": 1, "scalper": -1, "xgboost": -1}, verdict.expected_r, verdict.reason)
    assert verdict.expected_r == pytest.approx(0.15)


def test_none_expects_enough():
    verdict = combine({"scalper": _long(-0.1), "xgboost": _short(0.02)}, LEVEL, 1)
    assert verdict == Verdict(None, {"scalper": 0, "xgboost": 0}, 0.0, "no model takes a side (best xgboost 0.02 R, needs 0.05 R)")


def test_best_is_the_one_nearest_to_its_own_threshold():
    verdict = combine({"scalper": _long(0.10), "xgboost": _short(0.02)}, {"scalper": 0.30, "xgboost": 0.05}, 1)
    assert verdict.reason == "no model takes a side (best xgboost 0.02 R, needs 0.05 R)"


def test_a_forecast_at_its_threshold_votes():
    assert combine({"scalper": _long(0.05)}, LEVEL, 1).side is Side.LONG


def test_a_tie_is_a_disagreement():
    verdict = combine({"scalper": _long(0.2), "xgboost": _short(0.1)}, LEVEL, 1)
    assert verdict.side is None
    assert verdict.reason == "models disagree: scalper long 0.20 R, xgboost short 0.10 R"


def test_too_few_votes():
    verdict = combine({"scalper": _long(0.2), "xgboost": _short(0.01), "lstm_EURUSD": _long(0.0)}, LEVEL, 2)
    assert verdict.side is None
    assert verdict.expected_r == 0.0
    assert verdict.reason == "1 of 3 models long, 2 needed: scalper long 0.20 R"


def test_no_forecast_at_all():
    assert combine({}, LEVEL, 1) == Verdict(None, {}, 0.0, "no model gave a forecast")


def test_weights_decide_between_sides_and_votes_still_count():
    forecasts = {"scalper": _long(0.2), "xgboost": _short(0.1), "lstm_EURUSD": _short(0.1)}
    assert combine(forecasts, LEVEL, 1, {"scalper": 3.0}).side is Side.LONG
    assert combine(forecasts, LEVEL, 2, {"scalper": 3.0}).side is None


def test_votes_without_weight_take_no_side():
    verdict = combine({"scalper": _long(0.2)}, LEVEL, 1, {"scalper": 0.0})
    assert verdict.side is None
    assert "carry no weight" in verdict.reason


def test_weights_that_add_up_to_the_same_are_a_tie():
    forecasts = {"scalper": _long(0.2), "xgboost": _long(0.1), "lstm_EURUSD": _short(0.1)}
    assert combine(forecasts, LEVEL, 1, {"scalper": 0.1, "xgboost": 0.2, "lstm_EURUSD": 0.3}).side is None


def test_the_order_of_the_slots_does_not_matter():
    forecasts = {"scalper": _long(0.2), "xgboost": _long(0.1), "lstm_EURUSD": _short(0.3)}
    assert combine(forecasts, LEVEL, 2) == combine(dict(reversed(forecasts.items())), LEVEL, 2)


def test_a_slot_without_a_threshold_is_an_error():
    with pytest.raises(KeyError, match="other"):
        combine({"other": _long(0.2)}, LEVEL, 1)


def test_a_value_that_is_not_a_number_abstains():
    assert combine({"scalper": _long(float("nan"))}, LEVEL, 1).side is None


def _column(side: list[int], r: list[float]) -> Forecasts:
    p = np.full(len(side), 0.4)
    return Forecasts(p, p, np.array(side), np.array(r))


def test_many_rows_at_once():
    forecasts = {"scalper": _column([1, 1, -1], [0.2, 0.2, 0.2]), "xgboost": _column([1, -1, -1], [0.1, 0.1, 0.0])}
    sides = combine_many(forecasts, LEVEL, 1)
    assert sides.dtype == np.int64
    assert sides.tolist() == [1, 0, -1]
    assert combine_many(forecasts, LEVEL, 2).tolist() == [1, 0, 0]


def test_many_needs_slots_of_one_length():
    with pytest.raises(ValueError, match="at least one"):
        combine_many({}, LEVEL, 1)
    with pytest.raises(ValueError, match="same shape"):
        combine_many({"scalper": _column([1], [0.1]), "xgboost": _column([1, 1], [0.1, 0.1])}, LEVEL, 1)


# --- weights ----------------------------------------------------------------------------------


def test_equal_weights_are_none_and_leave_no_word():
    assert weights_of({"scalper": 0.4, "xgboost": 0.0}, "equal") is None
    assert "weights" not in combine({"scalper": _long(0.2)}, LEVEL, 1, None).reason


def test_weights_follow_skill_within_bounds():
    found = weights_of({"scalper": 0.1, "xgboost": 5.0, "lstm_EURUSD": -3.0, "unknown": 0.0}, "skill")
    assert found == {"scalper": 1.0, "xgboost": 2.0, "lstm_EURUSD": 0.5, "unknown": 0.5}


def test_a_weight_does_not_hang_on_who_else_answers():
    both = weights_of({"scalper": 0.12, "xgboost": 0.3}, "skill")
    assert weights_of({"scalper": 0.12}, "skill") == {"scalper": both["scalper"]}


def test_the_more_skilled_of_two_that_disagree_wins_and_the_reason_names_the_weights():
    forecasts = {"scalper": _long(0.2), "xgboost": _short(0.3)}
    verdict = combine(forecasts, LEVEL, 1, weights_of({"scalper": 0.2, "xgboost": 0.1}, "skill"))
    assert verdict.side is Side.LONG
    assert verdict.reason == "1 of 2 models long (expected 0.20 R); weights scalper 2.00, xgboost 1.00"
    even = combine(forecasts, LEVEL, 1, weights_of({"scalper": 0.2, "xgboost": 0.2}, "skill"))
    assert even.side is None
    assert even.reason.endswith("; weights scalper 2.00, xgboost 2.00")


@pytest.mark.parametrize("weights", [None, {"scalper": 0.5, "xgboost": 2.0}])
def test_silence_is_where_nobody_votes_and_its_words_are_those_of_the_vote(weights):
    rng = np.random.default_rng(3)
    thresholds = {"xgboost": 0.1, "scalper": 0.2}
    told = {slot: Forecasts(*rng.random((2, 300)), rng.choice([-1, 1], 300), rng.uniform(-0.3, 0.3, 300)) for slot in thresholds}
    told["scalper"].expected_r[7], told["xgboost"].expected_r[7] = 0.0, -0.1  # equally far from voting
    told["xgboost"].expected_r[8] = 0.1  # at its threshold
    alone = [combine({slot: one.at(row) for slot, one in told.items()}, thresholds, 1, weights) for row in range(300)]
    silent = silence(told, thresholds)
    assert silent.tolist() == [not any(one.votes.values()) for one in alone]
    words = silences(told, thresholds, weights)
    assert [words[row] for row in np.flatnonzero(silent)] == [alone[row].reason for row in np.flatnonzero(silent)]
