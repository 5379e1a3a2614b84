from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from config.errors import ArtifactError, FileUnavailable
from market_data.clock import ManualClock, utc_text
from strategy.learning import lifecycle
from strategy.learning.artifact import FileEntry, Manifest
from strategy.learning.lifecycle import Failure, LifeRules
from strategy.learning.registry import Registry
from tests.fakes_registry import FILES, KEY, NOW, accept, draft, make_registry, publish, successor

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """No test here cuts the power, and a kill loses nothing that was written."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def child(root: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.fakes_registry", str(root), *words], cwd=REPOSITORY, stderr=subprocess.PIPE)


def serving(registry: Registry, slot: str = "scalper") -> int | None:
    found, _ = registry.open_active()
    return found[slot].manifest.version if slot in found else None


# Publishing and opening.


def test_what_was_published_is_what_is_opened(tmp_path):
    registry = make_registry(tmp_path)
    manifest = registry.publish(draft(), FILES, accept)
    opened = make_registry(tmp_path).open("scalper", 1)
    assert dict(opened.files) == dict(FILES)
    assert opened.manifest == manifest
    assert opened.manifest.metrics["accuracy"] == 0.5312345678901234


def test_files_lie_under_their_fixed_names_and_staging_is_empty(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry, "lstm_EURUSD")
    names = {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")}
    assert names == {f"lstm_EURUSD_v1{s}" for s in (*FILES, ".json")} | {"active.json", "active.json.bak", "promotions.jsonl"}
    registry.prune()
    assert not list((tmp_path / ".staging").iterdir())


def test_the_newest_published_serves_and_the_one_before_is_previous(tmp_path):
    registry = make_registry(tmp_path)
    assert [publish(registry), publish(registry)] == [1, 2]
    slot = registry.state().slots["scalper"]
    assert (slot.active, slot.previous, slot.next_version, slot.pinned) == (2, 1, 3, False)


def test_a_shadow_is_published_and_does_not_serve(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    assert publish(registry, activate=False) == 2
    assert serving(registry) == 1
    assert registry.state().slots["scalper"].history[-1].event == "published"


def test_the_check_sees_the_bytes_read_back(tmp_path):
    seen = []
    make_registry(tmp_path).publish(draft(), FILES, seen.append)
    assert dict(seen[0].files) == dict(FILES)


def test_a_failed_check_leaves_the_old_version_and_spends_the_number(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)

    def refuse(artifact):
        raise ArtifactError("golden row 3 differs")

    with pytest.raises(ArtifactError, match="golden row 3"):
        registry.publish(draft(), FILES, refuse)
    assert serving(registry) == 1
    assert not list(tmp_path.glob("scalper_v2*"))
    assert publish(make_registry(tmp_path)) == 3


def test_a_foreign_draft_is_refused_before_anything_is_written(tmp_path):
    registry = make_registry(tmp_path)
    with pytest.raises(ArtifactError, match="mt5:Demo/1, this home's is synthetic"):
        registry.publish(draft(origin="mt5:Demo/1"), FILES, accept)
    assert registry.state().generation == 0
    assert not (tmp_path / "active.json").exists()


def test_slots_that_differ_in_case_alone_are_refused(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry, "lstm_EURUSDm")
    with pytest.raises(ArtifactError, match="case alone"):
        publish(registry, "lstm_EURUSDM")


@pytest.mark.parametrize("order", ["rollback", "promote", "resume"])
def test_an_order_given_while_a_job_trained_is_not_overridden(tmp_path, order):
    """The candidate was compared with another version than the one that serves by then: it has to show itself first."""
    registry = make_registry(tmp_path)
    for _ in range(3):
        publish(registry)
    if order == "resume":
        stop(registry)
    candidate = successor(registry)
    {"rollback": registry.rollback, "promote": lambda slot: registry.promote(slot, 1), "resume": lambda slot: registry.promote(slot, 3)}[
        order
    ]("scalper")
    chosen = registry.state().slot("scalper").active
    version = registry.publish(candidate, FILES, accept).version
    slot = registry.state().slot("scalper")
    assert (slot.active, slot.shadow.version, slot.history[-1].event) == (chosen, version, "shadow")
    was = "none" if order == "resume" else "version 3"
    assert slot.history[-1].reason == f"it was compared with {was}, and version {chosen} serves by now"


def test_a_candidate_that_was_compared_with_a_version_that_was_stopped_since_does_not_serve_at_once(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    candidate = successor(registry)
    stop(registry)
    registry.publish(candidate, FILES, accept)
    slot = registry.state().slot("scalper")
    assert (slot.voting, slot.shadow.version, slot.history[-1].reason) == (
        None,
        3,
        "it was compared with version 2, and none serves by now",
    )


@pytest.mark.parametrize("damaged", [(2,), (1, 2)])
def test_a_version_that_was_damaged_meanwhile_keeps_no_candidate_back(tmp_path, damaged):
    """It was compared with the active version, or with what stood in for it."""
    for before in (True, False):
        registry = make_registry(tmp_path / str(before))
        publish(registry), publish(registry)
        candidate = successor(registry)
        for version in damaged:
            damage_flip(registry.root / f"scalper_v{version}.pkl")
        registry.publish(successor(registry) if before else candidate, FILES, accept)
        assert registry.state().slot("scalper").active == 3


def test_a_pinned_slot_keeps_a_candidate_waiting_whoever_it_was_compared_with(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    candidate = successor(registry)
    registry.rollback("scalper")
    registry.pin("scalper")
    registry.publish(candidate, FILES, accept)
    assert (registry.state().slot("scalper").active, registry.state().slot("scalper").waiting) == (1, 3)


def test_every_change_is_in_the_history(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    registry.rollback("scalper")
    registry.pin("scalper")
    registry.pin("scalper", False)
    history = registry.state().slots["scalper"].history
    assert [(c.generation, c.event, c.before, c.after) for c in history] == [
        (1, "promoted", None, 1),
        (2, "promoted", 1, 2),
        (3, "rolled back", 2, 1),
        (4, "pinned", 1, 1),
        (5, "unpinned", 1, 1),
    ]
    assert {c.at for c in history} == {"2026-01-05T12:00:00.000Z"}


def test_the_history_is_bounded(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    for i in range(120):
        registry.pin("scalper", i % 2 == 0)
    history = registry.state().slots["scalper"].history
    assert len(history) == 100
    assert history[-1].generation == registry.state().generation == 121


def test_a_slot_does_not_forget_its_last_rollback(tmp_path):
    """However many candidates pass in the meantime and do not serve."""
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    registry.rollback("scalper")
    since = registry.state().slot("scalper").voting_since
    registry.pin("scalper")
    for _ in range(110):
        publish(registry)
    registry.pin("scalper", False)
    slot = registry.state().slot("scalper")
    assert (slot.rolled_back, slot.voting_since, len(slot.history)) == (True, since, 100)
    assert slot.served == {1, 2}
    assert registry.rollback("scalper").slot("scalper").active == 1


# What is damaged is refused by name, and the previous version serves.


def damage_delete(path: Path) -> None:
    path.unlink()


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = {damage_delete: "missing", damage_truncate: "bytes instead of", damage_empty: "0 bytes instead of", damage_flip: "altered"}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("suffix", FILES)
def test_a_damaged_file_is_named_and_the_previous_version_serves(tmp_path, damage, suffix):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    damage(tmp_path / f"scalper_v2{suffix}")
    with pytest.raises(ArtifactError, match=rf"scalper_v2{suffix}: .*{DAMAGES[damage]}"):
        registry.open("scalper", 2)
    found, refusals = registry.open_active()
    assert found["scalper"].manifest.version == registry.serving("scalper") == 1
    assert [(r.slot, r.version, r.file) for r in refusals] == [("scalper", 2, f"scalper_v2{suffix}")]
    assert [str(r) for r in registry.verify()] == [str(refusals[0])]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_a_damaged_manifest_is_named_and_the_previous_version_serves(tmp_path, damage):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    damage(tmp_path / "scalper_v2.json")
    if damage is damage_truncate:  # only the last line's end is gone: the content is whole, the signature holds
        damage_truncate(tmp_path / "scalper_v2.json")
    with pytest.raises(ArtifactError, match=r"scalper_v2\.json: (missing|manifest)"):
        registry.open("scalper", 2)
    assert serving(registry) == 1


def test_a_rewritten_hash_does_not_pass_the_signature(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    forged = b"not the model"
    (tmp_path / "scalper_v2.pkl").write_bytes(forged)
    path = tmp_path / "scalper_v2.json"
    payload = json.loads(path.read_text(encoding="utf-8"))
    entry = FileEntry.of(forged)
    payload["files"][".pkl"] = {"size": entry.size, "sha256": entry.sha256}
    path.write_text(json.dumps(payload), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"scalper_v2\.json: .*signature is wrong"):
        registry.open("scalper", 2)
    del payload["signature"]
    path.write_text(json.dumps(payload), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"scalper_v2\.json: manifest is unsigned"):
        registry.open("scalper", 2)
    assert serving(registry) == 1


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_a_planted_pickle_never_runs(tmp_path):
    marker = tmp_path / "it ran"
    registry = make_registry(tmp_path / "models")
    publish(registry)
    attack = pickle.dumps(Payload(marker))
    manifest = registry.open("scalper", 1).manifest
    (tmp_path / "models" / "scalper_v1.pkl").write_bytes(attack)
    (tmp_path / "models" / "scalper_v2.pkl").write_bytes(attack)
    (tmp_path / "models" / "scalper.pkl").write_bytes(attack)
    forged = Manifest(
        **{f: getattr(manifest, f) for f in manifest.__dataclass_fields__} | {"version": 2, "files": {".pkl": FileEntry.of(attack)}}
    )
    (tmp_path / "models" / "scalper_v2.json").write_bytes(forged.signed(b"another key" * 4).to_json())
    found, refusals = registry.open_active()
    assert found == {}
    assert [r.file for r in refusals] == ["scalper_v1.pkl"]
    with pytest.raises(ArtifactError, match="another key"):
        registry.promote("scalper", 2)
    registry.versions()
    registry.verify()
    assert not marker.exists()


def test_a_manifest_of_another_key_is_refused(tmp_path):
    publish(make_registry(tmp_path, key=b"x" * 32))
    registry = make_registry(tmp_path)
    with pytest.raises(ArtifactError, match="signed with another key"):
        registry.open("scalper", 1)
    assert serving(registry) is None


def test_a_manifest_of_another_origin_is_refused_even_when_rightly_signed(tmp_path):
    publish(make_registry(tmp_path))
    registry = make_registry(tmp_path, origin="mt5:Demo/1")
    with pytest.raises(ArtifactError, match="comes from origin synthetic, this home's is mt5:Demo/1"):
        registry.open("scalper", 1)
    assert serving(registry) is None


def test_a_version_copied_under_another_name_is_refused(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    for suffix in (*FILES, ".json"):
        (tmp_path / f"scalper_v9{suffix}").write_bytes((tmp_path / f"scalper_v1{suffix}").read_bytes())
    with pytest.raises(ArtifactError, match=r"scalper_v9\.json: is the manifest of scalper_v1"):
        registry.open("scalper", 9)
    assert publish(registry) == 10


def test_a_shadow_never_stands_in_for_a_damaged_version(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry, activate=False)
    publish(registry)
    damage_flip(tmp_path / "scalper_v2.pkl")
    assert serving(registry) is None


def test_a_version_that_was_rolled_back_from_never_stands_in(tmp_path):
    registry = make_registry(tmp_path)
    for _ in range(3):
        publish(registry)
    registry.rollback("scalper")
    damage_flip(tmp_path / "scalper_v2.pkl")
    assert serving(registry) == 1


def test_one_damaged_slot_leaves_the_others_alone(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry, "xgboost")
    damage_delete(tmp_path / "scalper_v1.pkl")
    found, refusals = registry.open_active()
    assert set(found) == {"xgboost"}
    assert str(refusals[0]) == "scalper_v1.pkl: missing"


def test_previous_is_the_version_that_truly_served(tmp_path):
    registry = make_registry(tmp_path)
    for _ in range(2):
        publish(registry)
    damage_flip(tmp_path / "scalper_v2.pkl")
    publish(registry)
    slot = registry.state().slots["scalper"]
    assert (slot.active, slot.previous) == (3, 1)


# Promote, roll back, pin, prune.


def test_a_second_rollback_does_not_bring_back_what_was_rolled_back_from(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    first = registry.rollback("scalper")
    assert first.slots["scalper"].active == 1
    assert registry.rollback("scalper") == first


def test_rollback_to_a_stated_version_can_be_repeated(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    first = registry.rollback("scalper", to=1)
    assert registry.rollback("scalper", to=1) == first


def test_rollback_without_a_previous_version_names_the_remedy(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    with pytest.raises(ArtifactError, match=r"no previous version; .*models promote scalper VERSION"):
        registry.rollback("scalper")


def test_promote_refuses_what_does_not_verify_and_changes_nothing(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    damage_flip(tmp_path / "scalper_v1.pkl")
    before = registry.state()
    for call in (lambda: registry.promote("scalper", 1), lambda: registry.promote("scalper", 7), lambda: registry.rollback("scalper")):
        with pytest.raises(ArtifactError, match=r"scalper_v(1\.pkl: altered|7\.json: missing)"):
            call()
    assert registry.state() == before


def test_promoting_the_active_version_changes_nothing(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    before = registry.state()
    assert registry.promote("scalper", 1) == before


def test_an_order_for_the_active_version_ends_its_probation(tmp_path):
    registry = make_registry(tmp_path)
    registry.rules = LifeRules(probation=True)
    publish(registry), publish(registry), publish(registry)
    slot = registry.state().slot("scalper")
    assert (slot.active, slot.probation.version, slot.waiting) == (2, 1, 3)
    after = registry.promote("scalper", 2)
    slot = after.slot("scalper")
    assert (slot.active, slot.previous, slot.probation, slot.waiting, slot.history[-1].event) == (2, 1, None, None, "settled")
    assert registry.promote("scalper", 2) == after


def test_an_order_for_the_version_that_was_put_back_does_not_hide_the_rollback(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    candidate = successor(registry)
    registry.rollback("scalper")
    registry.publish(candidate, FILES, accept)  # into shadow
    assert registry.promote("scalper", 1).slot("scalper").shadow is None
    assert registry.rollback("scalper").slot("scalper").active == 1


def test_a_pinned_slot_keeps_its_version(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    registry.pin("scalper")
    assert publish(registry) == 2
    assert serving(registry) == 1
    with pytest.raises(ArtifactError, match=r"pinned to version 1; `models unpin scalper`"):
        registry.promote("scalper", 2)
    registry.pin("scalper", False)
    assert registry.promote("scalper", 2).slots["scalper"].active == 2


def test_an_empty_slot_cannot_be_pinned(tmp_path):
    with pytest.raises(ArtifactError, match="no active version to pin"):
        make_registry(tmp_path).pin("scalper")


def test_retention_keeps_the_newest_and_whatever_serves(tmp_path):
    registry = make_registry(tmp_path, keep=2)
    for _ in range(2):
        publish(registry)
    registry.rollback("scalper")
    registry.pin("scalper")
    for _ in range(4):
        publish(registry)
    assert [v.version for v in registry.versions("scalper")] == [1, 2, 5, 6]
    assert not list(tmp_path.glob("scalper_v[34]*"))


def test_a_dry_run_deletes_nothing(tmp_path):
    registry = make_registry(tmp_path)
    for _ in range(4):
        publish(registry)
    frugal = make_registry(tmp_path, keep=2)
    names = frugal.prune(dry_run=True)
    assert set(names) == {f"scalper_v{n}{s}" for n in (1, 2) for s in (*FILES, ".json")}
    assert len(registry.versions()) == 4
    assert set(frugal.prune()) == set(names)
    assert [v.version for v in registry.versions()] == [3, 4]


def test_prune_leaves_what_is_not_a_model_file(tmp_path):
    registry = make_registry(tmp_path, keep=2)
    publish(registry)
    note = tmp_path / "scalper_v1_why.txt"
    note.write_text("mine", encoding="utf-8")
    for _ in range(3):
        publish(registry)
    assert note.exists()
    assert not (tmp_path / "scalper_v1.pkl").exists()


def test_prune_goes_on_another_time_where_a_file_is_held_open(tmp_path, monkeypatch):
    registry = make_registry(tmp_path, keep=2)
    unlink = Path.unlink

    def held(path: Path, missing_ok: bool = False) -> None:
        if path.name == "scalper_v1_golden.npz":
            raise PermissionError(13, "sharing violation")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", held)
    for _ in range(4):
        publish(registry)
    assert (tmp_path / "scalper_v1_golden.npz").exists()
    assert [(v.slot, v.version) for v in registry.versions()] == [("scalper", 3), ("scalper", 4)]  # neither a version nor nobody's
    assert registry.verify() == ()
    monkeypatch.undo()
    registry.prune()
    assert not list(tmp_path.glob("scalper_v1*"))
    assert not list((tmp_path / ".retired").iterdir())


def test_a_manifest_that_is_held_open_keeps_its_version_for_another_time(tmp_path, monkeypatch):
    registry = make_registry(tmp_path, keep=2)
    replace = Path.replace

    def held(path: Path, target: Path) -> Path:
        if path == tmp_path / "scalper_v1.json":
            raise PermissionError(13, "sharing violation")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", held)
    for _ in range(4):
        publish(registry)
    assert [v.version for v in registry.versions()] == [1, 3, 4]
    assert registry.verify() == ()
    monkeypatch.undo()
    assert "scalper_v1.json" in registry.prune()
    assert [v.version for v in registry.versions()] == [3, 4]


def test_versions_say_what_each_is(tmp_path):
    registry = make_registry(tmp_path)
    for _ in range(3):
        publish(registry)
    registry.pin("scalper")
    damage_flip(tmp_path / "scalper_v1.pkl")
    (tmp_path / "lstm_EURUSD.pth").write_bytes(b"old")
    (tmp_path / "README.md").write_text("about", encoding="utf-8")
    listed = registry.versions()
    assert [(v.slot, v.version, v.active, v.previous, v.pinned) for v in listed] == [
        ("scalper", 1, False, False, False),
        ("scalper", 2, False, True, False),
        ("scalper", 3, True, False, True),
        ("lstm_EURUSD.pth", None, False, False, False),
    ]
    assert "altered" in (listed[0].problem or "")
    assert listed[2].metrics["expectancy_r"] == 0.02
    assert listed[3].problem == "legacy, never loaded"
    assert len(registry.versions("scalper")) == 3


def test_an_active_version_that_is_gone_is_still_listed(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    for path in tmp_path.glob("scalper_v1*"):
        path.unlink()
    assert [v.problem for v in registry.versions()] == ["scalper_v1.json: missing"]


# active.json: read by others, held by others, damaged by others.


def test_a_reader_adopts_what_another_process_published(tmp_path):
    daemon = make_registry(tmp_path)
    assert daemon.state().generation == 0
    publish(make_registry(tmp_path))
    assert daemon.state().generation == 1
    make_registry(tmp_path).promote("scalper", 1)
    assert daemon.state() is daemon.state()


def test_polling_does_not_read_the_file_again(tmp_path, monkeypatch):
    registry = make_registry(tmp_path)
    publish(registry)
    registry.state()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read"))
    assert registry.state().generation == 1


def failing_replace(times: float, name: str = "active.json") -> Callable[[object, object], None]:
    replace, left = os.replace, [times]

    def wrapped(source: object, target: object, **more: object) -> None:
        if Path(str(target)).name == name and left[0] > 0:
            left[0] -= 1
            raise PermissionError(13, "The process cannot access the file")
        replace(source, target)

    return wrapped


def test_a_passing_sharing_violation_is_survived(tmp_path, monkeypatch):
    waits: list[float] = []
    registry = Registry(tmp_path, origin="synthetic", key=KEY, keep_versions=5, clock=ManualClock(NOW), wait=waits.append)
    publish(registry)
    monkeypatch.setattr("os.replace", failing_replace(2))
    assert publish(registry) == 2
    assert serving(registry) == 2
    assert len(waits) == 2


@pytest.mark.parametrize("name", ["active.json", "scalper_v2.pkl", "scalper_v2.json"])
def test_a_lasting_sharing_violation_leaves_the_old_version_active(tmp_path, monkeypatch, name):
    registry = make_registry(tmp_path)
    publish(registry)
    with monkeypatch.context() as patched:
        # The number is reserved by the first replacement; the one that activates is held up.
        patched.setattr("os.replace", failing_replace(float("inf"), name))
        with pytest.raises(FileUnavailable, match=rf"{name}: cannot be replaced .*close the program"):
            publish(registry)
    assert serving(registry) == 1
    again = make_registry(tmp_path)
    assert again.verify() == ()
    assert publish(again) > 1
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_full_disk_leaves_the_old_version_active(tmp_path, monkeypatch):
    registry = make_registry(tmp_path)
    publish(registry)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(FileUnavailable, match="disk is full"):
            publish(registry)
    assert serving(registry) == 1
    assert publish(registry) == 2
    assert not list(tmp_path.glob(".*.tmp"))


BAD_STATES = [
    b"",
    b"{}",
    b'{"generation": 9, "slots": {"scalper": {}}}',
    b'{"generation": "9", "slots": {}}',
    b'{"generation": 9, "slots": {"scalper": {"active": 5, "previous": 1, "pinned": false, "next_version": 2}}}',
    b'{"generation": 9, "slots": {"scalper": {"active": 1, "previous": 1, "pinned": false, "next_version": 2}}}',
    b"\xff\xfe\x00garbage",
]


@pytest.mark.parametrize("content", [*BAD_STATES, None])
def test_a_damaged_pointer_is_recovered_from_its_mirror(tmp_path, content):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    registry.rollback("scalper")
    path = tmp_path / "active.json"
    path.unlink() if content is None else path.write_bytes(content)
    assert serving(registry) == 1  # the reader that runs on
    assert "active.json is" in (registry.problem or "")
    assert registry.open_active()[1][0].file == "active.json"
    again = make_registry(tmp_path)  # the next start mends it
    slot = again.state().slots["scalper"]
    assert (slot.active, slot.previous, again.problem) == (1, 2, None)
    assert slot.history[-1].event == "recovered"
    assert again.state().generation == 4
    assert publish(again) > 2
    assert content is None or (tmp_path / "active.json.damaged").read_bytes() == content


def test_a_number_spent_on_a_failed_check_is_not_reused_after_recovery(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)

    def refuse(artifact):
        raise ArtifactError("no")

    with pytest.raises(ArtifactError):
        registry.publish(draft(), FILES, refuse)
    (tmp_path / "active.json").write_bytes(b"{")
    assert publish(make_registry(tmp_path)) > 2


def test_a_number_that_only_the_lost_pointer_knew_is_skipped(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)

    class Killed(BaseException):
        pass

    def die(step: str) -> None:
        if step == "replace active.json.bak":
            raise Killed

    with pytest.raises(Killed):
        publish(make_registry(tmp_path, fault=die))  # 2 is spent, and the mirror does not know it yet
    (tmp_path / "active.json").write_bytes(b"{")
    assert publish(make_registry(tmp_path)) == 3


def lose_the_pointer(root: Path, *, damage: bytes | None = None, record: bool = True) -> None:
    """`active.json` and its mirror, and where asked the record of changes too."""
    for name in ("active.json", "active.json.bak"):
        (root / name).unlink() if damage is None else (root / name).write_bytes(damage)
    if not record:
        (root / "promotions.jsonl").unlink()


def test_with_mirror_and_record_gone_too_the_versions_on_disk_decide(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    publish(registry)
    registry.publish(draft(gate_report={"passed": False}), FILES, accept, activate=False)
    publish(registry)
    damage_flip(tmp_path / "scalper_v4.pkl")
    lose_the_pointer(tmp_path, damage=b"{", record=False)
    again = make_registry(tmp_path)
    slot = again.state().slots["scalper"]
    assert (slot.active, slot.previous) == (2, 1)
    assert slot.next_version > 4


@pytest.mark.parametrize("damage", [None, b"{"])
def test_with_the_mirror_gone_too_the_record_brings_back_no_version_that_was_rolled_back(tmp_path, damage):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry), publish(registry, "xgboost")
    registry.rollback("scalper")
    registry.pin("scalper")
    publish(registry)  # it waits
    lose_the_pointer(tmp_path, damage=damage)
    again = make_registry(tmp_path)
    slot = again.state().slot("scalper")
    assert (slot.active, slot.previous, slot.pinned, slot.rolled_back, slot.served) == (1, 2, True, True, {1, 2})
    assert (slot.voting_since, again.state().slot("xgboost").active) == ("2026-01-05T12:00:00.000Z", 1)
    assert again.state().generation == 8
    again.pin("scalper", False)
    assert again.rollback("scalper").slot("scalper").active == 1
    assert publish(again) == 5  # 4 may have been spent


def test_a_mirror_that_was_left_behind_brings_back_no_version_that_was_rolled_back(tmp_path):
    """Another program held it when the rollback was written."""
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    mirror = (tmp_path / "active.json.bak").read_bytes()
    registry.rollback("scalper")
    (tmp_path / "active.json.bak").write_bytes(mirror)
    (tmp_path / "active.json").write_bytes(b"{")
    slot = make_registry(tmp_path).state().slot("scalper")
    assert (slot.active, slot.previous, slot.rolled_back) == (1, 2, True)


def test_the_record_knows_that_a_version_was_stopped(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    stop(registry)
    lose_the_pointer(tmp_path)
    slot = make_registry(tmp_path).state().slot("scalper")
    assert (slot.active, slot.voting, slot.learn_from) == (2, None, utc_text(NOW))
    make_registry(tmp_path).promote("scalper", 2)
    lose_the_pointer(tmp_path)
    assert make_registry(tmp_path).state().slot("scalper").voting == 2


def test_a_number_that_only_the_record_knows_is_not_given_again(tmp_path):
    registry = make_registry(tmp_path)
    for _ in range(3):
        publish(registry)
    registry.rollback("scalper")
    for path in tmp_path.glob("scalper_v3*"):
        path.unlink()
    lose_the_pointer(tmp_path)
    assert publish(make_registry(tmp_path)) > 3


def test_what_was_lost_is_warned_of_and_verify_tells_it_once(tmp_path, said):
    publish(make_registry(tmp_path))
    (tmp_path / "active.json").write_bytes(b'{"generation"')
    registry = make_registry(tmp_path)
    assert [str(refusal)[:35] for refusal in registry.verify()] == ["active.json: active.json is damaged"]
    assert (registry.problem, registry.open_active()[1], make_registry(tmp_path).verify()) == (None, (), ())
    assert len(said) == 1
    for words in ("active.json is damaged", "going by active.json.bak", "`models list`"):
        assert words in said[0]


def test_a_mirror_left_behind_is_mended_at_start(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    (tmp_path / "active.json.bak").write_bytes(b"stale")
    make_registry(tmp_path)
    assert (tmp_path / "active.json.bak").read_bytes() == (tmp_path / "active.json").read_bytes()


def test_an_empty_folder_is_no_problem(tmp_path):
    registry = make_registry(tmp_path / "new")
    assert (registry.state().generation, registry.problem, registry.verify(), registry.open_active()) == (0, None, (), ({}, ()))
    assert registry.versions() == ()
    assert (make_registry(tmp_path / "new").verify(), list((tmp_path / "new").glob("active*"))) == ((), [])


# Several writers at once; what kills do to them is in tests/campaigns/test_registry.py.


def test_two_writers_at_once_lose_nothing(tmp_path):
    both = [child(tmp_path, "4") for _ in range(2)]
    for process in both:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr.decode()
    registry = make_registry(tmp_path, keep=100)
    assert [v.version for v in registry.versions()] == list(range(1, 9))
    assert registry.verify() == ()
    slot = registry.state().slots["scalper"]
    assert (slot.next_version, registry.state().generation) == (9, 8)
    # One that was overtaken by the other writer's goes into shadow, and those behind it wait.
    assert sorted(change.after for change in slot.history) == list(range(1, 9))
    assert slot.active == 8 or slot.shadow is not None


def test_a_start_beside_a_writer_at_work_leaves_its_staging_alone(tmp_path):
    others: list[Registry] = []

    def look_in(artifact):
        other = make_registry(tmp_path)  # another process would meet the same lock
        others.append(other)
        assert list((tmp_path / ".staging").iterdir())

    registry = make_registry(tmp_path)
    registry.publish(draft(), FILES, look_in)
    assert others[0].state().slots["scalper"].active == 1


def test_a_lock_held_for_ever_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("strategy.learning.registry._LOCK_SECONDS", 0.0)
    registry = make_registry(tmp_path)

    def write_again(artifact):
        with pytest.raises(FileUnavailable, match=r"\.lock: held by another process"):
            make_registry(tmp_path).prune()

    registry.publish(draft(), FILES, write_again)
    assert serving(registry) == 1


# Retention, the record, other libraries, older installations.


def test_a_version_that_stands_in_is_never_pruned(tmp_path):
    for _ in range(3):
        publish(make_registry(tmp_path))
    registry = make_registry(tmp_path, keep=2)
    for version in (2, 3):
        damage_flip(tmp_path / f"scalper_v{version}.pkl")
    assert serving(registry) == 1
    registry.prune()
    assert serving(registry) == 1


def test_the_record_outlives_the_bounded_history(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    for number in range(120):
        registry.pin("scalper", number % 2 == 0)
    assert [(e.event, e.before, e.after) for e in registry.promotions("scalper")[:2]] == [("promoted", None, 1), ("promoted", 1, 2)]
    assert len(registry.promotions("scalper")) == registry.state().generation == 122
    assert registry.promotions("xgboost") == ()


def test_what_a_killed_writer_did_not_record_is_told_and_then_recorded(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    path = tmp_path / "promotions.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert [entry.after for entry in registry.promotions("scalper")] == [1, 2]
    make_registry(tmp_path)
    assert path.read_bytes().count(b"\n") == 2


def test_a_generation_never_falls_even_where_pointer_and_mirror_are_lost(tmp_path):
    publish_four = make_registry(tmp_path)
    for _ in range(4):
        publish(publish_four)
    for name in ("active.json", "active.json.bak"):
        (tmp_path / name).unlink()
    registry = make_registry(tmp_path)
    assert registry.state().generation == 5
    assert [entry.generation for entry in registry.promotions("scalper")] == [1, 2, 3, 4, 5]


OTHER_LIBRARIES = {"scikit-learn": "0.24.0"}


def test_a_version_of_other_libraries_is_refused_and_its_slot_named(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry, "xgboost")
    path = tmp_path / "scalper_v1.json"
    made_elsewhere = Manifest(**{**vars_of(Manifest.trusted(path.read_bytes(), KEY)), "libraries": OTHER_LIBRARIES})
    path.write_bytes(made_elsewhere.signed(KEY).to_json())
    found, refusals = registry.open_active()
    assert set(found) == {"xgboost"}
    assert [(r.slot, r.version, r.outdated) for r in refusals] == [("scalper", 1, True)]
    assert "made with scikit-learn 0.24.0, installed is" in refusals[0].reason
    assert registry.outdated() == registry.verify() == refusals
    with pytest.raises(ArtifactError, match="retrain this slot"):
        registry.open("scalper", 1)


def vars_of(manifest: Manifest) -> dict[str, object]:
    return {field.name: getattr(manifest, field.name) for field in fields(Manifest)}


def test_an_altered_version_is_not_outdated(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    damage_flip(tmp_path / "scalper_v1.pkl")
    assert registry.outdated() == ()
    assert not registry.verify()[0].outdated


def test_files_of_an_older_installation_are_set_aside(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    for name in ("scalper.pkl", "lstm_EURUSD.pth", "scalper_v9.pkl"):
        (tmp_path / name).write_bytes(b"old")
    assert registry.legacy() == ("lstm_EURUSD.pth", "scalper.pkl", "scalper_v9.pkl")
    assert registry.set_aside() == ("legacy/lstm_EURUSD.pth", "legacy/scalper.pkl", "legacy/scalper_v9.pkl")
    assert (registry.legacy(), registry.set_aside()) == ((), ())
    assert [v.slot for v in registry.versions() if v.version is None] == [
        "legacy/lstm_EURUSD.pth",
        "legacy/scalper.pkl",
        "legacy/scalper_v9.pkl",
    ]
    assert (tmp_path / "legacy" / "scalper.pkl").read_bytes() == b"old"
    assert serving(registry) == 1
    assert publish(registry) == 10  # a number that once named a file is not given again


def test_a_second_file_of_one_name_is_kept_beside_the_first(tmp_path):
    registry = make_registry(tmp_path)
    for content in (b"first", b"second", b"third"):
        (tmp_path / "scalper.pkl").write_bytes(content)
        registry.set_aside()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "legacy").iterdir()}
    assert kept == {"scalper.pkl": b"first", "scalper.2.pkl": b"second", "scalper.3.pkl": b"third"}


def test_files_of_a_version_in_use_stay_where_its_manifest_can_be_restored(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    manifest = (tmp_path / "scalper_v1.json").read_bytes()
    (tmp_path / "scalper_v1.json").unlink()
    assert registry.set_aside() == ()
    (tmp_path / "scalper_v1.json").write_bytes(manifest)
    assert serving(registry) == 1


def test_a_file_that_cannot_be_moved_is_named_and_stays(tmp_path):
    registry = make_registry(tmp_path)
    (tmp_path / "scalper.pkl").write_bytes(b"old")
    (tmp_path / "legacy").write_bytes(b"in the way")
    with pytest.raises(FileUnavailable, match=r"scalper\.pkl"):
        registry.set_aside()
    assert (tmp_path / "scalper.pkl").read_bytes() == b"old"


# A version that no longer votes.


def stop(registry: Registry, slot: str = "scalper") -> None:
    look = registry.state().slot(slot)
    failure = Failure("2026-01-05T10:00:00.000Z", "it loses")
    assert registry.move(slot, lambda held: lifecycle.stopped(held, look, failure, NOW))


def test_a_stopped_version_stays_active_and_is_not_opened_nor_does_another_stand_in(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry), publish(registry, "xgboost")
    stop(registry)
    for reader in (registry, make_registry(tmp_path)):
        assert (reader.state().slot("scalper").active, serving(reader), serving(reader, "xgboost")) == (2, None, 1)
        assert reader.serving("scalper") is None
        assert reader.open_active()[1] == ()
    assert registry.prune(dry_run=True) == ()
    assert [entry.event for entry in registry.promotions("scalper")] == ["promoted", "promoted", "stopped"]
    assert [info.marks for info in registry.versions("scalper")] == [("previous",), ("active", "stopped")]


@pytest.mark.parametrize(("order", "active", "previous"), [("resume", 2, 1), ("promote", 1, 2), ("rollback", 1, 2), ("publish", 3, 2)])
def test_every_change_of_what_serves_ends_the_stop(tmp_path, order, active, previous):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    stop(registry)
    acts = {"resume": lambda: registry.promote("scalper", 2), "promote": lambda: registry.promote("scalper", 1)}
    {**acts, "rollback": lambda: registry.rollback("scalper"), "publish": lambda: publish(registry)}[order]()
    slot = make_registry(tmp_path).state().slot("scalper")
    assert (slot.active, slot.previous, slot.stopped, serving(registry)) == (active, previous, None, active)
    assert (slot.learn_from is None) == (order != "publish")


def test_a_rollback_that_was_made_already_does_not_resume_what_was_stopped_since(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry), publish(registry)
    registry.rollback("scalper")
    stop(registry)
    before = registry.state()
    assert registry.rollback("scalper") == before
    assert serving(registry) is None


def test_a_pin_of_a_stopped_version_holds_against_an_order(tmp_path):
    registry = make_registry(tmp_path)
    publish(registry)
    stop(registry)
    registry.pin("scalper")
    with pytest.raises(ArtifactError, match="models unpin scalper"):
        registry.promote("scalper", 1)
