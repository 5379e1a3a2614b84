"""One run of the send-once campaign in one process: faults, deaths at any point, then the books are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from execution.mt5_client import MT5Client
from execution.simulated.faults import FaultyTerminal
from execution.terminal import ModuleTerminal, Reply, Request, Terminal
from tests.campaigns.audit import broker_books, compare, sent_twice
from tests.campaigns.daemon import LEAST_BARS, MOST_BARS, QUIET_BARS, Daemon, broker
from tests.campaigns.plans import label, plan_for
from utils.trade_journal import TradeJournal

DEADLY_SHARE = 0.4
"""Share of the runs in which the daemon dies, once or twice."""
LAST_POINT = 120
FILES = ("journal.db", "journal.db-wal", "journal.db-shm")
ENOUGH_ORDERS = 12
CALM_BARS = 3


class Death(BaseException):
    """The process ended here: nothing that follows runs."""


@dataclass
class Report:
    """What a run came to."""

    seed: int
    orders: int = 0
    deaths: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Points:
    """Points at which the daemon can die; each is passed by a name that says what is done, to which order."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 3])
        deadly = rng.random() < DEADLY_SHARE
        self._at = sorted(rng.choice(LAST_POINT, int(rng.integers(1, 3)), replace=False)) if deadly else []
        self._passed = 0

    @classmethod
    def none(cls) -> Points:
        """A life without an end."""
        points = cls(0)
        points.forget()
        return points

    def forget(self) -> None:
        """No death any more."""
        self._at = []

    def reach(self, name: str) -> None:
        """Dies here, if it is time."""
        self._passed += 1
        if self._at and self._passed > self._at[0]:
            del self._at[0]
            raise Death(name)


class MortalJournal(TradeJournal):
    """The journal, around whose writes the daemon can die."""

    points: Points

    def record_intent(self, intent: Any, bar_time: Any, plan: Any = None) -> None:
        self._around(f"record_intent {intent.key}", super().record_intent, intent, bar_time, plan)

    def record_order(self, key: str, result: Any) -> bool:
        return bool(self._around(f"record_order {key} {result.state.value}", super().record_order, key, result))

    def log_entry(self, entry: Any) -> bool:
        return bool(self._around(f"log_entry {entry.order_key}", super().log_entry, entry))

    def log_exit(self, exit: Any) -> bool:
        return bool(self._around(f"log_exit {exit.ticket}", super().log_exit, exit))

    def record_deal(self, deal: Any) -> bool:
        return bool(self._around(f"record_deal {deal.ticket}", super().record_deal, deal))

    def _around(self, name: str, write: Callable[..., Any], *values: Any) -> Any:
        self.points.reach(f"before {name}")
        written = write(*values)
        self.points.reach(f"after {name}")
        return written


class Door:
    """Between client and faults: counts what is sent, and is where a process can die in mid-call."""

    def __init__(self, faulty: Terminal, points: Points) -> None:
        self._faulty, self._points = faulty, points
        self.sent: Counter[str] = Counter()
        self.key = ""

    def call(self, request: Request) -> Reply:
        if request.function != "order_send":
            return self._faulty.call(request)
        self.key = str(request.args[0].get("comment", ""))
        change = f"a change of {request.args[0].get('position')}"  # of a stop: it carries no key
        self._points.reach(f"before send {self.key or change}")
        if self.key:
            self.sent[self.key] += 1
        try:
            return self._faulty.call(request)
        finally:
            self._points.reach(f"after send {self.key or change}")


class BrokersSide(Terminal):
    """Between faults and broker: which order the broker made for which key, also where it lost the comment."""

    def __init__(self, module: Any) -> None:
        self._inner = ModuleTerminal(module)
        self.keys: dict[int, str] = {}
        self.door: Door | None = None

    def call(self, request: Request) -> Reply:
        reply = self._inner.call(request)
        if request.function == "order_send" and reply.value is not None and reply.value.order:
            lost = self.door.key if self.door is not None else ""
            self.keys[int(reply.value.order)] = str(request.args[0].get("comment", "")) or lost
        return reply


def run_once(seed: int, folder: Path, make_client: Callable[..., MT5Client] = MT5Client) -> Report:
    """One seeded run; its journal is made anew in `folder`."""
    module, points = broker(seed), Points(seed)
    counter = BrokersSide(module)
    faulty = FaultyTerminal(counter, plan_for(seed), wait=lambda seconds: [module.advance() for _ in range(int(seconds // 60))])
    counter.door = door = Door(faulty, points)
    report = Report(seed)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)

    def open_journal() -> MortalJournal:
        journal = MortalJournal(folder / FILES[0], account="simulated/1", mode="simulated", clock=module.clock)
        journal.points = points
        return journal

    def lives(least: int, most: int, *, trades: bool) -> None:
        journal, daemon = open_journal(), None
        for bar in range(most):
            if bar >= least and (len(door.sent) >= ENOUGH_ORDERS if trades else daemon is not None and daemon.at_rest):
                break
            try:
                daemon = daemon or Daemon(seed, door, journal, module.clock, make_client)
                daemon.bar(trades=trades)
            except Death:
                report.deaths += 1
                journal.close()
                journal, daemon = open_journal(), None
        journal.close()

    lives(LEAST_BARS, MOST_BARS, trades=True)
    faulty.mend()
    lives(CALM_BARS, QUIET_BARS, trades=False)
    points.forget()
    journal = open_journal()
    report.problems = sent_twice(door.sent) + compare(broker_books(counter), journal, counter.keys)
    report.states = Counter(row["state"] for row in journal.orders(10_000))
    report.orders = sum(report.states.values())
    report.faults = Counter(label(fault) for fault in faulty.fired)
    journal.close()
    return report
