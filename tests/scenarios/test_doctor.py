"""The doctor finds each injected fault, with its remedy, and leaves everything as it was."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.home import hold_home, open_home
from execution.simulated import SimulatedMT5
from market_data.clock import ManualClock
from tests.fakes_commands import commands, home_with_journal, registry_in
from tests.fakes_registry import publish
from tests.fakes_simulated import flat, make_bars, make_terminal
from utils import simulation, terminals
from utils.doctor import examination

ENVIRONMENT = "MT5_LOGIN=1\nMT5_SERVER=Simulated\nMT5_PASSWORD=secret\nHISTORY_BARS=3000\n"


class Doctored:
    """A terminal some of whose answers are changed: function -> fields, or a whole answer."""

    def __init__(self, module: SimulatedMT5, answers: Mapping[str, Any]) -> None:
        self._module, self._answers = module, answers

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._module, name)
        change = self._answers.get(name)
        if change is None:
            return original
        return lambda *args, **kwargs: self._changed(original(*args, **kwargs), change)

    def _changed(self, answer: Any, change: Any) -> Any:
        return SimpleNamespace(**{**answer._asdict(), **change}) if isinstance(change, dict) else change


@pytest.fixture
def project(tmp_path):
    (tmp_path / "requirements.txt").write_text("numpy==0.0.1\n", encoding="utf-8")
    (tmp_path / ".env").write_text(ENVIRONMENT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def doctor(project, monkeypatch):
    """Examines a real terminal, which is the simulated module with some answers changed."""
    command = commands(monkeypatch, project)
    opened = []

    def examine(*arguments, late=timedelta(0), bars=3_100, **answers):
        module = make_terminal(make_bars(flat(1.1, bars + 1)), history=bars, connect=False)
        opened.append(module)
        monkeypatch.setattr(terminals, "official_module", lambda: Doctored(module, answers))
        monkeypatch.setattr(examination, "SystemClock", lambda: ManualClock(module.clock.now() + late))
        result = command("doctor", "--json", *arguments)
        told = json.loads(result.stdout)
        assert told["ok"] == (result.exit_code == 0)
        return {row["check"]: row for row in told["findings"]}, result.exit_code

    yield examine
    for module in opened:
        module.close()


def test_a_sound_machine_passes(doctor):
    found, code = doctor()
    assert code == 0
    assert {check for check, row in found.items() if row["grade"] != "PASS"} == {"packages"}  # the one planted above
    assert "numpy" in found["packages"]["detail"]
    assert "pip install -r" in found["packages"]["remedy"]
    assert "hedging" in found["positions"]["detail"]
    assert "demo" in found["account kind"]["detail"]
    assert "fill-or-kill" in found["EURUSD"]["detail"]
    assert "by 0.01" in found["EURUSD"]["detail"]
    assert "3100 closed M1 bars" in found["EURUSD history"]["detail"]


QUOTE_ONLY = {"trade_mode": 0}
FAULTS = [
    ({"terminal_info": {"connected": False}}, "server", "FAIL", "status bar"),
    ({"terminal_info": {"trade_allowed": False}}, "algo trading", "FAIL", "Ctrl+E"),
    ({"terminal_info": {"maxbars": 5_000}}, "chart bars", "FAIL", "CHUNK_BARS"),
    ({"terminal_info": {"tradeapi_disabled": True}}, "algo trading", "FAIL", "Tools > Options"),
    ({"account_info": {"trade_allowed": False}}, "trading rights", "FAIL", "master password"),
    ({"account_info": {"margin_mode": 0}}, "positions", "WARN", "hedging account"),
    ({"account_info": {"login": 77}}, "terminal", "FAIL", "correct them"),
    ({"initialize": False, "last_error": (-6, "Terminal: Authorization failed")}, "terminal", "FAIL", "MT5_PASSWORD"),
    ({"initialize": False, "last_error": (-10003, "IPC initialize failed")}, "terminal", "FAIL", "MT5_PATH"),
    ({"symbol_info": QUOTE_ONLY}, "EURUSD", "FAIL", "SYMBOLS"),
    ({"symbol_info": {"volume_step": 0.0}}, "EURUSD", "FAIL", "ask the broker"),
    ({"symbol_info_tick": {"bid": 1.2, "ask": 1.1}}, "EURUSD spread", "FAIL", "market to open"),
    ({"symbol_info_tick": {"bid": 0.0, "ask": 0.0}}, "EURUSD", "FAIL", "first tick"),
    ({"bars": 3_000 - 1}, "EURUSD history", "FAIL", "Max bars in chart"),
    ({"late": timedelta(hours=1)}, "EURUSD clock", "FAIL", "BROKER_TIME_ZONE"),
    ({"late": timedelta(hours=-2)}, "EURUSD clock", "FAIL", "BROKER_TIME_ZONE"),
    ({"late": timedelta(hours=40, minutes=7)}, "EURUSD clock", "WARN", "while the market is open"),
    ({"late": timedelta(seconds=-40)}, "EURUSD clock", "WARN", "time server"),
]


@pytest.mark.parametrize(("fault", "check", "grade", "remedy"), FAULTS, ids=[f"{next(iter(f[0]))}-{f[1]}-{f[3]}" for f in FAULTS])
def test_a_fault_of_the_terminal_is_found_with_its_remedy(doctor, fault, check, grade, remedy):
    found, code = doctor(**fault)
    assert found[check]["grade"] == grade, found[check]
    assert remedy in found[check]["detail"] + "; " + found[check]["remedy"]
    assert code == (5 if grade == "FAIL" else 0)


def test_real_money_needs_its_own_opt_in(doctor, project):
    live = f"{ENVIRONMENT}TRADE_MODE=live\n"
    (project / ".env").write_text(live, encoding="utf-8")
    found, code = doctor(account_info={"trade_mode": 2})
    assert (code, found["account kind"]["grade"]) == (5, "FAIL")
    assert "ALLOW_REAL_ACCOUNT=true" in found["account kind"]["remedy"]
    (project / ".env").write_text(f"{live}ALLOW_REAL_ACCOUNT=true\n", encoding="utf-8")
    found, code = doctor(account_info={"trade_mode": 2})
    assert (code, found["account kind"]["grade"]) == (0, "WARN")


def test_a_symbol_that_the_broker_does_not_have_leaves_the_others(doctor):
    found, code = doctor("--symbols", "EURUSD,NOSUCH")
    assert code == 5
    assert (found["EURUSD"]["grade"], found["NOSUCH"]["grade"]) == ("PASS", "FAIL")


def test_settings_are_told_one_by_one(project, monkeypatch):
    command = commands(monkeypatch, project)
    (project / ".env").write_text("RISK_PERCENT=99\nTIMEFRAME=M7\n", encoding="utf-8")
    result = command("doctor", "--json")
    faulty = [row for row in json.loads(result.stdout)["findings"] if row["check"] == "settings"]
    assert result.exit_code == 5
    assert [row["detail"].split()[0] for row in faulty] == ["TIMEFRAME", "RISK_PERCENT"]


class TestHome:
    """The simulated terminal is sound; its home is not."""

    @pytest.fixture
    def examine(self, project, monkeypatch):
        monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 5)
        (project / ".env").write_text("HISTORY_BARS=3000\n", encoding="utf-8")
        command = commands(monkeypatch, project)

        def run():
            told = json.loads(command("doctor", "--json").stdout)
            return {row["check"]: row for row in told["findings"]}

        return run

    def test_a_new_machine_has_no_home_and_gets_none(self, examine, project):
        found = examine()
        assert "will be made" in found["home"]["detail"]
        assert not (project / "simulated").exists()

    def test_a_sound_home_is_left_as_it_is(self, examine, project):
        home = home_with_journal(project / "simulated")
        publish(registry_in(home))
        before = {path: path.stat().st_mtime_ns for path in home.path.rglob("*.db")}
        found = examine()
        assert {check: row["grade"] for check, row in found.items() if row["grade"] == "FAIL"} == {}
        assert "scalper v1" in found["models"]["detail"]
        assert found["lock"]["detail"] == "free"
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_a_home_of_other_prices(self, examine, project):
        open_home(project / "simulated", "file")
        found = examine()
        assert found["home"]["grade"] == "FAIL"
        assert "--home" in found["home"]["remedy"]

    def test_a_running_daemon_is_seen(self, examine, project):
        with hold_home(open_home(project / "simulated", "synthetic")):
            assert "daemon runs" in examine()["lock"]["detail"]

    @pytest.mark.parametrize(("name", "check"), [("journal.db", "journal"), ("shared_state.db", "shared state")])
    def test_a_damaged_database(self, examine, project, name, check):
        home = home_with_journal(project / "simulated")
        _spoil(home.path / name)
        found = examine()
        assert found[check]["grade"] == "FAIL"
        assert "to another folder" in found[check]["remedy"]

    def test_a_journal_of_a_newer_version(self, examine, project):
        home = home_with_journal(project / "simulated")
        with sqlite3.connect(home.journal) as database:
            database.execute("PRAGMA user_version=99")
        database.close()
        assert "update the program" in examine()["journal"]["remedy"]

    def test_an_altered_model(self, examine, project):
        home = home_with_journal(project / "simulated")
        publish(registry_in(home))
        (home.models / "scalper_v1.pkl").write_bytes(b"something else")
        told = examine()["models"]
        assert told["grade"] == "FAIL", told
        assert "scalper_v1.pkl" in told["detail"]


def _spoil(path: Path) -> None:
    """Overwrites the file, or makes one that is no database."""
    path.write_bytes(b"not a database at all, and long enough to be read as a header")


def test_the_lines_for_people_name_grade_and_remedy(project, monkeypatch):
    monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 5)
    (project / ".env").write_text("HISTORY_BARS=3000\n", encoding="utf-8")
    lines = commands(monkeypatch, project)("doctor").stdout.splitlines()
    assert "PASS  terminal: SIMULATED" in "\n".join(lines)
    at = next(i for i, line in enumerate(lines) if line.startswith("WARN  packages"))
    assert lines[at + 1].strip().startswith("remedy: run `python -m pip install")
    assert lines[-1].endswith("1 warnings, 0 failed")
