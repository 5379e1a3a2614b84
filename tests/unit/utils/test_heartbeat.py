"""The heartbeat: commands are heard once, a pause lasts, and an error is not paused away."""

from datetime import UTC, datetime
from threading import Event
from types import SimpleNamespace

import pytest

from config.errors import StorageBusy, TerminalCallFailed
from execution.orders import Side
from execution.risk import TradingState
from market_data.clock import ManualClock
from strategy.active_models import ActiveModels
from strategy.decision import Decision, TradeEntry
from strategy.trade_desk import TradeDesk
from tests.fakes_recorder import ListRecorder
from utils.auto_trainer import TrainerStatus
from utils.heartbeat import PAUSED, Heartbeat

NOW = datetime(2024, 1, 8, 10, 0, tzinfo=UTC)


class Store(dict):
    """What the shared state is, without a file."""

    def set(self, key, value):
        self[key] = value

    def take(self, key, default=None):
        return self.pop(key, default)


class Wall(ManualClock):
    """A machine whose seconds a test counts."""

    seconds = 0.0

    def monotonic(self):
        return self.seconds


class Eye:
    """A risk watch that a test trips."""

    def __init__(self):
        self.tripped, self.looked, self.failing = "", 0, False

    def after_pass(self, now):
        self.looked += 1

    def reset(self):
        if self.failing:
            raise TerminalCallFailed("account_info", -1, "busy")
        self.tripped = ""

    def report(self, now):
        return {"kill_switch": self.tripped}


class Body:
    """A heart with everything that it beats for."""

    def __init__(self, store=None):
        self.store = Store() if store is None else store
        self.wall, self.stop = Wall(NOW), Event()
        self.desk = TradeDesk(None, None, None, ListRecorder(self.wall), commission=0.0)
        self.due = {"train:scalper": NOW}
        self.models = ActiveModels()
        self.idle, self.watch, self.trainer_lives = 0, Eye(), True
        self.heart = Heartbeat(
            wall=self.wall,
            seconds=60.0,
            state=self.store,
            desk=self.desk,
            watch=self.watch,
            trainer=SimpleNamespace(
                get_status=lambda: TrainerStatus("train:xgboost", self.due, {"train:scalper": "rejected: why"}, self.trainer_lives)
            ),
            models=self.models,
            stop=self.stop,
            idle=self._rest,
        )

    def _rest(self):
        self.idle += 1

    def say(self, command):
        self.store["control.command"] = command
        self.wall.seconds += 1.0
        self.heart.after_pass(NOW, None)


@pytest.fixture
def body():
    return Body()


def test_pause_and_resume(body):
    body.say("pause")
    assert body.desk.trading is TradingState.REDUCING
    body.say("resume")
    assert body.desk.trading is TradingState.ACTIVE
    assert not body.stop.is_set()


def test_models_that_are_served_uncompiled_are_named(body):
    for slot, backend in (("scalper", "onnx"), ("xgboost", "native"), ("lstm_EURUSD", "torch")):
        body.models.swap(slot, SimpleNamespace(info=SimpleNamespace(version=1), backend=backend))
    assert body.heart.snapshot(NOW, None)["not_compiled"] == ["lstm_EURUSD", "xgboost"]


def test_the_end_of_a_run_is_written_whatever_the_minute(body):
    body.heart.end()
    assert "status" not in body.store
    for hour in (10, 11, 12):
        body.heart.after_pass(NOW.replace(hour=hour), None)
    assert body.store["status"]["at"] == "2024-01-08T10:00:00.000Z"
    body.heart.end()
    assert body.store["status"]["at"] == "2024-01-08T12:00:00.000Z"


def test_a_state_that_is_busy_at_the_end_fails_no_run(body, said, monkeypatch):
    body.heart.after_pass(NOW, None)

    def busy(key, value):
        raise StorageBusy("shared_state.db is locked")

    monkeypatch.setattr(body.store, "set", busy)
    body.heart.end()
    assert any("not written down" in line for line in said)


def test_a_pause_survives_a_restart(body, said):
    body.say("pause")
    restarted = Body(body.store)
    assert restarted.desk.trading is TradingState.REDUCING
    assert any("paused since before this start" in line for line in said)
    restarted.say("resume")
    assert Body(restarted.store).desk.trading is TradingState.ACTIVE
    assert body.store[PAUSED] is False


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_a_resume_does_not_lift_what_an_error_has_set(body, said, state):
    body.desk.state = state
    body.say("pause")
    body.say("resume")
    assert body.desk.trading is state
    assert any("an error had stopped entries" in line for line in said)


