import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from config.errors import RecordError, StorageBusy, StorageError
from market_data.clock import ManualClock
from tests.contracts.recorder_contract import MINUTE, START
from utils import database
from utils.shared_state import SharedState

ROOT = Path(__file__).parents[3]


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shared_state.db"


@pytest.fixture
def state(path, clock):
    with closing(SharedState(path, clock)) as state:
        yield state


class TestValues:
    @pytest.mark.parametrize("value", [None, True, 0, -3, 0.1, "", "Währung", [1, [2]], {"b": 1, "a": {"c": None}}])
    def test_a_value_comes_back(self, state, value):
        state.set("k", value)
        assert state.get("k", "default") == value

    def test_a_key_that_is_not_there_gives_the_default(self, state):
        assert state.get("k") is None
        assert state.get("k", 7) == 7
        assert (state.version("k"), state.get_last_update("k"), state.delete("k")) == (0, None, False)

    @pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan"), [float("inf")]])
    def test_a_value_that_is_no_json_is_refused_and_nothing_changes(self, state, value):
        state.set("k", 1)
        with pytest.raises(RecordError, match=r"'k'.*JSON"):
            state.set("k", value)
        with pytest.raises(RecordError, match=r"'k'.*JSON"):
            state.compare_and_set("k", 1, value)
        assert (state.get("k"), state.version("k")) == (1, 1)

    def test_all_keys_of_a_prefix_in_order(self, state):
        for key in ("control.stop", "control_x", "Control.a", "control.pause", "loop.state"):
            state.set(key, key)
        state.delete("control.stop")
        state.set("control.resume", 1)
        assert list(state.get_all("control.")) == ["control.pause", "control.resume"]
        assert len(state.get_all()) == 5

    def test_the_last_update_is_the_clocks_time(self, state, clock):
        state.set("k", 1)
        clock.set(START + MINUTE)
        state.set("other", 1)
        assert state.get_last_update("k") == START
        state.set("k", 1)
        assert state.get_last_update("k") == START + MINUTE

    def test_values_survive_reopening(self, state, path, clock):
        state.set("k", [1])
        with closing(SharedState(path, clock)) as again:
            assert again.get("k") == [1]


class TestVersions:
    def test_every_write_gives_a_higher_version(self, state):
        state.set("k", 1)
        state.set("k", 1)
        state.increment("k")
        assert state.version("k") == 3

    def test_compare_and_set_needs_the_version_that_was_read(self, state):
        assert state.compare_and_set("k", 0, "first") is True
        assert state.compare_and_set("k", 0, "second") is False
        assert state.compare_and_set("k", 1, "third") is True
        assert state.compare_and_set("k", 1, "fourth") is False
        assert state.get("k") == "third"

    def test_a_key_that_was_deleted_and_set_again_is_not_what_was_read(self, state):
        state.set("k", "old")
        read = state.version("k")
        state.delete("k")
        assert (state.version("k"), state.get("k")) == (0, None)
        state.set("k", "new")
        assert state.compare_and_set("k", read, "mine") is False
        assert state.get("k") == "new"

    def test_a_deleted_key_can_be_made_by_compare_and_set(self, state):
        state.set("k", 1)
        state.delete("k")
        assert state.compare_and_set("k", 0, 2) is True
        assert state.get("k") == 2


class TestIncrement:
    def test_it_counts_from_zero_and_by_any_step(self, state):
        assert [state.increment("n"), state.increment("n", 5), state.increment("n", -2)] == [1, 6, 4]

    @pytest.mark.parametrize("value", ["1", True, 1.5, None, [1]])
    def test_what_is_no_whole_number_is_refused(self, state, value):
        state.set("n", value)
        with pytest.raises(RecordError, match="'n' holds"):
            state.increment("n")
        assert state.get("n", "gone") == value
        assert state.increment("other") == 1


