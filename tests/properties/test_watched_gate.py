"""All rules together: nothing beyond a limit is approved, a tighter limit never approves more, a hole is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import RiskSettings
from execution.exposure import by_currency, market_lines, stop_lines, value_per_lot
from execution.orders import Side
from execution.risk import WATCHED_RULES, Approved, Denied, Proposal, RiskGate, RiskState, TradingState
from tests.fakes_risk import LONG_AGO, NOW, PRICES, SCENE, SPECS, FixedWatch, held, review
from tests.fakes_terminal import account, quote

NAMES = sorted(SPECS)
TIGHTER = {
    "risk_percent": "down",
    "max_positions": "down",
    "max_positions_per_symbol": "down",
    "daily_loss_percent": "down",
    "max_spread_to_stop": "down",
    "cooldown_bars": "up",
    "max_margin_percent": "down",
    "max_currency_risk_percent": "down",
    "max_currency_exposure_percent": "down",
    "max_correlation": "down",
    "max_correlated_positions": "down",
    "max_drawdown_percent": "down",
}
"""Which way each limit is tightened. MAX_ORDERS_PER_HOUR is not here: its figure depends on the limit itself."""


@st.composite
def limits(draw):
    """Limits that sometimes bind."""
    return RiskSettings(
        risk_percent=draw(st.floats(0.1, 5)),
        max_positions=draw(st.integers(1, 6)),
        max_positions_per_symbol=draw(st.integers(1, 4)),
        daily_loss_percent=draw(st.floats(0.5, 20)),
        cooldown_bars=draw(st.integers(0, 5)),
        max_spread_to_stop=draw(st.floats(0.1, 1)),
        max_margin_percent=draw(st.floats(5, 100)),
        max_currency_risk_percent=draw(st.floats(0.1, 10)),
        max_currency_exposure_percent=draw(st.floats(100, 10_000)),
        max_correlation=draw(st.floats(0, 1)),
        max_correlated_positions=draw(st.integers(1, 5)),
        max_drawdown_percent=draw(st.floats(1, 50)),
    )


@st.composite
def entries(draw):
    """A proposal, its state and its surroundings; most are near some limit."""
    symbol, side = draw(st.sampled_from(NAMES)), draw(st.sampled_from(Side))
    spec, price = SPECS[symbol], PRICES[symbol]
    spread, stop = draw(st.integers(0, 20)) * spec.point, draw(st.integers(30, 400)) * spec.point
    now = quote(price, price + spread)
    entry = now.ask if side is Side.LONG else now.bid
    proposal = Proposal(spec, side, entry, entry - side * stop, entry + side * stop, now, draw(st.floats(0, 10)))
    rows = st.tuples(st.sampled_from(NAMES), st.sampled_from(Side), st.floats(0.01, 2), st.integers(1, 300))
    positions = tuple(held(n, *row) for n, row in enumerate(draw(st.lists(rows, max_size=4))))
    equity = draw(st.floats(1_000, 100_000))
    state = RiskState(
        trading=TradingState.ACTIVE,
        account=account(equity=equity, margin=equity * draw(st.floats(0, 0.2)), margin_free=equity * 0.8),
        day_equity=equity * draw(st.floats(0.98, 1.03)),
        positions=positions,
        unresolved=0,
        bars_since_loss=draw(st.none() | st.integers(0, 6)),
        margin_per_lot=draw(st.floats(100, 2_000)),
        profit_per_lot=-spec.risk_per_lot(stop) * draw(st.floats(0.5, 2)),
    )
    correlations = {name: draw(st.none() | st.floats(-1, 1)) for name in NAMES if name != symbol} | {symbol: 1.0}
    scene = replace(
        SCENE,
        correlations=correlations,
        peak_equity=equity * draw(st.floats(1, 1.1)),
        transfers=equity * draw(st.sampled_from([0.0, 0.0, 0.01, -0.01])),
        oldest_entry=draw(st.sampled_from([LONG_AGO, LONG_AGO, NOW - timedelta(minutes=30)])),
        news=draw(st.sampled_from(["", "", "", "USD 'CPI'"])),
    )
    return proposal, state, scene


def volume(verdict):
    return verdict.volume if isinstance(verdict, Approved) else 0.0


@settings(max_examples=300)
@given(entries(), limits())
def test_what_is_approved_is_within_every_limit(entry, risk):
    proposal, state, scene = entry
    verdict = review(proposal, state, scene, risk)
    if not isinstance(verdict, Approved):
        return
    equity, room = state.account.equity, 1 + 1e-9
    new = replace(held(99, proposal.spec.name, proposal.side), volume=verdict.volume)
    assert verdict.risk_money <= equity * risk.risk_percent / 100 * room
    at_market = [
        *market_lines(state.positions, SPECS),
        (proposal.spec, proposal.side, new.volume * value_per_lot(proposal.spec, proposal.entry)),
    ]
    at_stops = [*stop_lines(state.positions, SPECS), (proposal.spec, proposal.side, verdict.risk_money)]
    touched = {*by_currency([at_market[-1]])}
    exposed, risked = by_currency(at_market), by_currency(at_stops)
    assert all(exposed[currency].gross <= equity * risk.max_currency_exposure_percent / 100 * room for currency in touched)
    before = by_currency(at_stops[:-1])
    for currency in touched:
        cap = equity * risk.max_currency_risk_percent / 100
        # What was beyond the cap already may only shrink.
        assert abs(risked[currency].net) <= max(cap * room, abs(before[currency].net) if currency in before else 0.0)
    alike = [
        p
        for p in state.positions
        if scene.correlations[p.symbol] is None or scene.correlations[p.symbol] * p.side * proposal.side > risk.max_correlation
    ]
    assert len(alike) + 1 <= risk.max_correlated_positions
    assert len(state.positions) + 1 <= risk.max_positions
    assert equity > scene.peak_equity * (1 - risk.max_drawdown_percent / 100) * (1 - 1e-12)
    lost = state.day_equity + scene.transfers - equity
    assert lost < min(state.day_equity, state.day_equity + scene.transfers) * risk.daily_loss_percent / 100 * room
    assert (scene.news, scene.tripped, scene.oldest_entry) == ("", "", LONG_AGO)
    assert state.account.margin + verdict.volume * state.margin_per_lot <= equity * risk.max_margin_percent / 100 * room


@settings(max_examples=300)
@given(entries(), limits(), st.sampled_from(sorted(TIGHTER)), st.floats(0.1, 1))
def test_a_tighter_limit_never_approves_more(entry, risk, name, share):
    value = getattr(risk, name)
    lower = max(1, int(value * share)) if isinstance(value, int) else value * share
    strict = risk.model_copy(update={name: value + 3 if TIGHTER[name] == "up" else lower})
    assert volume(review(*entry, strict)) <= volume(review(*entry, risk))


FIGURES = ("peak_equity", "transfers")
UNKNOWNS = ("specs", "correlations", "peak_equity", "tripped", "transfers", "oldest_entry", "news")


@given(entries(), st.sampled_from(UNKNOWNS))
def test_what_is_unknown_of_the_surroundings_is_refused_by_name(entry, name):
    proposal, state, scene = entry
    quiet = replace(scene, tripped="", news="", oldest_entry=LONG_AGO, correlations=dict.fromkeys(NAMES, 0.0), transfers=0.0)
    calm = replace(state, positions=(), bars_since_loss=None, day_equity=state.account.equity)
    easy = RiskSettings(risk_percent=5, max_drawdown_percent=50, max_spread_to_stop=1, max_currency_exposure_percent=100_000)
    rules = {
        "specs": "currency_risk",
        "correlations": "correlated_positions",
        "peak_equity": "drawdown",
        "tripped": "drawdown",
        "transfers": "daily_loss",
        "oldest_entry": "order_rate",
        "news": "news_window",
    }
    for value in (None, math.nan) if name in FIGURES else (None,):
        verdict = review(proposal, calm, replace(quiet, **{name: value}), easy)
        assert isinstance(verdict, Denied)
        whole = review(proposal, calm, quiet, easy)
        if isinstance(whole, Approved):
            assert verdict.rule == rules[name]


POSITION_FIGURES = ("sl", "price_open", "volume")


@given(entries(), st.sampled_from(POSITION_FIGURES), limits())
def test_a_position_with_a_hole_is_refused(entry, name, risk):
    proposal, state, scene = entry
    broken = replace(held(7, "GBPUSD.m"), **{name: math.nan})
    assert isinstance(review(proposal, replace(state, positions=(*state.positions, broken)), scene, risk), Denied)


@given(entries(), limits())
def test_one_more_position_on_the_same_side_never_makes_room(entry, risk):
    proposal, state, scene = entry
    same = held(7, proposal.spec.name, proposal.side, 0.05)
    more = replace(state, positions=(*state.positions, same))
    before = review(proposal, state, scene, risk)
    after = review(proposal, more, scene, risk)
    assert volume(after) <= volume(before)


@given(entries(), limits())
def test_what_a_lot_costs_is_asked_after_the_rules_and_the_verdict_is_the_same(entry, risk):
    proposal, state, scene = entry
    bare, asked = replace(state, margin_per_lot=None, profit_per_lot=None), []

    def price(known):
        asked.append(known)
        return replace(known, margin_per_lot=state.margin_per_lot, profit_per_lot=state.profit_per_lot)

    verdict = RiskGate(risk, FixedWatch(scene)).review(proposal, bare, price)
    assert verdict == review(proposal, state, scene, risk)
    by_rule = isinstance(verdict, Denied) and verdict.rule in {rule.__name__ for rule in WATCHED_RULES}
    assert asked == ([] if by_rule else [bare])
