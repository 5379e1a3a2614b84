"""Logs: plain ASCII lines on standard error and, for the daemon, in a file."""

import re
import sys

import pytest
from loguru import logger

from utils.logs import configure


@pytest.fixture(autouse=True)
def handlers():
    """Gives loguru its own handler back: configure replaces all of them."""
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logger.add(sys.stderr)


def test_a_line_has_time_place_level_and_message(capsys):
    configure("INFO", None)
    logger.info("bar {}", 7)
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - \S*test_logs - INFO - bar 7\n", line)


def test_nothing_goes_to_standard_output(capsys):
    configure("INFO", None)
    logger.warning("look")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_less_severe_lines_are_left_out(capsys, level, shown):
    configure(level, None)
    for say in (logger.debug, logger.info, logger.warning):
        say("line")
    assert capsys.readouterr().err.count("line") == shown


def test_no_character_can_break_a_legacy_console(capsys, tmp_path):
    configure("INFO", tmp_path)
    logger.info("stop at 1.09 \u2192 caf\u00e9 [bold]x[/bold]")
    expected = r"stop at 1.09 \u2192 caf\xe9 [bold]x[/bold]"
    assert expected in capsys.readouterr().err
    assert expected in (tmp_path / "daemon.log").read_text(encoding="utf-8")


def test_a_long_line_is_not_folded(capsys):
    configure("INFO", None)
    logger.info("x" * 500)
    assert capsys.readouterr().err.count("\n") == 1


def test_the_daemons_file_is_kept_over_starts_and_commands_leave_it_alone(capsys, tmp_path):
    for text in ("first", "second"):
        configure("INFO", tmp_path / "logs")
        logger.info(text)
    configure("INFO", None)
    logger.info("third")
    text = (tmp_path / "logs" / "daemon.log").read_text(encoding="utf-8")
    assert "first" in text
    assert "second" in text
    assert "third" not in text


def test_an_error_shows_where_it_came_from_but_no_values(capsys):
    configure("INFO", None)
    try:
        _fail("hunter2")
    except ValueError as error:
        logger.opt(exception=error).error("it failed")
    shown = capsys.readouterr().err
    assert "ValueError: broken" in shown
    assert "hunter2" not in shown.replace('_fail("hunter2")', "")


def _fail(password):
    raise ValueError("broken")
