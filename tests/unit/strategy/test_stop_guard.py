"""Stops are read back after every fill, set where they are missing, and without them no position stays."""

from dataclasses import replace
from datetime import timedelta

import pytest

from config.settings import RiskSettings
from execution.mt5_client import MT5Client
from execution.orders import OrderResult, OrderState, Side
from execution.risk import RiskGate
from execution.terminal import ModuleTerminal
from strategy.stop_guard import AGAIN, CLOSE_AGAIN, MOST_TRIES, Mend, StopGuard
from strategy.trade_desk import TradeDesk
from tests.fakes_daemon import FEE, MINUTE
from tests.fakes_recorder import ListRecorder
from tests.fakes_simulated import SERVER, make_bars, make_terminal, order
from tests.fakes_terminal import EURUSD, MAGIC
from tests.unit.strategy.test_trade_desk import POLICY, Case


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


# --- positions that nobody gave a stop ---


RANGE = 0.0006
"""Of every bar below: ATR times 1.5 is more than five round trips and the broker's least distance."""


def bars_of(case):
    rows = [(1.1, 1.1 + RANGE / 2, 1.1 - RANGE / 2, 1.1)] * 40
    return make_bars(rows, start=int((case.clock.now() - 40 * MINUTE).timestamp()))


def adopt(case, when="at start", side=Side.LONG, **stops):
    """A position with our magic of which the journal knows nothing."""
    ticket = case.broker.open(side, **{"sl": 0.0, "tp": 0.0, **stops})
    case.restart() if when == "at start" else case.pass_time()
    return ticket


def next_bar(case, by=MINUTE):
    case.pass_time(by)
    case.desk.manage("EURUSD", bars_of(case), case.clock.now())


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("when", ["at start", "while running"])
@pytest.mark.parametrize("tp", [0.0, 1.2])
def test_a_stranger_without_a_stop_gets_that_of_an_entry(case, when, side, tp):
    ticket = adopt(case, when, side, tp=tp if side is Side.LONG else tp / 1.2)
    target = case.broker.held[ticket].tp
    next_bar(case)
    assert case.broker.held[ticket].sl == pytest.approx(1.1 - side * 1.5 * RANGE)
    assert case.broker.held[ticket].tp == target
    (sent,) = case.broker.sent
    assert (sent.purpose, sent.position) == ("stop", ticket)
    assert sent.reason.startswith("adopted without a stop")
    assert case.states(sent.key) == [OrderState.INTENDED, OrderState.CONFIRMED]
    for _ in range(3):
        next_bar(case)
    case.restart()
    next_bar(case)
    assert len(case.broker.sent) == 1


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("level", [0, 30])
def test_a_stranger_beyond_its_stop_or_too_near_to_it_is_closed(case, side, level):
    ticket = adopt(case, side=side)
    case.broker.known_spec = replace(EURUSD, stops_level=level)
    case.broker.bid = 1.1 - side * (1.5 * RANGE + (-0.0002 if level else 0.0002))
    next_bar(case)
    assert purposes(case) == ["exit"]
    assert ticket not in case.broker.held
    assert case.closed.exit.reason == "unprotected"


def test_no_entry_on_the_symbol_until_the_stranger_is_protected():
    case = Case(max_positions_per_symbol=3)
    adopt(case, "while running")
    denied = case.enter()
    assert denied.action == "denied"
    assert denied.detail.startswith("unprotected_position: ")
    case.broker.answers.append("refuse")
    next_bar(case)
    assert case.enter().action == "denied"
    next_bar(case)
    assert case.enter().action == "sent"


def test_a_stranger_whose_stop_is_refused_is_closed_after_as_many_tries_as_any(case):
    adopt(case)
    case.broker.answers.extend(["refuse"] * MOST_TRIES)
    next_bar(case)
    for _ in range(MOST_TRIES):
        case.pass_time(AGAIN)
    assert purposes(case) == [*["stop"] * MOST_TRIES, "exit"]
    assert case.closed.exit.reason == "unprotected"


@pytest.mark.parametrize("side", list(Side))
def test_a_strangers_own_stop_is_left_alone_even_where_it_is_looser_and_its_target_was_changed(case, side):
    ticket = adopt(case, side=side)
    case.broker.answers.append("refuse")
    next_bar(case)
    own = 1.1 - side * 0.01
    case.broker.held[ticket] = replace(case.broker.held[ticket], sl=own, tp=1.1 + side * 0.01)
    for _ in range(3):
        next_bar(case)
    assert case.broker.held[ticket].sl == own
    assert purposes(case) == ["stop"]


def test_a_strangers_stop_that_is_taken_away_is_set_again(case):
    ticket = adopt(case)
    next_bar(case)
    case.broker.held[ticket] = replace(case.broker.held[ticket], sl=0.0)
    next_bar(case)
    assert case.broker.held[ticket].sl == pytest.approx(1.1 - 1.5 * RANGE)


def test_a_stranger_on_a_symbol_that_nobody_decides_on_has_no_bars_for_a_stop_and_is_closed():
    case = Case(symbols=("GBPUSD",))
    adopt(case)
    case.desk.manage("GBPUSD", bars_of(case), case.clock.now())
    assert case.closed.exit.reason == "unprotected"


def test_over_the_real_client_a_stranger_is_protected_and_others_are_left_alone():
    module = make_terminal(make_bars([(1.1, 1.1 + RANGE / 2, 1.1 - RANGE / 2, 1.1)] * 60), history=40)
    client = MT5Client(ModuleTerminal(module), broker_time=SERVER, magic=MAGIC, deviation=10)
    client.connect()
    ours, other = (order(module, magic=magic, volume=0.1).order for magic in (MAGIC, MAGIC + 1))
    desk = TradeDesk(client, RiskGate(RiskSettings()), POLICY, ListRecorder(module.clock), commission=FEE)
    desk.start(module.clock.now())
    module.advance()
    desk.settle(module.clock.now())
    desk.manage("EURUSD", make_bars([(1.1, 1.1 + RANGE / 2, 1.1 - RANGE / 2, 1.1)] * 40), module.clock.now())
    stops = {position.ticket: position.sl for position in module.positions_get()}
    assert stops == {ours: pytest.approx(1.1001 - 1.5 * RANGE), other: 0.0}
