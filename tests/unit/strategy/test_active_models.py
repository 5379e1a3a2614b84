from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from strategy.active_models import ActiveModels


@dataclass(frozen=True)
class _Model:
    generation: int


def test_a_snapshot_holds_what_was_swapped_in():
    models = ActiveModels()
    assert models.snapshot() == {}
    assert models.swap("xgboost", _Model(1)) is None
    assert models.swap("xgboost", _Model(2)) == _Model(1)
    assert models.snapshot() == {"xgboost": _Model(2)}


def test_a_snapshot_never_changes():
    models = ActiveModels({"scalper": _Model(1)})
    taken = models.snapshot()
    models.swap("scalper", _Model(2))
    models.swap("xgboost", _Model(2))
    models.remove("scalper")
    assert taken == {"scalper": _Model(1)}
    with pytest.raises(TypeError):
        taken["scalper"] = _Model(3)


def test_it_does_not_share_the_mapping_it_was_given():
    given = {"scalper": _Model(1)}
    models = ActiveModels(given)
    given["xgboost"] = _Model(1)
    assert models.snapshot() == {"scalper": _Model(1)}
    more = {"scalper": _Model(2)}
    models.replace(more)
    more.clear()
    assert models.snapshot() == {"scalper": _Model(2)}


def test_remove_returns_what_served_and_leaves_the_rest():
    models = ActiveModels({"scalper": _Model(1), "xgboost": _Model(1)})
    assert models.remove("scalper") == _Model(1)
    assert models.remove("scalper") is None
    assert models.snapshot() == {"xgboost": _Model(1)}


def test_generation_counts_changes_alone():
    models = ActiveModels()
    assert models.generation == 0
    models.swap("scalper", _Model(1))
    models.remove("nothing")
    models.replace({"xgboost": _Model(1)})
    models.remove("xgboost")
    assert models.generation == 3


def test_replace_returns_the_set_before():
    models = ActiveModels({"scalper": _Model(1)})
    assert models.replace({"xgboost": _Model(2)}) == {"scalper": _Model(1)}


def test_a_reader_does_not_wait_for_a_writer():
    models = ActiveModels({"scalper": _Model(1)})
    with models._lock:
        assert models.snapshot() == {"scalper": _Model(1)}
        assert models.generation == 0


WRITES, READERS = 2000, 3


def test_readers_never_see_mixed_generations_in_a_storm():
    """Every write puts one number in all slots; a reader that sees two of them has a torn view."""
    slots = ("scalper", "xgboost", "lstm_EURUSD")
    models = ActiveModels({slot: _Model(0) for slot in slots})
    start, stop = threading.Barrier(READERS + 1), threading.Event()
    torn: list[object] = []
    seen: list[int] = []

    def read() -> None:
        last = 0
        start.wait()
        while not stop.is_set():
            numbers = {model.generation for model in models.snapshot().values()}
            now = max(numbers)
            if len(numbers) != 1 or now < last:
                torn.append((numbers, last))
            last = now
        seen.append(last)

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    start.wait()
    for n in range(1, WRITES + 1):
        models.replace({slot: _Model(n) for slot in slots})
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []
    assert len(seen) == READERS
    assert models.generation == WRITES


def test_writers_do_not_lose_each_others_swaps():
    models = ActiveModels()
    start = threading.Barrier(4)

    def write(name: str) -> None:
        start.wait()
        for n in range(500):
            models.swap(name, _Model(n))

    threads = [threading.Thread(target=write, args=(f"slot{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert models.snapshot() == {f"slot{i}": _Model(499) for i in range(4)}
    assert models.generation == 2000


def test_a_stopped_slot_is_emptied_and_says_why_in_one_step():
    models = ActiveModels({"scalper": _Model(1), "xgboost": _Model(1)})
    assert models.remove("scalper", "it loses") == _Model(1)
    served = models.current()
    assert (served.generation, served.predictors, served.stopped) == (1, {"xgboost": _Model(1)}, {"scalper": "it loses"})
    assert models.remove("scalper", "it loses") is None
    assert models.current() is served
    models.swap("scalper", _Model(2))
    assert models.current().stopped == {}
    assert served.stopped == {"scalper": "it loses"}


def test_a_slot_that_never_served_may_be_stopped_and_a_removal_ends_that():
    models = ActiveModels()
    models.remove("scalper", "it lost")
    assert models.current().stopped == {"scalper": "it lost"}
    models.remove("scalper")
    assert (models.current().stopped, models.generation) == ({}, 2)


def test_a_whole_set_comes_with_what_is_stopped():
    models = ActiveModels()
    models.replace({"xgboost": _Model(1)}, {"scalper": "it loses"})
    assert models.current().stopped == {"scalper": "it loses"}
    models.replace({"xgboost": _Model(1)})
    assert models.current().stopped == {}
