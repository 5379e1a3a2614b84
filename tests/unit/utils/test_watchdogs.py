"""The watchdogs: history that stands still and versions without a voice are told, once, and nothing else is."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from market_data.clock import ManualClock, utc_text
from strategy.decision import Decision, DecisionOutcome
from strategy.learning.active import EMPTY_STATE, SlotState, Stop
from strategy.learning.jobs import JobSpec
from utils.checks import ALARM
from utils.trade_journal import TradeJournal
from utils.watchdogs import Watchdogs, note_newest

START = datetime(2024, 1, 8, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
JOB = JobSpec("scalper", "random_forest", ("EURUSD", "GBPUSD"))
SETTINGS = Settings(watch={"watchdog_bars": 10})
LAG = 15 + 2 + 2 * 60 + 10
"""Bars without training rows, at most, and the watchdog's own."""


class Bench:
    def __init__(self, *, decided=(0, 0), versions=None, absent=None, settings=SETTINGS):
        self.store = {}
        self.versions, self.absent = versions or {}, absent or {}
        self.decided = dict(zip(JOB.symbols, decided, strict=True))
        self.active = EMPTY_STATE
        state = self.state = type("State", (), {"get": self.store.get, "set": self.store.__setitem__})
        self.dogs = Watchdogs(self, state, lambda: self.active, (JOB,), settings)

    def decisions(self, limit, symbol=None):
        rows = range(self.decided[symbol] - 1, -1, -1)
        return [{"bar_time": utc_text(START + row * MINUTE), "versions": self.versions, "absent": self.absent} for row in rows][:limit]

    def promote(self, version, at, event="promoted"):
        after = SlotState(version, None, False, version + 1)
        self.active = self.active.changed("scalper", event, utc_text(at), after, version)
        return self

    def trained(self, *newest):
        for instant in newest:
            note_newest(self.state, "scalper", int(instant.timestamp()))
        return self

    def look(self):
        return self.dogs.run(START)


class TestHistory:
    def test_two_trainings_that_end_at_the_same_bar_are_an_alarm_where_bars_were_decided(self):
        found = Bench(decided=(LAG + 1, LAG + 1)).trained(START, START).look()
        assert found.outcome == ALARM
        assert f"ended at bar {utc_text(START)}" in found.reason
        assert found.retrain == ()

    @pytest.mark.parametrize(
        ("decided", "newest"),
        [
            ((LAG, LAG), (START, START)),  # the newest rows have no labels yet, or no entry is allowed in their hours
            ((0, 0), (START, START)),  # a weekend
            ((LAG + 1, LAG + 1), (START, START + MINUTE)),  # it advances
            ((LAG + 1, LAG + 1), (START,)),  # only one training so far
            ((LAG + 1, LAG + 1), ()),
        ],
    )
    def test_what_has_its_reason_is_none(self, decided, newest):
        assert Bench(decided=decided).trained(*newest).look().outcome == "skipped"

    def test_only_the_last_two_trainings_count(self):
        assert Bench(decided=(LAG + 1, LAG + 1)).trained(START, START, START + MINUTE).look().outcome == "skipped"

    def test_one_symbol_that_goes_on_is_enough_to_see_it(self):
        assert Bench(decided=(0, LAG + 1)).trained(START, START).look().outcome == ALARM


class TestService:
    def test_a_promoted_version_that_no_decision_names_is_an_alarm_with_its_reason(self):
        bench = Bench(decided=(10, 10), versions={"scalper": 2}, absent={"scalper": "made for M5, not M1"}).promote(3, START)
        found = bench.look()
        assert found.outcome == ALARM
        assert "version 3 is active since 2024-01-08T10:00" in found.reason
        assert "made for M5, not M1" in found.reason

    def test_without_a_reason_the_alarm_says_so(self):
        assert "give no reason" in Bench(decided=(10, 10)).promote(3, START).look().reason

    @pytest.mark.parametrize(
        ("decided", "versions", "at"),
        [
            ((10, 10), {"scalper": 3}, START),  # it votes
            ((9, 9), {}, START),  # there were too few bars to tell
            ((10, 0), {}, START),  # one of the symbols had none: it may be the one
            ((10, 10), {}, START + MINUTE),  # too few since then
        ],
    )
    def test_otherwise_there_is_none(self, decided, versions, at):
        assert Bench(decided=decided, versions=versions).promote(3, at).look().outcome == "skipped"

    def test_an_empty_slot_and_a_forgotten_history_are_none(self):
        bench = Bench(decided=(10, 10))
        assert bench.look().outcome == "skipped"
        bench.active = bench.active.with_slot("scalper", SlotState(3, None, False, 4))
        assert bench.look().outcome == "skipped"

    @pytest.mark.parametrize("event", ["rolled back", "recovered"])
    def test_a_version_that_came_back_must_vote_too(self, event):
        assert Bench(decided=(10, 10)).promote(3, START, event).look().outcome == ALARM

    def test_a_pin_is_no_promotion(self):
        bench = Bench(decided=(20, 20), versions={"scalper": 3}).promote(3, START)
        bench.promote(3, START + 15 * MINUTE, "pinned")
        assert bench.look().outcome == "skipped"


class TestOnce:
    def test_the_same_fault_is_one_alarm_and_a_standing_reason(self):
        bench = Bench(decided=(10, 10)).promote(3, START)
        first, second = bench.look(), bench.look()
        assert (first.outcome, second.outcome) == (ALARM, "skipped")
        assert second.reason == f"still: {first.reason}"

    def test_another_version_is_another_fault(self):
        bench = Bench(decided=(10, 10)).promote(3, START)
        bench.look()
        bench.promote(4, START)
        assert bench.look().outcome == ALARM

    def test_both_faults_are_told_together(self):
        found = Bench(decided=(LAG + 1, LAG + 1)).promote(3, START).trained(START, START).look()
        assert "history stands still" in found.reason
        assert "version 3 is active" in found.reason


def test_the_trade_journals_rows_are_read_as_they_are(tmp_path):
    """A swap that the decision path never reads: the journal says so, in the reason of its newest decision."""
    job = JobSpec("scalper", "random_forest", ("EURUSD",))
    after = SlotState(3, None, False, 4)
    state = EMPTY_STATE.changed("scalper", "promoted", utc_text(START), after, 3)
    with closing(TradeJournal(tmp_path / "journal.db", account="simulated/1", mode="simulated", clock=ManualClock(START))) as journal:
        dogs = Watchdogs(journal, Bench().state, lambda: state, (job,), SETTINGS)
        for row in range(10):
            assert dogs.run(START).outcome == "skipped"
            silent = Decision("EURUSD", START + row * MINUTE, None, "none", versions={"scalper": 2}, absent={"scalper": "expired"})
            journal.record_decision(DecisionOutcome(silent, "none"))
        assert dogs.run(START).reason.endswith("decisions do not name it: expired")
        journal.record_decision(DecisionOutcome(Decision("EURUSD", START + 10 * MINUTE, None, "none", versions={"scalper": 3}), "none"))
        assert dogs.run(START).reason == "training bars advance, what was promoted votes"


def test_a_stopped_version_need_not_have_a_say():
    bench = Bench(decided=(30, 30)).promote(3, START)
    assert bench.look().outcome == ALARM
    bench = Bench(decided=(30, 30)).promote(3, START)
    slot = bench.active.slot("scalper")
    bench.active = bench.active.with_slot("scalper", replace(slot, stopped=Stop(utc_text(START), "it loses")))
    assert bench.look().outcome == "skipped"
