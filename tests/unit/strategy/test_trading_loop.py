"""The trading loop: one decision per closed bar, whatever goes wrong around it."""

from datetime import timedelta
from threading import Event
from types import SimpleNamespace

import pytest

from config.errors import DataError, RetryError, StorageError, TerminalCallFailed
from execution.orders import Side
from execution.risk import TradingState
from market_data.bars import Capabilities
from market_data.clock import ManualClock
from strategy.decision import DecisionOutcome, Lull
from strategy.trading_loop import FAULTS_PER_HOUR, TradingLoop
from tests.fakes_daemon import MINUTE, MONDAY, a_decision, bars_until
from tests.fakes_recorder import ListRecorder


class World:
    """Every part that the loop asks, as plain as can be; faults are callables by the number of the pass."""

    def __init__(self, symbols=("EURUSD",), passes=10, step=MINUTE, limit=None, side=None, recorder=None):
        self.clock = ManualClock(MONDAY)
        self.recorder = recorder or ListRecorder(self.clock)
        self.passes, self.step, self.side = passes, step, side
        self.number = 0
        self.faults = {}
        self.state = TradingState.ACTIVE
        self.open_trades = ()
        self.alone = 99
        self.calls = []
        self.stop = Event()
        self.loop = TradingLoop(
            market=self,
            source=self,
            strategy=self,
            desk=self,
            recorder=self.recorder,
            tutor=self,
            watcher=self,
            clock=self.clock,
            symbols=symbols,
            window=20,
            limit=limit,
        )

    def run(self):
        return self.loop.run(self.stop)

    def fault(self, place, error, *passes):
        self.faults.update({(place, number): error for number in passes})
        return self

    def _at(self, place, symbol=""):
        self.calls.append((place, symbol, self.number))
        for name in (place, f"{place} {symbol}"):
            if (name, self.number) in self.faults:
                raise self.faults[name, self.number]

    # market, source
    def advance(self, stop):
        self.number += 1
        self.clock.set(self.clock.now() + self.step)
        return self.number < self.passes

    def window(self, symbol, count):
        self._at("window", symbol)
        return bars_until(self.clock.now(), count, symbol)

    def declare(self, symbol):
        self._at("declare", symbol)
        return Capabilities(volume=True, spread=True)

    # strategy, tutor, watcher
    def decide_all(self, closed, now):
        return [self.decide(bars, known, now) for bars, known in closed]

    def decide(self, bars, known, now):
        self._at("decide", bars.symbol)
        return a_decision(bars, self.side, "veto: spread" if self.side is None and self.number == 1 else "why")

    def before_decisions(self, now):
        self._at("tutor")

    def after_pass(self, now, last):
        self._at("watcher")

    # desk
    def start(self, now):
        self._at("start")

    def settle(self, now):
        self._at("settle")

    def manage(self, symbol, bars, now):
        self._at("manage", symbol)

    def untended(self, symbol, window):
        assert len(window()) == 20
        return self.alone

    def enter(self, decision, bars, now):
        self._at("enter", decision.symbol)
        return DecisionOutcome(decision, "sent", "done", "key")

    def bars(self, symbol="EURUSD"):
        return [o.decision.bar_time for o in self.recorder.outcomes if o.decision.symbol == symbol]

    def asked(self, place):
        return [number for name, _, number in self.calls if name == place]


class Stretch:
    """Silence on the next bars, however many are asked of it; in the last of them somebody settles and watches."""

    def __init__(self, world, passes):
        self.world, self.passes, self.asked = world, passes, []

    def stretch(self, now, last, room, untended):
        self.asked.append(self.world.number)
        count = min(self.passes if room is None else min(self.passes, room), untended("EURUSD"))
        if not count:
            return None
        times = [last["EURUSD"] + 60 * (number + 1) for number in range(count)]
        empty = [0.0] * count
        lull = Lull("EURUSD", {}, {}, {}, range(count), times, ["still"] * count, empty, empty, [""] * count)
        return SimpleNamespace(lulls=(lull,), newest=lull.at(-1))

    def legs(self, stretch, now):
        (lull,) = stretch.lulls
        end = len(lull)
        yield SimpleNamespace(before=tuple(filter(len, [lull.between(0, end - 1)])), last=(lull.at(end - 1),), passes=end)

    def leap(self, leg):
        for _ in range(leg.passes):
            self.world.advance(None)
        return self.world.clock.now()


