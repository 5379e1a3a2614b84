"""Ctrl-C in the middle of every kind of fit: a clean end in time, and a journal that is whole."""

from contextlib import closing
from datetime import datetime

import pytest

from tests.fakes_daemon import SMALL, DaemonProcess, table
from utils.journal_queries import JournalReader

LIMIT_S = 5.0
"""What a user may have to wait, by the promise of the command line."""
LONG = {"TREE_COUNT": "2000", "BOOST_ROUNDS": "2000", "TREE_FOLDS": "20", "LSTM_EPOCHS": "500", "LSTM_PATIENCE": "100"}
"""Fits that last much longer than the limit."""
NO_FOREST, NO_BOOSTER, NO_LSTM = {"USE_RANDOM_FOREST": "false"}, {"USE_XGBOOST": "false"}, {"USE_LSTM": "false"}
FITS = {
    "RandomForest": ("max", "training scalper", "train:scalper", {**LONG, **NO_BOOSTER, **NO_LSTM}),
    "XGBoost": ("600", "training xgboost", "train:xgboost", {**LONG, **NO_FOREST, **NO_LSTM}),
    "BiLSTM": ("600", "training lstm_EURUSD", "train:lstm_EURUSD", {**LONG, **NO_FOREST, **NO_BOOSTER}),
}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("speed", "line", "job", "env"), FITS.values(), ids=FITS)
def test_ctrl_c_during_a_fit(tmp_path, speed, line, job, env):
    daemon = DaemonProcess(tmp_path, "--speed", speed, env={**SMALL, **env})
    daemon.wait_for(line)
    daemon.interrupt()
    assert daemon.finish(LIMIT_S) == 130, daemon.log
    assert '"ended": "stopped"' in daemon.output
    assert "leaving it behind" not in daemon.log
    assert "Traceback" not in daemon.log
    (run,) = table(tmp_path, "job_runs")
    assert (run["job"], run["outcome"]) == (job, "cancelled")
    assert run["due_next"] <= run["started"]  # still due: the next start runs it
    check_whole(tmp_path)


def check_whole(home):
    bars = [row["bar_time"] for row in table(home, "decisions")]
    assert bars
    assert len(set(bars)) == len(bars)
    assert all(datetime.fromisoformat(bar) for bar in bars)
    with closing(JournalReader(home / "journal.db", account="simulated/1", mode="simulated")) as journal:
        assert journal.faults() == ()
        assert journal.unresolved_orders() == ()
    assert not list((home / "models").glob("*_v*"))
