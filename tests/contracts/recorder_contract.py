"""What every recorder of the daemon must do; an implementation inherits and supplies `make`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from config.errors import OutcomeUnknown, RecordError
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState, Side
from market_data.clock import ManualClock
from strategy.decision import Decision, DecisionOutcome, JobRun, Lull, ModelEvent, TradeEntry, TradeExit
from strategy.predictor import Forecast, Forecasts

START = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
DAY = date(2024, 3, 8)
MINUTE = timedelta(minutes=1)
FORECAST = Forecast(0.5, 0.25, Side.LONG, 0.125)


def an_outcome(bar_time=START, symbol="EURUSD", action="none"):
    decision = Decision(symbol, bar_time, Side.LONG, "2 of 2 long", {"scalper": FORECAST}, {"xgboost": "expired"}, {"scalper": 3}, 0.125)
    return DecisionOutcome(decision, action, "", "", 345)


def a_lull(symbol="EURUSD", passes=(0, 1, 2), slots=("xgboost", "scalper")):
    rng = np.random.default_rng(len(symbol) + len(passes))
    count = len(passes)
    told = {slot: Forecasts(*rng.random((2, count)), rng.choice([-1, 1], count), rng.uniform(-0.1, 0.1, count)) for slot in slots}
    times = [int((START + (number + 1) * MINUTE).timestamp()) for number in passes]
    reasons, closes, ranges = [f"none {number}" for number in passes], rng.random(count).tolist(), [0.0, *rng.random(count - 1).tolist()]
    return Lull(symbol, {"lstm": "asleep"}, {"scalper": 3}, told, passes, times, reasons, closes, ranges, [f"{n:016x}" for n in passes])


def an_intent(key="k1", created=START, symbol="EURUSD", purpose="entry"):
    return OrderIntent(key, symbol, Side.SHORT, 0.25, 1.08, 1.09, 1.07, 10, 77, created, purpose)


def an_entry(ticket=1, opened=START, symbol="EURUSD", risk_money=10.0):
    return TradeEntry(ticket, "k1", symbol, Side.LONG, 0.1, opened, opened, 1.08, 1.07, 1.09, risk_money, {"scalper": 3}, 0.125, "why")


def an_exit(ticket=1, closed=START + MINUTE, net=5.0):
    return TradeExit(ticket, closed, 1.085, "target", net + 0.75, -0.5, -0.25, net)


def a_deal(ticket=1):
    return Deal(ticket, 2, 3, "EURUSD", Side.LONG, "in", 0.1, 1.08, -0.5, 0.0, 0.0, 0.0, "expert", 77, START, "k1")


def an_account(equity=10_000.0):
    return Account(1, "simulated", "USD", 10_000.0, equity, 0.0, equity, 100, 0, 2, True)


FILLED = OrderResult(OrderState.FILLED, 10009, "done", 11, 12, 1.0801, 0.25)
UNKNOWN = OrderResult(OrderState.UNKNOWN, 0, "no answer")
REJECTED = OrderResult(OrderState.REJECTED, 10019, "no money")


class RecorderContract:
    """The tests; each works on a new, empty recorder."""

    def make(self, tmp_path, clock):
        """A new recorder that takes the time of state changes from `clock`."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self):
        return ManualClock(START)

    @pytest.fixture
    def recorder(self, tmp_path, clock):
        recorder = self.make(tmp_path, clock)
        yield recorder
        recorder.close()

    def test_an_empty_recorder_knows_nothing(self, recorder):
        assert recorder.open_trades() == recorder.unresolved_orders() == recorder.recent_closed(5) == ()
        assert recorder.last_decision("EURUSD") is None
        assert recorder.last_loss("EURUSD") is None
        assert recorder.intent_for_bar("EURUSD", START) is None
        assert recorder.equity_at_day_start(DAY) is None
        assert recorder.get_daily_stats(DAY).win_rate is None
        assert set(recorder.counts().values()) == {0}

    def test_a_decision_comes_back_as_it_went_in(self, recorder):
        assert recorder.record_decision(an_outcome()) is True
        assert recorder.decision("EURUSD", START) == an_outcome()
        assert recorder.decision("GBPUSD", START) is None

    def test_the_first_decision_of_a_bar_stays(self, recorder):
        recorder.record_decision(an_outcome(action="sent"))
        assert recorder.record_decision(an_outcome(action="vetoed")) is False
        assert recorder.decision("EURUSD", START).action == "sent"
        assert recorder.counts()["decisions"] == 1

    def test_the_last_decision_is_the_newest_bar_of_that_symbol(self, recorder):
        recorder.record_decision(an_outcome(START + 2 * MINUTE))
        recorder.record_decision(an_outcome(START + MINUTE))
        recorder.record_decision(an_outcome(START + 9 * MINUTE, "GBPUSD"))
        assert recorder.last_decision("EURUSD") == START + 2 * MINUTE

    def test_decisions_made_together_come_back_as_if_made_one_by_one(self, recorder):
        lull = a_lull()
        recorder.record_lulls([lull])
        for number in range(3):
            assert recorder.decision("EURUSD", lull.at(number).bar_time) == DecisionOutcome(lull.at(number), "none")
        assert recorder.counts()["decisions"] == 3
        recorder.record_lulls([lull])
        assert recorder.counts()["decisions"] == 3

    def test_an_intent_is_unresolved_until_its_order_is_known(self, recorder):
        recorder.record_intent(an_intent("k2", START + MINUTE), START)
        recorder.record_intent(an_intent("k1"), START)
        assert recorder.unresolved_orders() == (an_intent("k1"), an_intent("k2", START + MINUTE))
        recorder.record_order("k1", FILLED)
        recorder.record_order("k2", UNKNOWN)
        assert recorder.unresolved_orders() == (an_intent("k2", START + MINUTE),)
        recorder.record_order("k2", REJECTED)
        assert recorder.unresolved_orders() == ()

    def test_the_trade_that_an_entry_was_to_open_survives_in_its_intent(self, recorder):
        intent = replace(an_intent(), reason="why")
        recorder.record_intent(intent, START - MINUTE, an_entry(risk_money=25.0))
        planned = recorder.planned("k1")
        assert (planned.ticket, planned.order_key, planned.bar_time, planned.opened) == (0, "k1", START - MINUTE, START)
        assert (planned.side, planned.volume, planned.price, planned.sl, planned.tp) == (Side.SHORT, 0.25, 1.08, 1.09, 1.07)
        assert (planned.risk_money, planned.versions, planned.expected_r, planned.reason) == (25.0, {"scalper": 3}, 0.125, "why")

    def test_only_entries_plan_a_trade(self, recorder):
        recorder.record_intent(an_intent("x1", purpose="exit"), START)
        assert recorder.planned("x1") is None
        assert recorder.planned("nobody") is None

    def test_a_fill_without_its_trade_is_told_until_the_trade_is_there(self, recorder):
        recorder.record_intent(an_intent(), START)
        recorder.record_intent(an_intent("x1", purpose="exit"), START)
        recorder.record_order("x1", FILLED)
        assert recorder.unlogged_fills() == ()
        recorder.record_order("k1", UNKNOWN)
        recorder.record_order("k1", FILLED)
        assert recorder.unlogged_fills() == ((an_intent(), FILLED),)
        recorder.log_entry(an_entry(11))
        assert recorder.unlogged_fills() == ()

    def test_what_was_given_up_is_told_until_it_turns_up(self, recorder):
        for key, minutes in (("k1", 0), ("k2", 1), ("k3", 2)):
            recorder.record_intent(an_intent(key, START + minutes * MINUTE), START)
        for key in ("k1", "k2"):
            recorder.record_order(key, OrderResult(OrderState.NOT_SENT, 0, "no trace"))
        assert [intent.key for intent in recorder.given_up_orders(START)] == ["k1", "k2"]
        assert [intent.key for intent in recorder.given_up_orders(START + MINUTE)] == ["k2"]
        recorder.record_order("k2", FILLED)
        assert recorder.given_up_orders(START + MINUTE) == ()

    def test_tickets_of_other_orders_are_those_of_every_state_they_had(self, recorder):
        for key, minutes in (("old", -9), ("k1", 0), ("k2", 1)):
            recorder.record_intent(an_intent(key, START + minutes * MINUTE), START)
        recorder.record_order("old", replace(FILLED, order=5))
        recorder.record_order("k1", replace(UNKNOWN, order=6))
        recorder.record_order("k1", replace(FILLED, order=7))
        recorder.record_order("k2", replace(FILLED, order=8))
        assert recorder.tickets_of_others("k2", START) == {6, 7}
        assert recorder.tickets_of_others("k1", START - 9 * MINUTE) == {5, 8}

    def test_an_order_of_the_venue_is_known_by_its_ticket(self, recorder):
        recorder.record_intent(an_intent(), START)
        recorder.record_intent(an_intent("k2"), START)
        recorder.record_order("k1", FILLED)
        assert recorder.intent_of_ticket(11) == an_intent()
        assert recorder.intent_of_ticket(12) is None
        assert recorder.intent_of_ticket(0) is None

    def test_a_key_is_used_once_and_never_resent(self, recorder):
        recorder.record_intent(an_intent(), START)
        recorder.record_order("k1", FILLED)
        with pytest.raises(OutcomeUnknown, match="k1"):
            recorder.record_intent(replace(an_intent(), symbol="GBPUSD"), START)
        assert recorder.unresolved_orders() == ()
        assert recorder.counts()["orders"] == 1

    def test_every_new_state_of_an_order_is_kept(self, recorder):
        recorder.record_intent(an_intent(), START)
        assert recorder.record_order("k1", UNKNOWN) is True
        assert recorder.record_order("k1", UNKNOWN) is False
        assert recorder.record_order("k1", FILLED) is True
        assert recorder.counts()["order_states"] == 3

    def test_an_order_without_intent_is_refused(self, recorder):
        with pytest.raises(RecordError, match="k9"):
            recorder.record_order("k9", FILLED)
        assert recorder.counts()["order_states"] == 0

    def test_the_intent_of_a_bar_is_its_newest_entry(self, recorder):
        recorder.record_intent(an_intent("k1"), START)
        recorder.record_intent(an_intent("k2", START + MINUTE), START)
        recorder.record_intent(an_intent("k3", START + 2 * MINUTE, purpose="exit"), START)
        recorder.record_intent(an_intent("k4", START + 2 * MINUTE, symbol="GBPUSD"), START)
        recorder.record_intent(an_intent("k5", START + 2 * MINUTE), START + MINUTE)
        assert recorder.intent_for_bar("EURUSD", START).key == "k2"
        assert recorder.intent_for_bar("EURUSD", START - MINUTE) is None

    def test_a_deal_is_recorded_once(self, recorder):
        assert recorder.record_deal(a_deal()) is True
        assert recorder.record_deal(replace(a_deal(), profit=9.0)) is False
        assert recorder.counts()["deals"] == 1

    def test_a_trade_is_open_until_its_exit(self, recorder):
        recorder.log_entry(an_entry(2, START + MINUTE))
        recorder.log_entry(an_entry(1))
        assert recorder.open_trades() == (an_entry(1), an_entry(2, START + MINUTE))
        recorder.log_exit(an_exit(1))
        assert recorder.open_trades() == (an_entry(2, START + MINUTE),)

    def test_a_closed_trade_has_its_r_multiple(self, recorder):
        recorder.log_entry(an_entry(risk_money=10.0))
        recorder.log_exit(an_exit(net=-5.0))
        (trade,) = recorder.recent_closed(9)
        assert (trade.entry, trade.exit, trade.r_multiple) == (an_entry(), an_exit(net=-5.0), -0.5)

    def test_a_trade_of_unknown_risk_has_no_r_multiple(self, recorder):
        recorder.log_entry(an_entry(risk_money=0.0))
        recorder.log_exit(an_exit())
        assert recorder.recent_closed(1)[0].r_multiple is None
        assert recorder.get_daily_stats(DAY).sum_r == 0.0

    def test_entry_and_exit_are_logged_once(self, recorder):
        assert recorder.log_entry(an_entry()) is True
        assert recorder.log_exit(an_exit(net=5.0)) is True
        assert recorder.log_exit(an_exit(net=-99.0)) is False
        assert recorder.log_entry(an_entry(risk_money=99.0)) is False
        assert recorder.open_trades() == ()
        assert recorder.recent_closed(9)[0].exit.net == 5.0

    def test_an_exit_without_entry_is_refused(self, recorder):
        with pytest.raises(RecordError, match="trade 7"):
            recorder.log_exit(an_exit(7))

    def test_recent_trades_come_newest_first(self, recorder):
        for ticket, minutes in ((1, 5), (2, 9), (3, 7)):
            recorder.log_entry(an_entry(ticket))
            recorder.log_exit(an_exit(ticket, START + minutes * MINUTE))
        assert [trade.entry.ticket for trade in recorder.recent_closed(2)] == [2, 3]

    def test_the_days_opening_is_the_first_equity_with_its_time(self, recorder):
        assert recorder.day_opening(START) is None
        for minutes, equity in ((0, 9_000.0), (2, 9_100.0), (3, 9_200.0)):
            recorder.record_equity(START + minutes * MINUTE, an_account(equity))
        assert recorder.day_opening(START) == (START, 9_000.0)
        assert recorder.day_opening(START + MINUTE) == (START + 2 * MINUTE, 9_100.0)
        assert recorder.day_opening(START + 4 * MINUTE) is None

    def test_entries_are_counted_back_from_the_newest_without_exits(self, recorder):
        assert recorder.entry_before(1) is None
        for minutes, purpose in enumerate(("entry", "exit", "entry", "exit", "entry")):
            recorder.record_intent(an_intent(f"k{minutes}", START + minutes * MINUTE, purpose=purpose), START)
        assert [recorder.entry_before(rank) for rank in (1, 2, 3, 4)] == [START + 4 * MINUTE, START + 2 * MINUTE, START, None]

    def test_the_last_loss_is_of_the_symbol_and_lost_money(self, recorder):
        nets = {1: ("EURUSD", -1.0), 2: ("EURUSD", 0.0), 3: ("EURUSD", 2.0), 4: ("GBPUSD", -1.0)}
        for ticket, (symbol, net) in nets.items():
            recorder.log_entry(an_entry(ticket, symbol=symbol))
            recorder.log_exit(an_exit(ticket, START + ticket * MINUTE, net))
        assert recorder.last_loss("EURUSD") == START + MINUTE

    def test_daily_figures_count_closed_trades_of_the_day_only(self, recorder):
        closes = {
            1: (START, 5.0),
            2: (START, -2.5),
            3: (START, 0.0),
            4: (START + timedelta(days=1), 99.0),
            5: (START - timedelta(days=1), 99.0),
        }
        for ticket, (closed, net) in closes.items():
            recorder.log_entry(an_entry(ticket))
            recorder.log_exit(an_exit(ticket, closed, net))
        recorder.log_entry(an_entry(6))
        stats = recorder.get_daily_stats(DAY)
        assert (stats.day, stats.trades, stats.wins, stats.losses, stats.breakeven) == (DAY, 3, 1, 1, 1)
        assert (stats.win_rate, stats.net, stats.gross, stats.commission, stats.swap, stats.sum_r) == (0.5, 2.5, 4.75, -1.5, -0.75, 0.25)

    def test_a_day_is_a_utc_day(self, recorder):
        midnight = datetime(2024, 3, 8, tzinfo=UTC)
        for ticket, closed in enumerate((midnight - timedelta(milliseconds=1), midnight, midnight + timedelta(days=1)), start=1):
            recorder.log_entry(an_entry(ticket))
            recorder.log_exit(an_exit(ticket, closed))
        assert recorder.get_daily_stats(DAY).trades == 1

    def test_open_trades_are_no_losses(self, recorder):
        recorder.log_entry(an_entry())
        stats = recorder.get_daily_stats(DAY)
        assert (stats.trades, stats.losses, stats.win_rate) == (0, 0, None)

    def test_the_day_starts_with_its_first_equity(self, recorder):
        midnight = datetime(2024, 3, 8, tzinfo=UTC)
        recorder.record_equity(midnight - MINUTE, an_account(9_000.0))
        recorder.record_equity(midnight + MINUTE, an_account(10_100.0))
        recorder.record_equity(midnight, an_account(10_000.0))
        assert recorder.record_equity(midnight, an_account(1.0)) is False
        assert recorder.equity_at_day_start(DAY) == 10_000.0
        assert recorder.equity_at_day_start(DAY + timedelta(days=1)) is None

    def test_the_same_model_event_is_recorded_once(self, recorder):
        event = ModelEvent(START, "scalper", "promoted", 4, "beats 3", {"accuracy": 0.55})
        assert recorder.record_model_event(event) is True
        assert recorder.record_model_event(event) is False
        assert recorder.record_model_event(replace(event, at=START + MINUTE)) is True
        assert recorder.counts()["model_events"] == 2

    def test_every_job_run_is_recorded(self, recorder):
        run = JobRun("train:scalper", "schedule", START, "skipped", "too few new rows", START + MINUTE)
        recorder.record_job(run)
        recorder.record_job(run)
        assert recorder.counts()["job_runs"] == 2