class TestQuietStretches:
    def make(self, passes=4, **world):
        world = World(passes=99, **world)
        world.loop._quiet = Stretch(world, passes)
        return world

    def test_every_bar_has_its_decision_and_counts(self):
        world = self.make(passes=4, limit=13)
        summary = world.run()
        assert world.bars() == minutes(*range(13))
        assert (summary.reason, summary.bars, summary.actions) == ("bars decided", {"EURUSD": 13}, {"none": 13})
        assert world.asked("decide") == [0, 5, 10]  # the other bars were told of
        assert world.asked("settle") == [0, 4, 5, 9, 10, 12]

    def test_whoever_has_halted_goes_bar_by_bar(self):
        world = self.make()
        world.state = TradingState.HALTED
        world.run()
        assert world.loop._quiet.asked == []

    def test_the_desk_says_how_many_bars_need_no_management(self):
        world = self.make(passes=4, limit=9)
        world.alone = 2
        world.run()
        assert world.asked("decide") == [0, 3, 6]
        assert world.bars() == minutes(*range(9))
        assert world.asked("window")  # the desk may look at the bars that the loop reads

    def test_after_a_stop_there_is_none(self):
        world = self.make()
        world.after_pass = lambda now, last: world.stop.set()
        world.run()
        assert world.loop._quiet.asked == []
        assert world.bars() == minutes(0)

    def test_an_error_on_the_way_stops_entries_and_no_decision_is_written_twice(self):
        world = self.make(limit=9).fault("watcher", ValueError("boom"), 4)
        world.run()
        assert world.state is TradingState.REDUCING
        assert world.bars() == minutes(*range(9))

    @pytest.mark.parametrize("place", [4, 5])
    def test_an_error_over_open_positions_halts_on_the_way_as_in_a_pass(self, place):
        world = self.make(limit=9).fault("settle", ValueError("boom"), place)
        assert world.run().reason.startswith("halted")
        assert world.asked("settle")[-1] == place

    def test_a_terminal_that_does_not_answer_on_the_way_cuts_the_stretch_short(self):
        world = self.make(limit=9).fault("settle", RetryError("no answer"), 4)
        world.run()
        assert world.state is TradingState.ACTIVE
        assert world.bars() == minutes(*range(9))


def minutes(*numbers):
    """Open times of the bars that the passes of these numbers decide."""
    return [MONDAY + (number - 1) * MINUTE for number in numbers]


class TestDecisions:
    def test_every_bar_of_every_symbol_has_one_decision(self):
        world = World(("EURUSD", "GBPUSD"))
        summary = world.run()
        assert summary.reason == "end of data"
        assert summary.bars == {"EURUSD": 10, "GBPUSD": 10}
        for symbol in summary.bars:
            assert world.bars(symbol) == minutes(*range(10))

    def test_a_bar_is_decided_once_however_often_the_market_is_looked_at(self):
        world = World(step=timedelta(seconds=0))
        assert world.run().bars == {"EURUSD": 1}

    def test_a_restart_goes_on_with_the_next_bar(self):
        first = World(passes=3)
        first.run()
        second = World(passes=5, recorder=first.recorder)
        second.run()
        assert second.bars() == minutes(*range(5))
        assert second.asked("decide") == [3, 4]

    def test_bars_that_were_missed_have_rows_that_say_so(self):
        world = World(passes=3, step=3 * MINUTE)
        summary = world.run()
        assert world.bars() == minutes(*range(7))
        reasons = [o.decision.reason.partition(":")[0] for o in world.recorder.outcomes]
        assert reasons == ["why", "missed", "missed", "veto", "missed", "missed", "why"]
        assert summary.bars["EURUSD"] == 7

    def test_the_limit_counts_decided_bars_of_all_symbols(self):
        summary = World(("EURUSD", "GBPUSD"), limit=6).run()
        assert (summary.reason, sum(summary.bars.values())) == ("bars decided", 6)

    def test_the_limit_holds_within_a_pass_and_a_restart_decides_the_rest_of_it(self):
        first = World(("EURUSD", "GBPUSD"), limit=5)
        assert sum(first.run().bars.values()) == 5
        World(("EURUSD", "GBPUSD"), passes=4, recorder=first.recorder).run()
        assert first.bars("GBPUSD") == minutes(*range(4))

    def test_actions_are_counted_and_a_side_goes_to_the_desk(self):
        assert World(passes=3).run().actions == {"none": 2, "vetoed": 1}
        world = World(passes=3, side=Side.LONG)
        assert world.run().actions == {"sent": 3}
        assert {(o.detail, o.order_key) for o in world.recorder.outcomes} == {("done", "key")}

    def test_positions_are_managed_before_the_decision_on_the_same_bar(self):
        world = World(passes=1, side=Side.LONG)
        world.run()
        assert [place for place, _, _ in world.calls] == [
            *("start", "settle", "tutor"),
            *("window", "manage", "declare", "decide", "enter", "watcher"),
        ]

    def test_the_positions_of_all_symbols_are_managed_before_the_first_decision(self):
        world = World(("EURUSD", "GBPUSD"), passes=1, side=Side.LONG)
        world.run()
        acts = [f"{place} {symbol}" for place, symbol, _ in world.calls if place in ("manage", "decide", "enter")]
        assert acts == [f"{place} {symbol}" for place in ("manage", "decide", "enter") for symbol in ("EURUSD", "GBPUSD")]

    def test_a_stop_ends_it_before_the_next_bar(self):
        world = World()
        world.after_pass = lambda now, last: world.stop.set()
        assert world.run().reason == "stopped"
        assert len(world.bars()) == 1


