"""Which versions decided, what differs, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from config.errors import ArtifactError
from config.settings import Settings
from execution.orders import Side
from market_data.bars import RATES_DTYPE
from market_data.clock import ManualClock, from_epoch
from market_data.loader import BarLoader
from strategy.active_models import ActiveModels
from strategy.decision import Decision
from strategy.scalping_strategy import NOT_SERVING
from tests.contracts.recorder_contract import START
from tests.fakes_learning import ALL, market
from utils.deciding import decision_bars, strategy_of
from utils.journal_replay import MISSED, Shelf, replay, served
from utils.market_view import MarketView

MINUTE = timedelta(minutes=1)
SETTINGS = Settings(lstm={"lstm_seq_length": 10})
BARS = market(400)


def decision(minute=0, symbol="EURUSD", versions=None, absent=None):
    return Decision(symbol, START + minute * MINUTE, None, "why", absent=absent or {}, versions=versions or {})


# --- which versions ---------------------------------------------------------------------------


def test_a_silent_slot_has_the_version_that_others_of_its_time_name():
    rows = [
        decision(0, "EURUSD", {"lstm_EURUSD": 1}, {"lstm_GBPUSD": "not mine"}),
        decision(0, "GBPUSD", {"lstm_GBPUSD": 4}, {"lstm_EURUSD": "not mine"}),
        decision(1, "EURUSD", {"lstm_EURUSD": 2}, {"lstm_GBPUSD": "not mine"}),
    ]
    assert served(rows) == [
        {"lstm_EURUSD": 1, "lstm_GBPUSD": 4},
        {"lstm_EURUSD": 1, "lstm_GBPUSD": 4},
        {"lstm_EURUSD": 2, "lstm_GBPUSD": 4},
    ]


def test_a_slot_that_no_decision_names_is_left_out():
    assert served([decision(absent={"ghost": "asleep"}), decision(1)]) == [{}, {}]


def test_a_slot_that_had_no_version_is_not_given_a_later_one():
    rows = [decision(absent={"scalper": NOT_SERVING}), decision(1, versions={"scalper": 1})]
    assert served(rows) == [{}, {"scalper": 1}]


def test_a_version_is_opened_once_and_its_refusal_told_once():
    asked = []

    def refuse(slot, version):
        asked.append((slot, version))
        raise ArtifactError(f"{slot}_v{version}.json: missing; it was pruned")

    shelf = Shelf(refuse)
    assert shelf.all_of({"scalper": 3}) == shelf.all_of({"scalper": 3}) == {}
    assert asked == [("scalper", 3)]
    assert shelf.refused == {"scalper v3": "scalper_v3.json: missing; it was pruned"}
    assert shelf.used == {}


# --- what differs -----------------------------------------------------------------------------


class Rates:
    """A real terminal's history: time passes by itself."""

    def rates(self, symbol, timeframe, start, count):
        table = np.zeros(len(BARS), RATES_DTYPE)
        for name in ("time", "open", "high", "low", "close", "tick_volume", "spread"):
            table[name] = getattr(BARS, name)
        stop = len(table) - start
        return table[max(0, stop - count) : stop]


@pytest.fixture
def view():
    loader = BarLoader(Rates(), BARS.timeframe, 1_000, {"EURUSD": ALL})
    return MarketView(None, loader, ("EURUSD",), ManualClock(from_epoch(int(BARS.time[-1]) + 60)), None)


def decided(count=5):
    """What the strategy says of the newest closed bars, without any model."""
    strategy, need = strategy_of(SETTINGS, "synthetic", ActiveModels()), decision_bars(SETTINGS)
    ends = range(len(BARS) - count, len(BARS))
    return [strategy.decide(BARS.slice(end - need, end), ALL, from_epoch(int(BARS.time[end - 1]) + 60)) for end in ends]


def again(rows, view, **changes):
    return replay(rows, SETTINGS, "synthetic", view, lambda slot, version: None, **{"timed": True, **changes})


def test_the_same_bars_give_the_same_decisions(view):
    report = again(decided(), view)
    assert report.identical
    assert (report.decided, report.in_part, report.differing, report.first) == (5, 0, 0, None)


def test_a_slot_that_was_stopped_then_is_stopped_again(view):
    models = ActiveModels()
    models.remove("scalper", "it loses")
    strategy, need = strategy_of(SETTINGS, "synthetic", models), decision_bars(SETTINGS)
    bars = BARS.slice(len(BARS) - 1 - need, len(BARS) - 1)
    rows = [strategy.decide(bars, ALL, from_epoch(int(bars.time[-1]) + 60))]
    assert rows[0].absent["scalper"] == "stopped: it loses"
    assert served([replace(rows[0], versions={"scalper": 3}), rows[0]])[1] == {}
    assert again(rows, view).identical


@pytest.mark.parametrize(
    ("changes", "field", "also"),
    [
        ({"close": 1.0}, "close", ()),
        ({"atr": 0.5, "reason": "other"}, "atr", ("reason",)),
        ({"feature_hash": "00"}, "feature_hash", ()),
        ({"side": Side.LONG}, "side", ()),
        ({"expected_r": 1e-300}, "expected_r", ()),
    ],
)
def test_the_first_difference_is_told_with_what_follows_from_it(view, changes, field, also):
    rows = decided()
    rows[2], rows[4] = replace(rows[2], **changes), replace(rows[4], close=2.0)
    report = again(rows, view)
    assert not report.identical
    assert (report.first.bar_time, report.first.field, report.first.also) == (rows[2].bar_time, field, also)
    assert report.first.recorded == changes[field]
    assert report.differing == 2
    assert str(report.first).startswith(f"EURUSD {rows[2].bar_time:%Y-%m-%dT%H:%M}:00.000Z: {field} was {changes[field]!r}, is ")


def test_a_bar_that_the_source_lacks_is_a_difference(view):
    rows = decided()
    rows.append(replace(rows[-1], bar_time=rows[-1].bar_time + timedelta(days=3)))
    report = again(rows, view)
    assert (report.first.field, report.first.now) == ("bars", "no such bar in this source")


def test_a_history_that_begins_too_late_is_a_difference(view):
    early = [replace(decided(1)[0], bar_time=BARS.opened_at(50))]
    assert again(early, view).first.now == f"51 bars up to this one in this source, {decision_bars(SETTINGS)} needed"


def test_bars_that_nobody_decided_are_counted_apart(view):
    rows = decided()
    rows[0] = Decision("EURUSD", rows[0].bar_time, None, f"{MISSED} a newer bar had closed")
    report = again(rows, view)
    assert (report.identical, report.decided, report.missed) == (True, 4, 1)
    assert not again(rows[:1], view).identical  # nothing was compared


def test_where_the_instant_is_not_known_the_verdict_is_compared_and_not_the_veto(view):
    rows = decided(1)
    vetoed = [replace(rows[0], reason=f"veto: stale bar: opened 9.0 bar lengths ago; was: {rows[0].reason}")]
    assert not again(vetoed, view).identical
    assert again(vetoed, view, timed=False).identical
    other = [replace(rows[0], reason="veto: stale bar: opened 9.0 bar lengths ago; was: something else")]
    assert again(other, view, timed=False).first.field == "reason"
