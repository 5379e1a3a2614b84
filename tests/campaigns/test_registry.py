"""A small registry campaign, and the proof that each part would find what it looks for."""

from __future__ import annotations

import pytest

from strategy.learning.artifact import Manifest
from strategy.learning.store import ArtifactStore
from tests.campaigns.registry import document, play
from tests.campaigns.registry_bytes import ByteReport, Museum, attack_all
from tests.campaigns.registry_kills import OPERATIONS, killed_at, prepare, problems_of, steps_of, storm
from tests.campaigns.swap_storm import Arena, TornModel
from tests.campaigns.swap_storm import storm as swap_storm
from tests.fakes_models import native_files

TURNING_POINTS = {
    "publish": ("place .pkl", "place .json", "remove .pkl"),  # the last is retention
    "promote": ("replace active.json", "replace active.json.bak", "append promotions.jsonl"),
    "rollback": ("replace active.json",),
    "prune": ("retire .json", "remove .pkl", "remove .json"),
    "import": ("set aside",),
}
"""The last of each name: all before it was done."""


@pytest.mark.parametrize(("name", "step"), [(name, step) for name, steps in TURNING_POINTS.items() for step in steps])
def test_killed_at_a_turning_point_one_sound_version_serves(tmp_path, name, step):
    steps = steps_of(name, tmp_path / "rehearsal")
    number = len(steps) - 1 - steps[::-1].index(step)
    assert killed_at(name, number, tmp_path / "killed") == []


@pytest.mark.campaign
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_before_any_step_one_sound_version_serves(tmp_path, name):
    steps = steps_of(name, tmp_path / "rehearsal")
    found = {f"{number} {step}": killed_at(name, number, tmp_path / str(number)) for number, step in enumerate(steps)}
    assert {step: problems for step, problems in found.items() if problems} == {}


def test_an_operation_that_was_not_killed_is_no_proof(tmp_path):
    assert "was not killed" in killed_at("promote", 99, tmp_path)[0]


def test_what_a_kill_could_leave_would_be_found(tmp_path):
    prepare(tmp_path)
    assert problems_of(tmp_path) == []
    (tmp_path / "scalper_v4.pkl").write_bytes(b"half")
    (tmp_path / "scalper_v7.pkl").write_bytes(b"nobody's")
    problems = " ".join(problems_of(tmp_path))
    assert all(words in problems for words in ("refused", "should", "nobody's"))


def test_two_writers_killed_at_any_moment_leave_one_sound_version(tmp_path):
    report = storm(tmp_path, 3, seed=1)
    assert report.problems == []
    assert report.kills == 3
    assert report.changes > 5


# --- bytes ------------------------------------------------------------------------------------


@pytest.fixture
def museum(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    return Museum(tmp_path, native_files)


def test_no_damaged_byte_is_opened(museum):
    report = ByteReport()
    attack_all(museum, range(1), report)
    assert report.problems == []
    assert len(report.done) == 16
    assert report.opened > 100  # the sound ones: the listening works


@pytest.mark.parametrize(("suffix", "seal"), [("_features.pkl", "hashes rewritten"), ("_features.pkl", "signed with another key")])
def test_without_the_signature_planted_code_would_run_and_be_found(museum, monkeypatch, suffix, seal):
    monkeypatch.setattr(Manifest, "trusted", classmethod(lambda cls, data, key: cls.from_json(data)))
    report = ByteReport()
    museum.attack("scalper", suffix, "code in a pickle", seal, 0, report)
    assert any("ran code" in problem for problem in report.problems)
    assert any("reached a library" in problem for problem in report.problems)


def test_without_the_hashes_a_flipped_bit_would_be_found(museum, monkeypatch):
    monkeypatch.setattr(ArtifactStore, "_content", lambda store, path, entry: path.read_bytes())
    report = ByteReport()
    museum.attack("scalper", ".pkl", "bit flip", "left", 0, report)
    assert any("was opened by the registry" in problem for problem in report.problems)


# --- swaps ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    return Arena(tmp_path_factory.mktemp("arena"), 3, compiled=False)


def test_no_decision_mixes_two_versions(arena):
    report = swap_storm(arena, 1_000, readers=2, seed=1)
    assert report.problems == []
    assert report.reads == 1_000
    assert report.decisions == 50
    assert report.swaps > 0
    assert report.changes > 100  # readers met other versions all the time


def test_a_model_that_is_changed_in_place_is_found(arena):
    """The fault that a frozen bundle excludes: three writes where one is needed."""
    torn: dict[str, TornModel] = {}

    def in_place(models, arena, rng):
        if not torn:
            torn["scalper"] = TornModel(arena.pool["scalper"][0])
            models.swap("scalper", torn["scalper"])
        torn["scalper"].take(arena.pool["scalper"][int(rng.integers(3))])

    for seed in range(20):
        if swap_storm(arena, 400, readers=2, seed=seed, disk=False, swapper=in_place).problems:
            return
    pytest.fail("8,000 reads of a model that is changed in place, and nothing was seen")


# --- the page -----------------------------------------------------------------------------------


def test_what_was_done_is_not_done_again_and_the_page_tells_it(tmp_path, museum):
    report = ByteReport()
    museum.attack("scalper", ".pkl", "bit flip", "left", 0, report)
    batches = {
        "kills": {"steps": 4, "problems": []},
        "writers": {"kills": 20, "changes": 70, "looks": 20, "problems": []},
        "bytes": vars(report),
        "swaps": {"reads": 50_000, "decisions": 2_500, "swaps": 60_000, "seconds": 60.0, "loaded": 5, "changes": 9, "problems": ["mixed"]},
    }
    ran = []
    for part, line in batches.items():
        for _ in range(2):
            play(iter([(f"{part} 0", lambda part=part, line=line: ran.append(part) or line)]), tmp_path / f"{part}.jsonl")
    assert ran == list(batches)
    page = document(tmp_path)
    for row in (
        "| kills 0 | 4 | 4 | 0 |",
        "| 1 | 20 | 70 | 20 | 0 |",
        "| file, bit flip, left | 1 | 0 |",
        "| 50,000 | 2,500 | 60,000 | 1,000 | 5 | 9 | 1 |",
    ):
        assert row in page
