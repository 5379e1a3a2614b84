"""What goes into the journal comes out of it, for any record that the daemon may make."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execution.orders import OrderIntent, Side
from market_data.clock import ManualClock
from strategy.decision import Decision, DecisionOutcome, TradeEntry, TradeExit
from strategy.predictor import Forecast
from utils.journal_records import MONEY_NOISE
from utils.trade_journal import TradeJournal

START = datetime(2024, 1, 1, tzinfo=UTC)

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
whole = st.integers(0, 2**63 - 1)
sides = st.sampled_from(Side)
zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
instants = st.builds(
    lambda when, zone: when.replace(microsecond=when.microsecond // 1_000 * 1_000).replace(tzinfo=UTC).astimezone(zone),
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001  # the zone is put on above
    zones,
)
versions = st.dictionaries(texts, st.integers(0, 10**6), max_size=3)
forecasts = st.builds(Forecast, numbers, numbers, sides, numbers)
decisions = st.builds(
    Decision,
    symbol=texts,
    bar_time=instants,
    side=st.none() | sides,
    reason=texts,
    forecasts=st.dictionaries(texts, forecasts, max_size=3),
    absent=st.dictionaries(texts, texts, max_size=3),
    versions=versions,
    expected_r=numbers,
    close=numbers,
    atr=numbers,
    feature_hash=texts,
)
outcomes = st.builds(DecisionOutcome, decision=decisions, action=texts, detail=texts, order_key=texts, latency_us=whole)
intents = st.builds(
    OrderIntent,
    key=texts,
    symbol=texts,
    side=sides,
    volume=numbers,
    price=numbers,
    sl=numbers,
    tp=numbers,
    deviation=whole,
    magic=whole,
    created=instants,
    purpose=st.just("entry"),
    position=whole,
    reason=texts,
)
entries = st.builds(
    TradeEntry,
    ticket=whole,
    order_key=texts,
    symbol=texts,
    side=sides,
    volume=numbers,
    opened=instants,
    bar_time=instants,
    price=numbers,
    sl=numbers,
    tp=numbers,
    risk_money=st.floats(0.01, 1e9),
    versions=versions,
    expected_r=numbers,
    reason=texts,
)
money = st.floats(-1e9, 1e9)
exits = st.builds(
    TradeExit, ticket=whole, closed=instants, price=numbers, reason=texts, gross=money, commission=money, swap=money, net=money
)

reused = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def journals(tmp_path):
    """Makes journals that each see an account of their own in one file, so examples do not meet."""
    made = count()

    def make():
        return closing(TradeJournal(tmp_path / "journal.db", account=f"test/{next(made)}", mode="simulated", clock=ManualClock(START)))

    with make():  # held open, so that no example folds the log into the file
        yield make


@reused
@given(outcome=outcomes)
def test_a_decision_comes_back(journals, outcome):
    with journals() as journal:
        assert journal.record_decision(outcome)
        assert journal.decision(outcome.decision.symbol, outcome.decision.bar_time) == outcome
        assert journal.last_decision(outcome.decision.symbol) == outcome.decision.bar_time


@reused
@given(intent=intents, bar_time=instants)
def test_an_intent_comes_back(journals, intent, bar_time):
    with journals() as journal:
        journal.record_intent(intent, bar_time)
        assert journal.unresolved_orders() == (intent,)
        assert journal.intent_for_bar(intent.symbol, bar_time) == intent


@reused
@given(entry=entries, done=exits)
def test_a_trade_comes_back(journals, entry, done):
    done = replace(done, ticket=entry.ticket)
    with journals() as journal:
        assert journal.log_entry(entry)
        assert journal.open_trades() == (entry,)
        assert journal.log_exit(done)
        (trade,) = journal.recent_closed(5)
        assert (trade.entry, trade.exit, trade.r_multiple) == (entry, done, done.net / entry.risk_money)
        assert journal.last_loss(entry.symbol) == (done.closed if done.net < -MONEY_NOISE else None)


@reused
@given(nets=st.lists(st.sampled_from([-2.0, -0.5, 0.0, 1.5]), max_size=6), still_open=st.integers(0, 3))
def test_daily_figures_add_up(journals, nets, still_open):
    with journals() as journal:
        for ticket in range(len(nets) + still_open):
            journal.log_entry(TradeEntry(ticket, "", "EURUSD", Side.LONG, 0.1, START, START, 1.0, 0.9, 1.1, 2.0, {}, 0.0, ""))
        for ticket, net in enumerate(nets):
            journal.log_exit(TradeExit(ticket, START, 1.0, "time", net, 0.0, 0.0, net))
        stats = journal.get_daily_stats(START.date())
    assert stats.trades == len(nets) == stats.wins + stats.losses + stats.breakeven
    assert (stats.losses, stats.breakeven) == (sum(net < 0 for net in nets), nets.count(0.0))
    assert stats.net == stats.gross == sum(nets) == stats.sum_r * 2.0
