"""The gate fails closed and is monotone: worse conditions never mean a larger volume."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from execution.orders import Side
from execution.risk import Approved, Denied, Proposal, RiskGate, RiskState, TradingState
from tests.fakes_terminal import EURUSD, account, quote

RISK = Settings(_env_file=None).risk
GATE = RiskGate(RISK)
POINT = EURUSD.point


@st.composite
def cases(draw):
    """Entries around the limits of the gate: some pass, some do not."""
    side = draw(st.sampled_from(Side))
    spread = draw(st.integers(0, 60)) * POINT
    now = quote(1.1, 1.1 + spread)
    entry = now.ask if side is Side.LONG else now.bid
    stop = draw(st.integers(10, 400)) * POINT
    spec = replace(EURUSD, stops_level=draw(st.integers(0, 60)), volume_limit=draw(st.sampled_from([0.0, 0.2, 5.0])))
    proposal = Proposal(spec, side, entry, entry - stop * side, entry + stop * side, now, draw(st.floats(0, 20)))
    equity, margin = draw(st.floats(50, 1e6)), draw(st.floats(0, 5_000))
    state = RiskState(
        trading=TradingState.ACTIVE,
        account=account(equity=equity, margin=margin, margin_free=equity - margin),
        day_equity=equity * draw(st.floats(0.98, 1.05)),
        positions=(),
        unresolved=0,
        bars_since_loss=draw(st.none() | st.integers(0, 6)),
        margin_per_lot=draw(st.floats(10, 5_000)),
        profit_per_lot=-stop / POINT * draw(st.floats(0.5, 2)),
    )
    return proposal, state


def volume(verdict):
    return verdict.volume if isinstance(verdict, Approved) else 0.0


@given(cases())
def test_the_loss_at_the_stop_is_within_the_budget(case):
    proposal, state = case
    verdict = GATE.review(proposal, state)
    if isinstance(verdict, Approved):
        budget = state.account.equity * RISK.risk_percent / 100
        broker = -state.profit_per_lot + proposal.commission
        own = proposal.spec.risk_per_lot(abs(proposal.entry - proposal.sl)) + proposal.commission
        assert verdict.volume * max(broker, own) <= budget * (1 + 1e-9)
        assert verdict.risk_money <= budget * (1 + 1e-9)
        assert EURUSD.volume_min <= verdict.volume <= EURUSD.volume_max
        assert math.isclose(verdict.volume * 100, round(verdict.volume * 100), abs_tol=1e-6)
        assert state.account.margin + verdict.volume * state.margin_per_lot <= state.account.equity * RISK.max_margin_percent / 100 + 1e-6


@given(cases(), st.floats(0, 1))
def test_less_equity_never_means_more_volume(case, share):
    proposal, state = case
    less = state.account.equity * share
    poorer = replace(state.account, equity=less, margin_free=less - state.account.margin)
    assert volume(GATE.review(proposal, replace(state, account=poorer))) <= volume(GATE.review(proposal, state))


@given(cases(), st.integers(0, 60), st.booleans())
def test_a_wider_spread_never_means_more_volume(case, points, upwards):
    proposal, state = case
    now, more = proposal.quote, points * POINT
    wider = quote(now.bid, now.ask + more) if upwards else quote(now.bid - more, now.ask)
    assert volume(GATE.review(replace(proposal, quote=wider), state)) <= volume(GATE.review(proposal, state))


@given(cases(), st.floats(0, 100))
def test_more_commission_never_means_more_volume(case, more):
    proposal, state = case
    dearer = replace(proposal, commission=proposal.commission + more)
    assert volume(GATE.review(dearer, state)) <= volume(GATE.review(proposal, state))


PROPOSAL_FIGURES = ("entry", "sl", "tp", "commission")
QUOTE_FIGURES = ("bid", "ask")
SPEC_FIGURES = (
    "point",
    "tick_size",
    "tick_value_loss",
    "contract_size",
    "volume_min",
    "volume_max",
    "volume_step",
    "volume_limit",
    "stops_level",
    "freeze_level",
)
STATE_FIGURES = ("day_equity", "margin_per_lot", "profit_per_lot", "unresolved")
ACCOUNT_FIGURES = ("equity", "margin", "margin_free")
HOLES = [
    (owner, name)
    for owner, names in (
        ("proposal", PROPOSAL_FIGURES),
        ("quote", QUOTE_FIGURES),
        ("spec", SPEC_FIGURES),
        ("state", STATE_FIGURES),
        ("account", ACCOUNT_FIGURES),
    )
    for name in names
]


def broken(proposal, state, owner, name, value):
    """The case with one figure replaced."""
    if owner == "proposal":
        return replace(proposal, **{name: value}), state
    if owner in ("quote", "spec"):
        return replace(proposal, **{owner: replace(getattr(proposal, owner), **{name: value})}), state
    if owner == "state":
        return proposal, replace(state, **{name: value})
    return proposal, replace(state, account=replace(state.account, **{name: value}))


@given(cases(), st.sampled_from(HOLES), st.sampled_from([None, math.nan]))
def test_any_figure_that_is_missing_is_refused(case, hole, value):
    assert isinstance(GATE.review(*broken(*case, *hole, value)), Denied)


@given(cases())
def test_an_unknown_account_is_refused(case):
    proposal, state = case
    assert isinstance(GATE.review(proposal, replace(state, account=None)), Denied)
