"""Two replays are equal, and models change at the instants and bars that the schedule names."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes_daemon import REPLAYED, TREES_ONLY, DaemonProcess, differences, run_here, table

MINUTE = timedelta(minutes=1)
TRAIN_BARS = 2
BARS = 130
EURUSD = Path(__file__).parents[2] / ".." / "shared" / "data" / "dev" / "EURUSD_M1_20230801_20231130_histdata.csv.gz"


@pytest.fixture(scope="module")
def replays(tmp_path_factory):
    """The same replay twice: in a process of its own, and here."""
    apart, here = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("here")
    daemon = DaemonProcess(apart, "--speed", "max", "--bars", str(BARS))
    run_here(here, BARS)
    assert daemon.finish() == 0, daemon.log
    return apart, here


@pytest.fixture(scope="module")
def home(replays):
    return replays[1]


def at(text):
    return datetime.fromisoformat(text)


@pytest.mark.slow
class TestSyntheticReplay:
    def test_two_replays_are_equal(self, replays):
        assert differences(*replays) == []

    def test_there_was_something_to_compare(self, home):
        rows = {name: len(table(home, name)) for name in REPLAYED}
        assert rows["decisions"] == BARS
        assert all(rows.values()), rows

    def test_every_bar_has_one_decision_that_names_its_models_or_says_why_there_are_none(self, home):
        rows = table(home, "decisions")
        times = [at(row["bar_time"]) for row in rows]
        assert times == [times[0] + number * MINUTE for number in range(BARS)]
        for row in rows:
            assert json.loads(row["versions"]) or "no model serves" in row["reason"] or json.loads(row["absent"])
        assert {bool(json.loads(row["versions"])) for row in rows} == {True, False}

    def test_models_are_trained_at_their_times(self, home):
        first = at(table(home, "decisions")[0]["bar_time"]) + MINUTE  # the first pass
        started = {}
        for row in table(home, "job_runs"):
            if row["job"].startswith("train:"):
                started.setdefault(row["job"].removeprefix("train:"), []).append(at(row["started"]) - first)
        # Due five seconds of grace later than a bar's open, so at the next one.
        hour = timedelta(hours=1)
        assert started == {
            "scalper": [MINUTE, hour + MINUTE, 2 * hour + MINUTE],
            "xgboost": [MINUTE, 1.5 * hour + MINUTE],
            "lstm_EURUSD": [MINUTE, 2 * hour + MINUTE],
        }

    def test_a_swap_takes_effect_a_fixed_number_of_bars_after_its_training(self, home):
        swaps = 0
        for row in table(home, "job_runs"):
            if row["outcome"] == "promoted":
                using = first_use(home, row["job"].removeprefix("train:"), row["version"])
                assert using == at(row["started"]) + (TRAIN_BARS - 1) * MINUTE, row["job"]
                swaps += 1
        assert swaps >= 3

    def test_between_swaps_a_slot_keeps_its_version(self, home):
        for slot in ("scalper", "xgboost", "lstm_EURUSD"):
            served = [json.loads(row["versions"]).get(slot, 0) for row in table(home, "decisions")]
            assert served == sorted(served)

    def test_every_trade_is_in_order(self, home):
        trades, orders = table(home, "trades"), {row["key"]: row for row in table(home, "orders")}
        assert trades
        for trade in trades:
            assert orders[trade["order_key"]]["state"] == "filled"
            assert trade["risk_money"] > 0
            assert json.loads(trade["versions"])
            assert (trade["r_multiple"] is None) == (trade["closed"] is None)


def first_use(home, slot, version):
    """Open time of the first bar that a version decided."""
    rows = (row for row in table(home, "decisions") if json.loads(row["versions"]).get(slot) == version)
    return at(next(rows)["bar_time"])


@pytest.mark.slow
@pytest.mark.skipif(not EURUSD.is_file(), reason=f"no real prices at {EURUSD}")
def test_two_replays_of_real_prices_are_equal(tmp_path):
    """Real bars know neither spread nor volume, and half an hour of them is enough to trade on."""
    env = {**TREES_ONLY, "RF_RETRAIN_HOURS": "0.5"}
    source = (f"EURUSD={EURUSD}",)
    for name in ("one", "other"):
        run_here(tmp_path / name, 40, env, source)
    assert differences(tmp_path / "one", tmp_path / "other") == []
    assert [row["job"] for row in table(tmp_path / "one", "job_runs")].count("train:scalper") == 2
