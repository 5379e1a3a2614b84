"""`backtest` and `walkforward`: slips that are told before anything is played, and a report that is not lost."""

from __future__ import annotations

from contextlib import closing

import pytest

from config.errors import FileUnavailable, InsufficientHistory
from config.home import open_home
from market_data.clock import ManualClock
from tests.contracts.recorder_contract import START
from tests.fakes_commands import commands, registry_in
from tests.fakes_registry import publish
from utils import bootstrap
from utils.cli import tester
from utils.cli.tester_report import Told
from utils.report import report_of
from utils.trade_journal import TradeJournal


@pytest.fixture
def command(monkeypatch, tmp_path):
    return commands(monkeypatch, tmp_path)


@pytest.fixture
def unplayed(monkeypatch):
    """Whatever is refused must be refused before hours of play."""

    def played(*arguments):
        raise AssertionError("it was played")

    monkeypatch.setattr(bootstrap, "run", played)


@pytest.fixture
def told(tmp_path):
    with closing(TradeJournal(tmp_path / "journal.db", account="simulated/1", mode="simulated", clock=ManualClock(START))) as journal:
        return Told("walkforward", ("synthetic",), report_of(journal, 10_000.0))


@pytest.mark.parametrize("name", ["missing/report.md", "."])
def test_a_report_that_cannot_be_written_is_told_before_anything_is_played(command, unplayed, tmp_path, name):
    result = command("walkforward", "--bars", "5", "--report", tmp_path / name)
    assert result.exit_code == 2
    assert f"--report {tmp_path / name}: cannot be written" in result.stderr
    assert "name a file in a folder that exists" in result.stderr


def test_the_look_whether_it_can_be_written_leaves_nothing_and_harms_nothing(tmp_path):
    old, new = tmp_path / "old.md", tmp_path / "new.md"
    old.write_text("of yesterday", encoding="utf-8")
    tester._check_writable(old)
    tester._check_writable(new)
    assert old.read_text(encoding="utf-8") == "of yesterday"
    assert not new.exists()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_folder_that_goes_while_it_plays_costs_nobody_the_report(told, tmp_path, capsys, as_json):
    with pytest.raises(FileUnavailable, match=r"report\.md: cannot be written .*; the report is printed above"):
        tester._tell(told, tmp_path / "gone" / "report.md", as_json)
    assert "no edge after costs was found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("slot", "said"), [("scalper=9", "no version of scalper '9'; there are: 1, 2"), ("foo=1", "no slot 'foo'; there are: scalper")]
)
def test_a_slot_or_version_that_nobody_made_is_a_slip(command, unplayed, tmp_path, slot, said):
    home = open_home(tmp_path / "home", "synthetic")
    registry = registry_in(home)
    publish(registry), publish(registry)
    result = command("backtest", "--slot", slot, "--home", home.path)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_altered_version_is_a_failed_check_that_names_it(command, unplayed, tmp_path):
    home = open_home(tmp_path / "home", "synthetic")
    publish(registry_in(home))
    (home.models / "scalper_v1.pkl").write_bytes(b"MODEL bytes")
    result = command("backtest", "--slot", "scalper=1", "--home", home.path)
    assert result.exit_code == 5
    assert "refused: scalper_v1.pkl" in result.stderr


@pytest.mark.parametrize("arguments", [("walkforward",), ("run", "--speed", "max")])
def test_a_start_with_too_few_bars_before_it_is_told_by_its_option(command, monkeypatch, tmp_path, arguments):
    def short(*given):
        raise InsufficientHistory("EURUSD", 580, 3_000)

    monkeypatch.setattr(bootstrap, "run", short)
    result = command(*arguments, "--start", "2024-01-02", "--bars", "5", "--home", tmp_path / "home")
    assert result.exit_code == 2
    assert "--start 2024-01-02T00:00:00: EURUSD has 580 closed bars before it, and HISTORY_BARS asks for 3,000" in result.stderr
    assert "start later" in result.stderr
    without = command(*arguments, "--bars", "5", "--home", tmp_path / "home")
    assert (without.exit_code, "lower HISTORY_BARS" in without.stderr) == (1, True)


@pytest.mark.parametrize(
    ("setting", "said"), [("SYMBOLS", "does not know NOPE; it knows currency pairs"), ("SIM_CURRENCY", "no rate of this currency is known")]
)
def test_what_the_simulated_broker_does_not_know_is_told_by_its_setting(command, monkeypatch, setting, said):
    monkeypatch.setenv(setting, {"SYMBOLS": "EURUSD,NOPE", "SIM_CURRENCY": "XYZ"}[setting])
    result = command("walkforward", "--bars", "5")
    assert result.exit_code == 3
    assert setting in result.stderr
    assert said in result.stderr
