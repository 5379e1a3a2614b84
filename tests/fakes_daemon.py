"""A broker in memory for tests of the trade desk, and a daemon in a process of its own for scenarios."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread, Timer
from typing import Any

from config.errors import TerminalCallFailed
from config.loading import load_settings
from execution.mt5_client import MT5Client
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState, Position, Quote, Side
from execution.translate import OrderCheck
from market_data.bars import Bars
from market_data.clock import ManualClock
from strategy.decision import Decision
from tests.fakes_simulated import flat, make_bars
from tests.fakes_terminal import EURUSD, MAGIC
from tests.fakes_terminal import account as an_account
from utils import bootstrap
from utils.bootstrap import RunResult
from utils.cli import start
from utils.terminals import RunOptions
from utils.trade_journal import TradeJournal

ROOT = Path(__file__).resolve().parents[1]
MONDAY = datetime(2024, 1, 8, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SPREAD = 0.0001
LOT = 100_000.0
FEE = 3.5
"""Commission per lot and side."""


class FakeBroker:
    """An account, hedging unless told otherwise, whose next answers a test can choose.

    `answers` is consumed by `send`, one a call: `fill` (also when it is empty), `half`, `refuse`,
    `lost` (unknown, nothing happened), `silent` (unknown, it was filled). A function whose name is
    in `failing` raises; a deal whose position is in `late` is not shown.
    """

    magic = MAGIC
    deviation = 10

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.answers: deque[str] = deque()
        self.sent: list[OrderIntent] = []
        self.checked: list[OrderIntent] = []
        self.verdict = OrderCheck(True, 0, "Done", 9_000.0)
        self.held: dict[int, Position] = {}
        self.deals: list[Deal] = []
        self.failing: set[str] = set()
        self.late: set[int] = set()
        self.hidden = False
        self.bid = 1.1
        self.balance = 10_000.0
        self.known_spec = EURUSD
        self.margin_mode, self.foreign = 2, 0
        self.on_send: Callable[[OrderIntent], None] = lambda intent: None
        self._tickets = iter(range(1_001, 10_000))

    # --- asked by the desk --------------------------------------------------------------------

    def account(self) -> Account:
        self._may("account")
        return an_account(balance=self.balance, equity=self.balance, margin_mode=self.margin_mode)

    def terminal_connected(self) -> bool:
        return "terminal_connected" not in self.failing

    def spec(self, symbol: str) -> Any:
        self._may("spec")
        return replace(self.known_spec, name=symbol)

    def quote(self, symbol: str) -> Quote:
        self._may("quote")
        return Quote(symbol, self.clock.now(), self.bid, self.bid + SPREAD)

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        self._may("positions")
        return tuple(p for p in self.held.values() if symbol in (None, p.symbol))

    def foreign_positions(self, symbol: str) -> int:
        self._may("foreign_positions")
        return self.foreign

    def deals_of(self, position: int) -> tuple[Deal, ...]:
        self._may("deals_of")
        return tuple(d for d in self.deals if d.position == position and (d.entry == "in" or position not in self.late))

    def profit_per_lot(self, side: Side, symbol: str, entry: float, exit_price: float) -> float:
        self._may("profit_per_lot")
        return side * (exit_price - entry) * LOT

    def margin_for(self, side: Side, symbol: str, volume: float, price: float) -> float:
        self._may("margin_for")
        return volume * price * 1_000.0

    def check(self, intent: OrderIntent) -> OrderCheck:
        self._may("check")
        self.checked.append(intent)
        return self.verdict

    def transfers_between(self, start: datetime, end: datetime) -> tuple[Deal, ...]:
        self._may("transfers_between")
        return tuple(d for d in self.deals if d.transfer and start <= d.time <= end)

    def send(self, intent: OrderIntent) -> OrderResult:
        self.on_send(intent)
        self.sent.append(intent)
        answer = self.answers.popleft() if self.answers else "fill"
        if answer == "refuse":
            return OrderResult(OrderState.REJECTED, 10_019, "no money")
        if answer == "lost":
            return OrderResult(OrderState.UNKNOWN, 0, "no result")
        if intent.purpose == "stop":
            result = self._move_stop(intent)
        else:
            result = self._fill(intent, intent.volume / 2 if answer == "half" else intent.volume)
        return OrderResult(OrderState.UNKNOWN, 0, "no result") if answer == "silent" else result

    def find(self, intent: OrderIntent, known: frozenset[int] = frozenset()) -> OrderResult | None:
        self._may("find")
        if intent.purpose == "stop":
            return self._shown_stop(intent)
        found = [d for d in self.deals if d.comment == intent.key]
        if self.hidden or not found:
            return None
        return OrderResult(OrderState.FILLED, 0, "found at the venue", found[0].order, found[0].ticket, found[0].price, found[0].volume)

    # --- done by the test ---------------------------------------------------------------------

    def end(self, ticket: int, reason: str, price: float, volume: float | None = None, comment: str = "") -> int:
        """Closes a position, or a part of it; the order's ticket."""
        position = self.held.pop(ticket)
        order, closed = next(self._tickets), position.volume if volume is None else volume
        profit = position.side * (price - position.price_open) * LOT * closed
        self._book(order, position, "out", closed, price, profit, reason, comment)
        if closed < position.volume:
            self.held[ticket] = replace(position, volume=position.volume - closed)
        return order

    def open(self, side: Side = Side.LONG, volume: float = 0.5, comment: str = "", sl: float = 1.099, tp: float = 1.102) -> int:
        """Opens a position of ours that no intent asked for."""
        ticket = next(self._tickets)
        opened = self.clock.now()
        self.held[ticket] = Position(ticket, "EURUSD", side, volume, self.bid, sl, tp, opened, MAGIC, 0.0, 0.0, comment)
        self._book(ticket, self.held[ticket], "in", volume, self.bid, 0.0, "expert", comment)
        return ticket

    def _fill(self, intent: OrderIntent, volume: float) -> OrderResult:
        if intent.position:
            price = self.bid if self.held[intent.position].side is Side.LONG else self.bid + SPREAD
            order = self.end(intent.position, "expert", price, volume, intent.key)
            return OrderResult(OrderState.FILLED, 10_009, "done", order, self.deals[-1].ticket, price, volume)
        ticket = self.open(intent.side, volume, intent.key, intent.sl, intent.tp)
        state = OrderState.FILLED if volume == intent.volume else OrderState.PARTIAL
        return OrderResult(state, 10_009, "done", ticket, self.deals[-1].ticket, self.bid, volume)

    def _move_stop(self, intent: OrderIntent) -> OrderResult:
        self.held[intent.position] = replace(self.held[intent.position], sl=intent.sl, tp=intent.tp)
        return self._shown_stop(intent)

    def _shown_stop(self, intent: OrderIntent) -> OrderResult:
        shown = intent.position in self.held and self.held[intent.position].sl == intent.sl
        return OrderResult(OrderState.CONFIRMED if shown else OrderState.REJECTED, 0, "read back")

    def _book(self, order: int, p: Position, entry: str, volume: float, price: float, profit: float, reason: str, comment: str) -> None:
        ticket = next(self._tickets)
        side = p.side if entry == "in" else p.side.opposite
        money = (volume, price, -FEE * volume, 0.0, profit, 0.0)
        self.deals.append(Deal(ticket, order, p.ticket, p.symbol, side, entry, *money, reason, MAGIC, self.clock.now(), comment))
        self.balance += profit - FEE * volume

    def _may(self, function: str) -> None:
        if function in self.failing:
            raise TerminalCallFailed(function, -10_004, "no connection")


