"""Progress of training: a bar on a terminal, a line elsewhere, nothing for jobs that train nothing."""

from io import StringIO

import pytest
from loguru import logger
from rich.console import Console

from utils.progress import TrainingProgress


@pytest.fixture
def said():
    lines = []
    number = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(number)


def a_console(terminal):
    return Console(file=StringIO(), force_terminal=terminal, width=80, legacy_windows=False)


def test_a_job_is_announced_once(said):
    progress = TrainingProgress(a_console(False))
    progress("train:scalper", True)
    progress("train:scalper", False)
    assert said == ["training scalper ...\n"]


def test_a_job_that_trains_nothing_is_not_shown(said):
    console = a_console(True)
    progress = TrainingProgress(console)
    progress("performance", True)
    progress("performance", False)
    assert said == []
    assert console.file.getvalue() == ""


def test_a_terminal_shows_a_bar_in_ascii(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = a_console(True)
    progress = TrainingProgress(console)
    progress("train:lstm_EURUSD", True)
    progress("train:lstm_EURUSD", False)
    progress("train:scalper", True)
    progress.close()
    shown = console.file.getvalue()
    assert "training lstm_EURUSD" in shown
    assert "training scalper" in shown


def test_no_bar_where_no_terminal_is_or_none_is_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    for console in (a_console(False), a_console(True)):
        progress = TrainingProgress(console)
        progress("train:scalper", True)
        progress("train:scalper", False)
        progress.close()
        assert console.file.getvalue() == ""