class TestTake:
    def test_a_command_is_taken_once(self, state):
        state.set("control.stop", {"flatten": True})
        assert state.take("control.stop") == {"flatten": True}
        assert state.take("control.stop", "none") == "none"
        assert state.get_all("control.") == {}

    def test_of_many_takers_one_receives_it(self, path, clock):
        with ExitStack() as stack:
            states = [stack.enter_context(closing(SharedState(path, clock))) for _ in range(4)]
            for number in range(20):
                states[0].set("control.stop", number)
                taken = _together(states, lambda state: state.take("control.stop"))
                assert sorted(value for value in taken if value is not None) == [number]


class TestThreads:
    def test_threads_of_one_store_lose_no_increment(self, state):
        _together([state] * 4, lambda shared: [shared.increment("n") for _ in range(50)])
        assert state.get("n") == 200

    def test_of_many_writers_with_one_version_one_wins(self, path, clock):
        with ExitStack() as stack:
            states = [stack.enter_context(closing(SharedState(path, clock))) for _ in range(4)]
            for round_ in range(20):
                read = states[0].version("k")
                assert sum(_together(states, lambda state, read=read: state.compare_and_set("k", read, read))) == 1, round_
            assert states[0].version("k") == 20


INCREMENTS = """
import sys
from pathlib import Path
from market_data.clock import SystemClock
from utils.shared_state import SharedState
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
state = SharedState(Path(sys.argv[1]), SystemClock())
for _ in range(200):
    state.increment("n")
    while True:
        version, value = state.version("list"), state.get("list", 0)
        if state.compare_and_set("list", version, value + 1):
            break
state.close()
"""

ENDLESS = """
import sys
from pathlib import Path
from market_data.clock import SystemClock
from utils.shared_state import SharedState
state = SharedState(Path(sys.argv[1]), SystemClock())
while True:
    sys.stdout.write(f"{state.increment('n')}\\n"); sys.stdout.flush()
"""


class TestProcesses:
    def test_four_processes_lose_no_write(self, path, clock):
        """They also make the file together: it is not there when they start."""
        with ExitStack() as stack:
            children = [stack.enter_context(_child(INCREMENTS, path)) for _ in range(4)]
            for child in children:
                assert child.stdout.readline() == "ready\n"
            for child in children:
                child.stdin.write("go\n")
                child.stdin.flush()
            assert [child.wait() for child in children] == [0, 0, 0, 0]
        with closing(SharedState(path, clock)) as state:
            assert (state.get("n"), state.get("list"), state.version("list")) == (800, 800, 800)

    def test_a_killed_writer_loses_nothing_that_returned(self, path, clock):
        with _child(ENDLESS, path) as child:
            for _ in range(50):
                child.stdout.readline()
            child.kill()
            reported = [line for line in child.stdout.readlines() if line.endswith("\n")]
        last = int(reported[-1]) if reported else 50
        with closing(SharedState(path, clock)) as state:
            assert last <= state.get("n") <= last + 1
            assert state.increment("n") > last


class TestFile:
    def test_a_damaged_file_is_named_and_left_alone(self, path, clock):
        path.write_bytes(b"x" * 5_000)
        with pytest.raises(StorageError, match=r"shared_state\.db.*move it"):
            SharedState(path, clock)
        assert path.read_bytes() == b"x" * 5_000

    def test_a_newer_schema_is_refused(self, path, clock):
        SharedState(path, clock).close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 9")
        with pytest.raises(StorageError, match=r"version 9.*up to 1"):
            SharedState(path, clock)

    def test_a_store_that_another_program_holds_is_a_retry(self, path, clock, monkeypatch):
        monkeypatch.setattr(database, "BUSY_MS", 10)
        with closing(SharedState(path, clock)) as state, closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageBusy, match="another program"):
                state.increment("n")
            assert state.get("n", 0) == 0
            other.execute("ROLLBACK")
            assert state.increment("n") == 1


def _child(script, path):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def _together(states, act):
    """What `act` returned for each state, all of them started at one moment in threads."""
    start, results = threading.Barrier(len(states)), []

    def run(state):
        start.wait()
        results.append(act(state))

    threads = [threading.Thread(target=run, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(states), "a thread failed"
    return results