def test_the_drawdown_switch_stops_entries_until_it_is_lifted(body, said):
    body.watch.tripped = "equity fell"
    body.heart.after_pass(NOW, None)
    assert body.desk.trading is TradingState.REDUCING
    body.say("resume")
    assert body.desk.trading is TradingState.REDUCING
    assert any("still stops entries: equity fell" in line for line in said)
    assert body.store["status"]["risk"] == {"kill_switch": "equity fell"}
    body.say("resume-drawdown")
    assert body.desk.trading is TradingState.ACTIVE
    assert PAUSED not in body.store or body.store[PAUSED] is False


def test_lifting_the_switch_leaves_a_pause_alone(body):
    body.watch.tripped = "equity fell"
    body.say("pause")
    body.say("resume-drawdown")
    assert (body.watch.tripped, body.desk.trading) == ("", TradingState.REDUCING)
    body.say("resume")
    assert body.desk.trading is TradingState.ACTIVE


def test_a_switch_that_cannot_be_lifted_stays(body, said):
    body.watch.tripped, body.watch.failing = "equity fell", True
    body.say("resume-drawdown")
    assert body.desk.trading is TradingState.REDUCING
    assert any("was not lifted" in line for line in said)


def test_it_looks_around_after_every_pass(body):
    for _ in range(3):
        body.heart.after_pass(NOW, None)
    assert body.watch.looked == 3


def test_stop_ends_the_run(body):
    body.say("stop")
    assert body.stop.is_set()


def test_flatten_closes_what_it_can_and_stops(body, monkeypatch, said):
    trades = tuple(_trade(ticket) for ticket in (1, 2, 3))
    monkeypatch.setattr(TradeDesk, "open_trades", property(lambda desk: trades))
    closed = []

    def close(desk, trade, reason, now):
        if trade.ticket == 2:
            raise TerminalCallFailed("order_send", -1, "busy")
        closed.append((trade.ticket, reason))

    monkeypatch.setattr(TradeDesk, "close", close)
    body.say("flatten")
    assert closed == [(1, "command"), (3, "command")]
    assert body.stop.is_set()
    assert any("ticket 2 was not closed" in line for line in said)


def test_an_unknown_command_changes_nothing_and_is_named(body, said):
    body.say("dance")
    assert body.desk.trading is TradingState.ACTIVE
    assert any("'dance'" in line and line.startswith("WARNING") for line in said)
    assert "control.command" not in body.store


def test_it_listens_once_a_second(body):
    body.heart.after_pass(NOW, None)
    for half in range(1, 21):
        body.wall.seconds = half / 2
        body.store["control.command"] = "pause"
        body.heart.after_pass(NOW, None)
        assert ("control.command" in body.store) == bool(half % 2)


def test_it_beats_once_a_minute(body):
    for second in range(121):
        body.wall.seconds = float(second)
        body.heart.after_pass(NOW, None)
    assert body.idle == 3


def test_a_command_is_in_the_status_at_once(body):
    body.heart.after_pass(NOW, None)
    assert body.store["status"]["trading"] == "active"
    body.say("pause")
    assert body.store["status"]["trading"] == "reducing"


def test_a_beat_says_what_is_going_on(body, said):
    decision = Decision("EURUSD", NOW, Side.SHORT, "2 of 2 short")
    body.watch.tripped = "equity fell"
    body.heart.after_pass(NOW, decision)
    status = body.store["status"]
    assert status["last_bar"] == "2024-01-08T10:00:00.000Z"
    assert status["last_decision"] == "EURUSD short: 2 of 2 short"
    assert (status["trading"], status["training"], status["open_trades"]) == ("reducing", "train:xgboost", 0)
    assert status["due"] == {"train:scalper": "2024-01-08T10:00:00.000Z"}
    assert status["jobs"] == {"train:scalper": "rejected: why"}
    assert status["memory_mb"] > 0
    assert any("training train:xgboost" in line for line in said)


def test_a_trainer_that_has_died_is_told_and_not_shown_as_training(body, said):
    body.trainer_lives = False
    body.heart.after_pass(NOW, None)
    assert "died" in body.store["status"]["training"]
    assert any(line.startswith("ERROR") and "trainer's thread has died" in line for line in said)


def _trade(ticket):
    return TradeEntry(ticket, "k", "EURUSD", Side.LONG, 0.1, NOW, NOW, 1.1, 1.0, 1.2, 10.0, {}, 0.1, "")
