"""Figures of closed trades, worked out by hand."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from market_data.clock import ManualClock
from strategy.decision import JobRun, ModelEvent
from tests.contracts.recorder_contract import MINUTE, START, an_entry, an_exit, an_outcome
from utils.journal_records import ClosedTrade
from utils.report import figures, report_of, untraded, verdict
from utils.trade_journal import TradeJournal

DAY = timedelta(days=1)


def closed(net, at=START, reason="target"):
    """A trade that risked 10, paid 0.50 commission and 0.25 swap."""
    return ClosedTrade(an_entry(opened=at - MINUTE), replace(an_exit(closed=at, net=net), reason=reason), net / 10.0)


def report(name, passed=False, result=-0.25):
    return {
        "metrics": {"expectancy_r": result},
        "findings": [{"rule": name, "passed": passed, "detail": ""}, {"rule": "latency", "passed": True, "detail": ""}],
    }


class TestFigures:
    def test_no_trade_has_no_rates(self):
        found = figures((), 1_000.0)
        assert (found.trades, found.net, found.drawdown, found.drawdown_percent) == (0, 0.0, 0.0, 0.0)
        assert (found.win_rate, found.profit_factor, found.expectancy_r, found.lower_r, found.costs_r) == (None,) * 5

    def test_sums_and_ratios(self):
        found = figures([closed(net) for net in (6.0, -4.0, 0.0, 3.0, -2.0)], 100.0)
        assert (found.trades, found.wins, found.losses, found.win_rate) == (5, 2, 2, 0.5)
        assert (found.net, found.gross_profit, found.gross_loss, found.profit_factor) == (3.0, 9.0, -6.0, 1.5)
        assert found.expectancy_r == pytest.approx(0.06)
        assert (found.costs, found.costs_r) == (pytest.approx(3.75), pytest.approx(0.075))

    @pytest.mark.parametrize(
        ("nets", "drawdown", "percent"),
        [
            ([-10.0, 5.0], 10.0, 10.0),  # the deposit is a peak
            ([100.0, -50.0, 20.0, -30.0, 200.0], 60.0, 30.0),  # 200 to 140, over a recovery
            ([5.0, 5.0], 0.0, 0.0),
        ],
    )
    def test_drawdown_is_from_the_peak(self, nets, drawdown, percent):
        found = figures([closed(net) for net in nets], 100.0)
        assert (found.drawdown, found.drawdown_percent) == (pytest.approx(drawdown), pytest.approx(percent))

    def test_a_trade_of_unknown_risk_is_money_and_no_r(self):
        unknown = replace(closed(5.0), entry=an_entry(risk_money=0.0), r_multiple=None)
        found = figures([unknown], 100.0)
        assert (found.net, found.expectancy_r, found.costs_r) == (5.0, None, None)
        assert figures([unknown, closed(-5.0)], 100.0).expectancy_r == -0.5


class TestNoTrade:
    """Every reason is another sentence, and none says more than it knows."""

    @pytest.fixture
    def reader(self, tmp_path):
        with closing(TradeJournal(tmp_path / "journal.db", account="simulated/1", mode="simulated", clock=ManualClock(START))) as journal:
            yield journal

    @pytest.mark.parametrize(
        ("actions", "still_open", "votes_on", "said"),
        [
            ({"none": 30}, 0, None, "Nothing was traded: no edge after costs was found."),
            ({"none": 30}, 0, {"EURUSD", "XAUUSD"}, "Nothing was traded: no edge after costs was found."),
            ({"none": 29, "sent": 1}, 1, None, "No trade was closed: 1 sent, 1 still open at the end"),
            ({"none": 29, "sent": 1}, 0, {"EURUSD"}, "No trade was closed: 1 sent, 0 still open at the end"),
            ({"none": 30}, 0, {"GBPUSD"}, "Nothing was traded: no version votes on EURUSD; they vote on GBPUSD."),
            ({"none": 28, "denied": 2}, 0, None, "Nothing was traded: the risk rules denied every entry, 2 in all."),
        ],
    )
    def test_it_is_told_why(self, reader, actions, still_open, votes_on, said):
        found = replace(report_of(reader, 10_000.0), bars={"EURUSD": 30}, actions=actions, still_open=still_open)
        assert untraded(found, votes_on).startswith(said)


class TestVerdict:
    def test_one_good_day_is_luck(self):
        found = figures([closed(8.0, START + n * MINUTE) for n in range(200)], 100.0)
        assert found.lower_r is None
        assert "tell nothing from luck" in verdict(found)

    def test_days_that_differ_leave_doubt(self):
        found = figures([closed(net, START + n * DAY) for n, net in enumerate([9.0, -8.0] * 10)], 100.0)
        assert found.expectancy_r > 0 > found.lower_r
        assert verdict(found).startswith("No edge after costs is shown: +0.050 R a trade over 20 trades")

    def test_many_good_days_are_an_edge(self):
        found = figures([closed(net, START + n * DAY) for n, net in enumerate([9.0, 5.0, 7.0] * 10)], 100.0)
        assert 0.5 < found.lower_r < found.expectancy_r == pytest.approx(0.7)
        assert verdict(found).startswith("An edge after costs is shown on these bars")


class TestReportOf:
    @pytest.fixture
    def told(self, tmp_path):
        path = tmp_path / "journal.db"
        with closing(TradeJournal(path, account="simulated/1", mode="simulated", clock=ManualClock(START))) as journal:
            for minute, action in enumerate(("none", "sent", "none")):
                journal.record_decision(an_outcome(START + minute * MINUTE, action=action))
            journal.record_decision(an_outcome(START, symbol="GBPUSD"))
            months = (START, datetime(2024, 4, 2, tzinfo=START.tzinfo), START + DAY)
            for ticket, (at, reason) in enumerate(zip(months, ("target", "stop", "stop"), strict=True), 1):
                journal.log_entry(an_entry(ticket, opened=at - MINUTE, symbol="GBPUSD" if ticket == 2 else "EURUSD"))
                journal.log_exit(replace(an_exit(ticket, closed=at, net=float(ticket)), reason=reason))
            journal.log_entry(an_entry(9))
            journal.record_model_event(ModelEvent(START, "scalper", "rejected", 0, "no", report("expectancy")))
            journal.record_model_event(ModelEvent(START + MINUTE, "scalper", "rejected", 0, "no", report("expectancy")))
            journal.record_model_event(
                ModelEvent(START + DAY, "scalper", "promoted", 1, "yes", report("expectancy", passed=True, result=0.5))
            )
            for job, outcome in (("train:scalper", "rejected"), ("train:scalper", "promoted"), ("performance", "skipped")):
                journal.record_job(JobRun(job, "start", START, outcome, "", START))
            return report_of(journal, 1_000.0)

    def test_bars_and_actions_are_counted(self, told):
        assert told.bars == {"EURUSD": 3, "GBPUSD": 1}
        assert told.actions == {"none": 3, "sent": 1}
        assert (told.first, told.last, told.still_open) == (START, START + 2 * MINUTE, 1)

    def test_parts_add_up_to_the_whole(self, told):
        assert told.total.net == 6.0
        assert {name: part.net for name, part in told.by_symbol.items()} == {"EURUSD": 4.0, "GBPUSD": 2.0}
        assert {name: part.net for name, part in told.by_exit.items()} == {"stop": 5.0, "target": 1.0}
        assert {name: part.net for name, part in told.by_month.items()} == {"2024-03": 4.0, "2024-04": 2.0}

    def test_the_gate_and_the_slots_are_told(self, told):
        assert (told.tries, told.failed_rules) == ({"promoted": 1, "rejected": 1}, {"expectancy": 2})
        assert [(event["event"], event["version"]) for event in told.timeline] == [("promoted", 1)]

    def test_what_the_gate_measured_is_told_by_slot(self, told):
        assert told.candidates == {"scalper": {"judged": 3, "median_r": -0.25, "best_r": 0.5}}

    def test_it_is_plain_json(self, told):
        plain = told.as_json()
        assert (plain["first"], plain["by_exit"]["stop"]["trades"]) == ("2024-03-08T12:00:00.000Z", 2)
