"""Each rule of the gate alone, at its edge, and refused where it cannot be computed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from config.settings import Settings
from execution.orders import Side
from execution.risk import LIMITS, RULES, Approved, Denied, RiskGate, TradingState, trading_day
from tests.fakes_risk import LONG, SHORT, STATE
from tests.fakes_terminal import EURUSD, account, position, quote

RISK = Settings(_env_file=None).risk.model_copy(
    update={
        "risk_percent": 0.5,
        "max_positions": 3,
        "max_positions_per_symbol": 1,
        "daily_loss_percent": 2.0,
        "max_spread_to_stop": 0.35,
        "cooldown_bars": 3,
        "max_margin_percent": 30.0,
    }
)
NAN = float("nan")


def review(proposal=LONG, state=STATE, risk=RISK, **changes):
    return RiskGate(risk).review(proposal, replace(state, **changes))


@pytest.mark.parametrize("proposal", [LONG, SHORT])
def test_a_sound_entry_is_sized_by_risk_with_commission_inside(proposal):
    # 0.5 % of 10,000 is 50; one lot loses 100 + 7; 0.46 lots lose 49.22, 0.47 would lose 50.29.
    verdict = review(proposal)
    assert verdict == Approved(0.46, pytest.approx(49.22), "risk_percent")


def test_the_larger_of_two_losses_counts():
    assert review(profit_per_lot=-200.0).volume == 0.24  # 50 / 207
    assert review(profit_per_lot=-50.0).volume == 0.46  # the tick value says 100 still


# each rule denies by its own name


WIDE = quote(1.10000, 1.10040)
POSITIONS = tuple(position(n, symbol) for n, symbol in enumerate(("GBPUSD", "USDJPY", "XAUUSD")))
DENIALS = {
    "trading_state": (LONG, {"trading": TradingState.REDUCING}),
    "account_allows": (LONG, {"account": account(trade_allowed=False)}),
    "symbol_allows": (replace(LONG, spec=replace(EURUSD, trade_mode=3)), {}),
    "unresolved_order": (LONG, {"unresolved": 1}),
    "unprotected_position": (LONG, {"positions": (replace(position(), sl=0.0),)}),
    "max_positions": (LONG, {"positions": POSITIONS}),
    "max_positions_per_symbol": (LONG, {"positions": (position(),)}),
    "daily_loss": (LONG, {"account": account(equity=9_800.0)}),
    "cooldown": (LONG, {"bars_since_loss": 2}),
    "stop_sides": (replace(LONG, sl=1.10105, tp=1.09905), {}),
    "spread_cap": (replace(LONG, quote=WIDE, entry=1.10040, sl=1.09940), {}),
    "stops_level": (replace(LONG, spec=replace(EURUSD, stops_level=96)), {}),
    "risk_percent": (LONG, {"account": account(equity=213.0), "day_equity": 213.0}),
    "volume_limit": (replace(LONG, spec=replace(EURUSD, volume_limit=0.005)), {}),
    "max_margin_percent": (LONG, {"account": account(margin=2_990.0)}),
    "free_margin": (LONG, {"account": account(margin_free=10.0)}),
}


def test_a_position_without_a_stop_blocks_its_own_symbol_alone():
    assert isinstance(review(positions=(replace(position(1, "GBPUSD"), sl=0.0),)), Approved)


def test_every_rule_and_limit_is_tried_here():
    assert [rule.__name__ for rule in (*RULES, *LIMITS)] == list(DENIALS)


@pytest.mark.parametrize("rule", DENIALS)
def test_a_rule_denies_by_its_name_and_says_why(rule):
    proposal, changes = DENIALS[rule]
    verdict = review(proposal, **changes)
    assert isinstance(verdict, Denied)
    assert verdict.rule == rule
    assert len(verdict.detail) > 10


def test_the_first_objection_is_the_one_named():
    assert review(trading=TradingState.HALTED, unresolved=3).rule == "trading_state"


# edges


@pytest.mark.parametrize(
    ("proposal", "changes"),
    [
        (LONG, {"positions": POSITIONS[:2]}),
        (LONG, {"account": account(equity=9_800.01)}),
        (LONG, {"bars_since_loss": 3}),
        (LONG, {"bars_since_loss": None}),
        (replace(LONG, spec=replace(EURUSD, stops_level=95)), {}),
        (replace(LONG, spec=replace(EURUSD, trade_mode=1)), {}),
        (replace(SHORT, spec=replace(EURUSD, trade_mode=2)), {}),
        (LONG, {"account": account(equity=214.1), "day_equity": 214.1}),
        (replace(LONG, commission=0.0), {}),
    ],
)
def test_just_inside_is_approved(proposal, changes):
    assert isinstance(review(proposal, **changes), Approved)


def test_the_least_volume_is_refused_rather_than_exceed_the_budget():
    verdict = review(account=account(equity=213.9), day_equity=213.9)  # 1.0695 allowed, 1.07 needed
    assert verdict.rule == "risk_percent"
    assert "1.07" in verdict.detail


@pytest.mark.parametrize(("side", "mode"), [(LONG, 2), (SHORT, 1), (LONG, 0), (SHORT, 0), (SHORT, 3)])
def test_trade_mode_per_side(side, mode):
    assert review(replace(side, spec=replace(EURUSD, trade_mode=mode))).rule == "symbol_allows"


def test_floating_loss_counts_and_a_fresh_day_starts_from_its_own_equity():
    losing = account(balance=10_000.0, equity=9_790.0)
    assert review(account=losing).rule == "daily_loss"
    assert isinstance(review(account=losing, day_equity=9_800.0), Approved)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_stops_level_of_zero_still_asks_for_the_spread(side):
    near = replace(side, sl=side.entry - 0.00009 * side.side, tp=side.entry + 0.0010 * side.side, quote=quote(1.10000, 1.10005))
    relaxed = RISK.model_copy(update={"max_spread_to_stop": 1.0})
    assert review(near, risk=relaxed).rule == "stops_level"


@pytest.mark.parametrize(("level", "allowed"), [(95, True), (96, False)])
def test_within_the_freeze_level_nothing_is_opened(level, allowed):
    verdict = review(replace(LONG, spec=replace(EURUSD, freeze_level=level)))
    assert isinstance(verdict, Approved) == allowed
    assert allowed or verdict.rule == "stops_level"


def test_the_target_needs_the_distance_too():
    assert review(replace(LONG, tp=1.10007)).rule == "stops_level"


def test_margin_lowers_the_volume_before_it_refuses():
    assert review(account=account(margin=2_890.0)) == Approved(0.1, pytest.approx(10.7), "max_margin_percent")
    assert review(account=account(margin_free=55.0)) == Approved(0.05, pytest.approx(5.35), "free_margin")


def test_volume_limit_counts_what_is_open_in_the_direction():
    several = RISK.model_copy(update={"max_positions_per_symbol": 5})
    limited = replace(LONG, spec=replace(EURUSD, volume_limit=0.3))
    opened = (position(1, volume=0.1), position(2, side=Side.SHORT, volume=0.2), position(3, "GBPUSD", volume=0.2))
    verdict = review(limited, risk=several.model_copy(update={"max_positions": 9}), positions=opened)
    assert verdict == Approved(0.2, pytest.approx(21.4), "volume_limit")


@pytest.mark.parametrize(("margin_mode", "denied"), [(2, False), (0, True), (1, True)])
def test_only_a_hedging_account_can_hold_a_second_position_on_a_symbol(margin_mode, denied):
    several = RISK.model_copy(update={"max_positions_per_symbol": 2})
    verdict = review(risk=several, account=account(margin_mode=margin_mode), positions=(position(),))
    assert isinstance(verdict, Denied) is denied
    if denied:
        assert (verdict.rule, "netting" in verdict.detail) == ("max_positions_per_symbol", True)


@pytest.mark.parametrize(("margin_mode", "denied"), [(2, False), (0, True)])
def test_where_positions_merge_those_of_others_bar_the_symbol(margin_mode, denied):
    verdict = review(account=account(margin_mode=margin_mode), foreign=1)
    assert isinstance(verdict, Denied) is denied


def test_volume_max_caps():
    capped = replace(LONG, spec=replace(EURUSD, volume_max=0.25))
    assert review(capped).volume == 0.25


# what cannot be computed is refused


STATE_HOLES = {
    "account": {"account": None},
    "day_equity": {"day_equity": None},
    "day_equity nan": {"day_equity": NAN},
    "day_equity zero": {"day_equity": 0.0},
    "margin": {"margin_per_lot": None},
    "margin nan": {"margin_per_lot": NAN},
    "margin zero": {"margin_per_lot": 0.0},
    "profit": {"profit_per_lot": None},
    "profit nan": {"profit_per_lot": NAN},
    "profit zero": {"profit_per_lot": 0.0},
    "profit positive": {"profit_per_lot": 5.0},
    "positions": {"positions": None},
    "unresolved": {"unresolved": None},
    "cooldown nan": {"bars_since_loss": NAN},
    "equity nan": {"account": account(equity=NAN)},
    "equity negative": {"account": account(equity=-1.0)},
    "used margin nan": {"account": account(margin=NAN)},
    "free margin nan": {"account": account(margin_free=NAN)},
}


@pytest.mark.parametrize("hole", STATE_HOLES)
def test_a_missing_figure_of_the_state_is_refused(hole):
    verdict = review(**STATE_HOLES[hole])
    assert isinstance(verdict, Denied)
    assert verdict.rule in DENIALS


SPEC_FIGURES = ("point", "tick_size", "tick_value_loss", "volume_min", "volume_max", "volume_step")


@pytest.mark.parametrize("figure", SPEC_FIGURES)
@pytest.mark.parametrize("value", [0.0, -1.0, NAN])
def test_an_unsound_symbol_is_refused(figure, value):
    assert isinstance(review(replace(LONG, spec=replace(EURUSD, **{figure: value}))), Denied)


@pytest.mark.parametrize("figure", ["entry", "sl", "tp", "commission"])
@pytest.mark.parametrize("value", [None, NAN, -1.0, float("inf")])
def test_a_proposal_with_a_hole_is_refused(figure, value):
    assert isinstance(review(replace(LONG, **{figure: value})), Denied)


@pytest.mark.parametrize(("bid", "ask"), [(NAN, 1.1), (1.1, NAN), (0.0, 1.1), (1.10005, 1.1), (None, 1.1)])
def test_a_broken_quote_is_refused(bid, ask):
    assert isinstance(review(replace(LONG, quote=quote(bid, ask))), Denied)


def test_a_stop_at_zero_is_no_stop():
    assert review(replace(LONG, sl=0.0)).rule == "stop_sides"
    assert review(replace(LONG, tp=0.0)).rule == "stop_sides"


# the trading day


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2024, 1, 8, 21, 59, tzinfo=UTC), date(2024, 1, 8)),
        (datetime(2024, 1, 8, 22, 0, tzinfo=UTC), date(2024, 1, 9)),
        (datetime(2024, 7, 8, 20, 59, tzinfo=UTC), date(2024, 7, 8)),
        (datetime(2024, 7, 8, 21, 0, tzinfo=UTC), date(2024, 7, 9)),
    ],
)
def test_the_day_turns_at_seventeen_in_new_york(instant, day):
    assert trading_day(instant) == day
