"""`lookahead-analysis`: what it says, in both forms."""

from __future__ import annotations

import json

import pytest

from config.settings import DataSettings
from strategy import features
from tests.fakes_commands import answer, commands
from tests.fakes_learning import one_bar_ahead
from utils.cli import lookahead


@pytest.fixture
def command(monkeypatch, tmp_path):
    return commands(monkeypatch, tmp_path)


def test_an_honest_history_is_told_in_one_line(command):
    result = command("lookahead-analysis", "--bars", 3_000, "--cuts", 3)
    assert result.exit_code == 0
    head, row = result.stdout.splitlines()
    assert head.split() == ["symbol", "bars", "cuts", "columns", "leaks"]
    assert row.split() == ["EURUSD", "3000", "3", str(len(features.schema_for(features.Capabilities(True, True)).names) + 6), "0"]


def test_a_leak_is_told_with_its_row_and_difference(command, monkeypatch):
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    result = command("lookahead-analysis", "--bars", 3_000, "--cuts", 3, "--features", "slope_10, move_1", "--json")
    assert result.exit_code == 5
    told = json.loads(result.stdout)
    (leak,) = told["symbols"][0]["leaks"]
    assert not told["ok"]
    assert (leak["kind"], leak["column"], leak["by_later_bars_alone"]) == ("feature", "slope_10", True)
    assert leak["first"] == leak["newest_bar"]
    assert leak["difference"] == pytest.approx(leak["with_later_bars"] - leak["without"])
    assert "1 columns change with bars that come later" in result.stderr


def test_columns_are_chosen_by_name(command):
    told = answer(command("lookahead-analysis", "--bars", 3_000, "--cuts", 2, "--features", "move_1", "--json"))
    assert told == {"ok": True, "symbols": [{"symbol": "EURUSD", "bars": 3_000, "cuts": 2, "columns": 7, "leaks": []}]}
    result = command("lookahead-analysis", "--bars", 3_000, "--features", "move_1,nonsense")
    assert result.exit_code == 2
    assert "no feature 'nonsense'" in result.stderr


def test_too_few_bars_are_told_by_the_option_that_asked_for_them(command):
    field = DataSettings.model_fields["history_bars"]
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    assert bounds == {"ge": lookahead.FEWEST, "le": lookahead.MOST}
    result = command("lookahead-analysis", "--bars", 500)
    assert result.exit_code == 2
    assert "'--bars': Input should be greater than or equal to 3000" in result.stderr
