"""Every rule of the gate, on cases built to pass it and to fail it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from config.settings import FilterSettings, GateSettings
from strategy.learning import gate
from strategy.learning.budget import Grant
from strategy.learning.bundles import skill_of
from strategy.learning.case import Peer, prepared
from strategy.learning.gate import STRICT, judge, passing_symbols, rules_for, unproven, with_latency, worth_testing
from strategy.learning.labels import FLAT, LONG, SHORT
from strategy.learning.recipes import Candidate
from strategy.predictor import Forecasts
from tests.fakes_learning import IDENTITY, rows_of

START, N, HORIZON = 1_704_700_000, 4_000, 960
SETTINGS = GateSettings(gate_resamples=200)
GRANT = Grant(0.01, N)


def window(n=N, seed=1, start=START):
    """Rows of which a third move a full R, up or down as a coin falls; the others cost a tenth."""
    rng = np.random.default_rng(seed)
    direction = np.where(rng.random(n) < 0.5, 1, -1)
    kind = np.where(rng.random(n) < 0.35, np.where(direction > 0, LONG, SHORT), FLAT)
    r_long = np.select([kind == LONG, kind == SHORT], [1.0, -1.0], -0.1)
    base = rows_of(start + 60 * np.arange(n), kind, r_long=r_long, forward=direction * rng.uniform(0.1, 2.0, n), horizon=HORIZON)
    return replace(base, r_short=np.select([kind == LONG, kind == SHORT], [-1.0, 1.0], -0.1))


def forecasts(data, *, right=0.8, seed=2):
    """Forecasts on the side of what comes, in a given share of the rows, and calibrated."""
    rng = np.random.default_rng(seed)
    direction = np.sign(data.forward).astype(np.int64)
    side = np.where(rng.random(len(data)) < right, direction, -direction)
    ours, other = 0.35 * right, 0.35 * (1 - right)
    return Forecasts(np.where(side > 0, ours, other), np.where(side > 0, other, ours), side, 0.2 + 0.01 * rng.standard_normal(len(data)))


def candidate(data=None, said=None, **changes):
    data = window() if data is None else data
    said = forecasts(data) if said is None else said
    held = window(seed=9, start=START - 90 * N)
    made = Candidate(
        kind="random_forest",
        model=None,
        inference=IDENTITY,
        final=data,
        forecasts=said,
        raw_final=np.column_stack([np.sign(data.forward), np.ones(len(data))]),
        priors=np.array([0.65, 0.175, 0.175]),
        held=held,
        held_forecasts=forecasts(held, seed=8),
        fold=np.zeros(len(held), np.int64),
        val_loss_ratio=0.98,
        train_rows=9_000,
        train_end=int(data.time[0]) - HORIZON - 60,
        block_seconds=2 * HORIZON,
    )
    return replace(made, **changes)


def case(made=None, **changes):
    """A case with a full grant; `champion`, `others` and any field of it may be given."""
    champion, others = changes.pop("champion", None), changes.pop("others", {})
    filters = FilterSettings(min_votes=changes.pop("min_votes", 1), **changes.pop("filters", {}))
    peers = {**others, **({} if champion is None else {"scalper": champion})}
    made = made or candidate()
    base = prepared("scalper", made, SETTINGS, filters, grant=GRANT, recipe="recipe", bar_seconds=60, peers=peers)
    return replace(base, **changes)


def verdict(report, rule):
    return next(finding for finding in report.findings if finding.rule == rule)


def peer(said, **changes):
    return replace(Peer(said, 0.0, START - 10_000, "recipe"), **changes)


# --- the whole --------------------------------------------------------------------------------


def test_a_good_candidate_passes_every_rule():
    report = judge(case())
    assert report.passed
    assert report.reasons == ()
    assert [finding.passed for finding in report.findings] == [True] * len(report.findings)
    assert report.summary == "passed the strict gate"
    assert report.metrics["accuracy"] == pytest.approx(0.8, abs=0.02)
    assert report.metrics["final_rows"] == N


def test_every_rule_is_judged_although_one_has_failed():
    report = judge(case(candidate(said=forecasts(window(), right=0.4))))
    assert not report.passed
    assert len(report.findings) == len(rules_for("strict", "random_forest"))
    assert len(report.reasons) == 4
    assert report.summary == "; ".join(report.reasons)


def _constant(data):
    return Forecasts(np.full(N, 0.2), np.full(N, 0.2), np.ones(N, np.int64), np.full(N, 0.1))


def _overconfident(data):
    right = forecasts(data)
    return replace(right, p_long=np.where(right.side > 0, 0.98, 0.01), p_short=np.where(right.side > 0, 0.01, 0.98))


FAILURES = {
    "finite": (lambda d: candidate(d, _constant(d)), {}, "forecasts span 0.0000 R"),
    "directional rows": (lambda d: candidate(d, inference=replace(IDENTITY, threshold=0.24)), {}, "of 4000 final rows, 200 needed"),
    "accuracy": (lambda d: candidate(d, forecasts(d, right=0.45)), {}, "floor 0.500 (-0.0"),
    "log-loss": (lambda d: candidate(d, _overconfident(d)), {}, "log-loss of the side -0.2"),
    "expectancy": (lambda d: candidate(d, forecasts(d, right=0.55)), {}, "lower bound at level 0.01 -0.0"),
    "recipe": (
        lambda d: candidate(d, held_forecasts=forecasts(window(seed=9, start=START - 90 * N), right=0.5)),
        {},
        "held rows, must exceed +0.000 R",
    ),
    "calibration": (lambda d: candidate(d, _overconfident(d)), {}, "largest gap 0."),
    "new evidence": (lambda d: candidate(d), {"grant": Grant(0.0, 99)}, "99 final rows no earlier try has seen, 100 needed"),
    "champion": (lambda d: candidate(d), {"champion": peer(forecasts(window(), right=0.95))}, "R a row against the champion over"),
    "ensemble": (
        lambda d: candidate(d),
        {"others": {"xgboost": peer(forecasts(window(), right=0.0)), "lstm_EURUSD": peer(forecasts(window(), right=0.0))}},
        "trades by vote of ['lstm_EURUSD', 'scalper', 'xgboost']",
    ),
    "symbols": (
        lambda d: candidate(replace(d, symbols=("EURUSD", "GBPUSD"), symbol=np.arange(N) % 2), forecasts(d, right=0.4)),
        {},
        "own evidence of no symbol",
    ),
}


@pytest.mark.parametrize("rule", FAILURES)
def test_each_rule_fails_with_its_name_and_by_how_much(rule):
    make, changes, text = FAILURES[rule]
    report = judge(case(make(window()), **changes))
    assert not report.passed
    found = verdict(report, rule)
    assert not found.passed
    assert text in found.detail
    assert f"{rule}: {found.detail}" in report.reasons


def test_to_know_when_nothing_happens_is_no_knowledge_of_the_side():
    """Flat or not is forecast perfectly, the side by a coin: the log-loss of all classes is fine, that of the side is not."""
    data = window()
    coin = forecasts(data, right=0.5)
    sure = np.where(data.kind == FLAT, 0.01, 0.45)
    knows = replace(coin, p_long=sure * np.where(coin.side > 0, 1.1, 0.9), p_short=sure * np.where(coin.side > 0, 0.9, 1.1))
    report = judge(case(candidate(data, knows)))
    assert report.metrics["log_loss_gain"] > 0.3
    assert not verdict(report, "log-loss").passed


def test_a_flat_share_that_has_drifted_is_no_error_of_the_side():
    data = window()
    right = forecasts(data)
    drifted = replace(right, p_long=1.5 * right.p_long, p_short=1.5 * right.p_short)
    assert verdict(judge(case(candidate(data, drifted))), "log-loss").passed
    assert judge(case(candidate(data, drifted))).passed


def test_the_validation_loss_is_asked_of_the_lstm_alone():
    lstm = candidate(kind="lstm", val_loss_ratio=1.0)
    found = verdict(judge(case(lstm)), "validation loss")
    assert (found.passed, found.detail) == (False, "validation loss 1.0000 of the trivial one, must be below 1.0000")
    assert verdict(judge(case(candidate(kind="lstm"))), "validation loss").passed
    assert judge(case(candidate(val_loss_ratio=1.5))).passed


def test_the_lstm_must_come_closer_than_zero():
    data = window()
    close = candidate(data, kind="lstm", raw_final=np.column_stack([0.5 * data.forward, data.forward]))
    away = candidate(data, kind="lstm", raw_final=np.column_stack([-0.1 * data.forward, data.forward]))
    assert verdict(judge(case(close)), "zero return").passed
    found = verdict(judge(case(away)), "zero return")
    assert (found.passed, found.detail) == (False, "final squared error 1.2100 of predicting zero, must be below 1")
    assert judge(case(close)).metrics["zero_loss_ratio"] == pytest.approx(0.25)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_forecast_that_is_no_number_never_passes_and_the_figures_stay_numbers(broken):
    data = window()
    said = forecasts(data)
    said.expected_r[7] = broken
    report = judge(case(candidate(data, said)))
    assert not verdict(report, "finite").passed
    assert all(np.isfinite(value) for value in report.metrics.values())
    json.dumps(report.as_json(), allow_nan=False)


def test_a_model_that_takes_no_side_fails_with_plain_figures():
    report = judge(case(candidate(inference=replace(IDENTITY, threshold=9.0))))
    assert verdict(report, "directional rows").detail == "0 of 4000 final rows, 200 needed"
    assert not verdict(report, "expectancy").passed
    assert all(np.isfinite(value) for value in report.metrics.values())
    json.dumps(report.as_json(), allow_nan=False)


def test_luck_in_a_few_blocks_is_no_evidence():
    """All of the profit in one afternoon: the mean is fine, the bound is not."""
    data = window()
    said = forecasts(data, right=0.5)
    lucky = (np.arange(N) >= 1_000) & (np.arange(N) < 1_096)
    planted = replace(data, r_long=np.where(lucky, 7.0, -0.05), r_short=np.where(lucky, 7.0, -0.05))
    report = judge(case(candidate(planted, said)))
    assert report.metrics["expectancy_r"] > 0.1
    assert report.metrics["expectancy_lower_r"] < 0.0
    assert not verdict(report, "expectancy").passed


def test_the_verdict_does_not_depend_on_when_it_is_asked_for():
    assert judge(case()) == judge(case())


# --- profiles ---------------------------------------------------------------------------------


def test_the_threshold_profile_asks_only_its_own_rules():
    poor = candidate(said=forecasts(window(), right=0.52), val_loss_ratio=2.0)
    loose = SETTINGS.model_copy(update={"gate_profile": "threshold"})
    report = judge(case(poor, settings=loose, grant=Grant(0.0, 0), champion=peer(forecasts(window(), right=1.0))))
    assert report.passed
    assert [finding.rule for finding in report.findings] == ["finite", "directional rows", "accuracy"]
    assert report.profile == "threshold"
    assert report.summary == "passed the threshold gate"
    assert not judge(case(poor)).passed


def test_the_profiles_by_kind():
    assert [rule.__name__ for rule in rules_for("threshold", "lstm")] == ["finite", "validation_loss"]
    assert gate.validation_loss in rules_for("strict", "lstm")
    assert gate.beats_zero_return in rules_for("strict", "lstm")
    assert set(STRICT) - set(rules_for("strict", "xgboost")) == {gate.validation_loss}


# --- the champion -----------------------------------------------------------------------------


def test_a_champion_that_learned_the_comparison_by_heart_gains_nothing_by_it():
    """It is perfect on the rows that taught it and poor after them: only the later ones count."""
    data = window()
    half = N // 2
    learned, honest = forecasts(data, right=1.0), forecasts(data, right=0.6, seed=5)
    side = np.where(np.arange(N) < half, learned.side, honest.side)
    memory = replace(honest, side=side)
    champion = peer(memory, train_end=int(data.time[half]))
    assert verdict(judge(case(candidate(data), champion=champion)), "champion").passed
    # The same forecasts from a champion that claims to have learned nothing of these rows would win.
    planted = peer(memory, train_end=START - 10_000)
    assert not verdict(judge(case(candidate(data), champion=planted)), "champion").passed


def test_rows_that_taught_the_candidate_do_not_count_either():
    data = window()
    made = candidate(data, train_end=int(data.time[N // 2]))
    found = verdict(judge(case(made, champion=peer(forecasts(data, right=0.6)))), "champion")
    blocks = len(np.unique((data.time[data.time > made.train_end + HORIZON]) // (2 * HORIZON)))
    assert f"over {blocks} clean blocks" in found.detail


@pytest.mark.parametrize(
    ("recipe", "shadow", "text"), [("recipe", False, "same recipe, a refresh"), ("other", True, "changed recipe, it stays in shadow")]
)
def test_too_few_clean_blocks_let_a_refresh_serve_and_send_a_changed_recipe_into_shadow(recipe, shadow, text):
    champion = peer(forecasts(window(), right=1.0), train_end=START + 60 * N - 20 * 2 * HORIZON, recipe=recipe)
    report = judge(case(champion=champion))
    found = verdict(report, "champion")
    assert found.passed
    assert unproven(report) == shadow
    assert text in found.detail
    assert "30 needed" in found.detail


def test_without_a_champion_there_is_nothing_to_beat():
    assert verdict(judge(case()), "champion").detail == "no champion serves"


def test_a_champion_that_stays_out_makes_nothing():
    silent = peer(forecasts(window()), threshold=99.0)
    assert verdict(judge(case(champion=silent)), "champion").passed


# --- evidence ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("unseen", "passes"), [(N, True), (100, True), (99, False), (0, False)])
def test_the_same_rows_are_no_new_evidence(unseen, passes):
    assert verdict(judge(case(grant=Grant(0.01, unseen))), "new evidence").passed == passes


def test_a_try_that_was_granted_nothing_is_not_tested():
    report = judge(case(grant=Grant(0.0, N)))
    found = verdict(report, "expectancy")
    assert (found.passed, "not tested" in found.detail) == (False, True)
    assert report.metrics["alpha"] == 0.0
    assert "expectancy_lower_r" not in report.metrics


def test_the_smaller_the_level_the_lower_the_bound():
    bounds = [judge(case(grant=Grant(alpha, N))).metrics["expectancy_lower_r"] for alpha in (0.05, 0.01, 1e-4, 1e-6)]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 4


def test_only_what_the_older_rows_speak_for_is_worth_testing():
    assert worth_testing(candidate(), SETTINGS)
    poor = forecasts(window(seed=9, start=START - 90 * N), right=0.4)
    assert not worth_testing(candidate(held_forecasts=poor), SETTINGS)
    assert worth_testing(candidate(val_loss_ratio=1.2), SETTINGS)
    assert not worth_testing(candidate(kind="lstm", val_loss_ratio=1.2), SETTINGS)


def test_whether_it_is_worth_testing_does_not_hang_on_the_final_window():
    """The level would else depend on the outcome that it is to judge."""
    made = candidate()
    ruined = replace(
        made, final=replace(made.final, r_long=-made.final.r_long), forecasts=forecasts(window(), right=0.0), raw_final=-made.raw_final
    )
    assert worth_testing(made, SETTINGS) == worth_testing(ruined, SETTINGS)


def test_rows_on_which_the_loop_would_not_enter_judge_nothing():
    """All profit outside the session in which the settings allow entries."""
    data = window()
    hour = (data.time + 60) // 3600 % 24
    inside = (hour >= 8) & (hour < 17)
    lucky = replace(data, r_long=np.where(inside, -0.1, 1.0), r_short=np.where(inside, -0.1, 1.0))
    made = candidate(lucky, forecasts(lucky))
    assert judge(case(made)).metrics["expectancy_r"] > 0.3
    report = judge(case(made, filters={"trading_sessions": ("UTC 08:00-17:00",)}))
    assert report.metrics["expectancy_r"] == pytest.approx(-0.1)
    assert not verdict(report, "expectancy").passed
    assert not verdict(report, "ensemble").passed


def test_trades_are_counted_one_at_a_time():
    report = judge(case(filters={"blocked_hours": ()}))
    assert report.metrics["trades"] == len(range(0, N, HORIZON // 60))
    assert report.metrics["money_per_lot"] == pytest.approx(10.0 * report.metrics["trade_expectancy_r"], abs=1e-4)


def test_a_profit_that_one_position_at_a_time_cannot_take_is_none():
    """The first row of every stretch loses, the rows that it keeps out win."""
    data = window()
    first = np.arange(N) % (HORIZON // 60) == 0
    planted = replace(data, r_long=np.where(first, -0.5, 1.0), r_short=np.where(first, -0.5, 1.0))
    report = judge(case(candidate(planted, forecasts(planted)), filters={"blocked_hours": ()}))
    assert verdict(report, "expectancy").passed
    found = verdict(report, "trades")
    assert (found.passed, found.detail) == (False, "net -0.500 R over 250 trades one at a time, must exceed +0.000 R")
    assert not verdict(report, "ensemble").passed


def test_the_evidence_has_its_tables():
    report = judge(case())
    assert set(report.evidence) == {"symbols", "folds", "calibration", "priors"}
    assert report.evidence["symbols"]["EURUSD"]["rows"] == N
    assert report.evidence["folds"][0]["rows"] == N
    assert report.evidence["calibration"]["kept"] is False
    assert {"recall_long", "recall_short", "direction_skill", "p_value"} <= set(report.metrics)


def test_one_vote_too_few_in_the_ensemble_is_no_trade():
    report = judge(case(min_votes=2, others={"xgboost": peer(forecasts(window()), threshold=99.0)}))
    assert verdict(report, "ensemble").detail.startswith("net -inf R over 0 trades")


def test_a_peer_that_knows_the_final_window_by_heart_lends_it_no_profit():
    """Where rows taught the peer it is silent; here they are the first half, and the candidate takes no side."""
    data, silent = window(), candidate(inference=replace(IDENTITY, threshold=9.0))
    half, said = N // 2, forecasts(window(), right=1.0)
    memory = replace(said, expected_r=np.where(np.arange(N) < half, said.expected_r, -1.0))
    taught = peer(memory, train_end=int(data.time[half]))
    assert verdict(judge(case(silent, others={"xgboost": taught})), "ensemble").detail.startswith("net -inf R over 0 trades")
    planted = peer(memory, train_end=START - 10_000)
    assert verdict(judge(case(silent, others={"xgboost": planted})), "ensemble").passed


def test_in_the_ensemble_weights_are_those_of_the_live_vote():
    """Against a peer that always says the other side an even vote makes no trade; the more skilled one's vote does."""
    made = candidate()
    other = peer(replace(made.forecasts, side=-made.forecasts.side))
    even = verdict(judge(case(made, others={"xgboost": other})), "ensemble")
    assert even.detail.startswith("net -inf R over 0 trades")
    skilled = {"ensemble_weights": "skill"}
    assert verdict(judge(case(made, others={"xgboost": other}, filters=skilled)), "ensemble").passed
    strong = replace(other, skill=5.0)
    report = judge(case(made, others={"xgboost": strong}, filters=skilled))
    assert not verdict(report, "ensemble").passed
    assert skill_of(report.metrics) == report.metrics["expectancy_r"] - report.metrics["expectancy_error_r"]


