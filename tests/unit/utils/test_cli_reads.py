"""`status`, `trades`, `decisions`, `config`: they read, and change nothing."""

import json
from contextlib import closing

import pytest

from config.home import hold_home
from config.settings import Settings
from execution import equity_guard
from market_data.clock import ManualClock
from strategy.learning import lifecycle
from strategy.learning.lifecycle import Failure
from tests.contracts.recorder_contract import START, an_entry
from tests.fakes_commands import answer, commands, home_with_journal, registry_in, state_of
from tests.fakes_registry import NOW, publish
from utils import heartbeat
from utils.cli import status
from utils.trade_journal import TradeJournal

STATUS = {
    "at": "2024-01-04T02:28:00.000Z",
    "last_bar": "2024-01-04T02:27:00.000Z",
    "last_decision": "EURUSD none: no model takes a side",
    "models": {"scalper": 4},
    "trading": "active",
    "open_trades": 1,
    "training": "train:xgboost",
    "due": {"train:scalper": "2024-01-04T04:00:00.000Z"},
    "jobs": {"train:scalper": "promoted: version 4"},
    "memory_mb": 373,
    "pid": 4711,
}


@pytest.fixture
def command(monkeypatch, tmp_path):
    return commands(monkeypatch, tmp_path)


@pytest.fixture
def home(tmp_path):
    return home_with_journal(tmp_path / "home")


def test_trades_are_listed_newest_first_in_both_forms(command, home):
    rows = answer(command("trades", "--home", home.path, "--json"))
    assert [(row["ticket"], row["net"], row["closed"] is None) for row in rows] == [(2, None, True), (1, 5.0, False)]
    lines = command("trades", "--home", home.path).stdout.splitlines()
    assert lines[0].split()[:3] == ["opened", "symbol", "side"]
    assert "GBPUSD" in lines[1]
    assert "+5.00" in lines[2]
    assert "+0.50" in lines[2]


@pytest.mark.parametrize(
    ("options", "tickets"), [(["--open"], [2]), (["-n", "1"], [2]), (["--symbol", "EURUSD"], [1]), (["--symbol", "AUDUSD"], [])]
)
def test_trades_are_chosen_by_options(command, home, options, tickets):
    assert [row["ticket"] for row in answer(command("trades", "--home", home.path, "--json", *options))] == tickets


def test_decisions_are_listed_with_their_reasons(command, home):
    assert len(answer(command("decisions", "--home", home.path, "--json"))) == 3
    text = command("decisions", "--home", home.path, "-n", "2").stdout
    assert text.count("2 of 2 long") == 2
    assert "scalper v3" in text


def test_each_account_is_read_alone(command, home):
    with closing(TradeJournal(home.journal, account="mt5:Demo/7", mode="paper", clock=ManualClock(START))) as journal:
        journal.log_entry(an_entry(9, opened=START.replace(year=START.year - 1)))
    assert [row["ticket"] for row in answer(command("trades", "--home", home.path, "--json"))] == [2, 1]
    assert [row["ticket"] for row in answer(command("trades", "--home", home.path, "--json", "--account", "mt5:Demo/7"))] == [9]
    refused = command("trades", "--home", home.path, "--account", "mt5:Demo/8")
    assert refused.exit_code == 2
    assert "simulated/1, mt5:Demo/7" in refused.stderr


@pytest.mark.parametrize("name", ["status", "trades", "decisions", "models list", "models verify", "pause"])
def test_a_folder_that_is_no_home_is_said_and_left_alone(command, tmp_path, name):
    result = command(*name.split(), "--home", tmp_path / "none")
    assert result.exit_code == 3
    assert "no home in" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_status_of_a_home_that_nobody_holds(command, home):
    publish(registry_in(home))
    told = answer(command("status", "--home", home.path, "--json"))
    assert (told["running"], told["origin"], told["models"], told["daemon"]) == (False, "synthetic", {"scalper": 1}, {})
    assert (told["day"]["trades"], told["day"]["net"], [row["ticket"] for row in told["open"]]) == (1, 5.0, [2])
    text = command("status", "--home", home.path).stdout
    assert "not running; no heartbeat yet" in text
    assert "1 trades closed, 100% won, net +5.00" in text


