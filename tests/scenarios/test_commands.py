"""The commands on a home that a daemon has really lived in: down, then up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from config.home import Home, is_held
from tests.fakes_commands import answer, commands
from tests.fakes_daemon import SMALL, DaemonProcess, table

SETTINGS: Mapping[str, str] = {**SMALL, "USE_LSTM": "false", "TREE_COUNT": "10", "BOOST_ROUNDS": "10", "SYNTHETIC_EDGE": "3"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands") / "home"
    daemon = DaemonProcess(path, "--speed", "max", "--bars", "60", env=SETTINGS)
    assert daemon.finish() == 0, daemon.log
    return Home(path)


@pytest.fixture
def command(monkeypatch, tmp_path, home):
    run = commands(monkeypatch, tmp_path)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: run(*arguments, "--home", home.path)


def versions(command, slot):
    return {row["version"]: row for row in answer(command("models", "list", "--json")) if row["slot"] == slot}


def test_the_reads_agree_with_the_journal(command, home):
    told = answer(command("status", "--json"))
    assert (told["running"], told["origin"], told["account"], told["mode"]) == (False, "synthetic", "simulated/1", "simulated")
    assert set(told["models"]) == {"scalper", "xgboost"}
    decisions = answer(command("decisions", "--limit", "1000", "--json"))
    assert [row["bar_time"] for row in reversed(decisions)] == [row["bar_time"] for row in table(home.path, "decisions")]
    trades = answer(command("trades", "--limit", "1000", "--json"))
    assert [row["ticket"] for row in reversed(trades)] == [row["ticket"] for row in table(home.path, "trades")]
    for name in ("status", "decisions", "trades"):
        text = command(name)
        assert text.exit_code == 0
        assert text.stdout.isascii()


def test_the_models_of_a_real_run_are_sound_and_explained(command):
    assert command("models", "verify").stdout == "ok: 2 versions\n"
    assert "pass  accuracy: " in command("models", "show", "scalper").stdout


def test_a_command_after_a_replay_is_dated_by_its_last_bar(command, home):
    """The replay has played an hour between two heartbeats; what follows stands after its own changes, and is all journalled."""
    closed = datetime.fromisoformat(table(home.path, "decisions")[-1]["bar_time"]) + timedelta(minutes=1)
    assert datetime.fromisoformat(answer(command("status", "--json"))["daemon"]["at"]) == closed
    assert command("models", "pin", "scalper").exit_code == 0
    assert command("models", "unpin", "scalper").exit_code == 0
    changes = answer(command("models", "log", "scalper", "--json"))
    assert [(row["event"], datetime.fromisoformat(row["at"])) for row in changes[:2]] == [("unpinned", closed), ("pinned", closed)]
    assert changes[2]["at"] <= changes[1]["at"]


def test_train_without_a_daemon_goes_through_gate_and_registry(command, home):
    result = command("train", "--model", "scalper")
    assert result.exit_code == 0, result.output
    assert "scalper: promoted: version 2 " in result.stdout
    assert "accuracy" in result.stdout
    assert versions(command, "scalper")[2]["active"]
    job = table(home.path, "job_runs")[-1]
    assert (job["job"], job["trigger"], job["outcome"]) == ("train:scalper", "manual", "promoted")
    assert not is_held(home)


def test_a_running_daemon_is_steered_and_adopts_what_the_registry_is_told(command, home):
    number = max(versions(command, "scalper"))
    daemon = DaemonProcess(home.path, "--speed", "300", env=SETTINGS)
    try:
        daemon.wait_for("heartbeat")
        assert answer(command("status", "--json"))["running"]
        assert command("pause").exit_code == 0
        assert answer(command("status", "--json"))["paused"]
        assert command("resume").exit_code == 0
        assert "the running daemon adopts it" in command("models", "rollback", "scalper", "--to", "1").stdout
        daemon.wait_for("scalper: version 1 serves now")
        trained = answer(command("train", "--model", "scalper", "--json"))
        assert (trained[0]["slot"], trained[0]["trigger"], trained[0]["version"]) == ("scalper", "manual", number + 1)
        assert command("run").exit_code == 3
        assert command("stop", "--flatten").exit_code == 0
    finally:
        code = daemon.finish()
    assert code == 0, daemon.log
    assert answer(command("trades", "--open", "--json")) == []


def test_a_change_by_hand_is_journalled_when_a_daemon_starts(command, home):
    active = answer(command("status", "--json"))["models"]["xgboost"]
    assert command("models", "pin", "xgboost").exit_code == 0
    daemon = DaemonProcess(home.path, "--speed", "max", "--bars", "1", env=SETTINGS)
    assert daemon.finish() == 0, daemon.log
    events = [(row["slot"], row["event"], row["version"]) for row in table(home.path, "model_events")]
    assert events.count(("xgboost", "pinned", active)) == 1
    assert events.count(("scalper", "promoted", 1)) == 1
