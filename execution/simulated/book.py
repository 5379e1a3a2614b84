"""The broker's book: an SQLite file that holds the account and how far the market has been played."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from config.errors import HomeError
from execution.orders import Side
from execution.simulated.ledger import Changes, Ledger, OpenPosition
from execution.simulated.structs import TradeDeal, TradeOrder

_VERSION = 2
_ORDER_COLUMNS = """(ticket INT PRIMARY KEY, time_setup INTEGER, time_setup_msc INTEGER, time_done INTEGER, time_done_msc INTEGER,
    time_expiration INTEGER, type INTEGER, type_time INTEGER, type_filling INTEGER, state INTEGER, magic TEXT, position_id INTEGER,
    position_by_id INTEGER, reason INTEGER, volume_initial REAL, volume_current REAL, price_open REAL, sl REAL, tp REAL,
    price_current REAL, price_stoplimit REAL, symbol TEXT, comment TEXT, external_id TEXT)"""
# INT, not INTEGER: the row number then is one of its own, and tells the order in which orders ended.
_SCHEMA = (
    "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE positions (ticket INTEGER PRIMARY KEY, symbol TEXT, side INTEGER, volume REAL, price_open REAL, sl REAL, tp REAL,
    time_msc INTEGER, time_update_msc INTEGER, magic TEXT, reason INTEGER, comment TEXT, margin_per_lot REAL, swap REAL,
    identifier INTEGER)""",
    "CREATE TABLE working_orders " + _ORDER_COLUMNS,
    "CREATE TABLE orders " + _ORDER_COLUMNS,
    """CREATE TABLE deals (ticket INTEGER PRIMARY KEY, "order" INTEGER, time INTEGER, time_msc INTEGER, type INTEGER, entry INTEGER,
    magic TEXT, position_id INTEGER, reason INTEGER, volume REAL, price REAL, commission REAL, swap REAL, profit REAL, fee REAL,
    symbol TEXT, comment TEXT, external_id TEXT)""",
)
_MIGRATIONS = {
    1: (  # the instant was in seconds, a position had no identifier of its own, orders no sequence
        "UPDATE state SET value = value || '000' WHERE key = 'now'",
        "ALTER TABLE positions ADD COLUMN identifier INTEGER",
        "UPDATE positions SET identifier = ticket",
        "ALTER TABLE orders RENAME TO earlier_orders",
        "CREATE TABLE orders " + _ORDER_COLUMNS,
        "INSERT INTO orders SELECT * FROM earlier_orders ORDER BY time_done_msc, ticket",
        "DROP TABLE earlier_orders",
    )
}
"""Statements that lift a book of a version to the next."""
_INSERT = {
    "positions": "INSERT OR REPLACE INTO positions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "working_orders": "INSERT OR REPLACE INTO working_orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "orders": "INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "deals": "INSERT INTO deals VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
}
_MAGIC = {"positions": 9, "working_orders": 10, "orders": 10, "deals": 6}  # column of the magic number: unsigned 64 bits, so text
_UPSERT = "INSERT OR REPLACE INTO state VALUES (?, ?)"