def test_status_says_what_is_stopped_and_does_not_count_it_as_serving(command, home):
    registry = registry_in(home)
    publish(registry)
    look = registry.state().slot("scalper")
    registry.move("scalper", lambda held: lifecycle.stopped(held, look, Failure("2026-01-05T10:00:00.000Z", "it loses"), NOW))
    told = answer(command("status", "--home", home.path, "--json"))
    assert (told["models"], told["stopped"]["scalper"]["reason"]) == ({}, "it loses")
    text = command("status", "--home", home.path).stdout
    assert "scalper since 2026-01-05 12:00: it loses" in text


def test_status_of_a_running_daemon_tells_its_last_heartbeat(command, home):
    with hold_home(home), closing(state_of(home)) as state:
        state.set("status", STATUS)
        told = answer(command("status", "--home", home.path, "--json"))
        text = command("status", "--home", home.path).stdout
    assert told["running"]
    assert told["daemon"] == STATUS
    assert told["heartbeat_age_seconds"] >= 0
    for words in ("running, process 4711, last heartbeat", "active", "train:xgboost", "scalper v4", "no model takes a side", "373 MB"):
        assert words in text
    assert "not compiled" not in text


def test_a_version_is_not_told_as_serving_and_as_stopped_at_once(command, home):
    """A heartbeat is up to a minute older than what the registry says."""
    registry = registry_in(home)
    publish(registry), publish(registry, "xgboost")
    look = registry.state().slot("scalper")
    with hold_home(home), closing(state_of(home)) as state:
        state.set("status", {**STATUS, "models": {"scalper": 1, "xgboost": 1}})
        before = command("status", "--home", home.path).stdout
        registry.move("scalper", lambda held: lifecycle.stopped(held, look, Failure("2026-01-05T10:00:00.000Z", "it loses"), NOW))
        after = command("status", "--home", home.path).stdout
    assert [" ".join(line.split()) for line in before.splitlines() if "v1" in line] == ["models scalper v1, xgboost v1"]
    assert [" ".join(line.split()) for line in after.splitlines() if "v1" in line] == [
        "models xgboost v1",
        "in service scalper v1, xgboost v1 at the last heartbeat",
    ]
    assert "scalper since" in after


def test_status_names_the_models_that_are_served_uncompiled(command, home):
    with hold_home(home), closing(state_of(home)) as state:
        state.set("status", {**STATUS, "not_compiled": ["scalper"]})
        assert "scalper: decisions take several times as long" in command("status", "--home", home.path).stdout


RISK = {
    "kill_switch": "",
    "drawdown_percent": 1.25,
    "max_drawdown_percent": 10.0,
    "day_loss_percent": 0.5,
    "daily_loss_percent": 2.0,
    "exposure": {"EUR": 99_000.0, "USD": -99_000.0},
    "session": "open: Europe/London 08:00-17:00",
    "news_next": "USD 'CPI' (high) at 2024-06-12 12:30 UTC",
    "news_problem": "3 rows cannot be read",
}


def test_status_of_a_running_daemon_tells_its_risk(command, home):
    with hold_home(home), closing(state_of(home)) as state:
        state.set("status", STATUS | {"risk": RISK})
        text = command("status", "--home", home.path).stdout
        state.set(
            "status", STATUS | {"risk": RISK | {"day_loss_percent": None, "drawdown_percent": None, "exposure": {}, "news_next": None}}
        )
        unknown = command("status", "--home", home.path).stdout
    assert "drawdown 1.25 % of 10 %, day -0.50 % (limit -2 %)" in text
    assert "EUR +99,000, USD -99,000" in text
    assert "USD 'CPI' (high) at 2024-06-12 12:30 UTC; 3 rows cannot be read" in text
    assert "open: Europe/London 08:00-17:00" in text
    assert "drawdown unknown, day unknown" in unknown
    assert "exposure" not in unknown


