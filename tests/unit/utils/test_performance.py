"""The performance check: which losses are an emergency, and which are luck."""

import pytest
from scipy.stats import binom

from tests.unit.utils.test_auto_trainer import BOOSTER, FOREST, HOUR, MINUTE, SLOW, START, Bench
from utils.performance import PERFORMANCE


class TestEmergency:
    def look(self, bench):
        """What the performance check says, and whether all models are due now."""
        run = bench.look()
        due = bench.trainer.get_status().due
        return run, all(due[job.name] == bench.clock.now() for job in (FOREST, BOOSTER))

    def later(self, **options):
        """A bench whose jobs are not due by themselves."""
        bench = Bench(lockstep=False, **options)
        bench.trainer._run_due()
        bench.clock.set(START + 10 * MINUTE)
        return bench

    def test_a_streak_that_chance_does_not_explain_retrains_everything(self):
        bench = self.later()
        bench.trades([-1.0] * 17 + [1.0] * 3)
        run, due = self.look(bench)
        assert (run.outcome, due) == ("emergency", True)
        assert f"chance {binom.cdf(3, 20, 0.5):.3f}" in run.reason
        bench.trainer._run_due()
        assert {r.trigger for r in bench.chronicle.runs if r.started == bench.clock.now()} == {"emergency"}

    @pytest.mark.parametrize(
        ("nets", "expected", "reason"),
        [
            ([-1.0] * 9, 0.5, "9 won or lost trades of the models in service, 10 needed"),
            ([-1.0] * 6 + [1.0] * 4, 0.5, "no emergency: 4 of 10 won"),  # 40 % is the floor, not below it
            ([-1.0] * 13 + [1.0] * 7, 0.5, "no emergency: 7 of 20 won"),  # few, but chance makes it so
            ([-1.0] * 17 + [1.0] * 3, 0.3, "no emergency: 3 of 20 won"),  # no fewer than the gate expected
            ([-1.0] * 20, None, "no model serves"),
        ],
    )
    def test_other_losses_do_not(self, nets, expected, reason):
        bench = self.later(expected=expected)
        bench.trades(nets)
        run, due = self.look(bench)
        assert (run.outcome, due) == ("skipped", False)
        assert run.reason.startswith(reason)

    def test_open_trades_are_not_losses(self):
        bench = self.later()
        bench.trades([None] * 20 + [-1.0] * 9)
        assert self.look(bench)[0].reason.startswith("9 won or lost")

    @pytest.mark.parametrize("nothing", [0.0, -1e-9, 1e-9])
    def test_trades_that_made_nothing_are_no_losses(self, nothing):
        bench = self.later()
        bench.trades([-1.0] * 9 + [nothing] * 11)
        assert self.look(bench)[0].reason.startswith("9 won or lost")

    def test_only_the_newest_trades_count(self):
        bench = self.later()
        bench.trades([-1.0] * 20 + [1.0] * 20)
        assert self.look(bench)[0].reason.startswith("no emergency: 20 of 20 won")

    def test_trades_of_models_that_no_longer_serve_do_not_count(self):
        bench = self.later()
        bench.trades([-1.0] * 20, versions={"scalper": 2, "xgboost": 3})
        assert self.look(bench)[0].reason.startswith("0 won or lost")

    def test_a_cool_down_follows_and_survives_a_restart(self):
        bench = self.later()
        bench.trades([-1.0] * 20)
        assert self.look(bench)[0].outcome == "emergency"
        again = Bench(store=bench.store, start=START + 6 * HOUR)
        again.trades([-1.0] * 20)
        run, due = self.look(again)
        assert (run.outcome, due) == ("skipped", False)
        assert "cooling down until 2024-01-08T16:10" in run.reason
        again.clock.set(START + 6 * HOUR + 10 * MINUTE)
        assert self.look(again)[0].outcome == "emergency"

    def test_the_check_runs_in_its_rhythm_and_its_retrains_in_the_same_instant(self):
        with Bench(training=SLOW) as bench:
            bench.tick()
            bench.trades([-1.0] * 20)
            for _ in range(3):
                bench.tick(30 * MINUTE)
        assert [run.outcome for run in bench.runs(PERFORMANCE)] == ["emergency", "skipped", "skipped"]
        assert [(run.trigger, run.started) for run in bench.runs(FOREST.name)] == [("start", START), ("emergency", START + 30 * MINUTE)]