def bars_until(instant: datetime, count: int = 40, symbol: str = "EURUSD") -> Bars:
    """Flat M1 bars, of which the newest closed at `instant`."""
    return make_bars(flat(1.1, count), symbol, int((instant - count * MINUTE).timestamp()))


def a_decision(bars: Bars, side: Side | None = Side.LONG, reason: str = "2 of 2 long") -> Decision:
    """A decision on the newest bar."""
    voices = {"versions": {"scalper": 3}, "expected_r": 0.25} if side is not None else {}
    return Decision(bars.symbol, bars.opened_at(-1), side, reason, close=1.1, atr=0.0006, **voices)


# --- a daemon in a process of its own ---------------------------------------------------------

SMALL: Mapping[str, str] = {
    "HISTORY_BARS": "3000",
    "TREE_COUNT": "10",
    "BOOST_ROUNDS": "10",
    "TREE_FOLDS": "2",
    "LSTM_EPOCHS": "1",
    "LSTM_SEQ_LENGTH": "10",
    "LSTM_HIDDEN": "4",
    "GATE_PROFILE": "threshold",
    "MIN_DIRECTIONAL_ROWS": "10",
    "MIN_ACCURACY": "0",
    "SYNTHETIC_EDGE": "3",
    "RF_RETRAIN_HOURS": "1",
    "XGB_RETRAIN_HOURS": "1.5",
    "LSTM_RETRAIN_HOURS": "2",
}
"""Settings of a daemon that trains in seconds and promotes nearly everything."""

