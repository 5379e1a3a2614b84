"""What serves follows the registry, and a version that does not load costs no slot that has another."""

from __future__ import annotations

import threading
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from market_data.clock import ManualClock
from strategy.active_models import ActiveModels
from strategy.learning import lifecycle
from strategy.learning.artifact import Draft
from strategy.learning.lifecycle import Failure
from strategy.learning.registry import Registry
from strategy.learning.serving import Change, ModelServer
from tests.fakes_learning import publish_model
from tests.fakes_registry import KEY, NOW, make_registry


@pytest.fixture
def home(tmp_path):
    registry, models = make_registry(tmp_path), ActiveModels()
    return registry, models, ModelServer(registry, models)


def versions(models):
    return {slot: model.info.version for slot, model in models.snapshot().items()}


def test_a_fresh_start_serves_what_is_active(home):
    registry, models, server = home
    publish_model(registry)
    publish_model(registry)
    publish_model(registry, "xgboost", kind="xgboost")
    assert server.refresh() == (Change("scalper", 0, 2), Change("xgboost", 0, 1))
    assert versions(models) == {"scalper": 2, "xgboost": 1}


def test_adopting_costs_nothing_while_nothing_has_changed(home):
    registry, models, server = home
    publish_model(registry)
    assert server.adopt() == (Change("scalper", 0, 1),)
    before = models.snapshot()
    assert server.adopt() == ()
    assert models.snapshot() is before
    assert models.generation == 1


def test_a_change_by_another_process_is_adopted(home, tmp_path):
    registry, models, server = home
    publish_model(registry)
    publish_model(registry)
    server.adopt()
    make_registry(tmp_path).rollback("scalper")
    assert server.adopt() == (Change("scalper", 2, 1),)
    assert versions(models) == {"scalper": 1}


def test_what_is_not_changed_is_not_loaded_again(home):
    registry, models, server = home
    publish_model(registry)
    server.adopt()
    serving = models.snapshot()["scalper"]
    publish_model(registry, "xgboost", kind="xgboost")
    assert server.adopt() == (Change("xgboost", 0, 1),)
    assert models.snapshot()["scalper"] is serving


def test_a_held_slot_keeps_what_it_serves_until_it_is_released(home):
    registry, models, server = home
    publish_model(registry)
    server.adopt()
    publish_model(registry)
    assert server.adopt(held=["scalper"]) == ()
    assert versions(models) == {"scalper": 1}
    assert server.adopt() == (Change("scalper", 1, 2),)


def test_a_held_slot_does_not_keep_the_others_back(home):
    registry, models, server = home
    publish_model(registry)
    publish_model(registry, "xgboost", kind="xgboost")
    assert server.adopt(held=["scalper"]) == (Change("xgboost", 0, 1),)
    assert versions(models) == {"xgboost": 1}


def test_invalidating_makes_the_next_look_a_refresh(home, monkeypatch):
    registry, _, server = home
    publish_model(registry)
    server.adopt()
    looks = []
    monkeypatch.setattr(registry, "open_active", lambda *args: looks.append(1) or ({}, ()))
    server.adopt()
    assert looks == []
    server.invalidate()
    server.adopt()
    assert looks == [1]


def test_a_slot_without_an_active_version_is_emptied(home, tmp_path):
    registry, models, server = home
    publish_model(registry)
    server.adopt()
    for path in tmp_path.glob("scalper_v1*"):
        path.unlink()
    publish_model(registry, "xgboost", kind="xgboost")
    changes = server.adopt()
    assert Change("scalper", 1, 0) in changes
    assert [change.problem for change in changes if change.slot == "scalper" and change.problem] == ["scalper_v1.json: missing"]
    assert versions(models) == {"xgboost": 1}


# --- versions that do not load ----------------------------------------------------------------


def test_a_version_that_does_not_load_leaves_what_serves_in_place(home):
    registry, models, server = home
    publish_model(registry)
    server.adopt()
    serving = models.snapshot()["scalper"]
    publish_model(registry, broken=True)
    (change,) = server.adopt()
    assert (change.slot, change.before, change.after) == ("scalper", 1, 1)
    assert "*.pkl cannot be read" in change.problem
    assert models.snapshot()["scalper"] is serving


def test_at_a_fresh_start_the_newest_older_one_that_loads_stands_in(home):
    registry, models, server = home
    publish_model(registry)
    publish_model(registry)
    publish_model(registry, broken=True)
    publish_model(registry, broken=True)
    (change,) = server.refresh()
    assert (change.slot, change.before, change.after) == ("scalper", 0, 2)
    assert "scalper v4: file *.pkl cannot be read" in change.problem
    assert versions(models) == {"scalper": 2}


