"""The campaign with real deaths: the broker lives in one process, the daemon in another that is killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger

from execution.broker import BrokerProcess, connect_broker, start_broker
from execution.mt5_client import MT5Client
from execution.simulated.faults import FaultPlan, FaultyTerminal, Kind
from execution.terminal import Reply, Request, Terminal
from tests.campaigns.audit import broker_books, compare, sent_twice
from tests.campaigns.daemon import LEAST_BARS, MOST_BARS, QUIET_BARS, Daemon, broker
from tests.campaigns.plans import label, plan_for
from tests.campaigns.send_once import CALM_BARS, ENOUGH_ORDERS, BrokersSide, Door, MortalJournal, Points, Report
from tests.campaigns.send_once import FILES as JOURNAL_FILES
from utils.trade_journal import TradeJournal

WIRE = (Kind.OS_ERROR, Kind.EOF_ERROR)
"""Faults of the wire itself; they strike in the daemon's process, all others in the broker's."""
LAST_KILL, ASYNCHRONOUS = 110, 0.25
PATIENCE = 120.0


def _part(plan: FaultPlan, *, wire: bool) -> FaultPlan:
    return replace(plan, faults=tuple(fault for fault in plan.faults if (fault.kind in WIRE) is wire))


# --- the broker's process ---------------------------------------------------------------------


class World:
    """The simulated terminal of one run after the other, with its faults; hosted as a module is."""

    def __init__(self) -> None:
        self.renew(0)

    def renew(self, seed: int) -> bool:
        """A new market, account and plan."""
        self._error = (1, "Success")
        self._bars = 0
        self.module = broker(seed)
        self._counter = BrokersSide(self.module)
        self._faulty = FaultyTerminal(self._counter, _part(plan_for(seed), wire=False), wait=self._run_on)
        self._door = Door(self._faulty, Points.none())
        self._counter.door = self._door
        return True

    def _run_on(self, seconds: float) -> None:
        for _ in range(int(seconds // 60)):
            self.module.advance()

    @property
    def clock(self) -> World:
        """Itself: the clock of whichever module there is."""
        return self

    def now(self) -> Any:
        """The instant of the market."""
        return self.module.clock.now()

    def mend(self) -> bool:
        """Ends all faults."""
        self._faulty.mend()
        return True

    def played(self) -> tuple[int, int]:
        """Bars so far, and orders that were asked for."""
        return self._bars, len(self._door.sent)

    def told(self) -> tuple[Any, ...]:
        """Order tickets with their keys, how often each key was sent, and the faults that struck."""
        return self._counter.keys, dict(self._door.sent), dict(Counter(label(fault) for fault in self._faulty.fired))

    def sound(self, function: str, arguments: tuple[Any, ...]) -> Any:
        """A call past all faults."""
        return self._counter.call(Request(function, arguments)).value

    def advance(self) -> bool:
        """The next bar."""
        self._bars += 1
        return bool(self._faulty.call(Request("advance")).value)

    def last_error(self) -> tuple[int, str]:
        """Of the last call."""
        return self._error

    def close(self) -> None:
        """Nothing is on disk."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        reply = self._door.call(Request(name, args, kwargs))
        self._error = (reply.code, reply.message)
        return reply.value


ALSO = ("renew", "mend", "played", "told", "sound")


class Sound(Terminal):
    """The broker's books without faults."""

    def __init__(self, line: Terminal) -> None:
        self._line = line

    def call(self, request: Request) -> Reply:
        return Reply(self._line.call(Request("sound", (request.function, request.args))).value, 1, "Success")


# --- the daemon's process ---------------------------------------------------------------------


