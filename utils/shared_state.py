"""A small key-value store that the daemon, its threads and the command line share.

Keys that begin with `control.` are commands to a running daemon; it takes each exactly once.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from config.errors import RecordError
from market_data.clock import Clock, utc_text
from utils.database import Database, Migration

MIGRATIONS: tuple[Migration, ...] = (
    (
        """
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value TEXT,                         -- JSON; NULL: deleted
    version INTEGER NOT NULL,           -- counts the writes of this key, deletions included
    updated_at TEXT NOT NULL
)""",
    ),
)

_FOUND = "SELECT value, version, updated_at FROM state WHERE key = ? AND value IS NOT NULL"
_STORE = (
    "INSERT INTO state (key, value, version, updated_at) VALUES (?, ?, 1, ?) ON CONFLICT (key) "
    "DO UPDATE SET value = excluded.value, version = version + 1, updated_at = excluded.updated_at"
)
# The row of a deleted key stays, so that its version never repeats: a writer who read the key
# before it was deleted and set again must not win a compare-and-set.
_DELETE = "UPDATE state SET value = NULL, version = version + 1, updated_at = ? WHERE key = ? AND value IS NOT NULL"
_ALL = "SELECT key, value FROM state WHERE value IS NOT NULL AND substr(key, 1, length(?)) = ? ORDER BY key"


class SharedState:
    """Values by key, each with a version and the time of its last write.

    Thread and process contract: any thread of any process may call any method; each call is
    one transaction. Values are anything JSON holds; tuples come back as lists.

    Args:
        path: `shared_state.db` of the home; made if it is not there.
        clock: where `updated_at` comes from.

    Raises:
        StorageError: the file is damaged or made by a newer version; it is left as it was.
        StorageBusy: from any call: another process has held the file for five seconds.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._database = Database(path, MIGRATIONS)
        self._clock = clock

    def close(self) -> None:
        """Closes the file; safe to repeat."""
        self._database.close()

    def set(self, key: str, value: object) -> None:
        """Stores a value.

        Raises:
            RecordError: the value is not JSON.
        """
        self._database.write(_STORE, (key, _encoded(key, value), self._now()))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` where there is none."""
        rows = self._database.rows(_FOUND, (key,))
        return json.loads(rows[0]["value"]) if rows else default

    def delete(self, key: str) -> bool:
        """Removes a key; False where there was none."""
        return self._database.write(_DELETE, (self._now(), key)) > 0

    def take(self, key: str, default: Any = None) -> Any:
        """Reads and removes a key in one step; of many takers one receives the value."""
        with self._database.transaction() as db:
            row = _row(db, key)
            if row is None:
                return default
            db.execute(_DELETE, (self._now(), key))
        return json.loads(row["value"])

    def get_all(self, prefix: str = "") -> dict[str, Any]:
        """Values of all keys that begin with `prefix`, in order of their keys."""
        return {row["key"]: json.loads(row["value"]) for row in self._database.rows(_ALL, (prefix, prefix))}

    def get_last_update(self, key: str) -> datetime | None:
        """When a key was last written; None where there is none."""
        rows = self._database.rows(_FOUND, (key,))
        return datetime.fromisoformat(rows[0]["updated_at"]) if rows else None

    def version(self, key: str) -> int:
        """A number that grows with every write of a key; 0 where there is none."""
        rows = self._database.rows(_FOUND, (key,))
        return int(rows[0]["version"]) if rows else 0

    def compare_and_set(self, key: str, expected_version: int, value: object) -> bool:
        """Stores a value if the key's version is still what `version` said; 0: no such key.

        Returns:
            Whether it was stored; False where somebody else wrote the key meanwhile.

        Raises:
            RecordError: the value is not JSON.
        """
        text = _encoded(key, value)
        with self._database.transaction() as db:
            row = _row(db, key)
            if (row["version"] if row else 0) != expected_version:
                return False
            db.execute(_STORE, (key, text, self._now()))
        return True

    def increment(self, key: str, by: int = 1) -> int:
        """Adds to a whole number in one step; a key that is not there counts as 0.

        Returns:
            The new value.

        Raises:
            RecordError: the key holds something else.
        """
        with self._database.transaction() as db:
            row = _row(db, key)
            value = json.loads(row["value"]) if row else 0
            if type(value) is not int:  # a bool is an int to isinstance
                raise RecordError(f"shared state {key!r} holds {value!r}, not a whole number; set it to one first")
            db.execute(_STORE, (key, _encoded(key, value + by), self._now()))
        return int(value + by)

    def _now(self) -> str:
        return utc_text(self._clock.now())


def _row(db: sqlite3.Connection, key: str) -> Any:
    return db.execute(_FOUND, (key,)).fetchone()


def _encoded(key: str, value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f"shared state {key!r}: {value!r} cannot be written as JSON: {error}; store plain values") from error
