"""Training in a child process: real children, tiny models."""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from loguru import logger

from config.errors import FitCancelled, InsufficientHistory, OrderRejected, RetryError
from strategy.learning.apart import WorkshopApart, _attended, _restored
from strategy.learning.budget import Purse
from tests.fakes_learning import FOREST, MemoryState, fresh_purse, market, small_settings, workshop

NEVER = threading.Event()
LOOSE = {"gate": {"gate_profile": "threshold", "min_accuracy": 0.0, "max_val_loss": 1.0, "min_directional_rows": 10}}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bars():
    return {"EURUSD": market(2_600, edge=1.0)}


@pytest.fixture(autouse=True)
def _no_child_is_left():
    yield
    assert multiprocessing.active_children() == []


@contextmanager
def _messages():
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}", level="DEBUG")
    try:
        yield lines
    finally:
        logger.remove(sink)


def test_a_child_makes_and_publishes_the_very_model_that_a_thread_makes(bars, tmp_path):
    """Same bytes in every file, same figures, same budget spent."""
    settings = small_settings(**LOOSE)
    made = []
    for name in ("thread", "process"):
        shop, state = workshop(tmp_path / name, settings, bars), MemoryState()
        result = (WorkshopApart(shop) if name == "process" else shop).run(FOREST, Purse(state, "scalper"), NEVER)
        artifact = shop.registry.open("scalper", 1)
        figures = {rule: value for rule, value in result.report.metrics.items() if not rule.startswith("latency")}
        made.append((dict(artifact.files), figures, result.rows, result.final_end, result.active, state.values))
    assert made[0] == made[1]
    assert made[0][4]


def test_what_serves_is_the_champion_and_its_parent_in_a_child_too(bars, tmp_path):
    shop = workshop(tmp_path, small_settings(**LOOSE), bars)
    for version in (1, 2):
        assert WorkshopApart(shop).run(FOREST, fresh_purse(), NEVER).manifest.version == version
    assert shop.registry.open("scalper", 2).manifest.parent == 1


def test_an_error_of_the_job_arrives_as_it_was(tmp_path):
    shop = workshop(tmp_path, small_settings(), {"EURUSD": market(900)})
    with pytest.raises(InsufficientHistory, match="EURUSD"):
        WorkshopApart(shop).run(FOREST, fresh_purse(), NEVER)


def test_an_error_nobody_foresaw_is_logged_where_it_was_and_raised_here(bars, tmp_path):
    shop = replace(workshop(tmp_path, small_settings(), bars), known=lambda symbol: None)
    with _messages() as lines, pytest.raises(RuntimeError, match="AttributeError"):
        WorkshopApart(shop).run(FOREST, fresh_purse(), NEVER)
    assert any(line.startswith("ERROR train:scalper: unexpected AttributeError") for line in lines)


def test_an_error_in_answering_is_the_jobs_error(bars, tmp_path):
    def lost(symbol, most):
        raise InsufficientHistory(symbol, 0, most)

    shop = replace(workshop(tmp_path, small_settings(), bars), history=lost)
    with pytest.raises(InsufficientHistory):
        WorkshopApart(shop).run(FOREST, fresh_purse(), NEVER)


def test_a_cancel_kills_the_child(bars, tmp_path):
    cancel = threading.Event()

    def history(symbol, most):
        cancel.set()
        return bars[symbol]

    shop = replace(workshop(tmp_path, small_settings(), bars), history=history)
    with pytest.raises(FitCancelled):
        WorkshopApart(shop).run(FOREST, fresh_purse(), cancel)
    assert shop.registry.versions() == ()


def test_a_child_that_dies_is_a_job_to_try_again(bars, tmp_path):
    def history(symbol, most):
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        return bars[symbol]

    shop = replace(workshop(tmp_path, small_settings(), bars), history=history)
    with pytest.raises(RetryError, match="train:scalper: the process that trains ended with code"):
        WorkshopApart(shop).run(FOREST, fresh_purse(), NEVER)


def test_a_pipe_that_breaks_while_it_is_looked_at_is_one_too():
    """On Windows the look itself fails once the child is gone, and not only the reading."""

    class Broken:
        def poll(self, timeout=0.0):
            raise BrokenPipeError(109, "the pipe has been ended")

    class Dead:
        name, exitcode = "train:scalper", 3

        def join(self, timeout=None):
            """It is gone."""

    with pytest.raises(RetryError, match="train:scalper: the process that trains ended with code 3"):
        _attended(Broken(), Dead(), {}, NEVER)


@pytest.mark.parametrize(
    "error", [InsufficientHistory("EURUSD", 10, 20), OrderRejected(10_030, "EURUSD", "unsupported filling"), RetryError("later")]
)
def test_any_error_of_ours_survives_the_pipe(error):
    back = _restored(type(error), error.args, vars(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))