class Book:
    """One open book.

    Every `save` is one transaction, so whenever the process is killed the file holds the state
    after some whole call. Use from one thread at a time.

    Raises:
        HomeError: if the file is no book of this version, or another program holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._durable = True
        self._held = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        except (sqlite3.Error, OSError) as e:
            raise self._unusable(str(e)) from e
        try:
            self._prepare()
        except (sqlite3.Error, HomeError) as e:
            self._db.close()
            raise e if isinstance(e, HomeError) else self._unusable(str(e)) from e

    def load(self) -> tuple[dict[str, Any], Ledger] | None:
        """State and ledger as last committed; None in a new book."""
        try:
            state = {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM state")}
            return (state, self._ledger(state)) if state else None
        except (sqlite3.Error, ValueError, KeyError) as e:
            raise self._unusable(str(e)) from e

    def hold(self) -> None:
        """From now on saves are kept back until `commit`, all of them or none: for replays, which can be played again."""
        self._held = True

    def commit(self, now: int) -> None:
        """Commits what was held back, and that the market has been played to `now`."""
        try:
            self._begin()
            self._db.execute(_UPSERT, ("now", str(now)))
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            raise self._unusable(str(e)) from e

    def save(self, state: Mapping[str, Any], changes: Changes, *, durable: bool) -> None:
        """Commits at once.

        Args:
            state: what differs from the last commit, JSON values.
            changes: of the ledger.
            durable: also survive a power cut, not only the end of this process.
        """
        try:
            self._begin(durable=durable)
            self._db.executemany(_UPSERT, [(key, json.dumps(value)) for key, value in state.items()])
            self._write(changes)
            if not self._held:
                self._db.execute("COMMIT")
        except sqlite3.Error as e:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._unusable(str(e)) from e

    def save_now(self, now: int) -> None:
        """Commits that the market has been played to `now`, and nothing else; `commit` says it where saves are held back."""
        if self._held:
            return
        try:
            self._synchronous(durable=False)
            self._db.execute(_UPSERT, ("now", str(now)))
        except sqlite3.Error as e:
            raise self._unusable(str(e)) from e

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= _VERSION:
            raise self._unusable(f"it has version {version}, this program knows {_VERSION}")
        if version != _VERSION:
            self._lift(version)

    def _lift(self, version: int) -> None:
        """Makes a new book, or one of an earlier version into one of this."""
        statements = _SCHEMA if version == 0 else [part for step in range(version, _VERSION) for part in _MIGRATIONS[step]]
        self._db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={_VERSION}")
        self._db.execute("COMMIT")

    def _write(self, changes: Changes) -> None:
        self._insert("positions", [astuple(position) for position in changes.positions])
        self._insert("working_orders", changes.working)
        self._insert("orders", changes.orders)
        self._insert("deals", changes.deals)
        self._db.executemany("DELETE FROM positions WHERE ticket = ?", [(ticket,) for ticket in changes.gone])
        self._db.executemany("DELETE FROM working_orders WHERE ticket = ?", [(ticket,) for ticket in changes.done])

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        magic = _MAGIC[table]
        self._db.executemany(_INSERT[table], [(*row[:magic], str(row[magic]), *row[magic + 1 :]) for row in rows])

    def _read(self, query: str, table: str) -> list[tuple[Any, ...]]:
        magic = _MAGIC[table]
        return [(*row[:magic], int(row[magic]), *row[magic + 1 :]) for row in self._db.execute(query)]

    def _ledger(self, state: Mapping[str, Any]) -> Ledger:
        positions = [_position(row) for row in self._read("SELECT * FROM positions ORDER BY ticket", "positions")]
        working = [TradeOrder(row) for row in self._read("SELECT * FROM working_orders ORDER BY ticket", "working_orders")]
        ledger = Ledger(state["balance"], state["next_order"], state["next_deal"])
        ledger.positions = {position.ticket: position for position in positions}
        ledger.working = {order.ticket: order for order in working}
        ledger.orders.extend(TradeOrder(row) for row in self._read("SELECT * FROM orders ORDER BY rowid", "orders"))
        ledger.deals.extend(TradeDeal(row) for row in self._read("SELECT * FROM deals ORDER BY ticket", "deals"))
        ledger.mark_saved()
        return ledger

    def _begin(self, *, durable: bool = False) -> None:
        """Opens a transaction, unless saves are held back in one."""
        if not self._db.in_transaction:
            self._synchronous(durable and not self._held)
            self._db.execute("BEGIN IMMEDIATE")

    def _synchronous(self, durable: bool) -> None:
        if durable is not self._durable:
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _unusable(self, reason: str) -> HomeError:
        return HomeError(f"the simulated broker's book {self.path} cannot be used: {reason}; choose another --home")


def _position(row: tuple[Any, ...]) -> OpenPosition:
    values: dict[str, Any] = dict(zip((field.name for field in fields(OpenPosition)), row, strict=True))
    return OpenPosition(**{**values, "side": Side(values["side"])})
