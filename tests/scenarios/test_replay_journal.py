"""`replay-journal`: recorded bars are decided again to the last bit, and what was changed is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from strategy import features
from tests.fakes_commands import commands
from tests.fakes_daemon import SMALL, TREES_ONLY, run_here, table
from tests.real_data import folder
from tests.scenarios.conftest import OFTEN

BARS = 40
REAL = "EURUSD_M1_20180531_20180629_mt5.csv.gz"
REAL_DAY = {**SMALL, "LSTM_SEQ_LENGTH": "20", "RF_RETRAIN_HOURS": "8", "XGB_RETRAIN_HOURS": "16", "LSTM_RETRAIN_HOURS": "20"}


@pytest.fixture(scope="module")
def recorded_once(trained_once, prices, tmp_path_factory):
    """A home in which all three models have decided."""
    home = shutil.copytree(trained_once, tmp_path_factory.mktemp("recorded") / "home", ignore=shutil.ignore_patterns("home.lock"))
    run_here(home, BARS, OFTEN, prices)
    return home


@pytest.fixture
def recorded(recorded_once, tmp_path):
    return shutil.copytree(recorded_once, tmp_path / "home", ignore=shutil.ignore_patterns("home.lock"))


@pytest.fixture
def replaying(monkeypatch, tmp_path):
    """Makes what replays homes with the settings of their recording: exit code and answer."""
    command = commands(monkeypatch, tmp_path)

    def make(env, source):
        for name, value in env.items():
            monkeypatch.setenv(name, value)

        def run(home, *options):
            result = command("replay-journal", "--home", home, "--source", source, "--symbols", "EURUSD", "--json", *options)
            return result.exit_code, json.loads(result.stdout) if result.stdout else result.stderr

        return run

    return make


@pytest.fixture
def replayed(replaying, prices):
    return replaying(OFTEN, prices[0])


def change_one_feature(monkeypatch, since):
    """From the bar at `since` on one family of columns is computed otherwise; the bars before it are as they were."""
    first = int(np.datetime64(since[:19], "s").astype(np.int64))
    honest = features._slope

    def changed(past, period):
        slope = honest(past, period)
        return np.where(past.at(past.bars.time) >= first, 1.001 * slope, slope)

    monkeypatch.setattr(features, "_slope", changed)


def edit(home, sql, *values):
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        assert db.execute(sql, values).rowcount > 0


def bar_times(home):
    return [row["bar_time"] for row in table(home, "decisions")]


@pytest.mark.slow
class TestReplayOfARecordedHome:
    def test_every_decision_is_made_again_to_the_last_bit(self, recorded, replayed):
        code, told = replayed(recorded)
        assert (code, told["ok"], told["first"], told["refused"]) == (0, True, None, {})
        assert told["made_again"] == len(bar_times(recorded)) == 10 + BARS
        assert set(told["versions"]) == {"lstm_EURUSD", "scalper", "xgboost"}
        assert any(row["side"] for row in table(recorded, "decisions"))

    def test_a_span_and_a_day_are_chosen_by_bar_time(self, recorded, replayed):
        times = bar_times(recorded)
        code, told = replayed(recorded, "--from", times[5][:19], "--to", times[9][:19])
        assert (code, told["made_again"]) == (0, 4)
        day = times[0][:10]
        assert replayed(recorded, "--date", day)[1]["made_again"] == sum(time.startswith(day) for time in times)

    @pytest.mark.parametrize(
        ("sql", "field"),
        [
            ("UPDATE decisions SET close = close + 1e-15 * close WHERE bar_time = ?", "close"),
            ("UPDATE decisions SET feature_hash = 'ffffffffffffffff' WHERE bar_time = ?", "feature_hash"),
            (
                "UPDATE decisions SET forecasts = json_set(forecasts, '$.scalper.p_long', 0.25) WHERE bar_time = ?",
                "forecasts.scalper.p_long",
            ),
            ("UPDATE decisions SET side = IIF(side = 'long', 'short', 'long') WHERE bar_time = ?", "side"),
            ("UPDATE decisions SET reason = 'because' WHERE bar_time = ?", "reason"),
            ('UPDATE decisions SET absent = \'{"ghost": "asleep"}\' WHERE bar_time = ?', "absent.ghost"),
        ],
    )
    def test_one_altered_figure_is_named_with_its_bar(self, recorded, replayed, sql, field):
        times = bar_times(recorded)
        edit(recorded, sql, times[20])
        code, told = replayed(recorded)
        assert (code, told["differing"], told["made_again"]) == (5, 1, len(times))
        assert (told["first"]["bar_time"], told["first"]["field"]) == (times[20], field)
        assert told["first"]["recorded"] != told["first"]["now"]

    def test_a_changed_feature_is_named_at_the_first_bar_that_it_changes(self, recorded, replayed, monkeypatch):
        times = bar_times(recorded)
        change_one_feature(monkeypatch, times[12])
        code, told = replayed(recorded)
        assert code == 5
        assert (told["first"]["bar_time"], told["first"]["field"]) == (times[12], "feature_hash")

    def test_a_version_that_is_gone_is_named_and_the_rest_is_compared(self, recorded, replayed):
        for file in (recorded / "models").glob("xgboost_v2*"):
            file.unlink()
        rows = [json.loads(row["versions"]) for row in table(recorded, "decisions")]
        affected = sum(versions.get("xgboost") == 2 for versions in rows)
        code, told = replayed(recorded)
        assert (code, told["ok"], told["differing"]) == (5, False, 0)
        assert (told["in_part"], told["made_again"]) == (affected, len(rows) - affected)
        assert list(told["refused"]) == ["xgboost v2"]
        assert affected > 0

    def test_an_altered_version_is_refused_by_name(self, recorded, replayed):
        file = next((recorded / "models").glob("scalper_v2.pkl"))
        file.write_bytes(file.read_bytes()[:-1])
        code, told = replayed(recorded)
        assert code == 5
        assert list(told["refused"]) == ["scalper v2"]

    def test_another_setting_shows_as_a_difference(self, recorded, replayed, monkeypatch):
        monkeypatch.setenv("MIN_VOTES", "3")
        code, told = replayed(recorded)
        assert code == 5
        assert told["first"]["field"] in ("side", "reason", "expected_r")

    def test_another_source_is_refused_before_anything_is_compared(self, recorded, replayed, monkeypatch, tmp_path):
        result = commands(monkeypatch, tmp_path)("replay-journal", "--home", recorded)
        assert result.exit_code == 2
        assert "has its prices from file, not from synthetic: name its files with --source" in result.stderr

    def test_a_time_without_decisions_is_a_slip(self, recorded, replayed):
        assert replayed(recorded, "--date", "2031-01-01")[0] == 2
        assert replayed(recorded, "--date", "2024-01-01", "--from", "2024-01-01")[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bars", "env"),
    [
        pytest.param(40, {**TREES_ONLY, "RF_RETRAIN_HOURS": "0.5"}, id="an hour"),
        pytest.param(1_440, REAL_DAY, id="a day", marks=pytest.mark.campaign),
    ],
)
def test_real_bars_are_decided_again_to_the_last_bit_and_a_changed_feature_is_named(replaying, tmp_path, monkeypatch, bars, env):
    source = f"EURUSD={folder() / REAL}"
    run_here(tmp_path / "home", bars, env, (source,))
    again = replaying(env, source)
    code, told = again(tmp_path / "home")
    assert (code, told["made_again"], told["first"]) == (0, bars, None)
    assert len(told["versions"]["scalper"]) >= 2
    times = bar_times(tmp_path / "home")
    change_one_feature(monkeypatch, times[bars // 2])
    code, told = again(tmp_path / "home")
    assert (code, told["first"]["bar_time"]) == (5, times[bars // 2])
    assert told["differing"] == bars - bars // 2