class TestFaults:
    @pytest.mark.parametrize("error", [DataError("no bars"), TerminalCallFailed("copy_rates", -1, "busy")])
    @pytest.mark.parametrize("place", ["window EURUSD", "declare EURUSD", "manage EURUSD", "enter EURUSD"])
    def test_one_symbols_trouble_leaves_the_others(self, error, place):
        world = World(("EURUSD", "GBPUSD"), passes=3, side=Side.LONG).fault(place, error, 1)
        summary = world.run()
        assert world.state is TradingState.ACTIVE
        assert summary.bars == {"EURUSD": 3, "GBPUSD": 3}
        assert world.recorder.outcomes[2].decision.symbol == "GBPUSD"

    def test_a_pass_that_may_succeed_later_is_skipped(self):
        world = World(passes=3).fault("settle", RetryError("busy"), 1)
        assert world.run().bars == {"EURUSD": 3}
        assert world.state is TradingState.ACTIVE

    @pytest.mark.parametrize("error", [TerminalCallFailed("positions_get", -10_004, "no connection"), ZeroDivisionError("oops")])
    def test_commands_are_heard_while_passes_fail(self, error):
        """A lost terminal must not make the daemon deaf to `stop`."""
        world = World(passes=3).fault("settle", error, 0, 1, 2)
        world.run()
        assert world.asked("watcher") == world.asked("settle")

    @pytest.mark.parametrize("place", ["decide", "tutor", "enter", "watcher"])
    def test_an_unexpected_error_stops_entries_and_positions_are_still_managed(self, place):
        world = World(passes=4, side=Side.LONG).fault(place, ZeroDivisionError("oops"), 1)
        summary = world.run()
        assert world.state is TradingState.REDUCING
        assert summary.reason == "end of data"
        assert {2, 3} <= set(world.asked("settle")) & set(world.asked("manage"))

    def test_three_in_an_hour_halt(self):
        world = World().fault("decide", ZeroDivisionError(), 1, 2, 3)
        assert world.run().reason.startswith("halted")
        assert world.number == FAULTS_PER_HOUR

    def test_three_in_more_than_an_hour_do_not(self):
        world = World(passes=6, step=timedelta(minutes=31)).fault("decide", ZeroDivisionError(), 1, 2, 3, 4, 5)
        assert world.run().reason == "end of data"
        assert world.state is TradingState.REDUCING

    @pytest.mark.parametrize("place", ["settle", "manage"])
    def test_one_in_position_management_halts(self, place):
        world = World().fault(place, ZeroDivisionError(), 1)
        assert world.run().reason.startswith("halted")
        assert world.number == 1

    @pytest.mark.parametrize("place", ["settle", "manage"])
    def test_trouble_in_position_management_is_forgotten_when_it_is_over(self, place):
        """A skipped pass in management must not turn a later error elsewhere into a halt."""
        world = (
            World(passes=4).fault(place, RetryError("busy"), 1).fault("tutor", ZeroDivisionError(), 2).fault("settle", RetryError(""), 2)
        )
        world.fault("tutor", ZeroDivisionError(), 3)
        world.run()
        assert world.state is TradingState.REDUCING

    def test_what_must_stop_the_process_does(self):
        with pytest.raises(StorageError):
            World().fault("tutor", StorageError("journal.db is damaged"), 1).run()