def test_alone_in_the_ensemble_one_vote_is_enough():
    assert verdict(judge(case(min_votes=2)), "ensemble").passed


# --- several symbols --------------------------------------------------------------------------


def _pooled(right):
    data = window()
    symbol = np.arange(N) % 3
    data = replace(data, symbols=("EURUSD", "GBPUSD", "USDJPY"), symbol=symbol)
    parts = [forecasts(data, right=share, seed=index) for index, share in enumerate(right)]

    def pick(name):
        return np.choose(symbol, [getattr(part, name) for part in parts])

    return candidate(data, Forecasts(pick("p_long"), pick("p_short"), pick("side"), pick("expected_r")))


def test_a_pooled_model_votes_for_the_symbols_that_speak_for_it():
    assert passing_symbols(case(_pooled((0.8, 0.2, 0.9)))) == ("EURUSD", "USDJPY")
    assert passing_symbols(case(_pooled((0.1, 0.2, 0.1)))) == ()
    found = verdict(judge(case(_pooled((0.9, 0.2, 0.9)))), "symbols")
    assert found.detail == "own evidence of EURUSD, USDJPY out of EURUSD, GBPUSD, USDJPY"


def test_in_the_ensemble_it_is_silent_on_symbols_that_do_not_speak_for_it():
    report = judge(case(_pooled((0.9, 0.0, 0.9))))
    ensemble, alone = verdict(report, "ensemble").detail, verdict(report, "trades").detail
    trades = [int(detail.split(" over ")[1].split()[0]) for detail in (ensemble, alone)]
    assert 0 < trades[0] < trades[1]
    assert float(ensemble.split()[1]) > float(alone.split()[1])


