"""The trade desk with its position book, against a broker that answers as told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from config.errors import RetryError, StorageBusy
from config.settings import RiskSettings
from execution.exits import ExitPolicy
from execution.mt5_client import MT5Client
from execution.orders import OrderState, Side
from execution.risk import RiskGate, TradingState
from execution.terminal import ModuleTerminal
from execution.translate import OrderCheck
from market_data.clock import ManualClock
from strategy.order_search import GIVE_UP
from strategy.trade_desk import TradeDesk
from tests.fakes_daemon import FEE, MINUTE, MONDAY, SPREAD, FakeBroker, a_decision, bars_until
from tests.fakes_recorder import ListRecorder
from tests.fakes_simulated import SERVER, flat, make_bars, make_terminal, order
from tests.fakes_terminal import MAGIC

POLICY = ExitPolicy(1.5, 1.5, 5.0, 15)


class Case:
    """A desk, its broker, its ledger and the clock that all of them read."""

    def __init__(self, start=MONDAY, symbols=("EURUSD",), **risk):
        self.clock = ManualClock(start)
        self.broker, self.ledger = FakeBroker(self.clock), ListRecorder(self.clock)
        self.risk, self.symbols = RiskSettings(**{"cooldown_bars": 0, **risk}), symbols
        self.desk = self.restart()

    def restart(self):
        """A new desk over the same broker and journal: what a crash leaves."""
        self.desk = TradeDesk(self.broker, RiskGate(self.risk), POLICY, self.ledger, commission=FEE, symbols=self.symbols)
        self.desk.start(self.clock.now())
        return self.desk

    def pass_time(self, by=MINUTE):
        self.clock.set(self.clock.now() + by)
        self.desk.settle(self.clock.now())

    def enter(self, side=Side.LONG):
        bars = bars_until(self.clock.now())
        return self.desk.enter(a_decision(bars, side), bars, self.clock.now())

    def manage(self):
        self.desk.manage("EURUSD", bars_until(self.clock.now()), self.clock.now())

    def states(self, key):
        return [result.state for _, result in self.ledger.states[key]]

    @property
    def trade(self):
        (entry,) = self.ledger.entries.values()
        return entry

    @property
    def closed(self):
        (done,) = self.ledger.closed.values()
        return done


@pytest.fixture
def case():
    return Case()


class TestEntries:
    def test_a_filled_entry_is_a_trade_with_its_risk_and_its_models(self, case):
        outcome = case.enter()
        entry = case.trade
        assert (outcome.action, outcome.order_key) == ("sent", entry.order_key)
        assert entry.bar_time == MONDAY - MINUTE
        assert (entry.versions, entry.expected_r, entry.reason) == ({"scalper": 3}, 0.25, "2 of 2 long")
        # One R: half a percent of 10,000, in whole steps of 0.01 lot.
        loss_per_lot = (1.1001 - entry.sl) * 100_000 + 2 * FEE
        assert entry.risk_money == pytest.approx(entry.volume * loss_per_lot)
        assert 50 - loss_per_lot / 100 < entry.risk_money <= 50
        assert case.desk.open_trades == (entry,)
        assert [deal.entry for deal in case.ledger.recorded_deals.values()] == ["in"]

    def test_the_intent_is_on_record_before_the_order_is_sent(self, case):
        seen = []
        case.broker.on_send = lambda intent: seen.append(case.states(intent.key))
        case.enter()
        assert seen == [[OrderState.INTENDED]]

    @pytest.mark.parametrize("side", list(Side))
    def test_the_stop_is_behind_the_entry_and_the_target_before_it(self, case, side):
        case.enter(side)
        (intent,) = case.broker.sent
        assert (intent.side, intent.magic, intent.deviation) == (side, case.broker.magic, case.broker.deviation)
        assert (intent.price - intent.sl) * side > 0 < (intent.tp - intent.price) * side

    @pytest.mark.parametrize("side", list(Side))
    def test_a_wide_stops_level_widens_the_stop_and_denies_nothing(self, case, side):
        """A broker measures its level from the other side of the quote, not from the entry."""
        case.broker.known_spec = replace(case.broker.known_spec, stops_level=200)
        assert case.enter(side).action == "sent"
        (intent,) = case.broker.sent
        assert (intent.price - intent.sl) * side == pytest.approx(0.0020 + SPREAD)

    def test_the_terminal_is_asked_before_an_order_is_on_record(self, case):
        case.broker.on_send = lambda intent: case.broker.checked == [intent] or pytest.fail("sent without a check")
        assert case.enter().action == "sent"

    @pytest.mark.parametrize(
        ("verdict", "why"),
        [
            (OrderCheck(False, 10_019, "10019 NO_MONEY", 10.0), "order_check: 10019 NO_MONEY"),
            (OrderCheck(True, 0, "Done", -0.01), "order_check: free margin would be -0.01"),
            (OrderCheck(True, 0, "Done", float("nan")), "order_check: free margin would be nan"),
        ],
    )
    def test_what_the_terminal_would_not_take_is_not_sent(self, case, verdict, why):
        case.broker.verdict = verdict
        outcome = case.enter()
        assert (outcome.action, outcome.detail) == ("denied", why)
        assert not case.broker.sent
        assert not case.ledger.intents

    def test_a_terminal_that_cannot_check_is_a_denial(self, case):
        case.broker.failing.add("check")
        outcome = case.enter()
        assert outcome.action == "denied"
        assert outcome.detail.startswith("order_check: check failed")
        assert not case.ledger.intents

    def test_a_partial_fill_is_a_smaller_trade_at_smaller_risk(self, case):
        case.broker.answers.append("half")
        case.enter()
        (intent,) = case.broker.sent
        assert case.trade.volume == intent.volume / 2
        assert case.trade.risk_money == pytest.approx(case.ledger.plans[intent.key].risk_money / 2)
        assert case.states(intent.key)[-1] is OrderState.PARTIAL

    def test_a_refused_order_leaves_nothing_behind(self, case):
        case.broker.answers.append("refuse")
        assert case.enter().action == "rejected"
        assert not case.ledger.entries
        case.pass_time()
        assert case.enter().action == "sent"

    @pytest.mark.parametrize("function", ["account", "spec", "quote", "positions", "margin_for", "profit_per_lot"])
    def test_a_terminal_that_does_not_answer_is_a_denial(self, case, function):
        case.broker.failing.add(function)
        outcome = case.enter()
        assert outcome.action == "denied"
        assert f"terminal: {function}" in outcome.detail
        assert not case.broker.sent

    @pytest.mark.parametrize("function", ["margin_for", "profit_per_lot"])
    def test_what_a_lot_costs_is_not_asked_where_a_rule_denies(self, case, function):
        case.enter()
        case.pass_time()
        case.broker.failing.add(function)
        outcome = case.enter()
        assert (outcome.action, outcome.detail.split(":")[0]) == ("denied", "max_positions_per_symbol")

    def test_a_symbol_that_is_still_loading_is_a_denial(self, case):
        case.broker.known_spec = replace(case.broker.known_spec, tick_value_loss=0.0)
        assert case.enter().action == "denied"

    def test_a_bar_has_one_order_also_after_a_restart(self, case):
        first = case.enter()
        case.restart()
        again = case.enter()
        assert (again.action, again.order_key) == ("recovered", first.order_key)
        assert len(case.broker.sent) == 1

    @pytest.mark.parametrize(("paused", "state"), [(True, TradingState.ACTIVE), (False, TradingState.REDUCING)])
    def test_a_pause_and_an_error_both_stop_entries(self, case, paused, state):
        case.desk.paused, case.desk.state = paused, state
        assert case.enter().detail == "trading_state: the daemon is reducing"

    def test_a_halt_is_not_hidden_by_a_pause(self, case):
        case.desk.paused, case.desk.state = True, TradingState.HALTED
        assert case.desk.trading is TradingState.HALTED


class TestUnknownOutcomes:
    def test_an_unknown_order_is_never_sent_again_and_blocks_entries(self, case):
        case.broker.answers.append("silent")
        case.broker.hidden = True
        assert case.enter().action == "unknown"
        for _ in range(3):
            case.pass_time()
            assert case.enter().detail.startswith("unresolved_order: 1 orders on EURUSD")
        assert len(case.broker.sent) == 1
        assert case.desk.open_trades == ()

    def test_an_unknown_order_that_the_venue_filled_becomes_its_trade(self, case):
        case.broker.answers.append("silent")
        case.broker.hidden = True
        key = case.enter().order_key
        case.pass_time()
        case.broker.hidden = False
        case.pass_time()
        assert case.states(key) == [OrderState.INTENDED, OrderState.UNKNOWN, OrderState.FILLED]
        assert (case.trade.order_key, case.trade.versions) == (key, {"scalper": 3})
        assert case.trade.risk_money > 0

    def test_an_order_without_a_trace_is_given_up_by_the_clock(self, case):
        case.broker.answers.append("lost")
        key = case.enter().order_key
        case.pass_time(timedelta(0))
        case.pass_time(GIVE_UP - timedelta(seconds=1))
        assert case.states(key)[-1] is OrderState.UNKNOWN
        case.pass_time(timedelta(seconds=1))
        assert case.states(key)[-1] is OrderState.NOT_SENT
        assert case.enter().action == "sent"

    def test_a_search_that_fails_proves_nothing(self, case):
        case.broker.answers.append("lost")
        key = case.enter().order_key
        case.broker.failing.add("find")
        case.pass_time(2 * GIVE_UP)
        assert case.states(key)[-1] is OrderState.UNKNOWN

    def test_deals_that_cannot_be_read_hold_up_their_trade_alone(self, case):
        case.enter()
        ticket = case.trade.ticket
        case.broker.end(ticket, "tp", 1.101)
        stranger = case.broker.open()
        case.broker.failing.add("deals_of")
        case.pass_time()
        assert {trade.ticket for trade in case.desk.open_trades} == {ticket, stranger}  # adopted in the same pass
        assert case.desk.unresolved("EURUSD") == 1
        case.broker.failing.clear()
        case.pass_time()
        assert case.closed.exit.reason == "target"

    def test_a_fill_whose_position_cannot_be_read_is_still_a_trade(self, case):
        case.broker.on_send = lambda intent: case.broker.failing.update({"positions", "deals_of"})
        assert case.enter().action == "sent"
        assert case.trade.ticket in case.broker.held
        case.broker.failing.clear()
        case.broker.end(case.trade.ticket, "tp", 1.101)
        case.pass_time()
        assert case.closed.exit.reason == "target"
        assert len(case.ledger.recorded_deals) == 2

    def test_an_order_that_the_journal_could_not_follow_is_looked_for(self, case, monkeypatch):
        def busy(key, result):
            raise StorageBusy("journal.db: locked")

        monkeypatch.setattr(case.ledger, "record_order", busy)
        with pytest.raises(StorageBusy):
            case.enter()
        monkeypatch.undo()
        case.pass_time(timedelta(seconds=1))
        assert case.trade.versions == {"scalper": 3}
        assert len(case.broker.sent) == 1


class TestRestart:
    def test_an_intent_that_was_never_sent_is_given_up_late_and_not_at_the_first_look(self, case, monkeypatch):
        monkeypatch.setattr(case.broker, "send", _crash)
        with pytest.raises(Crash):
            case.enter()
        (key,) = case.ledger.intents
        monkeypatch.undo()
        case.clock.set(MONDAY + timedelta(hours=3))
        case.restart()
        assert case.states(key)[-1] is OrderState.INTENDED  # history may come late: the terminal has just started
        assert case.enter().detail.startswith("unresolved_order")
        case.pass_time(GIVE_UP)
        assert case.states(key)[-1] is OrderState.NOT_SENT
        assert not case.broker.sent

    @pytest.mark.parametrize("where", ["record_order", "log_entry"])
    @pytest.mark.parametrize("still_open", [True, False])
    def test_a_crash_after_the_send_loses_nothing_of_the_trade(self, case, monkeypatch, where, still_open):
        whole = Case()
        whole.enter()
        monkeypatch.setattr(case.ledger, where, _crash)
        with pytest.raises(Crash):
            case.enter()
        monkeypatch.undo()
        (ticket,) = case.broker.held
        if not still_open:
            case.broker.end(ticket, "sl", whole.trade.sl)
        case.clock.set(MONDAY + MINUTE)
        case.restart()
        assert case.trade == whole.trade
        assert case.trade.risk_money > 0
        if not still_open:
            assert case.closed.exit.reason == "stop"
            assert case.closed.r_multiple == pytest.approx(-1.0, abs=0.2)
        assert {d.ticket for d in case.broker.deals} == set(case.ledger.recorded_deals)

    @pytest.mark.parametrize("where", ["record_order", "log_exit"])
    def test_a_crash_while_closing_keeps_the_reason(self, case, monkeypatch, where):
        case.enter()
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        monkeypatch.setattr(case.ledger, where, _crash)
        with pytest.raises(Crash):
            case.manage()
        monkeypatch.undo()
        case.restart()
        assert case.closed.exit.reason == "time"
        assert len(case.broker.sent) == 2
        assert {d.ticket for d in case.broker.deals} == set(case.ledger.recorded_deals)

    def test_deals_that_a_crash_cut_off_are_completed(self, case, monkeypatch):
        monkeypatch.setattr(case.ledger, "record_deal", _crash)
        with pytest.raises(Crash):
            case.enter()
        monkeypatch.undo()
        assert not case.ledger.recorded_deals
        case.restart()
        assert len(case.ledger.recorded_deals) == 1

    def test_a_position_of_ours_that_nobody_planned_is_adopted(self, case):
        ticket = case.broker.open(volume=0.5, sl=1.099)
        case.restart()
        assert (case.trade.ticket, case.trade.reason, case.trade.versions) == (ticket, "adopted", {})
        assert case.trade.risk_money == pytest.approx(0.5 * 0.001 * 100_000)

    def test_an_adopted_position_whose_risk_cannot_be_computed_does_not_stop_the_daemon(self, case):
        case.broker.open()
        case.broker.failing.add("profit_per_lot")
        case.restart()
        assert case.trade.risk_money == 0.0

    def test_an_adopted_position_gets_its_plan_back_by_the_order_ticket(self, case):
        """A broker may overwrite the comment that carries our key."""
        planned = case.enter()
        ticket = case.trade.ticket
        case.broker.held[ticket] = replace(case.broker.held[ticket], comment="[partner]")
        case.ledger.entries.clear()
        case.restart()
        assert (case.trade.order_key, case.trade.versions) == (planned.order_key, {"scalper": 3})

    def test_a_close_while_the_daemon_was_away_is_journalled(self, case):
        case.enter()
        case.broker.end(case.trade.ticket, "tp", case.trade.tp)
        case.clock.set(MONDAY + timedelta(hours=2))
        case.restart()
        assert case.closed.exit.reason == "target"
        assert case.desk.open_trades == ()


class TestExits:
    def test_the_time_exit_comes_exactly_at_the_horizon(self, case):
        case.enter()
        for bars in range(1, POLICY.horizon):
            case.pass_time()
            case.manage()
            assert len(case.broker.sent) == 1, f"closed after {bars} bars"
        case.pass_time()
        case.manage()
        exit_ = case.broker.sent[1]
        assert (exit_.purpose, exit_.position, exit_.reason) == ("exit", case.trade.ticket, "time")
        assert (case.closed.exit.reason, case.closed.exit.closed) == ("time", MONDAY + POLICY.horizon * MINUTE)

    @pytest.mark.parametrize(("reason", "told"), [("sl", "stop"), ("tp", "target"), ("so", "stop_out"), ("client", "manual")])
    def test_the_reason_is_the_brokers(self, case, reason, told):
        case.enter()
        case.broker.end(case.trade.ticket, reason, 1.1)
        case.pass_time()
        assert case.closed.exit.reason == told

    def test_r_counts_the_commission_of_both_sides(self, case):
        case.enter()
        entry = case.trade
        case.broker.end(entry.ticket, "sl", entry.sl)
        case.pass_time()
        done = case.closed
        assert done.exit.commission == pytest.approx(-2 * FEE * entry.volume)
        assert done.exit.net == pytest.approx(done.exit.gross + done.exit.commission)
        assert done.r_multiple == pytest.approx(done.exit.net / entry.risk_money)

    def test_a_close_waits_for_its_deals(self, case):
        case.enter()
        case.broker.late.add(case.trade.ticket)
        case.broker.end(case.trade.ticket, "tp", 1.102)
        case.pass_time()
        assert not case.ledger.closed
        case.broker.late.clear()
        case.pass_time()
        assert case.closed.exit.reason == "target"

    def test_a_part_that_somebody_closed_leaves_the_rest_to_us(self, case):
        case.enter()
        entry = case.trade
        case.broker.end(entry.ticket, "client", 1.1, entry.volume / 2)
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        assert case.broker.sent[1].volume == entry.volume / 2
        assert case.closed.exit.reason == "time"
        assert len(case.ledger.recorded_deals) == 3

    def test_a_close_of_unknown_outcome_is_not_sent_again_while_it_is_looked_for(self, case):
        case.enter()
        case.broker.answers.append("lost")
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        case.pass_time()
        case.manage()
        assert len(case.broker.sent) == 2
        case.pass_time(GIVE_UP)
        case.manage()
        assert len(case.broker.sent) == 3
        assert case.closed.exit.reason == "time"

    def test_a_refused_close_is_tried_again_on_the_next_bar(self, case):
        case.enter()
        case.broker.answers.append("refuse")
        case.clock.set(MONDAY + POLICY.horizon * MINUTE)
        case.manage()
        case.desk.close(case.trade, "command", case.clock.now())  # at the same instant: not twice
        assert len(case.broker.sent) == 2
        case.pass_time()
        case.manage()
        assert case.closed.exit.reason == "time"

    @pytest.mark.parametrize(("symbols", "closed"), [(("EURUSD",), True), (("EURUSD", "GBPUSD"), False)])
    def test_a_trade_on_a_symbol_that_is_no_longer_traded_ends_in_time_too(self, symbols, closed):
        """One that is still decided on waits for its own bars."""
        case = Case(symbols=symbols)
        ticket = case.broker.open()
        case.broker.held[ticket] = replace(case.broker.held[ticket], symbol="GBPUSD")
        case.restart()
        for _ in range(POLICY.horizon - 1):
            case.pass_time()
            case.manage()
        assert not case.broker.sent
        for _ in range(2):
            case.pass_time()
            case.manage()
        assert [intent.symbol for intent in case.broker.sent] == ["GBPUSD"] * closed

    def test_a_position_that_is_gone_is_not_closed_again(self, case):
        case.enter()
        entry = case.trade
        case.broker.end(entry.ticket, "tp", 1.102)
        case.desk.close(entry, "command", case.clock.now())
        assert len(case.broker.sent) == 1


class TestDayAndLosses:
    def test_the_day_begins_at_five_in_new_york(self):
        before = MONDAY.replace(hour=21, minute=50)  # 16:50 in New York
        case = Case(start=before, daily_loss_percent=1.0)
        case.broker.balance = 9_800.0
        case.pass_time()
        assert case.enter().detail.startswith("daily_loss: 2.00 %")
        case.clock.set(before + timedelta(minutes=10))
        case.pass_time(timedelta(0))
        assert case.enter().action == "sent"

    def test_the_days_opening_equity_survives_a_restart(self):
        case = Case(daily_loss_percent=1.0)
        case.broker.balance = 9_800.0
        case.clock.set(MONDAY + timedelta(hours=2))
        case.restart()
        assert case.enter().detail.startswith("daily_loss: 2.00 % of the day's opening equity 10000.00")

    def test_equity_is_noted_once_an_hour_and_at_the_days_opening(self):
        case = Case(start=MONDAY.replace(hour=20, minute=30))
        for _ in range(100):
            case.pass_time()
        assert [at.hour for at in case.ledger.equities] == [20, 21, 22]

    def test_a_loss_is_followed_by_a_cool_down_also_over_a_restart(self):
        case = Case(cooldown_bars=3)
        case.enter()
        case.broker.end(case.trade.ticket, "sl", 1.099)
        case.pass_time()
        assert case.enter().detail.startswith("cooldown: 1 bars")
        case.restart()
        case.pass_time()
        assert case.enter().detail.startswith("cooldown: 2 bars")
        case.pass_time()
        assert case.enter().action == "sent"

    def test_a_cool_down_longer_than_the_window_ends_too(self):
        case = Case(cooldown_bars=100)
        case.enter()
        case.broker.end(case.trade.ticket, "sl", 1.099)
        case.pass_time(98 * MINUTE)
        assert case.enter().detail.startswith("cooldown: 98 bars")
        case.pass_time(2 * MINUTE)
        assert case.enter().action == "sent"

    def test_a_trade_that_made_nothing_is_no_loss(self):
        case = Case(cooldown_bars=3)
        case.enter()
        even = 1.1 + 2 * FEE / 100_000
        case.broker.end(case.trade.ticket, "client", even)
        case.pass_time()
        assert case.closed.exit.net == pytest.approx(0.0, abs=1e-7)
        assert case.enter().action == "sent"


class Crash(BaseException):
    """The process ended here."""


def _crash(*arguments):
    raise Crash


def test_unknown_exit_that_was_filled_is_found_with_its_reason():
    case = Case()
    case.enter()
    case.broker.answers.append("silent")
    case.broker.hidden = True
    case.clock.set(MONDAY + POLICY.horizon * MINUTE)
    case.manage()
    case.pass_time()
    assert not case.ledger.closed  # its deals are there, but whose order made them is not known yet
    case.broker.hidden = False
    case.pass_time()
    assert case.closed.exit.reason == "time"


def test_positions_of_others_are_left_alone():
    """Over the real client and the simulated terminal: one of ours, one of another program, one by hand."""
    module = make_terminal(make_bars(flat(1.1, 60)), history=20)
    client = MT5Client(ModuleTerminal(module), broker_time=SERVER, magic=MAGIC, deviation=10)
    client.connect()
    ours, other, by_hand = (order(module, magic=magic, volume=0.1).order for magic in (MAGIC, MAGIC + 1, 0))
    ledger = ListRecorder(module.clock)
    desk = TradeDesk(client, RiskGate(RiskSettings()), POLICY, ledger, commission=FEE)
    desk.start(module.clock.now())
    assert [trade.ticket for trade in desk.open_trades] == [ours]
    for _ in range(POLICY.horizon + 1):
        module.advance()
        desk.settle(module.clock.now())
        desk.manage("EURUSD", bars_until(module.clock.now()), module.clock.now())
    assert ledger.closed[ours].exit.reason == "time"
    assert {position.ticket for position in module.positions_get()} == {other, by_hand}
    assert set(ledger.entries) == {ours}


@pytest.mark.parametrize(("margin_mode", "action"), [(0, "denied"), (2, "sent")])
def test_a_netting_account_takes_no_entry_where_somebody_else_holds_the_symbol(case, margin_mode, action):
    case.broker.margin_mode, case.broker.foreign = margin_mode, 1
    assert case.enter().action == action


def test_whether_somebody_else_holds_the_symbol_must_be_known(case):
    case.broker.margin_mode = 0
    case.broker.failing.add("foreign_positions")
    assert case.enter().action == "denied"


class TestBooksThatSayWhenTheyChange:
    """Where the broker counts the changes of its books they are read after a change alone."""

    @pytest.fixture
    def case(self):
        made = Case()
        made.revision = 1
        made.desk = TradeDesk(made.broker, RiskGate(made.risk), POLICY, made.ledger, commission=FEE, revision=lambda: made.revision)
        made.desk.start(made.clock.now())
        made.asked = []
        read = made.broker.positions
        made.broker.positions = lambda symbol=None: made.asked.append(symbol) or read(symbol)
        return made

    def test_nothing_is_asked_while_nothing_changes(self, case):
        for _ in range(3):
            case.pass_time()
        assert case.asked == []

    def test_a_position_that_the_broker_closed_is_journalled_once_the_books_have_changed(self, case):
        case.enter()
        case.revision += 1
        case.pass_time()
        case.broker.end(case.trade.ticket, "tp", 1.102)
        case.revision += 1
        case.pass_time()
        assert case.closed.exit.reason == "target"

    def test_they_are_read_again_where_the_last_reading_failed(self, case):
        case.revision += 1
        case.broker.failing.add("account")
        with pytest.raises(RetryError):
            case.pass_time()
        case.broker.failing.clear()
        case.pass_time()
        assert case.asked

    def test_an_order_of_unknown_outcome_is_looked_for_all_the_same(self, case):
        case.broker.answers.append("silent")
        assert case.enter().action == "unknown"
        case.revision += 1
        case.pass_time()
        assert case.trade.ticket


class TestQuiet:
    """When a desk has nothing to do."""

    def told(self, policy=POLICY, start=MONDAY, symbols=()):
        """A case whose broker says when its books change."""
        case = Case(start)
        revision = lambda: len(case.broker.deals)  # noqa: E731
        case.desk = TradeDesk(case.broker, RiskGate(case.risk), policy, case.ledger, commission=FEE, symbols=symbols, revision=revision)
        case.desk.start(case.clock.now())
        return case

    def untended(self, case, symbol="EURUSD"):
        return case.desk.untended(symbol, lambda: bars_until(case.clock.now(), symbol=symbol))

    def test_it_settles_at_every_pass_while_something_is_open(self):
        case = self.told()
        hour = MONDAY + timedelta(hours=1)
        assert case.desk.quiet_until(case.clock.now()) == hour
        case.enter()
        assert case.desk.quiet_until(case.clock.now()) == case.clock.now()
        case.pass_time()
        assert case.desk.quiet_until(case.clock.now()) == case.clock.now()
        case.broker.end(case.trade.ticket, "tp", 1.102)
        assert case.desk.quiet_until(case.clock.now()) == case.clock.now()  # not before the books are read
        case.pass_time()
        assert case.desk.quiet_until(case.clock.now()) == hour

    def test_without_a_trade_no_bar_is_managed_and_none_is_read(self):
        assert self.told().desk.untended("EURUSD", lambda: pytest.fail("asked for bars")) is None

    def test_a_trade_is_left_alone_until_the_bar_at_which_its_time_is_up(self):
        case = self.told()
        case.enter()
        told = [self.untended(case)]
        while not case.ledger.closed:
            case.pass_time()
            case.manage()
            told.append(self.untended(case))
        assert told == [*range(POLICY.horizon - 1, -1, -1), None]

    @pytest.mark.parametrize("change", [{"partial_r": 1.0}, {"break_even_r": 1.0}, {"trail_atr": 1.0}])
    def test_a_policy_that_looks_after_trades_leaves_none_alone(self, change):
        case = self.told(replace(POLICY, **change))
        case.enter()
        assert self.untended(case) == 0

    def test_a_trade_without_a_stop_is_not_left_alone(self):
        case = self.told()
        case.enter()
        case.desk._book._open = {ticket: replace(entry, sl=0.0) for ticket, entry in case.desk._book._open.items()}
        assert self.untended(case) == 0

    def test_a_trade_on_another_symbol_counts_there(self):
        case = self.told(symbols=("EURUSD", "GBPUSD"))
        case.enter()
        assert self.untended(case, "GBPUSD") is None
        assert self.untended(case) == POLICY.horizon - 1

    def test_a_trade_that_nobody_decides_on_any_more_is_managed_at_every_bar(self):
        case = self.told(symbols=("GBPUSD",))
        case.enter()
        assert self.untended(case, "GBPUSD") == 0

    def test_what_is_not_known_leaves_nothing_alone(self):
        assert self.untended(Case()) == 0  # this broker does not say when its books change
        case = self.told()
        case.broker.answers.append("silent")
        assert case.enter().action == "unknown"
        assert self.untended(case) == 0
        case = self.told()
        case.enter()
        case.broker.late.add(case.trade.ticket)
        case.broker.end(case.trade.ticket, "tp", 1.102)
        case.pass_time()  # closed, and its deals are late
        assert self.untended(case) == 0

    def test_a_desk_that_never_read_the_books_is_sure_of_nothing(self):
        case = self.told()
        case.broker.failing.add("positions")
        case.desk = TradeDesk(case.broker, RiskGate(case.risk), POLICY, case.ledger, commission=FEE, revision=lambda: 1)
        case.desk.start(case.clock.now())
        assert self.untended(case) == 0

    def test_equity_is_due_at_the_next_hour(self):
        case = self.told(start=MONDAY + 7 * MINUTE)
        assert case.desk.quiet_until(case.clock.now()) == MONDAY + timedelta(hours=1)
        case.pass_time(timedelta(hours=1))
        assert case.desk.quiet_until(case.clock.now()) == MONDAY + timedelta(hours=2)
