"""Stops are read back after every fill, set where they are missing, and without them no position stays."""

from dataclasses import replace
from datetime import timedelta

import pytest

from execution.orders import OrderResult, OrderState, Side
from strategy.stop_guard import AGAIN, CLOSE_AGAIN, MOST_TRIES, Mend, StopGuard
from tests.unit.strategy.test_trade_desk import Case


@pytest.fixture
def case():
    return Case()


def drop(case, **stops):
    """The broker shows other stops than the entry asked for."""
    ticket = case.trade.ticket
    case.broker.held[ticket] = replace(case.broker.held[ticket], **stops)


def purposes(case):
    return [intent.purpose for intent in case.broker.sent]


def test_stops_that_are_there_need_nothing(case):
    case.enter()
    case.pass_time()
    assert purposes(case) == ["entry"]


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("missing", [{"sl": 0.0}, {"tp": 0.0}, {"sl": 0.0, "tp": 0.0}])
def test_what_the_broker_dropped_is_set_and_the_journal_says_so(case, side, missing):
    case.enter(side)
    drop(case, **missing)
    case.pass_time()
    held = case.broker.held[case.trade.ticket]
    assert (held.sl, held.tp) == (case.trade.sl, case.trade.tp)
    set_ = case.broker.sent[1]
    assert (set_.purpose, set_.position, set_.sl, set_.tp) == ("stop", case.trade.ticket, case.trade.sl, case.trade.tp)
    assert case.states(set_.key) == [OrderState.INTENDED, OrderState.CONFIRMED]
    assert set_.reason.startswith("the broker shows stop ")
    case.pass_time()
    assert purposes(case) == ["entry", "stop"]


def test_a_looser_stop_is_brought_back_and_a_nearer_one_is_left(case):
    case.enter()
    drop(case, sl=case.trade.sl - 0.001)
    case.pass_time()
    assert case.broker.held[case.trade.ticket].sl == case.trade.sl
    other = Case()
    other.enter()
    drop(other, sl=other.trade.sl + 0.0002)
    other.pass_time()
    assert purposes(other) == ["entry"]


def test_a_nearer_stop_stays_while_the_target_is_mended(case):
    case.enter()
    nearer = case.trade.sl + 0.0002
    drop(case, sl=nearer, tp=0.0)
    case.pass_time()
    assert (case.broker.held[case.trade.ticket].sl, case.broker.held[case.trade.ticket].tp) == (nearer, case.trade.tp)


def test_a_position_that_cannot_be_protected_is_closed(case):
    case.enter()
    drop(case, sl=0.0)
    case.broker.answers.extend(["refuse"] * MOST_TRIES)
    for _ in range(MOST_TRIES + 1):
        case.pass_time(AGAIN)
    assert purposes(case) == ["entry", *["stop"] * MOST_TRIES, "exit"]
    assert case.closed.exit.reason == "unprotected"


def test_a_stop_that_the_price_has_passed_closes_at_once(case, monkeypatch):
    case.enter()
    drop(case, sl=0.0)
    send = case.broker.send
    refused = OrderResult(OrderState.REJECTED, 10016, "invalid stops")
    monkeypatch.setattr(case.broker, "send", lambda intent: refused if intent.purpose == "stop" else send(intent))
    case.pass_time()
    case.pass_time(timedelta(seconds=1))
    assert case.closed.exit.reason == "unprotected"


def test_a_close_that_is_refused_is_not_tried_in_a_spin(case):
    case.enter()
    drop(case, sl=0.0)
    case.broker.answers.extend(["refuse"] * 100)
    for _ in range(MOST_TRIES):
        case.pass_time(AGAIN)
    sent = len(case.broker.sent)
    for _ in range(20):
        case.pass_time(CLOSE_AGAIN / 20)
    assert len(case.broker.sent) - sent <= 2


def test_after_a_restart_any_stop_is_fine_and_none_is_not(case):
    """A stop may have been moved meanwhile; what matters is that there is one."""
    case.enter()
    drop(case, sl=case.trade.sl - 0.0001)
    case.restart()
    case.pass_time()
    assert purposes(case) == ["entry"]
    drop(case, sl=0.0)
    case.restart()
    case.pass_time()
    assert case.broker.held[case.trade.ticket].sl == case.trade.sl


def test_a_restart_at_the_same_instant_waits_and_ends_nothing(case):
    """A simulated clock stands still while no daemon runs, so that the key of the first try is taken."""
    case.enter()
    drop(case, sl=0.0)
    case.broker.answers.append("refuse")
    case.pass_time()
    case.restart()
    case.pass_time(timedelta(0))
    assert purposes(case) == ["entry", "stop"]
    case.pass_time(AGAIN)
    assert case.broker.held[case.trade.ticket].sl == case.trade.sl


def test_a_closed_market_proves_nothing_about_a_stop(case):
    case.enter()
    entry = case.trade
    drop(case, sl=0.0)
    guard, now = StopGuard(), case.clock.now()
    for _ in range(2 * MOST_TRIES):
        assert isinstance(guard.verdict(entry, case.broker.held[entry.ticket], now), Mend)
        guard.answered(entry, OrderResult(OrderState.REJECTED, 10_018, "market closed"))
        now += AGAIN