def test_a_symbol_with_hardly_a_row_has_no_evidence():
    made = _pooled((0.9, 0.9, 0.9))
    few = (made.final.symbol == 1) & (np.arange(N) < N - 60)
    made = replace(made, forecasts=replace(made.forecasts, expected_r=np.where(few, -1.0, made.forecasts.expected_r)))
    assert passing_symbols(case(made)) == ("EURUSD", "USDJPY")


def test_the_threshold_profile_serves_all_symbols():
    loose = SETTINGS.model_copy(update={"gate_profile": "threshold"})
    assert passing_symbols(case(_pooled((0.1, 0.1, 0.1)), settings=loose)) == ("EURUSD", "GBPUSD", "USDJPY")
    assert passing_symbols(case()) == ("EURUSD",)


# --- the report -------------------------------------------------------------------------------


def test_latency_is_the_last_word_and_its_figure_is_not_recorded():
    report = judge(case())
    quick, slow = with_latency(report, 3.0, 20.0), with_latency(report, 25.0, 20.0)
    assert quick.passed
    assert not slow.passed
    assert slow.reasons == ("latency: forecast slower than 20 ms",)
    assert verdict(quick, "latency").detail == "forecast within 20 ms"
    assert replace(slow, passed=True) == replace(with_latency(report, 1_000.0, 20.0), passed=True)
    failed = with_latency(judge(case(grant=Grant(0.0, 0))), 3.0, 20.0)
    assert not failed.passed


@pytest.mark.parametrize(
    "made", [case(), case(candidate(kind="lstm", val_loss_ratio=float("inf"))), case(candidate(inference=replace(IDENTITY, threshold=9.0)))]
)
def test_the_report_survives_json(made):
    report = judge(made)
    back = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert back["passed"] == report.passed
    assert tuple(back["reasons"]) == report.reasons
    assert back["metrics"] == dict(report.metrics)
    assert [finding["rule"] for finding in back["findings"]] == [finding.rule for finding in report.findings]