class Stopping(Points):
    """Reports the point at which the parent is to kill this process, and waits for it."""

    def __init__(self, pipe: Any, at: int) -> None:
        self._pipe, self._left = pipe, at

    def reach(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            self._pipe.send(("at", name))
            self._pipe.recv()  # the end


def work(pipe: Any) -> None:
    """Lives of the daemon, as they are ordered, until the process is killed or told to end."""
    logger.remove()
    for job in iter(pipe.recv, None):
        with closing(connect_broker(*job["broker"])) as line:
            _live(pipe, line, **{name: value for name, value in job.items() if name != "broker"})
        pipe.send(("done", ""))


def _live(pipe: Any, line: Any, *, seed: int, folder: Path, kill_at: int, resend: bool, quiet: bool) -> None:
    points = Stopping(pipe, kill_at)
    plan = FaultPlan() if quiet else _part(plan_for(seed), wire=True)
    door = Door(FaultyTerminal(line, plan), points)
    journal = MortalJournal(folder / JOURNAL_FILES[0], account="simulated/1", mode="simulated", clock=line.clock)
    journal.points = points
    daemon = Daemon(seed, door, journal, line.clock, ResendingClient if resend else MT5Client)
    for bar in range(QUIET_BARS if quiet else MOST_BARS):
        bars, orders = line.call(Request("played")).value
        traded = bars >= MOST_BARS or (bars >= LEAST_BARS and orders >= ENOUGH_ORDERS)
        if (bar >= CALM_BARS and daemon.at_rest) if quiet else traded:
            break
        pipe.send(("bar", str(bars)))
        daemon.bar(trades=not quiet)
    journal.close()


class ResendingClient(MT5Client):
    """The fault that the campaign exists for: an order without an answer is sent again."""

    def send(self, intent: Any) -> Any:
        result = super().send(intent)
        return super().send(intent) if result.state.value == "unknown" else result


# --- the parent -------------------------------------------------------------------------------


class Killer:
    """Keeps one broker for all runs and one daemon in reserve; kills daemons where the seed says.

    Args:
        folder: for journals.
    """

    def __init__(self, folder: Path, *, resend: bool = False) -> None:
        self._folder, self._resend = folder, resend
        self._context = get_context("spawn")
        self._broker: BrokerProcess = start_broker(World, also=ALSO)
        self._line = self._broker.connect()
        self._workers = [self._spawn(), self._spawn()]

    def close(self) -> None:
        """Ends every process."""
        for process, pipe in self._workers:
            pipe.send(None)
            process.join()
        self._line.close()
        self._broker.stop()

    def _spawn(self) -> tuple[Any, Any]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def run_once(self, seed: int) -> Report:
        """One run with up to three deaths."""
        for name in JOURNAL_FILES:
            (self._folder / name).unlink(missing_ok=True)
        self._line.close()
        self._line = self._broker.connect()
        self._line.call(Request("renew", (seed,)))
        report, rng = Report(seed), np.random.default_rng([seed, 4])
        while not self._life(seed, rng, report):
            report.deaths += 1
        self._line.call(Request("mend"))
        self._job(seed, kill_at=0, quiet=True)
        self._await(0)
        self._judge(report)
        return report

    def _life(self, seed: int, rng: np.random.Generator, report: Report) -> bool:
        """One life of a daemon; whether it lived to the end of the market."""
        deadly = report.deaths == 0 or (report.deaths < 3 and rng.random() < 0.3)
        point, by_bar = int(rng.integers(1, LAST_KILL)), rng.random() < ASYNCHRONOUS
        self._job(seed, kill_at=point if deadly and not by_bar else 0, quiet=False)
        return self._await(1 + point % LEAST_BARS if deadly and by_bar else 0)

    def _job(self, seed: int, *, kill_at: int, quiet: bool) -> None:
        where = (self._broker.address, self._broker.key)
        job = {"broker": where, "seed": seed, "folder": self._folder, "kill_at": kill_at, "resend": self._resend, "quiet": quiet}
        self._workers[0][1].send(job)

    def _await(self, kill_after_bars: int) -> bool:
        """Follows a life; False where it was cut off."""
        process, pipe = self._workers[0]
        while True:
            if not pipe.poll(PATIENCE):
                raise TimeoutError(f"the daemon says nothing for {PATIENCE} s")
            said, _ = pipe.recv()
            if said == "done":
                return True
            kill_after_bars -= said == "bar"
            if said == "at" or (said == "bar" and kill_after_bars == 0):
                process.kill()
                process.join()
                self._workers = [*self._workers[1:], self._spawn()]
                return False

    def _judge(self, report: Report) -> None:
        keys, sent, faults = self._line.call(Request("told")).value
        with closing(
            TradeJournal(self._folder / JOURNAL_FILES[0], account="simulated/1", mode="simulated", clock=self._line.clock)
        ) as journal:
            books = broker_books(Sound(self._line))
            report.problems = sent_twice(Counter(sent)) + compare(books, journal, keys)
            report.states = Counter(row["state"] for row in journal.orders(10_000))
        report.orders = sum(report.states.values())
        report.faults = Counter(faults)