TREES_ONLY: Mapping[str, str] = {**SMALL, "USE_LSTM": "false", "USE_XGBOOST": "false"}


class DaemonProcess:
    """`main.py run`, or another program, whose standard error is read line by line as it comes."""

    def __init__(self, home: Path, *arguments: str, env: Mapping[str, str] = SMALL, program: tuple[str, ...] = ("main.py", "run")) -> None:
        command = [sys.executable, *program, *arguments, "--home", str(home), "--json"]
        options: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            **options,
        )
        self.lines: list[str] = []
        self.output = ""
        # Read on a thread of its own, or a full pipe would stop the daemon.
        self._reader = Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def wait_for(self, text: str, count: int = 1) -> str:
        """Reads on until a line holds `text`, `count` times from now; fails where the daemon ends before."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip())
            count -= text in line
            if count == 0:
                return line
        raise AssertionError(f"the daemon ended without saying {text!r}:\n" + "\n".join(self.lines[-30:]))

    def kill(self) -> None:
        """Ends it at once: no handler, no flush."""
        self._process.kill()
        self.finish()

    def interrupt(self) -> None:
        """Ctrl-C, or on Windows Ctrl-Break: the only one that reaches a single process there."""
        self._process.send_signal(signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGINT)

    def finish(self, timeout: float = 300.0) -> int:
        """Reads to the end; the exit code. Kills it, and fails, where it outlasts `timeout` seconds."""
        assert self._process.stderr is not None
        late = Timer(timeout, self._process.kill)
        late.start()
        self.lines.extend(self._process.stderr.read().splitlines())
        code = self._process.wait()
        late.cancel()
        late.join()
        self._reader.join()
        self._process.stderr.close()
        return code

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            self.output = out.read()

    @property
    def log(self) -> str:
        """All it said so far."""
        return "\n".join(self.lines)


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of ours but `env`."""
    from config.settings import Settings

    ours = {name.upper() for section in Settings.model_fields.values() for name in getattr(section.annotation, "model_fields", {})}
    return {**{name: value for name, value in os.environ.items() if name.upper() not in ours}, **env, "PYTHONUNBUFFERED": "1"}


def run_here(home: Path, bars: int, env: Mapping[str, str] = SMALL, source: tuple[str, ...] = ("synthetic",)) -> RunResult:
    """A replay in this process, which spares the imports."""
    settings = load_settings(home / "no.env", {name.lower(): value for name, value in env.items()})
    return bootstrap.run(settings, RunOptions(source, replay=True, bars=bars), home)


# --- what a journal holds ---------------------------------------------------------------------

