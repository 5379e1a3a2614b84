"""The drawdown switch in a whole daemon: it trips on floating loss, outlives a restart, and is lifted by a command alone."""

from contextlib import closing
from datetime import datetime

import pytest

from execution.drawdown import from_json
from execution.equity_guard import MARKS
from market_data.clock import SystemClock
from tests.fakes_daemon import run_here, table
from tests.scenarios.conftest import OFTEN
from utils.shared_state import SharedState

pytestmark = pytest.mark.slow

TIGHT = {**OFTEN, "MAX_DRAWDOWN_PERCENT": "0.2"}


def mark_of(home):
    with closing(SharedState(home / "shared_state.db", SystemClock())) as state:
        return from_json(state.get(f"{MARKS}simulated.simulated/1"))


def entries(home):
    return [row for row in table(home, "orders") if row["purpose"] == "entry"]


def taken(home):
    """Decisions that took a side, in their order."""
    return [row for row in table(home, "decisions") if row["side"] is not None]


def test_a_fall_stops_entries_until_somebody_lifts_the_switch(trained, prices, monkeypatch):
    run_here(trained, 60, TIGHT, prices)
    mark = mark_of(trained)
    assert "MAX_DRAWDOWN_PERCENT is 0.2" in mark.tripped
    tripped_at = datetime.fromisoformat(mark.tripped.split(" at ")[1].split(",")[0])
    made = entries(trained)
    assert made
    assert all(datetime.fromisoformat(row["created"]) <= tripped_at for row in made)

    before = len(taken(trained))
    run_here(trained, 40, TIGHT, prices)
    refused = taken(trained)[before:]
    assert refused
    assert {row["action"] for row in refused} == {"denied"}
    assert all(row["detail"].startswith("drawdown: equity ") for row in refused)
    assert len(entries(trained)) == len(made)
    assert mark_of(trained).tripped == mark.tripped

    commands = ["resume-drawdown"]
    monkeypatch.setattr(SharedState, "take", lambda state, key, default=None: commands.pop() if commands else default)
    run_here(trained, 60, {**TIGHT, "MAX_DRAWDOWN_PERCENT": "50"}, prices)
    assert mark_of(trained).tripped == ""
    assert len(entries(trained)) > len(made)
