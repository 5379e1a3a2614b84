"""Each rule that looks beyond account and proposal, alone, at its edge, and refused where it cannot be computed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from config.settings import RiskSettings
from execution.orders import Side
from execution.risk import LIMITS, RULES, WATCHED_LIMITS, WATCHED_RULES, Approved, Denied, RiskGate
from tests.fakes_risk import LONG, NOW, SHORT, SPECS, STATE, held, review
from tests.fakes_terminal import account, quote

NAN = float("nan")
ROOMY = RiskSettings(max_positions=20, max_positions_per_symbol=10, max_correlated_positions=20)

DENIALS = {
    "drawdown": {"peak_equity": 11_112.0},
    "order_rate": {"oldest_entry": NOW - timedelta(minutes=59, seconds=59)},
    "correlated_positions": {"positions": (held(1, "GBPUSD.m"), held(2, "USDCHF", Side.SHORT))},
    "news_window": {"news": "USD 'CPI' (high)"},
    "currency_risk": {"positions": (held(1, "GBPUSD.m", volume=0.995),)},
    "currency_exposure": {"positions": (held(1, "USDJPY", volume=4.5, points=1),)},
}
LOOSE = {"currency_risk": ROOMY, "currency_exposure": ROOMY}


def test_every_rule_and_limit_is_tried_here():
    beyond = [rule.__name__ for rule in (*WATCHED_RULES, *WATCHED_LIMITS) if rule not in (*RULES, *LIMITS)]
    assert beyond == list(DENIALS)
    assert [rule for rule in WATCHED_RULES if rule in RULES] == list(RULES)
    assert WATCHED_LIMITS[: len(LIMITS)] == LIMITS


@pytest.mark.parametrize("rule", DENIALS)
def test_a_rule_denies_by_its_name_and_says_why(rule):
    verdict = review(risk=LOOSE.get(rule), **DENIALS[rule])
    assert isinstance(verdict, Denied)
    assert verdict.rule == rule
    assert len(verdict.detail) > 10


def test_in_quiet_surroundings_the_watched_gate_says_what_the_bare_one_says():
    assert review() == RiskGate(RiskSettings()).review(LONG, STATE) == Approved(0.46, pytest.approx(49.22), "risk_percent")


@pytest.mark.parametrize(
    ("rule", "hole"),
    [
        ("drawdown", {"peak_equity": None}),
        ("drawdown", {"peak_equity": NAN}),
        ("drawdown", {"peak_equity": 0.0}),
        ("drawdown", {"tripped": None}),
        ("drawdown", {"account": None}),
        ("daily_loss", {"transfers": None}),
        ("daily_loss", {"transfers": NAN}),
        ("order_rate", {"oldest_entry": None}),
        ("correlated_positions", {"correlations": None}),
        ("news_window", {"news": None}),
        ("currency_risk", {"specs": None}),
        ("currency_risk", {"specs": {}, "positions": (held(1, "GBPUSD.m"),)}),
        ("currency_risk", {"positions": (replace(held(1, "GBPUSD.m"), sl=0.0),)}),
        ("currency_risk", {"positions": (replace(held(1, "GBPUSD.m"), sl=NAN),)}),
        ("currency_risk", {"positions": (replace(held(1, "GBPUSD.m"), price_open=NAN),)}),
        ("currency_risk", {"positions": (replace(held(1, "GBPUSD.m"), volume=NAN),)}),
        ("currency_risk", {"positions": (held(1, "GBPUSD.m"),), "specs": {"GBPUSD.m": replace(SPECS["GBPUSD.m"], tick_value_loss=NAN)}}),
    ],
)
def test_what_is_unknown_is_refused(rule, hole):
    verdict = review(risk=ROOMY, **hole)
    assert isinstance(verdict, Denied)
    assert verdict.rule == rule


def test_no_surroundings_at_all_are_refused():
    assert review(scene=None).rule == "drawdown"


# drawdown


@pytest.mark.parametrize(("equity", "allowed"), [(9_000.01, True), (9_000.0, False), (8_000.0, False)])
def test_entries_stop_at_the_drawdown(equity, allowed):
    verdict = review(account=account(equity=equity), day_equity=equity)
    assert isinstance(verdict, Approved) == allowed


def test_a_tripped_switch_stays_however_equity_recovers_and_is_named_before_the_state():
    verdict = review(tripped="equity fell", account=account(equity=20_000.0), trading=None)
    assert (verdict.rule, verdict.detail) == ("drawdown", "equity fell; lift it with `resume --drawdown`")


# the day's loss


def test_a_deposit_does_not_hide_a_loss():
    losing = {"account": account(equity=14_800.0), "transfers": 5_000.0, "peak_equity": 14_800.0}
    assert review(**losing).rule == "daily_loss"
    assert "2.00 % of the day's opening equity 10000.00" in review(**losing).detail


def test_a_withdrawal_is_no_loss_and_narrows_the_days_limit():
    taken = {"transfers": -5_000.0, "peak_equity": 5_000.0}
    assert isinstance(review(account=account(equity=5_000.0), **taken), Approved)
    assert review(account=account(equity=4_900.0), **taken).rule == "daily_loss"
    assert review(account=account(equity=100.0), transfers=-10_000.0, peak_equity=100.0).rule == "daily_loss"


# correlation


@pytest.mark.parametrize(
    ("symbol", "side", "correlation", "alike"),
    [
        ("GBPUSD.m", Side.LONG, 0.71, True),
        ("GBPUSD.m", Side.LONG, 0.7, False),
        ("GBPUSD.m", Side.SHORT, 0.95, False),
        ("USDCHF", Side.SHORT, -0.9, True),
        ("USDCHF", Side.LONG, -0.9, False),
        ("USDCHF", Side.LONG, None, True),
        ("USDCHF", Side.LONG, NAN, True),
    ],
)
@pytest.mark.parametrize("turned", [1, -1])
def test_one_bet_is_told_by_the_sign_of_sides_and_correlation(symbol, side, correlation, alike, turned):
    proposal = LONG if turned == 1 else SHORT
    positions = (held(1, symbol, Side(side * turned), 0.01),)
    verdict = review(proposal, positions=positions, correlations={symbol: correlation}, risk=RiskSettings(max_correlated_positions=1))
    assert (isinstance(verdict, Denied) and verdict.rule == "correlated_positions") == alike


def test_a_symbol_whose_correlation_is_not_told_counts():
    verdict = review(positions=(held(1, "GBPUSD.m"),), correlations={}, risk=RiskSettings(max_correlated_positions=1))
    assert verdict.rule == "correlated_positions"
    assert "GBPUSD.m unknown" in verdict.detail


# exposure


def test_risk_for_one_currency_lowers_the_volume_before_it_refuses():
    # 1 % of 10,000 is 100; GBP long risks 75 of short USD, 25 are left, one lot of EUR risks 107.
    verdict = review(positions=(held(1, "GBPUSD.m", volume=0.75),), risk=ROOMY)
    assert verdict == Approved(0.23, pytest.approx(24.61), "currency_risk")


def test_a_hedge_makes_room_for_risk():
    positions = (held(1, "GBPUSD.m", volume=0.95), held(2, "USDCHF", Side.LONG, volume=0.8))
    assert review(positions=positions, risk=ROOMY).limited_by == "risk_percent"


def test_a_stop_beyond_the_entry_risks_nothing():
    safe = replace(held(1, "GBPUSD.m", volume=5.0), sl=1.2501)
    wide = ROOMY.model_copy(update={"max_currency_exposure_percent": 20_000.0})
    assert review(positions=(safe,), risk=wide).limited_by == "risk_percent"


def test_gross_exposure_counts_both_sides():
    # 3,000 % of 10,000 is 300,000; long 1.2 and short 1.2 lots of GBPUSD hold 300,000 gross of both legs.
    positions = (held(1, "GBPUSD.m", Side.LONG, 1.2, 1), held(2, "GBPUSD.m", Side.SHORT, 1.2, 1))
    assert review(positions=positions, risk=ROOMY).rule == "currency_exposure"


def test_gold_is_a_leg_of_its_own():
    gold = replace(LONG, spec=SPECS["XAUUSD.pro"], entry=2_000.5, sl=1_999.5, tp=2_001.5, quote=quote(2_000.4, 2_000.5))
    free = replace(held(1, "EURUSD", volume=0.01), symbol="US500")
    verdict = review(gold, positions=(free,), risk=ROOMY)
    assert isinstance(verdict, Approved)


def test_suffixed_names_meet_the_same_limits():
    suffixed = replace(LONG, spec=replace(LONG.spec, name="EURUSD.m"))
    specs = {"EURUSD.m": suffixed.spec}
    position = replace(held(1, "EURUSD"), symbol="EURUSD.m")
    assert review(suffixed, positions=(position,), specs=specs).rule == "max_positions_per_symbol"
    big = replace(position, volume=0.99)
    assert review(suffixed, positions=(big,), specs=specs, risk=ROOMY).rule == "currency_risk"
