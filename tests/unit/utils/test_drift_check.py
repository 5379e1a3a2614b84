"""The drift check: what it retrains and why, its pause, and that a restart finds the same."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

import utils.drift_check
from config.settings import Settings
from market_data.clock import from_epoch, utc_text
from strategy.active_models import ActiveModels
from strategy.learning.bundles import inference_json
from tests.campaigns.regimes import regime_market
from tests.fakes_learning import RuleModel, publish_model, without, workshop
from tests.fakes_models import inference_of
from utils.drift_check import DRIFT, DriftCheck

TAUGHT, MADE, CHANGE, END = 8_000, 10_000, 12_000, 15_000
HOUR = timedelta(hours=1)
MARKETS = {"sign": 1, "volatility": 3, "none": 1}
MODEL = RuleModel("surge_10")


class Bench:
    """A check on a market that is shown to it up to a row."""

    def __init__(self, folder, kind, *, jobs=None, settings=None, store=None):
        self.bars = MARKET[kind]
        self.row = MADE
        self.store = {} if store is None else store
        shop = workshop(folder, settings or Settings(), {"EURUSD": self.bars})
        self.workshop = replace(shop, history=lambda symbol, most: self.bars.slice(0, self.row + 1).tail(most))
        self.models = ActiveModels({"scalper": MODEL})
        self.jobs = {"scalper": "train:scalper"} if jobs is None else jobs
        self.restart()

    def publish(self):
        """The manifest of the version in service; its files are not asked for anything."""
        said = {
            "created": utc_text(from_epoch(int(self.bars.time[MADE]))),
            "first_bar": utc_text(from_epoch(int(self.bars.time[0]))),
            "last_bar": utc_text(from_epoch(int(self.bars.time[TAUGHT]))),
            "inference": inference_json(inference_of("random_forest"), train_end=int(self.bars.time[TAUGHT + 16]), recipe="r"),
        }
        publish_model(self.workshop.registry, **said)
        return self

    def restart(self):
        state = type("State", (), {"get": self.store.get, "set": self.store.__setitem__})
        self.check = DriftCheck(self.workshop, self.models, state, self.jobs)

    @property
    def now(self):
        return from_epoch(int(self.bars.time[self.row]) + 61)

    def look(self, row=None):
        self.row = self.row if row is None else row
        return self.check.run(self.now)

    def first(self, begin, end, step=60):
        """The first drift that hourly looks find, and its row."""
        for row in range(begin, end, step):
            found = self.look(row)
            if found.outcome == DRIFT:
                return row, found
        return None, found


@pytest.fixture(scope="module", autouse=True)
def MARKET():
    globals()["MARKET"] = {kind: regime_market(seed, kind, CHANGE, END) for kind, seed in MARKETS.items()}


class TestFindings:
    def test_a_hit_rate_that_falls_retrains_its_slot(self, tmp_path):
        row, found = Bench(tmp_path, "sign").publish().first(CHANGE, END)
        assert CHANGE < row <= CHANGE + 2_000
        assert found.retrain == ("train:scalper",)
        assert found.reason.startswith("scalper: hit rate 0.")
        assert "Page-Hinkley" in found.reason

    def test_a_market_twice_as_lively_retrains_too(self, tmp_path):
        row, found = Bench(tmp_path, "volatility").publish().first(CHANGE + 60, END)
        assert row <= CHANGE + 2_000
        assert "EURUSD volatility" in found.reason
        assert "3.5 allowed" in found.reason

    def test_a_market_that_goes_on_says_its_figures(self, tmp_path):
        row, found = Bench(tmp_path, "none").publish().first(MADE + 300, END, step=300)
        assert row is None
        assert found.retrain == ()
        for figure in ("EURUSD features", "EURUSD volatility", "EURUSD spread", "hit rate", "over"):
            assert figure in found.reason

    def test_a_slot_that_nobody_trains_is_left_alone(self, tmp_path):
        assert Bench(tmp_path, "sign", jobs={}).publish().look(END - 1).reason == "no model serves"

    def test_too_short_a_history_is_said(self, tmp_path):
        settings = Settings(watch={"drift_window_bars": 5_000})
        found = Bench(tmp_path, "none", settings=settings).publish().look(MADE + 100)
        assert "EURUSD features: too few bars to compare" in found.reason

    def test_a_source_that_no_longer_records_what_the_version_reads_does_not_end_the_look(self, tmp_path):
        bench = Bench(tmp_path, "none").publish()
        bench.bars = without(bench.bars, "tick_volume")
        found = bench.look(MADE + 100)
        assert found.outcome == "skipped"
        assert "surge" in found.reason

    def test_a_version_that_cannot_be_opened_does_not_end_the_look(self, tmp_path):
        found = Bench(tmp_path, "none").look(MADE + 100)
        assert found.outcome == "skipped"
        assert "scalper_v1.json" in found.reason


class TestPause:
    def test_a_pause_follows_and_survives_a_restart(self, tmp_path):
        bench = Bench(tmp_path, "volatility").publish()
        row, _ = bench.first(CHANGE + 60, END)
        bench.store["drift.shifted.scalper"] = [7, ["EURUSD volatility"]]  # of another version: of this one it is news
        bench.restart()
        again = bench.look(row + 60)
        assert again.outcome == "skipped"
        assert "but cooling down" in again.reason
        assert bench.store["trainer.drift_until.scalper"] == (from_epoch(int(bench.bars.time[row]) + 61) + timedelta(hours=24)).isoformat()

    def test_what_has_been_acted_upon_does_not_count_twice(self, tmp_path):
        """The same fall is no second alarm an hour later; a fall that goes on is one after the pause."""
        bench = Bench(tmp_path, "sign", settings=Settings(watch={"drift_cooldown_hours": 0.5, "drift_psi": 1e6})).publish()
        row, _ = bench.first(CHANGE, END)
        assert bench.look(row + 60).outcome == "skipped"
        later, _ = bench.first(row + 60, END)
        assert later is not None

    def test_a_market_that_stays_moved_is_told_once_of_a_version(self, tmp_path):
        bench = Bench(tmp_path, "volatility", settings=Settings(watch={"drift_cooldown_hours": 0.5, "drift_hits": 1e6})).publish()
        told = []
        while (found := bench.first(CHANGE + 60 if not told else bench.row + 60, END))[0] is not None:
            told.append(found[1].reason)
            bench.restart()
        assert [reason.count("EURUSD volatility") for reason in told].count(1) == 1
        assert "EURUSD volatility" in found[1].reason  # still a figure, no longer an alarm

    def test_a_new_version_starts_anew(self, tmp_path):
        bench = Bench(tmp_path, "sign").publish()
        bench.store["drift.since.scalper"] = [7, int(bench.bars.time[END - 1])]
        assert bench.first(CHANGE, END)[0] is not None


def test_a_restart_finds_the_same(tmp_path):
    bench = Bench(tmp_path, "none").publish()
    for row in range(MADE + 200, MADE + 900, 100):
        kept = bench.look(row)
    bench.restart()
    assert bench.look() == kept


def test_versions_that_no_longer_serve_are_forgotten(tmp_path):
    bench = Bench(tmp_path, "none").publish()
    bench.look(MADE + 100)
    assert bench.check._rows._sided
    bench.models.remove("scalper")
    bench.look(MADE + 160)
    assert not (bench.check._rows._sided or bench.check._rows._usual or bench.check._rows._manifests)


def test_hits_are_counted_where_the_desk_may_enter_alone(tmp_path, monkeypatch):
    """Sessions leave rows out of training and gate, so of the hit rate too."""
    counted, work = [], utils.drift_check.sided_after
    monkeypatch.setattr("utils.drift_check.sided_after", lambda *given: counted.append(work(*given)) or counted[-1])
    narrow = Settings(filters={"trading_sessions": "Europe/London 08:00-12:00"})
    Bench(tmp_path, "none", settings=narrow).publish().look(MADE + 2_000)
    times = np.concatenate([sided.time for sided in counted]) + 60
    assert set((times // 3_600 % 24).tolist()) <= {8, 9, 10, 11, 12}
    assert len(times)
