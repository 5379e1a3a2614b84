"""Puts the daemon together from its settings, runs it, and takes it apart again."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from loguru import logger

from config.errors import RetryError
from config.home import Home, hold_home, open_home, prepare_home, signing_key
from config.settings import Settings
from execution.equity_guard import EquityGuard
from execution.exits import ExitPolicy
from execution.orders import Account
from execution.risk import RiskGate
from execution.risk_watch import RiskWatch
from market_data.bars import Timeframe
from market_data.clock import BrokerTime, SystemClock, utc_text
from market_data.correlation import BarMemory
from market_data.loader import BarLoader
from market_data.news import NewsDesk
from strategy.active_models import ActiveModels
from strategy.decision import JobRun, ModelEvent
from strategy.learning.apart import WorkshopApart
from strategy.learning.jobs import JobSpec, Workshop, specs_of
from strategy.learning.registry import Registry
from strategy.learning.serving import ModelServer
from strategy.predictor import Predictor
from strategy.trade_desk import TradeDesk
from strategy.trading_loop import LoopSummary, TradingLoop
from utils import lockstep
from utils.auto_trainer import AutoTrainer
from utils.checks import Check
from utils.deciding import decision_bars, strategy_of
from utils.drift_check import DriftCheck
from utils.failing_check import FailingCheck
from utils.heartbeat import Heartbeat
from utils.logs import configure
from utils.model_history import complete_history
from utils.performance import PerformanceCheck
from utils.probation_check import ProbationCheck, life_rules
from utils.progress import TrainingProgress
from utils.shared_state import SharedState
from utils.terminals import OpenTerminal, RunOptions, open_terminal, origin_of, patiently, select_symbols
from utils.watchdogs import Watchdogs

INTERRUPTED = 130
HALTED = 1

Pick = Callable[[Sequence[JobSpec]], Sequence[JobSpec]]
Fixed = Mapping[str, Predictor]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: the exit code and what there is to say."""

    exit_code: int
    summary: dict[str, Any]


def run(settings: Settings, options: RunOptions, home_path: Path, fixed: Fixed | None = None) -> RunResult:
    """The daemon, from start to end.

    Args:
        settings: all of them.
        options: what the command line says beyond them.
        home_path: the home, made where it is new.
        fixed: the models that serve from the first bar to the last, while nothing is trained; None: the
            home's, which the daemon trains.

    Raises:
        StopError: it cannot start; the error says why and what to do.
    """
    with _assembled(settings, options, home_path, keeps_log=True, fixed=fixed) as daemon:
        return daemon.run()


def train(settings: Settings, options: RunOptions, home_path: Path, pick: Pick) -> tuple[JobRun, ...]:
    """Some training jobs in this thread, through the same gate and registry, while no daemon runs.

    Args:
        settings: as for `run`.
        options: likewise.
        home_path: likewise.
        pick: which of the jobs that the settings call for.

    Raises:
        StopError: it cannot start, for instance because a daemon holds the home.
    """
    with _assembled(settings, options, home_path, keeps_log=False) as daemon:
        return daemon.train(pick)


@contextmanager
def _assembled(
    settings: Settings, options: RunOptions, home_path: Path, *, keeps_log: bool, fixed: Fixed | None = None
) -> Iterator[_Daemon]:
    """A daemon that holds its home and has not started."""
    origin = origin_of(settings, options)
    home = prepare_home(home_path, origin)
    with ExitStack() as open_things, hold_home(home):
        console = configure(settings.logs.log_level, home.logs if keeps_log else None)
        terminal = open_terminal(settings, options, home)
        open_things.callback(terminal.close)
        open_home(home_path, origin)  # bound only now that its prices have come
        logger.info("{}; home {}", terminal.banner, home.path)
        if settings.gate.gate_profile == "threshold":
            logger.warning("GATE_PROFILE=threshold: models are judged by accuracy and loss alone; expect no profit")
        stop = threading.Event()
        progress = TrainingProgress(console)
        open_things.callback(progress.close)
        yield _Daemon(settings, options, home, origin, terminal, stop, progress, open_things, fixed)


