"""Killed at any point and started again: the same models, every position, every bar and every deal once."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from tests.fakes_daemon import POINTS, Crash, DaemonProcess, broker_deals, broker_positions, die_at, run_here, table
from tests.scenarios.conftest import OFTEN

BARS = 60
DECIDED = ("symbol", "bar_time", "side", "reason", "expected_r", "close", "atr", "feature_hash", "forecasts", "absent", "versions")
"""What a decision is, whatever came of it: a restart may find an order on its way where there was none."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(trained_once, prices, tmp_path_factory):
    """The same bars without any interruption."""
    home = shutil.copytree(trained_once, tmp_path_factory.mktemp("whole") / "home", ignore=shutil.ignore_patterns("home.lock"))
    run_here(home, BARS, OFTEN, prices)
    return home


@pytest.fixture(scope="module")
def decided_before(trained_once):
    return len(table(trained_once, "decisions"))


def finish(home, prices, decided_before):
    """Plays what is left of the same bars."""
    left = BARS - (len(table(home, "decisions")) - decided_before)
    if left > 0:
        run_here(home, left, OFTEN, prices)


def decisions(home):
    return [{name: row[name] for name in DECIDED} for row in table(home, "decisions")]


def check_books(home):
    """The journal tells of every deal and position of the broker exactly once, and of nothing else."""
    deals = [row["ticket"] for row in table(home, "deals")]
    assert sorted(deals) == sorted(broker_deals(home))
    trades = {row["ticket"]: row for row in table(home, "trades")}
    assert len(trades) == len(table(home, "trades"))
    assert {ticket for ticket, row in trades.items() if row["closed"] is None} == set(broker_positions(home))
    assert set(trades) == {deal["position_id"] for deal in broker_deals(home).values()}
    for row in trades.values():
        assert row["risk_money"] > 0
        assert json.loads(row["versions"])
        assert row["close_reason"] in (None, "stop", "target", "time")
    assert {row["state"] for row in table(home, "orders")} <= {"filled", "not_sent", "intended"}
    with closing(sqlite3.connect(home / "journal.db")) as db:
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]


def test_there_is_something_to_interrupt(whole):
    reasons = {row["close_reason"] for row in table(whole, "trades")}
    assert {"time"} < reasons
    check_books(whole)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_any_point_loses_and_doubles_nothing(trained, prices, whole, decided_before, monkeypatch, point, number):
    with monkeypatch.context() as patched:
        die_at(point, number, patched.setattr, _die)
        with pytest.raises(Crash):
            run_here(trained, BARS, OFTEN, prices)
    finish(trained, prices, decided_before)
    assert decisions(trained) == decisions(whole)
    check_books(trained)
    if "intent and send" not in point:  # there the order truly was never sent, and every trade after it is another
        assert trades(trained) == trades(whole)


def trades(home):
    return [{name: value for name, value in row.items() if name not in ("order_key", "reason")} for row in table(home, "trades")]


def test_kills_of_the_real_process_lose_and_double_nothing(trained, prices, whole, decided_before):
    arguments = ("--speed", "max", "--bars", str(BARS), *(part for source in prices for part in ("--source", source)))
    first = DaemonProcess(trained, *arguments, env=OFTEN, program=("-m", "tests.fakes_daemon", "between send and order state", "2", "run"))
    assert first.finish() == 9
    second = DaemonProcess(trained, *arguments, env={**OFTEN, "LOG_LEVEL": "DEBUG"})
    second.wait_for("ticket 20000", count=3)
    second.kill()
    finish(trained, prices, decided_before)
    assert decisions(trained) == decisions(whole)
    check_books(trained)
    # As above: where the kill came before a send, every trade after it is another; those before it are the same.
    never_sent = min((row["bar_time"] for row in table(trained, "orders") if row["state"] == "not_sent"), default="9999")
    assert [row for row in trades(trained) if row["bar_time"] < never_sent] == [
        row for row in trades(whole) if row["bar_time"] < never_sent
    ]


class TestWhatSurvives:
    def test_the_versions_in_service(self, trained, prices):
        run_here(trained, 1, OFTEN, prices)
        newest = table(trained, "decisions")[-1]
        assert json.loads(newest["versions"]) == {"lstm_EURUSD": 2, "scalper": 2, "xgboost": 2}

    def test_due_times(self, trained, prices):
        runs = len(table(trained, "job_runs"))
        run_here(trained, 15, OFTEN, prices)
        assert len(table(trained, "job_runs")) == runs

    def test_a_time_exit_that_falls_due_while_the_daemon_is_away(self, trained, prices, whole, decided_before):
        """Stops and starts after every bar: each trade ends as it would have."""
        for _ in range(BARS):
            run_here(trained, 1, OFTEN, prices)
        assert decisions(trained) == decisions(whole)
        assert trades(trained) == trades(whole)

    def test_the_days_opening_equity(self, trained, prices):
        opened = table(trained, "equity")[0]["equity"]
        run_here(trained, 20, OFTEN, prices)
        rows = [row for row in table(trained, "equity") if _day(row["at"]) == _day(table(trained, "equity")[0]["at"])]
        assert rows[0]["equity"] == opened


def _day(at):
    return (datetime.fromisoformat(at) - timedelta(hours=22)).date()


def _die():
    raise Crash
