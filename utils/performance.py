"""The emergency check: do the models in service win as often as the gate saw them win?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from scipy.stats import binom

from config.settings import TrainingSettings
from utils.checks import SKIPPED, CheckResult, CoolDown, Memory
from utils.journal_records import MONEY_NOISE, ClosedTrade

PERFORMANCE = "performance"
RECENT_TRADES, LEAST_TRADES, LOOK_BACK = 20, 10, 200
IMPROBABLE = 0.01
"""One-sided binomial probability below which a losing streak is not bad luck."""


class Trades(Protocol):
    """What the check reads of the journal."""

    def recent_closed(self, limit: int) -> tuple[ClosedTrade, ...]:
        """Closed trades, newest first."""
        ...


class PerformanceCheck:
    """Few wins, and fewer than the gate's own expectation makes plausible, retrain everything.

    Args:
        trades: the journal.
        state: keeps the cool-down.
        training: rhythm, win rate and cool-down.
        jobs: names of the jobs that an emergency runs.
        expected_win_rate: of the versions in service, by their gate reports; None: none serves.
        serving: slot -> version in service now.
    """

    name = PERFORMANCE

    def __init__(
        self,
        trades: Trades,
        state: Memory,
        training: TrainingSettings,
        *,
        jobs: Sequence[str],
        expected_win_rate: Callable[[], float | None],
        serving: Callable[[], Mapping[str, int]],
    ) -> None:
        self._trades, self._jobs = trades, tuple(jobs)
        self._expected_win_rate, self._serving = expected_win_rate, serving
        self._least = training.emergency_win_rate
        self._pause = CoolDown(state, "trainer.emergency_until", timedelta(hours=training.emergency_cooldown_hours))
        self.every = timedelta(minutes=training.performance_check_minutes)

    def run(self, now: datetime) -> CheckResult:
        """One look at the newest decided trades."""
        trades = self._decided_trades()
        if len(trades) < LEAST_TRADES:
            return CheckResult(SKIPPED, f"{len(trades)} won or lost trades of the models in service, {LEAST_TRADES} needed")
        expected = self._expected_win_rate()
        if expected is None:
            return CheckResult(SKIPPED, "no model serves")
        wins = sum(trade.exit.net > MONEY_NOISE for trade in trades)
        chance = float(binom.cdf(wins, len(trades), expected))
        figures = f"{wins} of {len(trades)} won, {expected:.0%} expected, chance {chance:.3f}"
        if wins / len(trades) >= self._least or chance >= IMPROBABLE:
            return CheckResult(SKIPPED, f"no emergency: {figures}")
        until = self._pause.until(now)
        if until is not None:
            return CheckResult(SKIPPED, f"emergency, but cooling down until {until.isoformat()}: {figures}")
        self._pause.start(now)
        return CheckResult("emergency", f"all models retrain: {figures}", retrain=self._jobs)

    def _decided_trades(self) -> list[ClosedTrade]:
        """The newest closed trades, won or lost, in which a version that serves now had a voice."""
        serving = self._serving().items()
        recent = self._trades.recent_closed(LOOK_BACK)
        heard = (trade for trade in recent if any(trade.entry.versions.get(slot) == version for slot, version in serving))
        return [trade for trade in heard if abs(trade.exit.net) > MONEY_NOISE][:RECENT_TRADES]
