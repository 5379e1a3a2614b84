"""What a position needs after a bar, what the venue would not take, and that a restart repeats nothing."""

from dataclasses import replace

import numpy as np
import pytest

from config.settings import RiskSettings
from execution.exits import ExitPolicy
from execution.orders import OrderState, Side
from execution.risk import RiskGate
from execution.translate import deal_from
from market_data.clock import ManualClock
from strategy.order_search import GIVE_UP
from strategy.stop_management import closed_bar, obstacle, partial_lots
from strategy.trade_desk import TradeDesk
from tests.fakes_daemon import FEE, MINUTE, MONDAY, SPREAD, FakeBroker, a_decision, bars_until
from tests.fakes_recorder import ListRecorder
from tests.fakes_simulated import SERVER, make_bars
from tests.fakes_terminal import EURUSD, position, quote, trade_deal

PLAIN = ExitPolicy(1.5, 1.5, 5.0, 60)
EVEN = replace(PLAIN, break_even_r=1.0)
TRAIL = replace(PLAIN, trail_atr=2.0)
PART = replace(PLAIN, partial_r=1.0, partial_fraction=0.5)
ALL = replace(PLAIN, break_even_r=0.5, trail_atr=2.0, trail_start_r=1.0, partial_r=1.0)


class Case:
    """A desk over a broker that answers as told, one bar at a time."""

    def __init__(self, policy, side=Side.LONG):
        self.clock, self.policy, self.side = ManualClock(MONDAY), policy, side
        self.broker, self.ledger = FakeBroker(self.clock), ListRecorder(self.clock)
        self.restart()
        bars = bars_until(MONDAY)
        self.desk.enter(a_decision(bars, side), bars, MONDAY)

    def restart(self):
        self.desk = TradeDesk(self.broker, RiskGate(RiskSettings(cooldown_bars=0)), self.policy, self.ledger, commission=FEE)
        self.desk.start(self.clock.now())

    def bar(self, profit):
        """A bar closes with a profit in R, and the next one opens there."""
        self.clock.set(self.clock.now() + MINUTE)
        self.broker.bid = self.trade.price + self.side * profit * self.risk - (SPREAD if self.side is Side.SHORT else 0.0)
        self.desk.settle(self.clock.now())
        self.manage()

    def manage(self):
        level = self.broker.bid
        rows = [(level, level + 0.0003, level - 0.0003, level)] * 40
        bars = make_bars(rows, start=int((self.clock.now() - 40 * MINUTE).timestamp()))  # ATR 0.0006, spread as the broker's
        self.desk.manage("EURUSD", bars, self.clock.now())

    @property
    def trade(self):
        (entry,) = self.ledger.entries.values()
        return entry

    @property
    def risk(self):
        """One R in price."""
        return abs(self.trade.price - self.trade.sl)

    @property
    def held(self):
        return self.broker.held[self.trade.ticket]

    @property
    def stop(self):
        """Where the broker has the stop, in R from the entry."""
        return pytest.approx(self.side * (self.held.sl - self.trade.price) / self.risk, abs=0.02)

    def sent(self, purpose):
        return [intent for intent in self.broker.sent if intent.purpose == purpose]

    def state(self, intent):
        return self.ledger.states[intent.key][-1][1].state


@pytest.fixture(params=list(Side), ids=["long", "short"])
def side(request):
    return request.param


