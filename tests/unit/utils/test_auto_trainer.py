"""The AutoTrainer: when it trains, what it says, how it fails and how it stops."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from loguru import logger

from config.errors import ArtifactError, FitCancelled, InsufficientHistory, StorageBusy, TerminalDisconnected
from config.settings import TrainingSettings
from execution.orders import Side
from market_data.clock import ManualClock, SystemClock
from strategy.decision import TradeEntry, TradeExit
from strategy.learning.jobs import JobResult, JobSpec
from strategy.learning.serving import Change
from tests.fakes_recorder import ListRecorder
from utils import auto_trainer
from utils.auto_trainer import AGAIN, AutoTrainer
from utils.checks import CheckResult
from utils.performance import PERFORMANCE, PerformanceCheck

START = datetime(2024, 1, 8, 10, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FOREST = JobSpec("scalper", "random_forest", ("EURUSD",))
BOOSTER = JobSpec("xgboost", "xgboost", ("EURUSD",))
TRAINING = TrainingSettings(rf_retrain_hours=1, xgb_retrain_hours=1.5, lstm_retrain_hours=2, start_grace_seconds=0)
SLOW = TRAINING.model_copy(update={"rf_retrain_hours": 50.0, "xgb_retrain_hours": 50.0})
PATIENCE = 30.0
"""Seconds until a test gives up that waits for a thread; nothing is measured by it."""


class Store(dict):
    """What the shared state is, without a file."""

    def set(self, key, value):
        self[key] = value

    def take(self, key, default=None):
        return self.pop(key, default)

    def version(self, key):
        return int(key in self)

    def compare_and_set(self, key, expected_version, value):
        self[key] = value
        return True


class Workshop:
    """Makes what it is told to; `entered` is set while a job runs that waits for its cancel."""

    def __init__(self):
        self.answers = {}
        self.pinned, self.event = False, "published"
        self.runs = []
        self.entered, self.go_on = Event(), Event()

    def run(self, spec, purse, cancel):
        self.runs.append((spec.slot, purse))
        answer = self.answers.get(spec.slot, 0)
        if isinstance(answer, Exception):
            raise answer
        if answer == "wait":
            self.entered.set()
            while not self.go_on.wait(0.01):
                if cancel.is_set():
                    raise FitCancelled("the fit was told to stop")
            answer = 1
        report = SimpleNamespace(summary="accuracy 0.48, floor 0.50" if not answer else "passed", as_json=lambda: {"passed": bool(answer)})
        manifest = SimpleNamespace(version=answer) if answer else None
        place = (500, 10, 1_000 * len(self.runs), self.event, "something is in its way" if self.pinned else "")
        return JobResult(spec, report, manifest, bool(answer) and not self.pinned, *place)


class Server:
    """Counts what it is asked."""

    def __init__(self):
        self.adopted, self.refreshed, self.invalidated = [], 0, 0
        self.changes = ()

    @contextmanager
    def publishing(self):
        yield

    def invalidate(self):
        self.invalidated += 1

    def adopt(self, held=()):
        self.adopted.append(tuple(held))
        changes, self.changes = self.changes, ()
        return changes

    def refresh(self, held=()):
        self.refreshed += 1
        return ()


class Bench:
    """A trainer among fakes; `tick` is one pass of the loop, which in lockstep waits for what is due."""

    def __init__(self, *, lockstep=True, store=None, start=START, jobs=(FOREST, BOOSTER), training=TRAINING, expected=0.5, checks=()):
        self.clock = ManualClock(start)
        self.store = Store() if store is None else store
        self.chronicle, self.workshop, self.server = ListRecorder(self.clock), Workshop(), Server()
        self.shown = []
        self.check = PerformanceCheck(
            self.chronicle,
            self.store,
            training,
            jobs=[job.name for job in jobs],
            expected_win_rate=lambda: expected,
            serving=lambda: {"scalper": 3},
        )
        self.trainer = AutoTrainer(
            workshop=self.workshop,
            jobs=jobs,
            server=self.server,
            chronicle=self.chronicle,
            state=self.store,
            clock=self.clock,
            wall=SystemClock(),
            training=training,
            checks=(self.check, *checks),
            lockstep=lockstep,
            progress=lambda job, begins: self.shown.append((job, begins)),
        )

    def __enter__(self):
        self.trainer.start()
        return self

    def __exit__(self, *error):
        assert self.trainer.stop(PATIENCE)

    def tick(self, by=timedelta(0)):
        self.clock.set(self.clock.now() + by)
        self.trainer.before_decisions(self.clock.now())

    def look(self):
        """The performance check out of its rhythm."""
        return self.trainer._look(self.check, self.clock.now())

    def runs(self, job):
        return [run for run in self.chronicle.runs if run.job == job]

    def trades(self, nets, versions=None):
        for number, net in enumerate(nets, start=len(self.chronicle.entries) + 1):
            at = START + number * timedelta(seconds=1)
            known = {"scalper": 3} if versions is None else versions
            self.chronicle.log_entry(
                TradeEntry(number, f"k{number}", "EURUSD", Side.LONG, 0.1, at, at, 1.1, 1.0, 1.2, 10.0, known, 0.1, "")
            )
            if net is not None:
                self.chronicle.log_exit(TradeExit(number, at, 1.1, "stop", net, 0.0, 0.0, net))


class TestSchedule:
    def test_jobs_run_at_the_start_and_then_each_in_its_rhythm(self):
        with Bench() as bench:
            for _ in range(181):
                bench.tick(MINUTE)
        started = {job.slot: [run.started - START for run in bench.runs(job.name)] for job in (FOREST, BOOSTER)}
        first = MINUTE
        assert started["scalper"] == [first, HOUR, 2 * HOUR, 3 * HOUR]
        assert started["xgboost"] == [first, 1.5 * HOUR, 3 * HOUR]
        assert [run.trigger for run in bench.runs(FOREST.name)] == ["start", "schedule", "schedule", "schedule"]

    def test_nothing_runs_before_the_grace_is_over(self):
        with Bench(training=TRAINING.model_copy(update={"start_grace_seconds": 90.0})) as bench:
            bench.tick(MINUTE)
            assert not bench.workshop.runs
            bench.tick(MINUTE)
            assert [slot for slot, _ in bench.workshop.runs] == ["scalper", "xgboost"]

    def test_every_run_names_the_next_due_time_and_it_is_to_come(self):
        bench = Bench()
        bench.workshop.answers = {"scalper": InsufficientHistory("EURUSD", 10, 3_000), "xgboost": ArtifactError("xgboost_v1.pkl: altered")}
        with bench:
            for _ in range(40):
                bench.tick(10 * MINUTE)
        assert {run.outcome for run in bench.chronicle.runs} == {"skipped", "failed"}
        for run in bench.chronicle.runs:
            assert run.reason
            assert run.due_next > run.started

    def test_due_times_survive_a_restart(self):
        with Bench() as first:
            first.tick(MINUTE)
        with Bench(store=first.store, start=START + 30 * MINUTE) as second:
            assert second.trainer.get_status().due == first.trainer.get_status().due
            second.tick()
            assert not second.workshop.runs
            second.tick(30 * MINUTE)
        assert [slot for slot, _ in second.workshop.runs] == ["scalper"]

    def test_restarts_in_short_order_do_not_put_the_performance_check_off(self):
        store = Store()
        for number in range(7):
            with Bench(store=store, start=START + number * 5 * MINUTE) as bench:
                bench.tick()
        assert bench.runs(PERFORMANCE)

    def test_a_request_survives_a_restart_that_comes_first(self):
        with Bench() as first:
            first.tick()
        first.trainer.request(FOREST.name, "manual")
        with Bench(store=first.store, start=START + MINUTE) as second:
            second.tick()
        assert [slot for slot, _ in second.workshop.runs] == ["scalper"]

    @pytest.mark.parametrize(
        ("wanted", "slots"), [(["*"], ["scalper", "xgboost"]), (["xgboost"], ["xgboost"]), (["random_forest"], ["scalper"])]
    )
    def test_a_command_makes_jobs_due(self, wanted, slots):
        bench = Bench(lockstep=False)
        bench.trainer._due = dict.fromkeys(bench.trainer._due, START + 99 * HOUR)
        bench.store["control.retrain"] = wanted
        bench.trainer._take_requests()
        bench.trainer._run_due()
        assert [slot for slot, _ in bench.workshop.runs] == slots
        assert {run.trigger for run in bench.chronicle.runs} == {"manual"}
        assert "control.retrain" not in bench.store

    def test_the_budget_of_a_slot_is_remembered_over_restarts(self):
        now, times = START, np.arange(0, 60_000, 60)
        with Bench(jobs=(FOREST,)) as first:
            first.tick()
        with Bench(jobs=(FOREST,), store=first.store, start=START + HOUR) as second:
            second.tick()
        (slot, purse), (_, again) = first.workshop.runs[0], second.workshop.runs[0]
        assert slot == "scalper"
        assert purse.draw(times, 100, 0.05, now).alpha > 0.0
        assert again.draw(times, 100, 0.05, now).alpha == 0.0


class TestOutcomes:
    def test_a_promotion_and_a_rejection_are_told_with_their_reports(self):
        bench = Bench()
        bench.workshop.answers = {"scalper": 4}
        with bench:
            bench.tick()
        assert [(e.slot, e.event, e.version, e.report) for e in bench.chronicle.events] == [
            ("scalper", "promoted", 4, {"passed": True}),
            ("xgboost", "rejected", 0, {"passed": False}),
        ]
        assert [(run.outcome, run.version, run.rows, run.epochs) for run in bench.chronicle.runs] == [
            ("promoted", 4, 500, 10),
            ("rejected", 0, 500, 10),
        ]
        assert "accuracy 0.48, floor 0.50" in bench.runs(BOOSTER.name)[0].reason

    @pytest.mark.parametrize("event", ["published", "waiting", "shadow"])
    def test_a_version_that_its_slot_does_not_take_swaps_nothing_and_the_run_says_what_became_of_it(self, event):
        bench = Bench(lockstep=False, jobs=(FOREST,))
        bench.workshop.answers, bench.workshop.pinned, bench.workshop.event = {"scalper": 4}, True, event
        bench.trainer.run_now(FOREST.name)
        assert [(run.outcome, run.version) for run in bench.chronicle.runs] == [(event, 4)]
        assert bench.chronicle.runs[0].reason.endswith("; something is in its way")
        assert [told.event for told in bench.chronicle.events] == [event]
        assert bench.server.refreshed == 0

    def test_a_thread_that_dies_of_the_unforeseen_is_no_longer_alive(self, monkeypatch):
        bench = Bench()
        monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
        monkeypatch.setattr(bench.trainer, "_take_requests", lambda: 1 / 0)
        with bench:
            bench.trainer._wake.set()
            bench.trainer._thread.join(PATIENCE)
            assert not bench.trainer.get_status().alive
        assert Bench().trainer.get_status().alive

    @pytest.mark.parametrize("error", [ArtifactError("bad"), ZeroDivisionError("oops"), MemoryError()])
    def test_a_job_that_fails_leaves_the_others_alone(self, error):
        bench = Bench()
        bench.workshop.answers = {"scalper": error, "xgboost": 2}
        with bench:
            bench.tick()
        assert [(run.job, run.outcome) for run in bench.chronicle.runs] == [(FOREST.name, "failed"), (BOOSTER.name, "promoted")]
        assert type(error).__name__ in bench.runs(FOREST.name)[0].reason
        assert bench.trainer.get_status().last[FOREST.name].startswith("failed")

    def test_a_job_that_met_a_lost_terminal_is_tried_again_soon(self):
        bench = Bench(jobs=(FOREST,))
        bench.workshop.answers = {"scalper": TerminalDisconnected("copy_rates_from_pos", -10002, "no answer")}
        with bench:
            bench.tick()
            bench.workshop.answers = {"scalper": 2}
            bench.tick(AGAIN)
            bench.tick(AGAIN)
        assert [run.outcome for run in bench.runs(FOREST.name)] == ["failed", "promoted"]

    def test_progress_begins_and_ends_also_where_a_job_fails(self):
        bench = Bench(jobs=(FOREST,))
        bench.workshop.answers = {"scalper": ZeroDivisionError()}
        with bench:
            bench.tick()
        assert bench.shown == [(FOREST.name, True), (FOREST.name, False)]

    def test_a_refused_version_is_told_with_its_file(self):
        bench = Bench()
        bench.server.changes = (Change("scalper", 0, 0, "scalper_v2.pkl: missing"), Change("xgboost", 1, 2))
        with bench:
            bench.tick()
        refused = [event for event in bench.chronicle.events if event.event == "refused"]
        assert [(event.slot, event.detail) for event in refused] == [("scalper", "scalper_v2.pkl: missing")]


class TestLockstep:
    def test_a_swap_takes_effect_a_fixed_number_of_passes_later(self):
        bench = Bench(jobs=(FOREST,), training=TRAINING.model_copy(update={"replay_train_bars": 2}))
        bench.workshop.answers = {"scalper": 1}
        with bench:
            for _ in range(4):
                bench.tick(MINUTE)
        assert bench.server.adopted == [("scalper",), ("scalper",), (), ()]
        assert (bench.server.invalidated, bench.server.refreshed) == (1, 0)

    def test_the_loop_waits_for_the_jobs_of_its_instant(self):
        with Bench() as bench:
            bench.tick()
            assert len(bench.chronicle.runs) == 2

    def test_a_thread_that_died_is_not_waited_for(self):
        bench = Bench()
        bench.trainer.start()
        assert bench.trainer.stop(PATIENCE)
        bench.tick()
        assert not bench.workshop.runs

    def test_it_is_told_to_stop_while_it_waits_for_what_cannot_be_cancelled(self):
        bench, imported = Bench(), Event()
        imports = threading.Thread(target=imported.wait)
        imports.start()
        bench.trainer.start(after=imports)
        bench.trainer.request("train:scalper", "manual")
        assert bench.trainer.stop(PATIENCE)
        assert imports.is_alive() and not bench.workshop.runs
        imported.set()
        imports.join()

    def test_a_trainer_that_was_never_started_is_not_waited_for(self):
        Bench().tick()

    def test_a_cancelled_job_ends_the_wait(self):
        bench = Bench()
        bench.workshop.answers = {"scalper": "wait"}
        bench.shown = _Teller(bench.trainer.cancel)
        with bench:
            bench.tick()
        assert [run.outcome for run in bench.chronicle.runs] == ["cancelled"]

    def test_the_trainer_starts_nothing_between_two_words_of_the_loop(self):
        """The clock moves on while the thread still looks at the other jobs."""
        bench = Bench(training=TRAINING.model_copy(update={"xgb_retrain_hours": 100.0}))
        with bench:
            bench.tick()
        bench.clock.set(START + 100 * HOUR)
        bench.trainer._cancel.clear()
        bench.trainer._run_due()
        assert len(bench.chronicle.runs) == 2

    def test_a_journal_that_is_busy_does_not_end_the_trainer(self, monkeypatch):
        monkeypatch.setattr(auto_trainer, "RETRY_SECONDS", 0.0)
        bench = Bench(jobs=(FOREST,))
        record, failures = bench.chronicle.record_job, iter([StorageBusy("journal.db: locked")])

        def busy_once(run):
            for error in failures:
                raise error
            record(run)

        bench.chronicle.record_job = busy_once
        with bench:
            bench.tick()
        assert len(bench.runs(FOREST.name)) == 1


class TestLive:
    def test_the_loop_goes_on_while_a_model_is_trained_and_the_swap_is_at_once(self):
        bench = Bench(lockstep=False, jobs=(FOREST,))
        bench.workshop.answers = {"scalper": "wait"}
        with bench:
            bench.tick()
            assert bench.workshop.entered.wait(PATIENCE)
            for _ in range(50):
                bench.tick(MINUTE)
            assert bench.trainer.get_status().running == FOREST.name
            assert not bench.chronicle.runs
            bench.workshop.go_on.set()
            assert _soon(lambda: bench.chronicle.runs)
        assert bench.server.refreshed == 1
        # It took 50 simulated minutes; the next is due in its rhythm, not in the past.
        assert bench.runs(FOREST.name)[0].due_next == START + HOUR

    def test_a_job_that_outlasts_its_own_rhythm_is_next_due_in_the_future(self):
        bench = Bench(lockstep=False, jobs=(FOREST,))
        bench.workshop.answers = {"scalper": "wait"}
        with bench:
            bench.tick()
            assert bench.workshop.entered.wait(PATIENCE)
            bench.clock.set(START + 2.5 * HOUR)
            bench.workshop.go_on.set()
            assert _soon(lambda: bench.chronicle.runs)
        assert bench.runs(FOREST.name)[0].due_next == START + 3 * HOUR

    def test_a_stop_ends_a_fit_and_its_job_stays_due(self):
        bench = Bench(lockstep=False)
        bench.workshop.answers = {"scalper": "wait"}
        with bench:
            bench.tick()
            assert bench.workshop.entered.wait(PATIENCE)
        (run,) = bench.chronicle.runs
        assert (run.job, run.outcome, run.due_next) == (FOREST.name, "cancelled", START)
        with Bench(store=bench.store, start=START + MINUTE) as restarted:
            restarted.tick()
        assert [slot for slot, _ in restarted.workshop.runs] == ["scalper", "xgboost"]

    def test_an_emergency_that_a_stop_cut_short_is_not_forgotten(self):
        bench = Bench(lockstep=False)
        bench.trainer._run_due()
        bench.trades([-1.0] * 12)
        bench.look()
        with Bench(store=bench.store, start=START + MINUTE) as restarted:
            restarted.tick()
        assert [slot for slot, _ in restarted.workshop.runs] == ["scalper", "xgboost"]


class TestChecks:
    """What a check found is acted upon and told, whichever check it was."""

    class Finder:
        name, every = "finder", HOUR

        def __init__(self, *found):
            self.found = list(found)

        def run(self, now):
            return self.found.pop(0)

    def test_a_retrain_that_a_check_asks_for_bears_its_word(self):
        found = CheckResult("drift", "volatility 4.3 times as far off as usual", retrain=(BOOSTER.name,))
        with Bench(checks=(self.Finder(found),), training=SLOW) as bench:
            bench.tick()
            bench.tick(HOUR)
        assert [(run.outcome, run.reason) for run in bench.runs("finder")] == [("drift", found.reason)]
        assert [run.trigger for run in bench.runs(BOOSTER.name)] == ["start", "drift"]
        assert [run.trigger for run in bench.runs(FOREST.name)] == ["start"]

    def test_an_alarm_is_logged_as_a_warning_and_stands_in_the_status(self):
        told = []
        handle = logger.add(told.append, format="{level} {message}")
        try:
            with Bench(checks=(self.Finder(CheckResult("alarm", "history stands still")),), training=SLOW) as bench:
                bench.tick()
                bench.tick(HOUR)
        finally:
            logger.remove(handle)
        assert [line for line in told if line.startswith("WARNING finder") and "history stands still" in line]
        assert bench.trainer.get_status().last["finder"] == "alarm: history stands still"

    def test_the_newest_bars_of_the_last_two_trainings_are_kept(self):
        with Bench(jobs=(FOREST,)) as bench:
            for _ in range(4):
                bench.tick(HOUR)
        assert bench.store["trainer.newest.scalper"] == [3_000, 4_000]


class _Teller(list):
    """Calls back when a job begins."""

    def __init__(self, act):
        super().__init__()
        self._act = act

    def append(self, item):
        super().append(item)
        if item[1]:
            self._act()


def _soon(condition):
    """Whether a thread makes something true before patience ends."""
    pause = Event()
    return any(condition() or pause.wait(0.005) for _ in range(int(PATIENCE / 0.005)))


def test_nothing_changes_before_a_job_is_due_or_while_a_swap_waits_for_its_pass():
    bench = Bench()
    trainer = bench.trainer
    assert trainer.quiet_until(START) == min(trainer.get_status().due.values())
    trainer._held["scalper"] = 3
    assert trainer.quiet_until(START) == START
