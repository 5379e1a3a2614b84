"""What several commands ask the daemon to train, at the same time."""

from contextlib import closing

import pytest

from market_data.clock import ManualClock
from tests.fakes_registry import NOW
from utils.cli.retraining import REQUEST, queue, withdraw
from utils.shared_state import SharedState


@pytest.fixture
def state(tmp_path):
    with closing(SharedState(tmp_path / "shared_state.db", ManualClock(NOW))) as state:
        yield state


class Meddled:
    """A state that somebody else changes between the look and the write, once."""

    def __init__(self, state, meddle):
        self.state, self.meddle = state, [meddle]
        self.version, self.compare_and_set = state.version, state.compare_and_set

    def get(self, key):
        value = self.state.get(key)
        for meddle in self.meddle:
            self.meddle = []
            meddle()
        return value


def test_what_was_asked_before_stays(state):
    queue(state, ["xgboost"])
    queue(state, ["scalper"])
    queue(state, [])
    assert state.get(REQUEST) == ["scalper", "xgboost"]


def test_two_commands_at_once_lose_nothing(state):
    queue(Meddled(state, lambda: queue(state, ["xgboost"])), ["scalper"])
    assert state.get(REQUEST) == ["scalper", "xgboost"]


def test_a_withdrawal_leaves_what_others_have_asked_for(state):
    queue(state, ["scalper"])
    assert withdraw(Meddled(state, lambda: queue(state, ["scalper", "xgboost"])), ["scalper"])
    assert state.get(REQUEST) == ["scalper", "xgboost"]
    assert withdraw(state, ["scalper", "xgboost"])
    assert state.get(REQUEST) is None


def test_what_the_daemon_has_taken_is_not_withdrawn(state):
    queue(state, ["scalper"])
    assert not withdraw(Meddled(state, lambda: state.take(REQUEST)), ["scalper"])
    assert state.get(REQUEST) is None
    queue(state, ["scalper"])
    assert state.take(REQUEST) == ["scalper"]