def test_a_tripped_switch_is_shown_also_without_a_daemon(command, home):
    assert status.MARKS == equity_guard.MARKS
    mark = {"peak": 10_000.0, "transfer": 0, "seen": "", "tripped": ""}
    with closing(state_of(home)) as state:
        state.set(f"{status.MARKS}paper.mt5:Demo/7", mark)
        assert "kill switch" not in command("status", "--home", home.path).stdout
        state.set(f"{status.MARKS}live.mt5:Demo/7", mark | {"tripped": "equity fell"})
    assert "live.mt5:Demo/7: equity fell; lift it with `resume --drawdown`" in command("status", "--home", home.path).stdout
    assert answer(command("status", "--home", home.path, "--json"))["kill_switch"] == {"live.mt5:Demo/7": "equity fell"}


def test_a_pause_is_shown_also_without_a_daemon(command, home):
    assert status.PAUSED == heartbeat.PAUSED
    with closing(state_of(home)) as state:
        state.set(status.PAUSED, True)
    assert "no new entries until `resume`" in command("status", "--home", home.path).stdout


@pytest.mark.parametrize("content", [None, b"no database at all"])
def test_a_missing_or_damaged_journal_hides_nothing_else(command, home, content):
    home.journal.unlink()
    if content is not None:
        home.journal.write_bytes(content)
    assert "not running" in command("status", "--home", home.path).stdout
    assert command("trades", "--home", home.path).exit_code == 1


def test_the_default_home_is_below_the_project(command, tmp_path):
    home_with_journal(tmp_path / "simulated")
    assert len(answer(command("trades", "--json"))) == 2


def test_config_shows_values_sources_and_no_secret(command, tmp_path, monkeypatch):
    secret = "s3cret" * 6
    (tmp_path / ".env").write_text(f"MODEL_SIGNING_KEY={secret}\nRISK_PERCENT=0.25\n", encoding="utf-8")
    monkeypatch.setenv("DEVIATION", "7")
    result = command("config", "show", "--json")
    rows = {row["name"]: row for row in answer(result)["settings"]}
    assert (rows["RISK_PERCENT"]["value"], rows["RISK_PERCENT"]["origin"]) == ("0.25", ".env")
    assert (rows["DEVIATION"]["value"], rows["DEVIATION"]["origin"]) == ("7", "environment")
    assert rows["MAGIC"]["origin"] == "default"
    assert secret not in result.stdout + command("config", "show").stdout
    assert len(rows) == sum(len(section.annotation.model_fields) for section in Settings.model_fields.values())


def test_a_sound_file_is_ok_and_a_wrong_one_lists_every_problem(command, tmp_path):
    good, bad = tmp_path / "good.env", tmp_path / "bad.env"
    good.write_text("RISK_PERCENT=0.25\n", encoding="utf-8")
    bad.write_text("RISK_PERCENT=50\nRISK_PERCNT=1\nTIMEFRAME=M2\n", encoding="utf-8")
    assert (command("config", "validate", good).stdout, command("config", "validate").exit_code) == ("ok\n", 0)
    result = command("config", "validate", bad)
    assert result.exit_code == 3
    for name in ("RISK_PERCENT", "RISK_PERCNT", "TIMEFRAME"):
        assert name in result.stderr
    assert len(json.loads(command("config", "validate", bad, "--json").stdout)["problems"]) == 3
    assert command("config", "validate", tmp_path / "none.env").exit_code == 3


def test_reading_leaves_the_home_as_it_was(command, home):
    before = {path.name for path in home.path.rglob("*")}
    for name in ("trades", "decisions"):
        command(name, "--home", home.path)
    assert {path.name for path in home.path.rglob("*")} - {"journal.db-wal", "journal.db-shm"} == before
    assert list(home.logs.iterdir()) == []