REPLAYED = ("decisions", "orders", "order_states", "deals", "trades", "model_events", "job_runs", "equity")


def table(home: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a journal table in the order they were written, without ids and wall-clock measurements."""
    with closing(sqlite3.connect(f"{(home / 'journal.db').as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        rows = db.execute(f"SELECT * FROM {name} ORDER BY id").fetchall()  # names from this module's callers
    return [{key: row[key] for key in row.keys() if key != "id" and not key.endswith(("_us", "_wall"))} for row in rows]  # noqa: SIM118  # a Row iterates over values


def differences(one: Path, other: Path, tables: tuple[str, ...] = REPLAYED) -> list[str]:
    """What two journals tell differently; empty where they are equal."""
    found = []
    for name in tables:
        left, right = table(one, name), table(other, name)
        if len(left) != len(right):
            found.append(f"{name}: {len(left)} rows and {len(right)}")
        for number, (a, b) in enumerate(zip(left, right, strict=False)):
            found += [f"{name} {number}: {key} {a[key]!r} and {b[key]!r}" for key in a if a[key] != b[key]]
    return found


def broker_deals(home: Path) -> dict[int, dict[str, Any]]:
    """Every deal that the simulated broker booked for a position, by ticket."""
    return {row["ticket"]: row for row in _book(home, "SELECT * FROM deals WHERE position_id != 0")}


def broker_positions(home: Path) -> dict[int, dict[str, Any]]:
    """Positions that are open in the simulated broker's book, by ticket."""
    return {row["ticket"]: row for row in _book(home, "SELECT * FROM positions")}


def _book(home: Path, sql: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{(home / 'broker.db').as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]


# --- a death at a chosen point ----------------------------------------------------------------


class Crash(BaseException):
    """The process ended here: nothing that catches errors may catch it."""


def _after_entry(intent: OrderIntent) -> bool:
    return intent.purpose == "entry"


POINTS: Mapping[str, tuple[type, str, bool, Callable[..., bool]]] = {
    "between intent and send": (MT5Client, "send", True, _after_entry),
    "between send and order state": (TradeJournal, "record_order", True, lambda key, result: not key.startswith("x")),
    "between order state and entry": (TradeJournal, "log_entry", True, lambda entry: True),
    "between entry and deal": (TradeJournal, "record_deal", True, lambda deal: deal.entry == "in"),
    "between trade and decision row": (TradeJournal, "record_decision", True, lambda outcome: outcome.action == "sent"),
    "after the decision row": (TradeJournal, "record_decision", False, lambda outcome: outcome.action == "sent"),
    "between exit intent and send": (MT5Client, "send", True, lambda intent: intent.purpose == "exit"),
    "between exit and its state": (TradeJournal, "record_order", True, lambda key, result: key.startswith("x")),
    "between exit deals and exit": (TradeJournal, "log_exit", True, lambda done: True),
    "before a quiet decision": (TradeJournal, "record_decision", True, lambda outcome: outcome.action == "none"),
}
"""Name -> class, method, whether death comes before it (or after), and which calls are meant."""


def die_at(point: str, number: int, replace_method: Callable[[type, str, Any], None], die: Callable[[], None]) -> None:
    """Makes the process die at the n-th pass through a point."""
    owner, name, before, meant = POINTS[point]
    original, left = getattr(owner, name), [number]

    def method(self: Any, *arguments: Any) -> Any:
        left[0] -= meant(*arguments)
        now = meant(*arguments) and left[0] == 0
        if now and before:
            die()
        result = original(self, *arguments)
        if now:
            die()
        return result

    replace_method(owner, name, method)


def main(arguments: list[str]) -> None:
    """`POINT NUMBER run ...`: a daemon that dies there, as a kill would: no handler, no `finally`, no flush."""
    point, number, *rest = arguments
    die_at(point, int(number), setattr, lambda: os._exit(9))
    sys.argv = ["main.py", *rest]
    start()


if __name__ == "__main__":
    main(sys.argv[1:])
