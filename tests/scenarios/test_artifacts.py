"""Damaged, lost and forged model files: named, never opened, and the rest goes on."""

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import HomeError
from config.home import open_home
from strategy.learning.artifact import Manifest
from tests.fakes_daemon import run_here, table
from tests.scenarios.conftest import OFTEN
from utils.cli import start as command_line

TREE = (".pkl", "_features.pkl", "_golden.npz", ".onnx", ".json")
SLOTS = {
    "scalper": TREE,
    "xgboost": TREE,
    "lstm_EURUSD": (".pth", "_scaler.pkl", "_target_scaler.pkl", "_cols.pkl", "_golden.npz", ".onnx", ".json"),
}
BARS = 3


class Bomb:
    """A pickle that leaves a mark where somebody opens it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def delete(path, mark):
    path.unlink()


def truncate(path, mark):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path, mark):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge(path, mark):
    """Replaces the file and its hash in the manifest, as somebody would who lacks the key."""
    stem = next(slot for slot in SLOTS if path.name.startswith(slot)) + "_v2"
    manifest = path.with_name(f"{stem}.json")
    said = json.loads(manifest.read_text(encoding="utf-8"))
    data = pickle.dumps(Bomb(mark))
    if path != manifest:
        path.write_bytes(data)
        entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert set(said["files"][path.name.removeprefix(stem)]) == set(entry)
        said["files"][path.name.removeprefix(stem)] = entry
    else:
        said["seed"] += 1
    manifest.write_text(json.dumps(said), encoding="utf-8")


def serving(home):
    """Versions that the newest decision names."""
    return json.loads(table(home, "decisions")[-1]["versions"])


def refusals(home):
    return [row for row in table(home, "model_events") if row["event"] == "refused"]


def log(home):
    return (home / "logs" / "daemon.log").read_text(encoding="utf-8")


@pytest.mark.slow
class TestDamage:
    @pytest.mark.parametrize("damage", [delete, truncate, flip, forge])
    @pytest.mark.parametrize(("slot", "suffix"), [(slot, suffix) for slot, suffixes in SLOTS.items() for suffix in suffixes])
    def test_the_previous_version_serves_and_the_file_is_named(self, trained, prices, tmp_path, slot, suffix, damage):
        path, mark = trained / "models" / f"{slot}_v2{suffix}", tmp_path / "opened"
        damage(path, mark)
        before = len(table(trained, "decisions"))
        result = run_here(trained, BARS, OFTEN, prices)
        assert result.exit_code == 0
        assert serving(trained) == {"scalper": 2, "xgboost": 2, "lstm_EURUSD": 2, slot: 1}
        assert len(table(trained, "decisions")) == before + BARS
        named = path.name if damage is not forge else f"{slot}_v2.json"
        assert [row["slot"] for row in refusals(trained)] == [slot]
        assert named in refusals(trained)[0]["detail"]
        assert named in log(trained)
        assert not mark.exists()

    def test_without_a_sound_version_the_slot_stays_empty_and_the_others_vote(self, trained, prices):
        for version in (1, 2):
            flip(trained / "models" / f"scalper_v{version}.pkl", None)
        run_here(trained, BARS, OFTEN, prices)
        assert serving(trained) == {"xgboost": 2, "lstm_EURUSD": 2}
        details = [row["detail"] for row in refusals(trained)]
        assert all(any(f"scalper_v{version}.pkl" in detail for detail in details) for version in (1, 2))

    def test_with_no_model_at_all_every_decision_says_so(self, trained, prices):
        for path in (trained / "models").glob("*_v*.json"):
            path.unlink()
        run_here(trained, BARS, OFTEN, prices)
        newest = table(trained, "decisions")[-BARS:]
        assert {row["versions"] for row in newest} == {"{}"}
        assert all("no model serves" in row["reason"] for row in newest)

    @pytest.mark.parametrize("damage", [delete, truncate, flip])
    def test_a_damaged_pointer_is_recovered_from_its_mirror(self, trained, prices, damage):
        damage(trained / "models" / "active.json", None)
        run_here(trained, BARS, OFTEN, prices)
        assert serving(trained) == {"scalper": 2, "xgboost": 2, "lstm_EURUSD": 2}

    def test_another_key_opens_nothing(self, trained, prices):
        (trained / "signing.key").write_text("ab" * 32 + "\n", encoding="utf-8")
        run_here(trained, BARS, OFTEN, prices)
        assert serving(trained) == {}
        assert {row["slot"] for row in refusals(trained)} == {"scalper", "xgboost", "lstm_EURUSD"}

    def test_a_pickle_that_somebody_dropped_into_the_folder_is_never_opened(self, trained, prices, tmp_path):
        mark = tmp_path / "opened"
        for name in ("scalper_v3.pkl", "scalper.pkl", "xgboost_v9_features.pkl"):
            (trained / "models" / name).write_bytes(pickle.dumps(Bomb(mark)))
        run_here(trained, BARS, OFTEN, prices)
        assert not mark.exists()
        assert serving(trained) == {"scalper": 2, "xgboost": 2, "lstm_EURUSD": 2}


@pytest.mark.slow
class TestOrigin:
    def test_a_model_of_another_origin_is_refused(self, trained, prices, tmp_path):
        """Signed with this home's own key, so nothing but its origin speaks against it."""
        key = bytes.fromhex((trained / "signing.key").read_text(encoding="utf-8").strip())
        path = trained / "models" / "scalper_v2.json"
        manifest = Manifest.trusted(path.read_bytes(), key)
        foreign = replace(manifest, origin="synthetic").signed(key)
        path.write_bytes(foreign.to_json())
        run_here(trained, BARS, OFTEN, prices)
        assert serving(trained)["scalper"] == 1
        (refused,) = refusals(trained)
        assert "synthetic" in refused["detail"]
        assert "file" in refused["detail"]

    def test_a_model_of_other_libraries_is_refused_and_its_slot_retrained(self, trained, prices):
        """As after an upgrade; both versions that the slot has were made before it."""
        key = bytes.fromhex((trained / "signing.key").read_text(encoding="utf-8").strip())
        for version in (1, 2):
            path = trained / "models" / f"scalper_v{version}.json"
            manifest = Manifest.trusted(path.read_bytes(), key)
            older = replace(manifest, libraries={**manifest.libraries, "scikit-learn": "0.24.2"}).signed(key)
            path.write_bytes(older.to_json())
        run_here(trained, BARS, OFTEN, prices)
        assert refusals(trained)[0]["version"] == 2
        assert "made with scikit-learn 0.24.2, installed is" in refusals(trained)[0]["detail"]
        assert serving(trained).get("scalper") in (None, 3)
        (run,) = [row for row in table(trained, "job_runs") if row["trigger"] == "libraries"]
        assert run["job"] == "train:scalper"
        assert run["outcome"] in ("promoted", "rejected", "waiting")
        assert all(job["trigger"] != "libraries" for job in table(trained, "job_runs") if job["job"] != "train:scalper")

    def test_a_home_of_another_origin_is_not_entered(self, trained):
        with pytest.raises(HomeError, match=r"bound to file, not to synthetic.*--home") as error:
            run_here(trained, BARS)
        assert error.value.exit_code == 3

    def test_the_command_line_ends_with_three_and_both_names(self, tmp_path, monkeypatch, capsys):
        open_home(tmp_path / "home", "file")
        monkeypatch.setattr("sys.argv", ["main.py", "run", "--terminal", "simulated", "--home", str(tmp_path / "home")])
        with pytest.raises(SystemExit) as end:
            command_line()
        assert end.value.code == 3
        said = capsys.readouterr().err
        assert "file" in said
        assert "synthetic" in said
