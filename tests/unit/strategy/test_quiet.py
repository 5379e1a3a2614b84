"""A quiet stretch ends before the first pass of which anything is not sure, and stops wherever somebody has something to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from market_data.clock import epoch_msc, from_epoch
from strategy.decision import Lull
from strategy.quiet import LONGEST, Quiet
from tests.fakes_daemon import MINUTE, MONDAY

NOW, FIRST = epoch_msc(MONDAY), int(MONDAY.timestamp())


class World:
    """Symbols whose bars close in some passes; all of them are silent, as far as `silent` says."""

    def __init__(self, passes=50, silent=None, closing=None):
        self.passes = NOW + 60_000 * np.arange(1, passes + 1)
        self.steps = closing or {"EURUSD": np.ones(passes, dtype=np.int64)}
        self.quiet = dict.fromkeys(self.steps, passes) | (silent or {})
        self.last = dict.fromkeys(self.steps, FIRST - 60)
        self.leaps, self.over, self.ends, self.stops = [], [], [], []
        self.untended, self.looked = {}, []

    # bars
    def newest(self, symbol):
        return FIRST - 60

    def instants(self, count):
        self.looked.append(count)
        return self.passes[:count]

    def closing(self, symbol, instants):
        return np.cumsum(self.steps[symbol])[: len(instants)]

    # silence
    def silent(self, symbol, time, now):
        return self.quiet[symbol]

    def lull(self, symbol, time, passes, now):
        assert passes, "asked for nothing, of which a strategy may know nothing"
        count = len(passes)
        times = [time + 60 * (number + 1) for number in range(count)]
        return Lull(symbol, {}, {}, {}, passes, times, ["still"] * count, [1.1] * count, [0.0] * count, [""] * count)

    def stretch(self, room=None):
        self.finder = Quiet(
            self, self, self.leaps.append, made=self.over.append, ends=self.ends, stops=self.stops, symbols=tuple(self.steps)
        )
        return self.finder.stretch(MONDAY, self.last, room, self.untended.get)

    def passes_found(self, room=None):
        found = self.stretch(room)
        return 0 if found is None else len(found.instants)


def test_it_reaches_as_far_as_the_market_is_known():
    assert World().passes_found() == 50
    assert World(passes=LONGEST + 9).passes_found() == LONGEST
    assert World(passes=0).passes_found() == 0


def test_it_ends_before_the_first_bar_that_is_not_silent():
    assert World(silent={"EURUSD": 17}).passes_found() == 17
    assert World(silent={"EURUSD": 0}).passes_found() == 0


@pytest.mark.parametrize(("due", "passes"), [(30, 29), (30.5, 30), (1, 0), (0, 0), (-5, 0), (99, 50), (None, 50)])
def test_it_ends_before_what_is_decided_may_change(due, passes):
    world = World()
    world.ends = [lambda now: None, lambda now: None if due is None else MONDAY + due * MINUTE]
    assert world.passes_found() == passes


@pytest.mark.parametrize(("room", "passes"), [(None, 50), (7, 7), (0, 0)])
def test_there_is_room_for_so_many_decisions(room, passes):
    assert World().passes_found(room) == passes


@pytest.mark.parametrize(("untended", "passes"), [(None, 50), (60, 50), (17, 17), (1, 1), (0, 0)])
def test_it_ends_before_a_trade_has_to_be_managed(untended, passes):
    world = World()
    world.untended["EURUSD"] = untended
    assert world.passes_found() == passes


def test_a_trade_on_one_of_several_symbols_counts_the_bars_of_that_one():
    closing = {"EURUSD": np.array([1, 0, 1, 1]), "GBPUSD": np.array([0, 1, 1, 1])}
    world = World(passes=4, closing=closing)
    world.untended["EURUSD"] = 1
    assert world.passes_found() == 2  # the pass of the other symbol's bar is quiet


@pytest.mark.parametrize("reason", ["a voice", "a trade"])
def test_where_the_next_bar_wants_its_own_pass_the_market_is_not_looked_through(reason):
    world = World(silent={"EURUSD": 0} if reason == "a voice" else None)
    world.untended["EURUSD"] = 0 if reason == "a trade" else None
    assert world.stretch() is None
    assert world.looked == []


def test_a_symbol_whose_newest_bar_is_not_decided_keeps_it_from_beginning():
    world = World()
    world.last["EURUSD"] -= 60
    assert world.stretch() is None
    world.last.clear()
    assert world.stretch() is None


def test_two_bars_that_close_at_once_end_it():
    """The first of them has been missed, and has a row that says so."""
    steps = np.ones(50, dtype=np.int64)
    steps[12] = 2
    assert World(closing={"EURUSD": steps}).passes_found() == 12


def test_bars_of_several_symbols_are_decided_in_their_passes():
    closing = {"EURUSD": np.array([1, 0, 1, 1]), "GBPUSD": np.array([0, 1, 1, 1])}
    world = World(passes=4, closing=closing)
    found = world.stretch()
    assert [(lull.symbol, lull.passes) for lull in found.lulls] == [("EURUSD", [0, 2, 3]), ("GBPUSD", [1, 2, 3])]
    assert (found.newest.symbol, len(found.instants)) == ("GBPUSD", 4)
    assert World(passes=4, closing=closing, silent={"GBPUSD": 1}).passes_found() == 2
    assert World(passes=4, closing=closing).passes_found(room=3) == 2  # a pass is made in whole
    only = World(passes=4, closing=closing).stretch(room=1)
    assert [lull.symbol for lull in only.lulls] == ["EURUSD"]


def test_passes_without_any_bar_are_left_to_the_loop():
    assert World(passes=3, closing={"EURUSD": np.zeros(3, dtype=np.int64)}).stretch() is None


def test_it_stops_where_somebody_has_something_to_do_and_at_its_end():
    world = World()
    hourly = {0: 20, 20: 45, 45: 80}
    world.stops = [lambda now: MONDAY + hourly[(now - MONDAY) // MINUTE] * MINUTE, lambda now: None]
    stretch = world.stretch()
    met = []
    for leg in world.finder.legs(stretch, MONDAY):
        met.append((world.finder.leap(leg) - MONDAY) // MINUTE)
        assert sum(world.over) == ([0, *met])[len(met) - 1]  # the passes of a leg are over behind it
    assert met == [20, 45, 50]
    assert world.leaps == [NOW + 60_000 * minutes for minutes in met]
    assert world.over == [20, 25, 5]


def test_the_last_decision_of_a_leg_stands_apart_from_those_before():
    """What somebody has to do in the last pass comes before its decision; in the others there is nothing."""
    closing = {"EURUSD": np.array([1, 0, 1, 1, 1]), "GBPUSD": np.array([0, 1, 1, 1, 0])}
    world = World(passes=5, closing=closing)
    world.stops = [lambda now: MONDAY + 2 * MINUTE if now == MONDAY else now]  # to the second pass, then one by one
    told = (
        [
            ([(lull.symbol, lull.passes) for lull in leg.before], [decision.symbol for decision in leg.last])
            for leg in world.finder.legs(stretch, MONDAY)
        ]
        if (stretch := world.stretch())
        else []
    )
    assert told == [
        ([("EURUSD", [0])], ["GBPUSD"]),
        ([], ["EURUSD", "GBPUSD"]),
        ([], ["EURUSD", "GBPUSD"]),
        ([], ["EURUSD"]),
    ]


def test_whoever_has_something_to_do_at_any_time_is_met_in_every_pass():
    world = World(passes=5)
    world.stops = [lambda now: now]
    stretch = world.stretch()
    assert len(list(world.finder.legs(stretch, MONDAY))) == 5


def test_a_due_time_between_two_passes_is_met_in_the_later():
    world = World(passes=5)
    world.stops = [lambda now: MONDAY + timedelta(seconds=100) if now == MONDAY else None]
    stretch = world.stretch()
    assert [world.finder.leap(leg) - MONDAY for leg in world.finder.legs(stretch, MONDAY)] == [2 * MINUTE, 5 * MINUTE]


def test_a_decision_of_a_lull_is_one_like_any_other():
    lull = World(passes=2).lull("EURUSD", FIRST, [0, 1], MONDAY)
    one = replace(lull, versions={"scalper": 3}).at(1)
    assert (one.side, one.reason, one.bar_time, one.versions) == (None, "still", from_epoch(FIRST + 120), {"scalper": 3})
