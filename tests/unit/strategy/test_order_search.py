"""Orders of unknown outcome: looked for, given up with care, and taken back when they turn up late."""

from dataclasses import replace
from datetime import timedelta

import pytest

from execution.orders import OrderState
from strategy.order_search import GIVE_UP, WATCH
from tests.fakes_daemon import MINUTE, MONDAY
from tests.unit.strategy.test_trade_desk import POLICY, Case, Crash, _crash


@pytest.fixture
def case():
    return Case()


def lose(case, answer="lost"):
    """An entry without an answer."""
    case.broker.answers.append(answer)
    return case.enter().order_key


def give_up(case):
    case.pass_time(timedelta(seconds=1))
    case.pass_time(GIVE_UP)


class TestGivingUp:
    def test_it_counts_from_the_first_look_and_not_from_the_send(self, case):
        """A send that hangs for six minutes is looked for as long as any other."""
        key = lose(case)
        case.pass_time(GIVE_UP + MINUTE)
        assert case.states(key)[-1] is OrderState.UNKNOWN
        case.pass_time(GIVE_UP)
        assert case.states(key)[-1] is OrderState.NOT_SENT

    @pytest.mark.parametrize("function", ["terminal_connected", "find"])
    def test_a_look_that_tells_nothing_begins_the_wait_anew(self, case, function):
        key = lose(case)
        case.pass_time(timedelta(seconds=1))
        case.broker.failing.add(function)
        case.pass_time(GIVE_UP)
        case.broker.failing.clear()
        case.pass_time(timedelta(seconds=1))  # just connected: its history may still be loading
        assert case.states(key)[-1] is OrderState.UNKNOWN
        case.pass_time(GIVE_UP)
        assert case.states(key)[-1] is OrderState.NOT_SENT

    def test_a_leap_of_the_clock_alone_gives_nothing_up(self, case):
        key = lose(case)
        case.pass_time(timedelta(hours=5))
        assert case.states(key)[-1] is OrderState.UNKNOWN


class TestLateSuccess:
    def test_an_entry_executed_after_it_was_given_up_is_its_trade(self, case):
        key = lose(case, "silent")
        ticket = next(iter(case.broker.held))
        hidden = case.broker.held.pop(ticket)
        case.broker.hidden = True
        give_up(case)
        assert case.states(key)[-1] is OrderState.NOT_SENT
        case.broker.hidden, case.broker.held[ticket] = False, hidden
        case.pass_time()
        assert case.states(key)[-1] is OrderState.FILLED
        assert (case.trade.order_key, case.trade.ticket, case.trade.versions) == (key, ticket, {"scalper": 3})

    @pytest.mark.parametrize("restart", [True, False])
    def test_also_where_it_is_closed_again_before_anybody_looked(self, case, restart):
        key = lose(case, "silent")
        ticket = next(iter(case.broker.held))
        hidden = case.broker.held.pop(ticket)
        case.broker.hidden = True
        give_up(case)
        case.broker.hidden, case.broker.held[ticket] = False, hidden
        case.broker.end(ticket, "sl", 1.099)
        if restart:
            case.restart()
        else:
            case.pass_time()
        assert case.states(key)[-1] is OrderState.FILLED
        assert (case.closed.exit.reason, case.closed.entry.order_key) == ("stop", key)

    def test_a_position_that_shows_up_days_later_is_adopted_and_its_order_corrected(self, case):
        key = lose(case)
        give_up(case)
        case.pass_time(WATCH + timedelta(days=2))
        case.broker.hidden = True  # history tells nothing any more
        ticket = case.broker.open(comment=key)
        case.pass_time()
        assert case.states(key)[-1] in (OrderState.FILLED, OrderState.PARTIAL)
        assert (case.trade.ticket, case.trade.order_key) == (ticket, key)

    def test_a_close_executed_after_it_was_given_up_keeps_its_reason(self, case):
        case.enter()
        case.broker.answers.append("lost")
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        (key,) = [key for key, (intent, _) in case.ledger.intents.items() if intent.purpose == "exit"]
        give_up(case)
        assert case.states(key)[-1] is OrderState.NOT_SENT
        case.broker.end(case.trade.ticket, "expert", 1.1, comment=key)
        case.pass_time()
        assert case.closed.exit.reason == "time"
        assert case.states(key)[-1] is OrderState.FILLED


