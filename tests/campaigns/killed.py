"""The campaign with real deaths: the broker lives in one process, the daemon in another that is killed."""

from __future__ import annotations

import re
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
from execution.simulated.faults import Fault, FaultPlan, FaultyTerminal, Kind, Step
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


def _plain(plan: FaultPlan) -> tuple[tuple[Any, ...], ...]:
    """The faults as what travels to a broker."""
    return tuple((f.kind.value, f.step.value, f.function, f.nth, f.probability, f.value, f.lasts) for f in plan.faults)


def _plan_of(seed: int, faults: tuple[tuple[Any, ...], ...]) -> FaultPlan:
    return FaultPlan(tuple(Fault(Kind(kind), Step(step), *rest) for kind, step, *rest in faults), seed)


# --- the broker's process ---------------------------------------------------------------------


class World:
    """The simulated terminal of one run after the other, with its faults; hosted as a module is."""

    def __init__(self) -> None:
        self.renew(0, ())

    def renew(self, seed: int, faults: tuple[tuple[Any, ...], ...]) -> bool:
        """A new market and account, and what goes wrong on the broker's side."""
        self._error = (1, "Success")
        self._bars = 0
        self.module = broker(seed)
        self._counter = BrokersSide(self.module)
        self._faulty = FaultyTerminal(self._counter, _plan_of(seed, faults), wait=self._run_on)
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
    """Reports the point at which the parent is to kill this process, and waits for it.

    Args:
        pipe: to the parent.
        meant: which points count; a regular expression that the whole name fits.
        at: which of them, counted from 1; 0: none.
    """

    def __init__(self, pipe: Any, meant: str, at: int) -> None:
        self._pipe, self._meant, self._left = pipe, re.compile(meant), at

    def reach(self, name: str) -> None:
        self._left -= self._meant.fullmatch(name) is not None
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


def _live(pipe: Any, line: Any, *, seed: int, folder: Path, plan: FaultPlan, point: str, kill_at: int, resend: bool, quiet: bool) -> None:
    points = Stopping(pipe, point, kill_at)
    door = Door(FaultyTerminal(line, _part(plan, wire=True)), points)
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
        self.begin(seed, plan_for(seed))
        report, rng = Report(seed), np.random.default_rng([seed, 4])
        while not self._random_life(rng, report):
            report.deaths += 1
        return self.end(report)

    def begin(self, seed: int, plan: FaultPlan) -> None:
        """A new market, broker's book and journal."""
        for name in JOURNAL_FILES:
            (self._folder / name).unlink(missing_ok=True)
        self._seed, self._plan = seed, plan
        self._line.close()
        self._line = self._broker.connect()
        self._line.call(Request("renew", (seed, _plain(_part(plan, wire=False)))))

    def life(self, *, point: str = ".*", kill_at: int = 0, kill_after_bars: int = 0) -> str | None:
        """One life of a daemon; the point or bar at which it was killed, None where it lived to the end of the market.

        Args:
            point: regular expression of the points that count.
            kill_at: which of them is its last, counted from 1; 0: none.
            kill_after_bars: or else the bar.
        """
        self._job(self._plan, point=point, kill_at=kill_at, quiet=False)
        return self._await(kill_after_bars)

    def end(self, report: Report) -> Report:
        """Ends all faults, lets everything come to rest, and compares the books."""
        self._line.call(Request("mend"))
        self._job(FaultPlan(), point=".*", kill_at=0, quiet=True)
        self._await(0)
        self._judge(report)
        return report

    def journal(self) -> TradeJournal:
        """What the daemon wrote so far; the caller closes it."""
        return TradeJournal(self._folder / JOURNAL_FILES[0], account="simulated/1", mode="simulated", clock=self._line.clock)

    def orders(self) -> dict[str, int]:
        """What the broker made so far: key -> order ticket."""
        keys, _, _ = self._line.call(Request("told")).value
        return {key: ticket for ticket, key in keys.items()}

    def _random_life(self, rng: np.random.Generator, report: Report) -> bool:
        """Whether it lived to the end of the market."""
        deadly = report.deaths == 0 or (report.deaths < 3 and rng.random() < 0.3)
        point, by_bar = int(rng.integers(1, LAST_KILL)), rng.random() < ASYNCHRONOUS
        bars = 1 + point % LEAST_BARS if deadly and by_bar else 0
        return self.life(kill_at=point if deadly and not by_bar else 0, kill_after_bars=bars) is None

    def _job(self, plan: FaultPlan, **more: Any) -> None:
        where = (self._broker.address, self._broker.key)
        job = {"broker": where, "seed": self._seed, "folder": self._folder, "plan": plan, "resend": self._resend, **more}
        self._workers[0][1].send(job)

    def _await(self, kill_after_bars: int) -> str | None:
        """Follows a life to its end; where it was cut off."""
        process, pipe = self._workers[0]
        while True:
            if not pipe.poll(PATIENCE):
                raise TimeoutError(f"the daemon says nothing for {PATIENCE} s")
            said, where = pipe.recv()
            if said == "done":
                return None
            kill_after_bars -= said == "bar"
            if said == "at" or (said == "bar" and kill_after_bars == 0):
                process.kill()
                process.join()
                self._workers = [*self._workers[1:], self._spawn()]
                return str(where)

    def _judge(self, report: Report) -> None:
        keys, sent, faults = self._line.call(Request("told")).value
        with closing(self.journal()) as journal:
            books = broker_books(Sound(self._line))
            report.problems = sent_twice(Counter(sent)) + compare(books, journal, keys)
            report.states = Counter(row["state"] for row in journal.orders(10_000))
        report.orders = sum(report.states.values())
        report.faults = Counter(faults)