def test_a_version_that_never_served_is_no_stand_in(home):
    registry, models, server = home
    publish_model(registry, slot="xgboost", kind="xgboost")
    files = registry.open("xgboost", 1)
    registry.publish(_draft_of(files), dict(files.files), lambda artifact: None, activate=False)
    publish_model(registry, slot="xgboost", kind="xgboost", broken=True)
    server.refresh()
    assert versions(models) == {"xgboost": 1}


def _draft_of(artifact):
    return Draft(**{field.name: getattr(artifact.manifest, field.name) for field in fields(Draft)})


def test_a_slot_of_which_nothing_loads_stays_empty_and_says_why(home):
    registry, models, server = home
    publish_model(registry, broken=True)
    publish_model(registry, "xgboost", kind="xgboost")
    changes = server.refresh()
    assert [(change.slot, change.after, bool(change.problem)) for change in changes] == [("scalper", 0, True), ("xgboost", 1, False)]
    assert versions(models) == {"xgboost": 1}


def test_a_stand_in_gives_way_to_the_next_version_that_loads(home):
    registry, models, server = home
    publish_model(registry)
    publish_model(registry, broken=True)
    server.refresh()
    publish_model(registry)
    assert server.adopt() == (Change("scalper", 1, 3),)
    assert versions(models) == {"scalper": 3}


def test_an_altered_file_is_told_and_the_older_version_serves(home, tmp_path):
    registry, models, server = home
    publish_model(registry)
    publish_model(registry)
    path = tmp_path / "scalper_v2.pkl"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    changes = server.refresh()
    assert [change.problem for change in changes if change.problem] == ["scalper_v2.pkl: altered: its SHA-256 is not the manifest's"]
    assert versions(models) == {"scalper": 1}


def test_a_damaged_pointer_concerns_no_slot(home, tmp_path):
    registry, _, server = home
    publish_model(registry)
    (tmp_path / "active.json").write_text("{", encoding="utf-8")
    changes = server.refresh()
    assert changes == (Change("scalper", 0, 1),)
    assert registry.problem is not None


# --- files that another program holds -----------------------------------------------------------


@pytest.fixture
def grip(monkeypatch):
    """Names of files that a scanner holds; reading one is a sharing violation. Also what was read, and each wait."""
    held, read, read_bytes = set(), [], Path.read_bytes

    def gripped(path):
        read.append(path.name)
        if path.name in held:
            raise PermissionError(13, "The process cannot access the file")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", gripped)
    return SimpleNamespace(held=held, read=read, waits=[])


@pytest.fixture
def gripped(tmp_path, grip):
    """Two versions of one slot, the newer in service, and a registry that counts its waits."""
    registry = Registry(tmp_path, origin="synthetic", key=KEY, keep_versions=9, clock=ManualClock(NOW), wait=grip.waits.append)
    publish_model(registry), publish_model(registry)
    models = ActiveModels()
    server = ModelServer(registry, models)
    server.adopt()
    grip.waits.clear()
    return registry, models, server


def looks_until(server, most=100):
    """Calls of `adopt` until one has something to tell, and what it tells."""
    for number in range(1, most):
        changes = server.adopt()
        if changes:
            return number, changes
    raise AssertionError("nothing was told")


@pytest.mark.parametrize("name", ["scalper_v2.pkl", "scalper_v2.json"])
def test_a_grip_on_a_version_that_serves_takes_it_out_of_no_service(gripped, grip, name):
    registry, models, server = gripped
    serving = models.snapshot()["scalper"]
    grip.held.add(name)
    publish_model(registry, "xgboost", kind="xgboost")
    grip.waits.clear(), grip.read.clear()
    assert server.adopt() == (Change("xgboost", 0, 1),)
    assert (models.snapshot()["scalper"] is serving, server.adopt()) == (True, ())
    assert (grip.waits, [read for read in grip.read if read.startswith("scalper")]) == ([], ["scalper_v2.json"])


def test_a_grip_on_the_next_version_keeps_the_one_that_serves_until_it_is_let_go(gripped, grip):
    registry, models, server = gripped
    publish_model(registry)
    grip.held |= {"scalper_v3.pkl", "scalper_v2.pkl"}
    (change,) = server.adopt()
    assert (change.slot, change.after, change.problem) == (
        "scalper",
        0,
        "scalper_v3.pkl: cannot be read ([Errno 13] The process cannot access the file)",
    )
    grip.read.clear()
    assert [server.adopt() for _ in range(200)] == [()] * 200  # told once
    assert (versions(models), grip.waits) == ({"scalper": 2}, [])
    assert 5 < grip.read.count("scalper_v3.json") < 12  # looked for ever more rarely
    grip.held.clear()
    number, changes = looks_until(server)
    assert (changes, versions(models)) == ((Change("scalper", 2, 3),), {"scalper": 3})
    assert number <= 32


