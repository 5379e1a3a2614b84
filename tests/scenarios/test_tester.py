"""`backtest` and `walkforward`: the daemon itself over history, with the models left alone or taught."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from config.home import bound_home
from config.loading import load_settings
from strategy.learning.bundles import load_bundle
from tests.fakes_commands import answer, commands
from tests.fakes_daemon import TREES_ONLY, run_here, table
from tests.scenarios.conftest import OFTEN
from utils import bootstrap
from utils.cli.registry import registry_of
from utils.terminals import RunOptions

BARS = 40
DECIDED = ("symbol", "bar_time", "side", "reason", "expected_r", "close", "atr", "feature_hash", "forecasts", "absent", "versions")


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Commands with the settings of the trained home."""
    call = commands(monkeypatch, tmp_path)
    for name, value in OFTEN.items():
        monkeypatch.setenv(name, value)
    return call


def contents(home):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(home.rglob("*")) if path.is_file()}


def decisions(home):
    return [{name: row[name] for name in DECIDED} for row in table(home, "decisions")]


@pytest.mark.slow
class TestBacktest:
    def test_it_repeats_and_leaves_the_home_as_it_was(self, command, trained, prices):
        command("models", "list", "--home", trained)  # whatever only looking makes is made now
        before = contents(trained)
        asked = ("backtest", "--source", prices[0], "--bars", BARS, "--home", trained, "--json")
        told = answer(command(*asked))
        assert contents(trained) == before
        assert {slot: row["version"] for slot, row in told["versions"].items()} == {"lstm_EURUSD": 2, "scalper": 2, "xgboost": 2}
        assert (told["bars"], told["tries"], told["timeline"]) == ({"EURUSD": BARS}, {}, [])
        assert sum(told["actions"].values()) == BARS
        assert told["total"]["trades"] > 0
        assert answer(command(*asked)) == told

    def test_bars_that_taught_prove_nothing(self, command, trained, prices):
        told = answer(command("backtest", "--source", prices[0], "--bars", 10, "--home", trained, "--json"))
        assert told["unseen"]["trades"] == 0
        assert told["verdict"].startswith("Nothing") or not told["total"]["trades"]

    def test_chosen_versions_alone_decide_as_the_daemon_did(self, trained, prices, tmp_path):
        """The same bars with the same versions: in the daemon that goes on, and in a new home that is given them."""
        settings = load_settings(tmp_path / "no.env", {name.lower(): value for name, value in OFTEN.items()})
        given = {slot: load_bundle(registry_of(*bound_home(trained)).open(slot, 2)) for slot in ("lstm_EURUSD", "scalper", "xgboost")}
        run_here(trained, BARS, OFTEN, prices)
        recorded = decisions(trained)[-BARS:]
        start = datetime.fromisoformat(recorded[0]["bar_time"]).astimezone(UTC) + timedelta(minutes=1)
        bootstrap.run(settings, RunOptions(prices, replay=True, start=start, bars=BARS), tmp_path / "new", given)
        assert decisions(tmp_path / "new") == recorded
        assert any(row["side"] for row in recorded)
        assert table(tmp_path / "new", "job_runs") == table(tmp_path / "new", "model_events") == []

    def test_one_slot_may_be_named(self, command, trained, prices):
        told = answer(command("backtest", "--slot", "scalper=1", "--source", prices[0], "--bars", 5, "--home", trained, "--json"))
        assert [(slot, row["version"]) for slot, row in told["versions"].items()] == [("scalper", 1)]

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (("--slot", "scalper"), 2, "SLOT=VERSION"),
            (("--slot", "scalper=99"), 2, "no version of scalper '99'; there are: "),
            (("--source", "synthetic"), 2, "learned from file prices"),
        ],
    )
    def test_what_cannot_be_is_said(self, command, trained, prices, options, code, said):
        source = () if "--source" in options else ("--source", prices[0])
        result = command("backtest", *source, *options, "--home", trained)
        assert result.exit_code == code
        assert said in result.stderr


class TestWalkforward:
    @pytest.fixture
    def walk(self, monkeypatch, tmp_path, prices):
        call = commands(monkeypatch, tmp_path)
        for name, value in {**TREES_ONLY, "RF_RETRAIN_HOURS": "0.5"}.items():
            monkeypatch.setenv(name, value)
        return lambda *options: answer(call("walkforward", "--source", prices[0], "--json", *options))

    def test_it_trains_on_the_way_and_tells_a_run_that_is_complete_again(self, walk, tmp_path):
        home, page = tmp_path / "walk", tmp_path / "report.md"
        told = walk("--bars", 40, "--home", home, "--report", page)
        assert told["bars"] == {"EURUSD": 40}
        assert sum(told["tries"].values()) == 2
        assert page.read_text(encoding="utf-8").startswith("# walkforward\n\n- prices: EURUSD_M1.csv\n")
        assert told["verdict"] in page.read_text(encoding="utf-8")
        before = table(home, "decisions")
        assert walk("--bars", 40, "--home", home) == told
        assert table(home, "decisions") == before

    def test_a_run_that_was_cut_short_goes_on(self, walk, tmp_path):
        walk("--bars", 10, "--home", tmp_path / "walk")
        assert walk("--bars", 25, "--home", tmp_path / "walk")["bars"] == {"EURUSD": 25}
        times = [row["bar_time"] for row in table(tmp_path / "walk", "decisions")]
        assert len(set(times)) == 25

    def test_without_a_home_nothing_is_left(self, walk, tmp_path, monkeypatch):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        assert walk("--bars", 3)["bars"] == {"EURUSD": 3}
        assert list(scratch.iterdir()) == []
        shutil.rmtree(scratch)
