"""Calls commands as a shell would, and homes for them to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from config.home import Home, open_home, signing_key
from config.settings import Settings
from market_data.clock import ManualClock, SystemClock
from strategy.learning.registry import Registry
from tests.contracts.recorder_contract import START, an_entry, an_exit, an_outcome
from tests.fakes_registry import make_registry
from utils.cli import app, options
from utils.shared_state import SharedState
from utils.trade_journal import TradeJournal

Command = Callable[..., Result]


def commands(monkeypatch: pytest.MonkeyPatch, project: Path) -> Command:
    """Runs a command without the settings of whoever runs the tests; `project` stands for the project folder."""
    for section in Settings.model_fields.values():
        for name in getattr(section.annotation, "model_fields", {}):
            monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(options, "PROJECT", project)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="main.py")


def answer(result: Result) -> Any:
    """The JSON of a command that ended well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def registry_in(home: Home) -> Registry:
    return make_registry(home.models, key=signing_key(home, None))


def state_of(home: Home) -> SharedState:
    return SharedState(home.shared_state, SystemClock())


def home_with_journal(path: Path) -> Home:
    """A home whose journal holds three decisions, one closed and one open trade of a simulated account."""
    home = open_home(path, "synthetic")
    with closing(TradeJournal(home.journal, account="simulated/1", mode="simulated", clock=ManualClock(START))) as journal:
        for minute in range(3):
            journal.record_decision(an_outcome(START + timedelta(minutes=minute)))
        journal.log_entry(an_entry(1))
        journal.log_exit(an_exit(1))
        journal.log_entry(an_entry(2, opened=START + timedelta(minutes=2), symbol="GBPUSD"))
    return home
