"""The paper account on the disk: one SQLite file in the home, written before an answer is given."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.errors import HomeError
from execution.orders import Side
from execution.simulated.structs import Struct, TradeDeal, TradeOrder

_VERSION = 1
_SCHEMA = (
    "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE positions (ticket INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE orders (ticket INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE deals (ticket INTEGER PRIMARY KEY, body TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Holding:
    """An open paper position; times in server milliseconds.

    Attributes:
        watched_msc: ticks up to here have been compared with its stop and target as they are.
    """

    ticket: int
    symbol: str
    side: Side
    volume: float
    price_open: float
    sl: float
    tp: float
    time_msc: int
    watched_msc: int
    magic: int
    comment: str


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a book holds.

    Attributes:
        state: `balance`, `currency` and the next tickets; empty in a new book.
        orders, deals: the module's records, oldest first.
    """

    state: dict[str, Any]
    holdings: tuple[Holding, ...]
    orders: tuple[Struct, ...]
    deals: tuple[Struct, ...]


class PaperBook:
    """One open book; use from one thread at a time.

    Raises:
        HomeError: from any call: the file is no book of this version, or cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except (sqlite3.Error, HomeError) as error:
            self._db.close()
            raise error if isinstance(error, HomeError) else self._unusable(error) from error

    def load(self) -> Memory:
        """What was last committed."""
        try:
            state = {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM state")}
            holdings = tuple(_holding(body) for body in self._bodies("SELECT body FROM positions ORDER BY ticket"))
            orders = tuple(TradeOrder(body.values()) for body in self._bodies("SELECT body FROM orders ORDER BY ticket"))
            deals = tuple(TradeDeal(body.values()) for body in self._bodies("SELECT body FROM deals ORDER BY ticket"))
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise self._unusable(error) from error
        return Memory(state, holdings, orders, deals)

    def save(self, state: dict[str, Any], holdings: Iterable[Holding], orders: Iterable[Struct], deals: Iterable[Struct]) -> None:
        """Commits at once; survives a power cut when it returns.

        Args:
            state: whole.
            holdings: all that are open.
            orders: that are new.
            deals: that are new.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM positions")
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", [(key, json.dumps(value)) for key, value in state.items()])
            self._db.executemany("INSERT INTO positions VALUES (?, ?)", [(held.ticket, json.dumps(asdict(held))) for held in holdings])
            self._db.executemany("INSERT INTO orders VALUES (?, ?)", [(order.ticket, json.dumps(order._asdict())) for order in orders])
            self._db.executemany("INSERT INTO deals VALUES (?, ?)", [(deal.ticket, json.dumps(deal._asdict())) for deal in deals])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._unusable(error) from error

    def close(self) -> None:
        """Closes the file; safe to repeat."""
        self._db.close()

    def _bodies(self, sql: str) -> list[dict[str, Any]]:
        return [json.loads(body) for (body,) in self._db.execute(sql)]

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise self._unusable(f"it has version {version}, this program knows {_VERSION}")
        if version == 0:
            self._db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={_VERSION}")
            self._db.execute("COMMIT")

    def _unusable(self, reason: object) -> HomeError:
        return HomeError(f"the paper account's book {self.path} cannot be used: {reason}; choose another --home or remove the file")


def _holding(body: dict[str, Any]) -> Holding:
    return Holding(**{**body, "side": Side(body["side"])})