class _Daemon:
    """The parts of a running daemon; made once, in the order in which they need each other."""

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        home: Home,
        origin: str,
        terminal: OpenTerminal,
        stop: threading.Event,
        progress: TrainingProgress,
        open_things: ExitStack,
        fixed: Fixed | None,
    ) -> None:
        self.settings, self.options, self.terminal, self.stop, self.fixed = settings, options, terminal, stop, fixed
        wall = SystemClock()
        self.symbols = select_symbols(terminal.client, settings.symbols.symbols, terminal.tries)
        self.journal = lockstep.journal_of(options, terminal, home)
        open_things.callback(self.journal.close)
        self.state = SharedState(home.shared_state, wall)
        open_things.callback(self.state.close)
        self.state.delete("control.command")  # meant for a daemon that is no more
        self.loader = BarLoader(terminal.client, Timeframe[settings.symbols.timeframe], settings.data.chunk_bars)
        self.registry = self._registry(home, origin)
        complete_history(self.journal, self.registry.state())
        self.models = ActiveModels(fixed)
        self.server = ModelServer(self.registry, self.models)
        self.trainer = self._trainer(origin, wall, progress)
        if fixed is None:
            self._retrain_outdated()
        self.foresight, self.played = lockstep.foreseen(settings, options, terminal, self.loader, open_things)
        self.bars = BarMemory(self.played or self.loader)
        self.watch = self._watch()
        policy = ExitPolicy.from_settings(settings.exits)
        self.desk = TradeDesk(
            terminal.client,
            RiskGate(settings.risk, self.watch),
            policy,
            self.journal,
            commission=settings.risk.commission_per_lot,
            symbols=self.symbols,
            blocked=terminal.blocked,
            revision=partial(lockstep.revision_of, self.terminal),
        )
        self.loop = self._loop(origin, wall)

    def _registry(self, home: Home, origin: str) -> Registry:
        override = self.settings.models.model_signing_key
        key = signing_key(home, override.get_secret_value() if override is not None else None)
        keep = self.settings.models.keep_versions
        rules = life_rules(self.settings.life)
        return Registry(home.models, origin=origin, key=key, keep_versions=keep, clock=self.terminal.clock, rules=rules)

    def _watch(self) -> RiskWatch:
        risk, terminal = self.settings.risk, self.terminal
        scope, revision = f"{terminal.mode}.{terminal.account_name}", partial(lockstep.revision_of, terminal)
        return RiskWatch(
            risk,
            self.settings.filters,
            terminal=terminal.client,
            guard=EquityGuard(risk.max_drawdown_percent, terminal.client, self.state, scope, revision),
            records=self.journal,
            news=NewsDesk(self.settings.news, BrokerTime(self.settings.terminal.broker_time_zone)),
            bars=self.bars,
            clock=terminal.clock,
            revision=revision,
        )

    def _trainer(self, origin: str, wall: SystemClock, progress: TrainingProgress) -> AutoTrainer:
        client, settings = self.terminal.client, self.settings
        workshop = Workshop(
            settings=settings,
            origin=origin,
            history=self.loader.history,
            known=self.loader.declare,
            instrument=client.spec,
            registry=self.registry,
            now=self.terminal.clock.now,
            publishing=self.server.publishing,
        )
        jobs = specs_of(settings, self.symbols) if self.fixed is None else ()
        return AutoTrainer(
            workshop=WorkshopApart(workshop) if settings.training.trainer_isolation == "process" else workshop,
            jobs=jobs,
            server=self.server,
            chronicle=self.journal,
            state=self.state,
            clock=self.terminal.clock,
            wall=wall,
            training=settings.training,
            checks=self._checks(jobs, workshop) if self.fixed is None else (),
            lockstep=self.options.replay,
            progress=progress,
        )

    def _checks(self, jobs: Sequence[JobSpec], workshop: Workshop) -> tuple[Check, ...]:
        performance = PerformanceCheck(
            self.journal,
            self.state,
            self.settings.training,
            jobs=tuple(job.name for job in jobs),
            expected_win_rate=self._expected_win_rate,
            serving=lambda: {slot: model.info.version for slot, model in self.models.snapshot().items()},
        )
        by_slot = {job.slot: job.name for job in jobs}
        drift = DriftCheck(workshop, self.models, self.state, by_slot)
        probation = ProbationCheck(workshop, self.state, record=self._record_changes)
        failing = (FailingCheck(workshop, self.state, by_slot, record=self._record_changes),) if self.settings.life.failing_alpha else ()
        watchdogs = Watchdogs(self.journal, self.state, self.registry.state, jobs, self.settings)
        return (performance, drift, probation, *failing, watchdogs)

    def _record_changes(self) -> None:
        complete_history(self.journal, self.registry.state())

    def _retrain_outdated(self) -> None:
        """Libraries change between two starts alone; a version that they no longer open is made anew first."""
        jobs = {spec.slot: spec.name for spec in specs_of(self.settings, self.symbols)}
        for refused in self.registry.outdated():
            logger.warning("{}", refused)
            event = ModelEvent(self.terminal.clock.now(), refused.slot, "refused", refused.version or 0, str(refused))
            self.journal.record_model_event(event)
            if refused.slot in jobs:
                self.trainer.request(jobs[refused.slot], "libraries")

    def _expected_win_rate(self) -> float | None:
        """Mean of the gate reports of the versions in service."""
        artifacts, _ = self.registry.open_active()
        rates = [float(a.manifest.metrics["win_rate"]) for a in artifacts.values() if "win_rate" in a.manifest.metrics]
        return sum(rates) / len(rates) if rates else None

    def _loop(self, origin: str, wall: SystemClock) -> TradingLoop:
        settings = self.settings
        self.heartbeat = Heartbeat(
            wall=wall,
            seconds=settings.logs.heartbeat_seconds,
            state=self.state,
            desk=self.desk,
            watch=self.watch,
            trainer=self.trainer,
            models=self.models,
            stop=self.stop,
            idle=self.journal.checkpoint,
        )
        market = lockstep.market_of(self.options, self.terminal, self.journal)
        strategy = strategy_of(settings, origin, self.models, self.foresight)
        tutor = self.trainer if self.fixed is None else _NoTutor()
        stops = (self.desk.quiet_until, self.watch.quiet_until)
        return TradingLoop(
            market=market,
            source=self.bars,
            strategy=strategy,
            desk=self.desk,
            recorder=self.journal,
            tutor=tutor,
            watcher=self.heartbeat,
            clock=self.terminal.clock,
            symbols=self.symbols,
            window=decision_bars(settings),
            limit=self.options.bars,
            quiet=lockstep.quiet_of(
                self.terminal, market, self.played, strategy, ends=(tutor.quiet_until,), stops=stops, symbols=self.symbols
            ),
        )

    def train(self, pick: Pick) -> tuple[JobRun, ...]:
        """Runs jobs one after the other; Ctrl-C ends the one in progress and starts no other."""
        with _signals(self.stop, self.trainer, self.terminal.interrupt):
            runs = [self.trainer.run_now(spec.name) for spec in pick(specs_of(self.settings, self.symbols))]
        return tuple(run for run in runs if run is not None)

    def run(self) -> RunResult:
        """Trains, trades, stops."""
        apart = self.settings.training.trainer_isolation == "process"  # then no torch is ever needed here
        with_torch = self.settings.models.use_lstm and self.fixed is None and not apart
        settling = threading.Thread(target=_settle_in, args=(with_torch,), name="settling in")
        settling.start()
        for symbol in self.symbols:
            wanted = self.settings.data.history_bars
            bars = patiently(partial(self.loader.history, symbol, wanted, minimum=wanted), self.terminal.tries)
            logger.info("{}: {} closed bars, newest {}", symbol, len(bars), utc_text(bars.opened_at(-1)))
        with _signals(self.stop, self.trainer, self.terminal.interrupt) as interrupted:
            self.trainer.start(after=settling)
            try:
                summary = self.loop.run(self.stop)
            finally:
                self.terminal.interrupt()  # a call that hangs must not keep the trainer
                ended = self.trainer.stop()
        if not ended:
            logger.warning("the trainer is still busy; leaving it behind")
        self.heartbeat.end()
        return self._result(summary, interrupted.is_set())

    def _result(self, summary: LoopSummary, interrupted: bool) -> RunResult:
        account = self._account()
        told = {
            "ended": summary.reason,
            "bars": summary.bars,
            "actions": dict(sorted(summary.actions.items())),
            "models": {slot: model.info.version for slot, model in sorted(self.models.snapshot().items())},
            "balance": round(account.balance, 2) if account else None,
            "equity": round(account.equity, 2) if account else None,
            "open": [
                {"ticket": t.ticket, "symbol": t.symbol, "side": t.side.name.lower(), "volume": t.volume, "price": t.price}
                for t in summary.open_trades
            ],
            "counts": self.journal.counts(),
        }
        if summary.reason.startswith("halted"):
            return RunResult(HALTED, told)
        return RunResult(INTERRUPTED if interrupted else 0, told)

    def _account(self) -> Account | None:
        """The account at the end; None where the terminal is gone by then."""
        try:
            return self.terminal.client.account()
        except RetryError as error:
            logger.warning("the account is unknown at the end: {}", error)
            return None


