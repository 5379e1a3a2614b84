"""The frame of the command line: exit codes, one-line errors, what a terminal sees."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import CheckFailed, FileUnavailable, HomeError, StopError, TerminalUnavailable
from tests.fakes_commands import commands
from utils.cli import output, running
from utils.cli.running import readable

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"torch", "sklearn", "pandas", "xgboost", "talib", "scipy", "numpy", "pydantic", "rich"}


@pytest.fixture
def command(monkeypatch, tmp_path):
    return commands(monkeypatch, tmp_path)


def test_help_loads_nothing_heavy_and_is_ascii():
    code = f"import sys; sys.argv = ['main.py', '--help']\nfrom utils.cli import start\ntry: start()\nfinally: sys.stderr.write(str(sorted({HEAVY!r} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="ascii", check=False)
    assert (done.returncode, done.stderr) == (0, "[]")
    for name in ("run", "status", "trades", "decisions", "pause", "resume", "stop", "train", "models", "import-data", "config"):
        assert f"\n  {name} " in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]  # a sentence too long for its line would be cut


@pytest.mark.parametrize(
    "arguments",
    [
        ["blah"],
        ["--blah"],
        ["run", "--bars", "0"],
        ["trades", "--limit", "x"],
        ["models"],
        ["models", "promote", "scalper"],
        ["train", "--model", "x"],
    ],
)
def test_a_slip_in_usage_is_one_line_and_exit_code_2(command, arguments):
    result = command(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "--help`" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["models", "--help"], ["models", "promote", "--help"], ["config", "show", "--help"]]
)
def test_help_is_an_answer(command, arguments):
    result = command(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: main.py")
    assert result.stdout.isascii()


@pytest.mark.parametrize(
    ("error", "code"),
    [(HomeError("no"), 3), (TerminalUnavailable("no"), 4), (CheckFailed("no"), 5), (StopError("no"), 1), (FileUnavailable("a", "no"), 1)],
)
def test_an_error_on_purpose_is_its_sentence_and_its_code(command, monkeypatch, error, code):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(running, "settings_with", fail)
    result = command("run")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"{error}\n")


@pytest.mark.parametrize("arguments", [[], ["--speed", "fast"], ["run", "--speed", "fast"]])
def test_options_without_a_command_belong_to_run(command, monkeypatch, arguments):
    seen = []

    def settings_with(overrides):
        seen.append(overrides["speed"])
        raise HomeError("enough")

    monkeypatch.setattr(running, "settings_with", settings_with)
    assert command(*arguments).exit_code == 3
    assert seen == ["fast" if arguments else None]


def test_ctrl_c_is_130(command, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "settings_with", interrupted)
    assert command("run").exit_code == 130


def test_wrong_settings_are_exit_code_3_with_every_problem(command):
    result = command("run", "--speed", "quick", "--terminal", "mt4")
    assert result.exit_code == 3
    assert "SPEED" in result.stderr
    assert "TERMINAL" in result.stderr


def test_a_run_is_summed_up_in_words():
    told = {
        "ended": "bars decided",
        "bars": {"EURUSD": 60},
        "actions": {"none": 50, "sent": 10},
        "models": {"xgboost": 2, "scalper": 1},
        "balance": 10_076.32,
        "equity": 10_070.0,
        "open": [{"ticket": 7, "symbol": "EURUSD", "side": "long", "volume": 0.1, "price": 1.1}],
        "counts": {"trades": 10, "orders": 11, "job_runs": 3, "decisions": 60},
    }
    text = readable(told)
    assert "EURUSD 60 bars (50 stayed out, 10 ordered)" in text
    assert "models: scalper v1, xgboost v2" in text
    assert "balance 10,076.32" in text
    assert text.endswith("open: EURUSD long 0.1 lots at 1.1, ticket 7")
    assert readable({**told, "open": [], "actions": {}, "bars": {}}).endswith("open: none")


class Screen(io.StringIO):
    def isatty(self):
        return True


ROWS = [["scalper", 1, "x" * 120], ["xgboost", 12, None]]


@pytest.mark.parametrize(("no_color", "term", "styled"), [("", "xterm", True), ("1", "xterm", False), ("", "dumb", False)])
def test_a_terminal_shows_a_table_of_ascii_unless_told_otherwise(monkeypatch, no_color, term, styled):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in (("NO_COLOR", no_color), ("TERM", term), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    output.say_table(("slot", "version", "problem"), ROWS, empty="none")
    text = screen.getvalue()
    assert text.isascii()
    assert ("\x1b[" in text) is styled
    assert text.count("x") >= 120  # folded, not cut


def test_elsewhere_a_table_is_plain_and_whole(capsys):
    output.say_table(("slot", "version", "problem"), ROWS, empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "slot     version  problem"
    assert lines[1] == f"scalper        1  {'x' * 120}"
    assert lines[2].split() == ["xgboost", "12", "-"]
    output.say_table(("slot",), [], empty="no models yet")
    assert capsys.readouterr().out == "no models yet\n"
