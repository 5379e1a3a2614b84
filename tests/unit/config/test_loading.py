from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import SettingsError
from config.loading import effective, load_settings, origin_of
from config.settings import Settings
from config.sources import sections_by_field

WriteEnv = Callable[..., Path]


def problems(env_file: Path | None, overrides: dict[str, Any] | None = None) -> list[str]:
    """The lines of the error that loading raises, its heading left out."""
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, overrides)
    heading, *lines = str(caught.value).splitlines()
    assert heading == f"{len(lines)} problem{'s' if len(lines) > 1 else ''} in the settings:"
    return [line.strip() for line in lines]


def test_without_a_file_the_defaults_are_in_force(tmp_path: Path) -> None:
    assert load_settings() == load_settings(tmp_path / "absent.env") == Settings()


def test_command_line_over_environment_over_file_over_default(write_env: WriteEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = write_env("RISK_PERCENT=1", "MAX_POSITIONS=4", "COOLDOWN_BARS=9")
    monkeypatch.setenv("RISK_PERCENT", "2")
    monkeypatch.setenv("MAX_POSITIONS", "5")
    risk = load_settings(env_file, {"risk_percent": 3}).risk
    assert (risk.risk_percent, risk.max_positions, risk.cooldown_bars, risk.daily_loss_percent) == (3, 5, 9, 2.0)


def test_an_override_of_none_was_not_given(write_env: WriteEnv) -> None:
    assert load_settings(write_env("RISK_PERCENT=1"), {"risk_percent": None}).risk.risk_percent == 1


def test_five_faults_are_five_lines(write_env: WriteEnv) -> None:
    lines = problems(write_env("RISK_PERCENT=99", "RISK_PERCNT=1", "TIMEFRAME=M2", "MT5_LOGIN=abc", "BLOCKED_HOURS=1,25"))
    assert len(lines) == 5
    for name, value, allowed in (
        ("RISK_PERCENT", "'99'", "number > 0 and <= 5"),
        ("TIMEFRAME", "'M2'", "M1 | M5"),
        ("MT5_LOGIN", "'abc'", "whole number >= 1"),
        ("BLOCKED_HOURS", "'25'", "whole number >= 0 and <= 23"),
    ):
        assert any(line.startswith(f"{name} = {value} (.env): ") and allowed in line for line in lines), name
    assert "RISK_PERCNT: there is no such setting; did you mean RISK_PERCENT?" in lines


def test_a_fault_says_where_its_value_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINAL", "xterm")
    assert problems(None)[0].startswith("TERMINAL = 'xterm' (environment): ")
    assert problems(None, {"terminal": "remote"})[0].startswith("TERMINAL = 'remote' (command line): ")


def test_contradictions_are_a_line_each(write_env: WriteEnv) -> None:
    lines = problems(write_env("USE_LAG_LLAMA=true", "GATE_PROFILE=threshold", "TRADE_MODE=live"))
    assert [line.split(":")[0] for line in lines] == ["GATE_PROFILE=threshold with TRADE_MODE=live", "USE_LAG_LLAMA=true"]


def test_a_contradiction_is_found_behind_other_faults(write_env: WriteEnv) -> None:
    lines = problems(write_env("USE_LAG_LLAMA=true", "RISK_PERCENT=99", "NOT_A_SETTING=1"))
    assert [line.split(" ")[0] for line in lines] == ["RISK_PERCENT", "NOT_A_SETTING:", "USE_LAG_LLAMA=true:"]


def test_a_wrong_value_does_not_count_as_missing_too(write_env: WriteEnv) -> None:
    assert len(problems(write_env("TERMINAL=mt5", "MT5_LOGIN=abc"))) == 1


def test_an_unknown_override_is_named() -> None:
    assert problems(None, {"risk_percnt": 1}) == ["RISK_PERCNT: there is no such setting; did you mean RISK_PERCENT?"]


def test_lines_that_are_not_assignments_are_reported_not_passed_over(write_env: WriteEnv) -> None:
    lines = problems(write_env("# a comment", "RISK_PERCENT 0.1", "", "MAGIC", "DEVIATION=5"))
    assert lines == [".env line 2: not of the form NAME=value", ".env line 4: not of the form NAME=value"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_does_not_hide_the_first_name(write_env: WriteEnv, encoding: str) -> None:
    env_file = write_env("RISK_PERCENT=1.5", encoding=encoding)
    assert load_settings(env_file).risk.risk_percent == 1.5
    assert origin_of("risk_percent", env_file, {}) == ".env"


def test_a_file_that_is_not_utf8_is_an_error_with_the_remedy(write_env: WriteEnv) -> None:
    with pytest.raises(SettingsError, match="save it as UTF-8"):
        load_settings(write_env("RISK_PERCENT=1.5", encoding="utf-16"))


def test_a_windows_path_is_read_as_written_without_quotes(write_env: WriteEnv) -> None:
    path = r"C:\Program Files\MetaTrader 5\terminal64.exe"
    assert str(load_settings(write_env(f"MT5_PATH={path}")).terminal.mt5_path) == path


def test_a_windows_path_between_double_quotes_is_refused_with_the_remedy(write_env: WriteEnv) -> None:
    assert "without double quotes" in problems(write_env(r'MT5_PATH="C:\MetaTrader 5\terminal64.exe"'))[0]


@pytest.mark.parametrize(
    "lines",
    [
        ("MODEL_SIGNING_KEY=hunter2",),
        ("MT5_PASSWORT=hunter2",),
        ("MT5_PASSWORD=hunter2", "RISK_PERCENT=99", "TERMINAL=mt5"),
        ("MT5_PASSWORD hunter2",),
    ],
)
def test_no_error_shows_a_secret_not_even_its_traceback(write_env: WriteEnv, lines: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write_env(*lines))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_effective_lists_every_setting_once_in_the_order_of_the_file() -> None:
    assert [row.name.lower() for row in effective(Settings())] == list(sections_by_field(Settings))


def test_effective_shows_value_origin_meaning_and_range(write_env: WriteEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = write_env("SYMBOLS=EURUSD, XAUUSD", "MAX_POSITIONS=5")
    monkeypatch.setenv("MAX_POSITIONS", "6")
    overrides = {"speed": 5.0}
    rows = {row.name: row for row in effective(load_settings(env_file, overrides), env_file, overrides)}
    assert (rows["SYMBOLS"].value, rows["SYMBOLS"].origin) == ("EURUSD,XAUUSD", ".env")
    assert (rows["MAX_POSITIONS"].value, rows["MAX_POSITIONS"].origin) == ("6", "environment")
    assert (rows["SPEED"].value, rows["SPEED"].origin) == ("5.0", "command line")
    assert (rows["RISK_PERCENT"].value, rows["RISK_PERCENT"].origin) == ("0.5", "default")
    assert rows["RISK_PERCENT"].allowed == "number > 0 and <= 5"
    assert "equity" in rows["RISK_PERCENT"].description
    assert rows["RISK_PERCENT"].section == "risk"


def test_effective_masks_secrets(write_env: WriteEnv) -> None:
    env_file = write_env("MT5_PASSWORD=hunter2", f"MODEL_SIGNING_KEY={'s' * 32}")
    rows = {row.name: row for row in effective(load_settings(env_file), env_file)}
    assert rows["MT5_PASSWORD"].value == rows["MODEL_SIGNING_KEY"].value == "********"
    assert "hunter2" not in repr(rows)
    assert "s" * 32 not in repr(rows)


def test_an_unset_secret_is_empty_not_masked() -> None:
    assert next(row.value for row in effective(Settings()) if row.name == "MT5_PASSWORD") == ""


def test_an_empty_value_in_the_environment_is_not_its_origin(monkeypatch: pytest.MonkeyPatch, write_env: WriteEnv) -> None:
    monkeypatch.setenv("RISK_PERCENT", "")
    env_file = write_env("RISK_PERCENT=1")
    assert load_settings(env_file).risk.risk_percent == 1
    assert origin_of("risk_percent", env_file, {}) == ".env"


def test_a_broken_line_is_told_once_and_not_by_the_parser_too(write_env: WriteEnv, caplog: pytest.LogCaptureFixture) -> None:
    assert problems(write_env("RISK_PERCENT 1")) == [".env line 1: not of the form NAME=value"]
    assert caplog.messages == []


def test_a_name_that_stands_twice_is_refused(write_env: WriteEnv) -> None:
    """The last one would be in force, whichever of them the reader saw."""
    found = problems(write_env("RISK_PERCENT=0.5", "MAX_POSITIONS=2", "risk_percent=5"))
    assert found == [".env: RISK_PERCENT stands there 2 times; keep one of the lines"]