class TestSecondClose:
    """On a hedging account a close names its position: a second one can do no harm."""

    def test_a_close_without_a_trace_is_free_after_two_looks(self, case):
        case.enter()
        case.broker.answers.append("lost")
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        case.pass_time(timedelta(seconds=1))
        case.manage()
        assert len(case.broker.sent) == 2
        case.pass_time(timedelta(seconds=1))
        case.manage()
        assert len(case.broker.sent) == 3
        assert case.closed.exit.reason == "time"

    def test_a_kill_between_intent_and_send_of_a_close_costs_two_looks(self, case, monkeypatch):
        case.enter()
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        monkeypatch.setattr(case.broker, "send", _crash)
        with pytest.raises(Crash):
            case.manage()
        monkeypatch.undo()
        case.restart()
        case.pass_time(timedelta(seconds=1))
        case.manage()
        assert case.closed.exit.reason == "time"

    def test_on_a_netting_account_it_waits_as_long_as_an_entry(self, case, monkeypatch):
        case.enter()
        netting = replace(case.broker.account(), margin_mode=0)
        monkeypatch.setattr(case.broker, "account", lambda: netting)
        case.broker.answers.append("lost")
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        for _ in range(3):
            case.pass_time(timedelta(seconds=1))
            case.manage()
        assert len(case.broker.sent) == 2

    def test_a_close_of_a_part_waits_too(self, case):
        """A part that is closed twice would be too much."""
        case.enter()
        case.broker.answers.append("lost")
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        ticket = case.trade.ticket
        case.broker.held[ticket] = replace(case.broker.held[ticket], volume=2 * case.trade.volume)
        for _ in range(3):
            case.pass_time(timedelta(seconds=1))
            case.manage()
        assert len(case.broker.sent) == 2


class TestWhoseOrder:
    def test_tickets_of_other_orders_are_never_taken_for_a_lost_one(self, case, monkeypatch):
        """Where the broker strips comments, only this keeps two orders of one symbol apart."""
        case.enter()
        first = case.trade.ticket
        case.broker.end(first, "sl", 1.0989)
        case.pass_time()
        seen = []
        monkeypatch.setattr(case.broker, "find", lambda intent, known: seen.append(known))
        lose(case)
        case.pass_time(timedelta(seconds=1))
        assert seen
        assert all(first in known for known in seen)

    def test_the_books_disagree_so_entries_wait(self, case):
        """A trade whose position is gone and whose deals are late."""
        case.enter()
        case.broker.late.add(case.trade.ticket)
        case.broker.end(case.trade.ticket, "tp", 1.102)
        case.pass_time()
        assert case.enter().detail.startswith("unresolved_order")
        case.broker.late.clear()
        case.pass_time()
        assert case.enter().action == "sent"

    def test_a_close_waits_for_the_deals_that_opened_it(self, case, monkeypatch):
        """An exit that counts without the entry's commission would be wrong for ever."""
        case.enter()
        case.broker.end(case.trade.ticket, "tp", 1.102)
        whole = case.broker.deals_of
        monkeypatch.setattr(case.broker, "deals_of", lambda position: tuple(d for d in whole(position) if d.entry != "in"))
        case.pass_time()
        assert not case.ledger.closed
        monkeypatch.undo()
        case.pass_time()
        assert case.closed.exit.net == pytest.approx(sum(deal.net for deal in case.broker.deals))


class TestStart:
    @pytest.mark.parametrize("function", ["account", "positions", "deals_of", "find"])
    def test_a_terminal_that_does_not_answer_yet_is_asked_again(self, case, function):
        key = lose(case, "silent")
        case.broker.failing.add(function)
        case.restart()
        case.broker.failing.clear()
        case.pass_time()
        assert case.states(key)[-1] is OrderState.FILLED
        assert case.trade.ticket in case.broker.held