class TestStops:
    def test_break_even_is_sent_with_the_target_and_confirmed(self, side):
        case = Case(EVEN, side)
        before = case.held
        case.bar(0.9)
        assert case.sent("stop") == []
        case.bar(1.01)
        (intent,) = case.sent("stop")
        assert (intent.position, intent.tp, intent.magic) == (before.ticket, before.tp, case.broker.magic)
        assert case.state(intent) is OrderState.CONFIRMED
        assert case.stop == 0.0
        assert intent.reason.startswith(f"stop from {before.sl:g} to ")

    def test_a_stop_follows_and_never_goes_back(self, side):
        case = Case(TRAIL, side)
        stops = []
        for profit in (0.2, 1.0, 0.5, 1.8, 1.2, 0.0, 2.5):
            case.bar(profit)
            stops.append(case.side * case.held.sl)
        assert stops == sorted(stops)
        assert len({*stops}) == 4  # the first, and one at each new best close
        assert len(case.sent("stop")) == 3

    def test_the_same_bar_again_after_a_restart_sends_nothing(self, side):
        case = Case(ALL, side)
        case.bar(1.2)
        sent = len(case.broker.sent)
        for _ in range(3):
            case.restart()
            case.manage()
        assert len(case.broker.sent) == sent

    def test_a_stop_that_somebody_moved_nearer_stays(self, side):
        case = Case(TRAIL, side)
        nearer = case.trade.price + side * 0.9 * case.risk
        case.broker.held[case.trade.ticket] = replace(case.held, sl=nearer)
        case.bar(1.0)
        assert (case.held.sl, case.sent("stop")) == (nearer, [])

    def test_the_first_stop_is_one_r_also_after_it_was_moved_and_forgotten(self, side):
        """The broker shows the stop as it stands; only the journal knows what one R was."""
        case = Case(EVEN, side)
        case.broker.held[case.trade.ticket] = replace(case.held, sl=case.trade.price - side * 0.5 * case.risk)
        case.restart()
        case.bar(0.6)
        assert case.sent("stop") == []
        case.bar(1.01)
        assert case.stop == 0.0

    def test_a_refused_change_is_tried_again_on_the_next_bar(self, side):
        case = Case(EVEN, side)
        case.broker.answers.append("refuse")
        case.bar(1.1)
        assert case.stop == -1.0
        case.bar(1.1)
        assert [case.state(intent) for intent in case.sent("stop")] == [OrderState.REJECTED, OrderState.CONFIRMED]

    @pytest.mark.parametrize(("answer", "told"), [("silent", OrderState.CONFIRMED), ("lost", OrderState.REJECTED)])
    def test_an_unknown_change_is_read_back_at_the_next_pass(self, side, answer, told):
        case = Case(EVEN, side)
        case.broker.answers.append(answer)
        case.bar(1.1)
        (intent,) = case.sent("stop")
        assert case.state(intent) is OrderState.UNKNOWN
        case.manage()  # nothing else is sent for the position meanwhile
        assert len(case.sent("stop")) == 1
        case.desk.settle(case.clock.now())
        assert case.state(intent) is told

    def test_a_change_that_a_crash_left_open_is_read_back(self, side):
        case = Case(EVEN, side)
        case.broker.answers.append("silent")
        case.bar(1.1)
        (intent,) = case.sent("stop")
        case.restart()
        assert case.state(intent) is OrderState.CONFIRMED

    def test_a_change_in_flight_does_not_hold_up_the_time_exit(self, side):
        case = Case(replace(EVEN, horizon=2), side)
        case.broker.answers.append("lost")
        case.broker.failing.add("find")
        case.bar(1.1)
        case.bar(1.1)
        assert case.ledger.closed[case.trade.ticket].exit.reason == "time"

    def test_the_same_instant_is_not_sent_twice(self, side):
        case = Case(TRAIL, side)
        case.broker.answers.append("refuse")
        case.bar(1.1)
        case.manage()
        assert len(case.sent("stop")) == 1

    def test_off_is_off(self, side):
        case = Case(PLAIN, side)
        case.broker.failing.add("spec")  # not even asked
        for profit in (0.5, 2.0, 5.0):
            case.bar(profit)
        assert len(case.broker.sent) == 1


class TestObstacles:
    def test_a_stop_within_the_stops_level_waits_and_goes_later(self, side):
        case = Case(EVEN, side)
        case.broker.known_spec = replace(case.broker.known_spec, stops_level=120)
        case.bar(1.1)  # at most 99 points from the entry
        assert case.sent("stop") == []
        case.bar(1.6)
        assert len(case.sent("stop")) == 1

    @pytest.mark.parametrize(("bid", "why"), [(1.1020, None), (1.1011, None), (1.1010, "stops level"), (1.0999, "stops level")])
    def test_the_stops_level_of_a_long(self, bid, why):
        found = obstacle(replace(EURUSD, stops_level=110), position(), quote(bid, bid + SPREAD), 1.1)
        assert found is None if why is None else why in found

    def test_a_stop_at_the_quote_is_refused_also_without_a_level(self):
        assert obstacle(EURUSD, position(), quote(1.1, 1.1001), 1.1) is not None
        assert obstacle(EURUSD, position(), quote(1.10001, 1.1001), 1.1) is None

    @pytest.mark.parametrize(("ask", "frozen"), [(1.0901, True), (1.0902, False), (1.1099, True), (1.1, False)])
    def test_a_short_near_its_stop_or_target_is_frozen(self, ask, frozen):
        short = replace(position(side=Side.SHORT), sl=1.11, tp=1.09)
        found = obstacle(replace(EURUSD, freeze_level=10), short, quote(ask - SPREAD, ask), 1.2)
        assert (found is not None and "freeze level" in found) == frozen