def _settle_in(with_torch: bool) -> None:
    """Imports what no decision needs and no training job should begin with: seconds, beside the first bars.

    What is there then stays, so the collector need not look at it: a full pass over it would hold
    the interpreter, and every decision, for a tenth of a second.
    """
    if with_torch:
        import_module("strategy.learning.lstm_recipe").warm_up()
    gc.freeze()


class _NoTutor:
    """Leaves the models in service as they are."""

    def before_decisions(self, now: datetime) -> None:
        """There is nothing to bring up to date."""

    def quiet_until(self, now: datetime) -> None:
        """There never will be."""


@contextmanager
def _signals(stop: threading.Event, trainer: AutoTrainer, interrupt: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Ctrl-C, Ctrl-Break and a polite kill end the run cleanly, also in the middle of a fit; yields whether one came."""
    interrupted = threading.Event()
    heard: SimpleQueue[int] = SimpleQueue()

    def act() -> None:
        if heard.get():
            interrupted.set()
            stop.set()
            trainer.cancel()
            interrupt()

    def end(number: int, frame: FrameType | None) -> None:
        # An Event has a lock that the interrupted code may hold; this put alone is safe here.
        heard.put(number)

    ear = threading.Thread(target=act, name="signals", daemon=True)
    ear.start()
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    try:
        yield interrupted
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
        heard.put(0)
        ear.join()