def test_another_change_is_not_put_off_by_a_grip(gripped, grip):
    registry, models, server = gripped
    publish_model(registry)
    grip.held.add("scalper_v3.pkl")
    for _ in range(40):
        server.adopt()
    publish_model(registry, "xgboost", kind="xgboost")
    assert Change("xgboost", 0, 1) in server.adopt()
    assert versions(models) == {"scalper": 2, "xgboost": 1}


def test_a_version_that_was_left_does_not_serve_on_where_the_former_cannot_be_read(gripped, grip):
    registry, models, server = gripped
    registry.rollback("scalper")
    grip.held.add("scalper_v1.pkl")
    assert Change("scalper", 2, 0) in server.adopt()
    grip.held.clear()
    assert looks_until(server) == (2, (Change("scalper", 0, 1),))
    assert versions(models) == {"scalper": 1}


def test_at_a_fresh_start_a_stand_in_serves_until_the_grip_ends(gripped, grip):
    registry, _, _ = gripped
    models = ActiveModels()
    server = ModelServer(registry, models)
    grip.held.add("scalper_v2.pkl")
    assert Change("scalper", 0, 1) in server.adopt()
    assert grip.waits  # nothing serves yet: it is worth a second
    grip.held.clear()
    assert looks_until(server)[1] == (Change("scalper", 1, 2),)


def test_a_version_in_service_outlives_its_file_until_the_next_start(home, tmp_path):
    registry, models, server = home
    publish_model(registry), publish_model(registry)
    server.adopt()
    (tmp_path / "scalper_v2.pkl").write_bytes(b"damaged")
    publish_model(registry, "xgboost", kind="xgboost")
    assert server.adopt() == (Change("xgboost", 0, 1),)
    assert versions(models) == {"scalper": 2, "xgboost": 1}
    fresh = ActiveModels()
    assert Change("scalper", 0, 1) in ModelServer(registry, fresh).adopt()


def test_another_version_under_the_same_number_is_adopted(home, tmp_path):
    """A folder was put back from elsewhere, signed with the same key."""
    registry, models, server = home
    publish_model(registry)
    server.adopt()
    before = models.snapshot()["scalper"]
    other = make_registry(tmp_path / "other")
    publish_model(other, rows=77)
    for path in (tmp_path / "other").glob("scalper_v1*"):
        path.replace(tmp_path / path.name)
    publish_model(registry, "xgboost", kind="xgboost")
    server.adopt()
    assert models.snapshot()["scalper"] is not before


# --- threads ----------------------------------------------------------------------------------


def test_the_loop_does_not_wait_for_a_publisher(home):
    registry, models, server = home
    publish_model(registry)
    inside, done, found = threading.Event(), threading.Event(), []

    def publisher():
        with server.publishing():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=publisher)
    thread.start()
    assert inside.wait(10)
    found.append(server.adopt())
    done.set()
    thread.join(10)
    assert found == [()]
    assert server.adopt() == (Change("scalper", 0, 1),)
    assert versions(models) == {"scalper": 1}


def test_the_publisher_itself_can_refresh(home):
    registry, _, server = home
    with server.publishing():
        publish_model(registry)
        assert server.refresh() == (Change("scalper", 0, 1),)
    assert server.adopt() == ()


def stop(registry, slot="scalper"):
    look = registry.state().slot(slot)
    registry.move(slot, lambda held: lifecycle.stopped(held, look, Failure("2026-01-05T10:00:00.000Z", "it loses"), NOW))


def test_a_stopped_version_is_taken_out_and_stays_out_after_a_restart(home):
    registry, models, server = home
    publish_model(registry), publish_model(registry), publish_model(registry, "xgboost", kind="xgboost")
    server.adopt()
    stop(registry)
    assert server.adopt() == (Change("scalper", 2, 0),)
    assert (versions(models), models.current().stopped) == ({"xgboost": 1}, {"scalper": "it loses"})
    fresh = ActiveModels()
    assert ModelServer(registry, fresh).refresh() == (Change("xgboost", 0, 1),)
    assert fresh.current().stopped == {"scalper": "it loses"}
    registry.promote("scalper", 2)
    assert server.adopt() == (Change("scalper", 0, 2),)
    assert models.current().stopped == {}


def test_a_replay_may_hold_a_stop_back(home):
    registry, models, server = home
    publish_model(registry)
    server.adopt()
    stop(registry)
    assert server.adopt(("scalper",)) == ()
    assert (versions(models), models.current().stopped) == ({"scalper": 1}, {})
    assert server.adopt() == (Change("scalper", 1, 0),)
