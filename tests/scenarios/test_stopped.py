"""A stopped version in a running daemon: silent with its reason, over restarts, until somebody lets it vote again."""

import json

import pytest

from strategy.learning import lifecycle
from strategy.learning.lifecycle import Failure
from tests.fakes_commands import commands
from tests.fakes_daemon import run_here, table
from tests.fakes_registry import NOW, make_registry
from tests.scenarios.conftest import OFTEN

BARS = 3
WHY = "version 2: -0.300 R a trade over 400 rows"

pytestmark = pytest.mark.slow


def newest(home):
    row = table(home, "decisions")[-1]
    return json.loads(row["versions"]), json.loads(row["absent"])


def test_a_stopped_slot_is_silent_with_its_reason_until_it_is_resumed(trained, prices, monkeypatch, tmp_path):
    registry = make_registry(trained / "models")
    look = registry.state().slot("scalper")
    assert registry.move("scalper", lambda held: lifecycle.stopped(held, look, Failure("2024-01-04T00:00:00.000Z", WHY), NOW))
    for _ in ("stopped", "after a restart"):
        before = len(table(trained, "decisions"))
        assert run_here(trained, BARS, OFTEN, prices).exit_code == 0
        assert len(table(trained, "decisions")) == before + BARS
        assert newest(trained) == ({"xgboost": 2, "lstm_EURUSD": 2}, {"scalper": f"stopped: {WHY}"})
    told = [row for row in table(trained, "model_events") if row["event"] == "stopped"]
    assert [(row["slot"], row["version"]) for row in told] == [("scalper", 2)]
    assert WHY in told[0]["detail"]
    assert commands(monkeypatch, tmp_path)("models", "resume", "scalper", "--home", trained).exit_code == 0
    run_here(trained, BARS, OFTEN, prices)
    assert newest(trained)[0]["scalper"] == 2
