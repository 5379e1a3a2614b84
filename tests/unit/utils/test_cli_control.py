"""`pause`, `resume`, `stop` and `train` beside a daemon, which a thread stands for."""

import threading
from contextlib import closing, contextmanager

import pytest

from config.home import hold_home, open_home
from market_data.clock import ManualClock
from strategy.decision import JobRun, ModelEvent
from tests.contracts.recorder_contract import START
from tests.fakes_commands import answer, commands, state_of
from utils.cli.retraining import queue
from utils.trade_journal import TradeJournal

DUE = {"performance": "x", "train:scalper": "x", "train:xgboost": "x", "train:lstm_EURUSD": "x", "train:lstm_GBPUSD": "x"}
REPORT = {"passed": False, "findings": [{"rule": "accuracy", "passed": False, "detail": "accuracy 0.429, floor 0.500"}]}


@pytest.fixture
def home(tmp_path):
    home = open_home(tmp_path / "home", "synthetic")
    with closing(state_of(home)) as state:
        state.set("status", {"due": DUE})
    return home


@pytest.fixture
def command(monkeypatch, tmp_path, home):
    run = commands(monkeypatch, tmp_path)
    return lambda *arguments: run(*arguments, "--home", home.path)


@contextmanager
def daemon(home, act):
    """Holds the home until `act(state)` has a true answer."""
    held, end = threading.Event(), threading.Event()

    def live():
        with hold_home(home), closing(state_of(home)) as state:
            held.set()
            while not act(state) and not end.wait(0.01):
                pass

    thread = threading.Thread(target=live)
    thread.start()
    held.wait(10)
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["pause"], "pause"),
        (["resume"], "resume"),
        (["resume", "--drawdown"], "resume-drawdown"),
        (["stop"], "stop"),
        (["stop", "--flatten"], "flatten"),
    ],
)
def test_a_command_reaches_the_daemon(home, command, arguments, sent):
    taken = []

    def act(state):
        taken.extend(filter(None, [state.take("control.command")]))
        return "stop" in taken or "flatten" in taken or "resume-drawdown" in taken

    with daemon(home, act):
        result = command(*arguments)
    assert (result.exit_code, taken) == (0, [sent])


@pytest.mark.parametrize("arguments", [["pause"], ["resume"], ["stop"], ["stop", "--flatten"]])
def test_without_a_daemon_nothing_is_left_for_the_next_one(home, command, arguments):
    result = command(*arguments)
    assert result.exit_code == 1
    assert "no daemon runs in" in result.stderr
    with closing(state_of(home)) as state:
        assert state.get("control.command") is None


def test_a_command_that_nobody_takes_is_withdrawn(home, command):
    with daemon(home, lambda state: False):
        result = command("stop", "--wait", "0")
    assert result.exit_code == 1
    assert "withdrawn" in result.stderr
    with closing(state_of(home)) as state:
        assert state.get("control.command") is None


@pytest.mark.parametrize(
    ("options", "slots"),
    [
        ([], ["scalper", "xgboost", "lstm_EURUSD", "lstm_GBPUSD"]),
        (["--model", "scalper"], ["scalper"]),
        (["--model", "lstm"], ["lstm_EURUSD", "lstm_GBPUSD"]),
        (["--symbol", "GBPUSD"], ["lstm_GBPUSD"]),
        (["--model", "lstm", "--symbol", "EURUSD"], ["lstm_EURUSD"]),
    ],
)
def test_train_asks_the_running_daemon_for_the_slots_meant(home, command, options, slots):
    with daemon(home, lambda state: False):
        assert sorted(answer(command("train", "--no-wait", "--json", *options))["requested"]) == sorted(slots)
    with closing(state_of(home)) as state:
        assert state.get("control.retrain") == sorted(slots)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--symbol", "AUDUSD"], "there are: lstm_EURUSD, lstm_GBPUSD, scalper, xgboost"),
        (["--model", "scalper", "--symbol", "EURUSD"], "--model lstm"),
    ],
)
def test_a_model_that_nobody_trains_is_a_slip(home, command, options, words):
    with daemon(home, lambda state: False):
        result = command("train", *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_two_requests_add_up(home, command):
    with daemon(home, lambda state: False):
        command("train", "--no-wait", "--model", "scalper")
        command("train", "--no-wait", "--model", "xgboost")
    with closing(state_of(home)) as state:
        assert state.get("control.retrain") == ["scalper", "xgboost"]


def journal_of(home):
    return TradeJournal(home.journal, account="simulated/1", mode="simulated", clock=ManualClock(START))


def job(outcome, trigger="manual"):
    return JobRun("train:scalper", trigger, START, outcome, "accuracy 0.429, floor 0.500", START, 100, 10, 0, 1.5)


@pytest.mark.parametrize(("outcome", "code"), [("rejected", 0), ("promoted", 0), ("failed", 1), ("skipped", 1), ("cancelled", 130)])
def test_train_waits_for_the_verdict_and_tells_it(home, command, outcome, code):
    with closing(journal_of(home)) as journal:
        journal.record_job(job("promoted"))  # an older one is no answer

        def act(state):
            if state.take("control.retrain") == ["scalper"]:
                journal.record_model_event(ModelEvent(START, "scalper", "rejected", 0, "why", REPORT))
                journal.record_job(job("rejected", trigger="schedule"))
                journal.record_job(job(outcome))
            return False

        with daemon(home, act):
            result = command("train", "--model", "scalper", "--wait", "20")
    assert result.exit_code == code
    assert f"scalper: {outcome}: accuracy 0.429" in result.stdout
    assert ("FAIL  accuracy: accuracy 0.429, floor 0.500" in result.stdout) is (outcome == "rejected")


def test_a_daemon_that_ends_first_leaves_no_verdict(home, command):
    with closing(journal_of(home)), daemon(home, lambda state: state.get("control.retrain") is not None):
        result = command("train", "--model", "scalper", "--wait", "20")
    assert result.exit_code == 1
    assert "no verdict on scalper" in result.stderr


def test_a_request_that_nobody_takes_is_withdrawn(home, command):
    with daemon(home, lambda state: False):
        result = command("train", "--model", "scalper", "--wait", "1")
    assert result.exit_code == 1
    assert "withdrawn" in result.stderr
    with closing(state_of(home)) as state:
        assert state.get("control.retrain") is None


def test_what_another_command_asked_for_is_not_withdrawn(home, command):
    """The other one asks while this one waits."""
    with closing(state_of(home)) as state:

        def act(_):
            if state.get("control.retrain") == ["scalper"]:
                queue(state, ["xgboost"])
            return False

        with daemon(home, act):
            assert "withdrawn" in command("train", "--model", "scalper", "--wait", "1").stderr
        assert state.get("control.retrain") == ["xgboost"]


def test_a_home_of_files_wants_to_know_which(monkeypatch, tmp_path):
    open_home(tmp_path / "files", "file")
    result = commands(monkeypatch, tmp_path)("train", "--home", tmp_path / "files")
    assert result.exit_code == 2
    assert "--source" in result.stderr
