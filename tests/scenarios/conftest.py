"""Homes that several scenarios start from; each is made once and then copied."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime, timedelta

import pytest
from loguru import logger

from execution.simulated import default_spec
from market_data.clock import SystemClock
from market_data.synthetic import synthetic_bars
from tests.fakes_daemon import SMALL, run_here
from utils.shared_state import SharedState

OFTEN = {
    **SMALL,
    "RF_RETRAIN_HOURS": "0.1",
    "XGB_RETRAIN_HOURS": "0.1",
    "LSTM_RETRAIN_HOURS": "0.1",
    "HORIZON_BARS": "6",
    "LSTM_EPOCHS": "8",
    "LSTM_LEARNING_RATE": "0.003",
    "LSTM_BATCH": "64",
    "LSTM_HIDDEN": "8",
    "LSTM_SEQ_LENGTH": "20",
}
"""Trains every six simulated minutes."""


@pytest.fixture(autouse=True)
def handlers():
    """Gives loguru its own handler back: a daemon in this process replaces all of them."""
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logger.add(sys.stderr)


@pytest.fixture(scope="session")
def prices(tmp_path_factory):
    """A small file of bars, so that a daemon starts in a moment."""
    bars = synthetic_bars(default_spec("EURUSD"), start=datetime(2024, 1, 1, 22, 0, tzinfo=UTC), count=3_600, seed=11, edge=3.0, price=1.1)
    rows = zip(bars.time, bars.open, bars.high, bars.low, bars.close, bars.tick_volume, bars.spread, strict=True)
    lines = [f"{t},{o:.5f},{h:.5f},{low:.5f},{c:.5f},{volume:.0f},{spread:.0f},0" for t, o, h, low, c, volume, spread in rows]
    path = tmp_path_factory.mktemp("prices") / "EURUSD_M1.csv"
    path.write_text("\n".join(["time,open,high,low,close,tick_volume,spread,real_volume", *lines]) + "\n", encoding="utf-8")
    return (f"EURUSD={path}",)


@pytest.fixture(scope="session")
def trained_once(prices, tmp_path_factory):
    """A home in which every slot has an active and a previous version, and nothing is due for a year."""
    home = tmp_path_factory.mktemp("trained")
    result = run_here(home, 10, OFTEN, prices)
    assert result.summary["models"] == {"lstm_EURUSD": 2, "scalper": 2, "xgboost": 2}
    state = SharedState(home / "shared_state.db", SystemClock())
    for key in state.get_all("trainer.due."):
        state.set(key, (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=400)).isoformat())
    state.close()
    return home


@pytest.fixture
def trained(trained_once, tmp_path):
    """A copy of it to do with as a test likes."""
    return shutil.copytree(trained_once, tmp_path / "home", ignore=shutil.ignore_patterns("home.lock"))