class TestParts:
    def test_a_part_is_closed_once(self, side):
        case = Case(PART, side)
        opened = case.trade.volume
        for profit in (0.5, 1.1, 1.5, 2.0):
            case.bar(profit)
            case.restart()
        (intent,) = case.sent("partial")
        assert intent.volume == EURUSD.floor_lots(opened / 2)
        assert case.held.volume == pytest.approx(opened - intent.volume)
        assert case.state(intent) is OrderState.FILLED
        assert intent.reason == "partial close at 1 R"

    def test_its_deal_is_journalled_and_the_trade_is_counted_once(self, side):
        case = Case(PART, side)
        case.bar(1.0)
        assert [deal.entry for deal in case.ledger.recorded_deals.values()] == ["in", "out"]
        entry = case.trade
        case.broker.end(entry.ticket, "sl", entry.sl)
        case.clock.set(case.clock.now() + MINUTE)
        case.desk.settle(case.clock.now())
        (done,) = case.ledger.closed.values()
        part = case.sent("partial")[0].volume
        assert done.exit.net == pytest.approx(sum(deal.net for deal in case.broker.deals))
        assert done.exit.gross == pytest.approx((part - (entry.volume - part)) * case.risk * 100_000, rel=0.02)
        assert done.exit.reason == "stop"
        assert done.r_multiple == pytest.approx(done.exit.net / entry.risk_money)
        assert (len(case.ledger.entries), done.entry.volume) == (1, entry.volume)

    def test_what_somebody_closed_by_hand_counts_as_the_part(self, side):
        case = Case(PART, side)
        case.broker.end(case.trade.ticket, "client", 1.1, case.trade.volume / 2)
        case.bar(1.5)
        assert case.sent("partial") == []

    def test_while_deals_are_late_nothing_is_closed(self, side):
        case = Case(PART, side)
        deals, case.broker.deals = case.broker.deals, []
        case.bar(1.2)
        assert case.sent("partial") == []
        case.broker.deals = deals
        case.bar(1.2)
        assert len(case.sent("partial")) == 1

    def test_an_unknown_part_blocks_another_and_is_found(self, side):
        case = Case(PART, side)
        case.broker.answers.append("silent")
        case.broker.hidden = True
        for _ in range(3):
            case.bar(1.2)
        assert len(case.sent("partial")) == 1
        case.broker.hidden = False
        case.bar(1.2)
        assert case.state(case.sent("partial")[0]) is OrderState.FILLED
        assert len(case.sent("partial")) == 1

    def test_a_part_that_was_never_sent_is_sent_after_it_is_given_up(self, side):
        case = Case(PART, side)
        case.broker.answers.append("lost")
        case.bar(1.2)
        case.bar(1.2)  # the first look
        case.clock.set(case.clock.now() + GIVE_UP)
        case.bar(1.2)
        assert [case.state(intent) for intent in case.sent("partial")] == [OrderState.NOT_SENT, OrderState.FILLED]

    @pytest.mark.parametrize(
        ("opened", "fraction", "least", "lots"),
        [
            (0.5, 0.5, 0.01, 0.25),
            (0.03, 0.5, 0.01, 0.01),
            (0.01, 0.5, 0.01, 0.0),
            (0.3, 0.9, 0.1, 0.2),
            (0.15, 0.5, 0.1, 0.0),
            (0.2, 0.6, 0.1, 0.1),
        ],
    )
    def test_lots_are_floored_and_both_sides_stay_tradable(self, opened, fraction, least, lots):
        spec = replace(EURUSD, volume_min=least, volume_step=least)
        deals = (deal_from(trade_deal(volume=opened), SERVER),)
        found, why_not = partial_lots(replace(PART, partial_fraction=fraction), opened, deals, spec)
        assert found == lots
        assert bool(why_not) == (lots == 0.0)


class TestBoth:
    def test_one_bar_closes_a_part_and_moves_the_stop(self, side):
        case = Case(ALL, side)
        case.bar(1.6)
        assert [intent.purpose for intent in case.broker.sent] == ["entry", "partial", "stop"]
        assert case.sent("stop")[0].volume == case.held.volume
        assert case.stop == 1.6 - 2 * 0.0006 / case.risk

    def test_an_adopted_position_is_looked_after_from_its_stop_as_it_was_adopted(self):
        case = Case(EVEN)
        del case.broker.held[case.trade.ticket]
        case.ledger.entries.clear()
        case.ledger.intents.clear()
        case.broker.bid = 1.1
        ticket = case.broker.open(sl=1.0991)
        case.restart()
        case.bar(1.01)
        assert case.broker.held[ticket].sl == pytest.approx(1.1)


def test_the_closed_bar_is_what_a_label_sees():
    bars = make_bars([(1.1, 1.1003, 1.0997, 1.1001)] * 30, spread=8.0)
    long, short = (closed_bar(bars, EURUSD, side, 3.5) for side in Side)
    assert (long.exit_price, short.exit_price) == pytest.approx((1.1001, 1.10018))
    assert long.cost == short.cost == pytest.approx(0.00015)
    assert long.atr == pytest.approx(0.0006)


def test_an_unknown_spread_is_the_usual_one():
    bars = make_bars([(1.1, 1.1003, 1.0997, 1.1001)] * 30, spread=None)
    short = closed_bar(bars, EURUSD, Side.SHORT, 0.0)
    assert np.isfinite(short.exit_price)
    assert 1.1001 < short.exit_price < 1.1003
