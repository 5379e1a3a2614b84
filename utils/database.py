"""A SQLite file of the home: opened, upgraded, shared by threads, its errors translated.

Both databases (journal, shared state) stand on this: write-ahead logging, so that readers never
wait for the writer; a busy timeout, so that processes wait for each other; and one upgrade path.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from config.errors import RecordError, ScalperError, StorageBusy, StorageError

Migration = tuple[str, ...]
"""The statements of one schema step; all of them happen, or none."""

BUSY_MS = 5_000
_PAUSE_MS = 10
CHECKPOINT_PAGES = 1_000
WAL_LIMIT_BYTES = 8 * 2**20

_HEADER = b"SQLite format 3\0"
_MOVE_ASIDE = (
    "move it and the -wal and -shm files beside it to another folder, and start again; keep them, `sqlite3 FILE .recover` saves rows"
)
_CHECK_FOLDER = "check that its folder exists and may be written to"
_REMEDIES = {
    sqlite3.SQLITE_CORRUPT: _MOVE_ASIDE,
    sqlite3.SQLITE_NOTADB: _MOVE_ASIDE,
    sqlite3.SQLITE_FULL: "free some disk space",
    sqlite3.SQLITE_CANTOPEN: _CHECK_FOLDER,
    sqlite3.SQLITE_READONLY: _CHECK_FOLDER,
    sqlite3.SQLITE_PERM: _CHECK_FOLDER,
    sqlite3.SQLITE_IOERR: "check the disk",
}
_VALUE_FAULTS = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError, OverflowError, UnicodeEncodeError)


class Database:
    """One connection, safe to use from any thread.

    Every call is one short transaction under one lock. A call that returns has been handed to
    the operating system, so it survives the death of this process; `durable` transactions
    survive a loss of power too.

    Args:
        path: the file; made if it is not there, unless `readonly`.
        migrations: the schema's steps, oldest first; `PRAGMA user_version` counts those done.
        readonly: for other processes' files: nothing is ever written or upgraded.
        held: writes are kept back until `commit`, all of them or none; what dies before is as if it had never written.

    Raises:
        StorageError: the file is damaged, cannot be opened, or was made by a newer version.
            It is left as it was.
        StorageBusy: another process held it for longer than five seconds.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration], *, readonly: bool = False, held: bool = False) -> None:
        self.path = path
        self._held = held
        self._lock = threading.Lock()
        _require_whole(path)
        with _translated(path):
            self._connection = _connect(path, readonly)
        try:
            with _translated(path):
                self._prepare(migrations, readonly)
        except ScalperError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Commits what was held back and closes the file; a second call does nothing, every other call then fails."""
        with self._lock, suppress(sqlite3.ProgrammingError):
            try:
                self._commit()
            finally:
                self._connection.close()

    def commit(self) -> None:
        """Hands what was held back to the operating system."""
        with self._lock, _translated(self.path):
            self._commit()

    def _commit(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def _begin(self) -> None:
        """Opens the transaction in which writes are held back."""
        if self._held and not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Runs one statement as a transaction of its own.

        Returns:
            How many rows it changed.

        Raises:
            RecordError: a value that the table does not take.
            StorageBusy, StorageError: see the class.
        """
        try:
            with self._lock:
                self._begin()
                return self._connection.execute(sql, values).rowcount
        except (sqlite3.Error, *_VALUE_FAULTS) as error:
            raise translated(error, self.path) from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query, fetched at once so that no reader holds the log back."""
        try:
            with self._lock:
                return self._connection.execute(sql, values).fetchall()
        except (sqlite3.Error, *_VALUE_FAULTS) as error:
            raise translated(error, self.path) from error

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Several statements as one; undone where the block raises.

        Args:
            durable: the log reaches the disk before the block ends; not where writes are held back.
        """
        with self._lock, _translated(self.path):
            if self._held:
                self._begin()
                with _within(self._connection) as begun:
                    yield begun
                return
            if durable:
                self._connection.execute("PRAGMA synchronous=FULL")
            try:
                with _begun(self._connection) as begun:
                    yield begun
            finally:
                if durable:
                    self._connection.execute("PRAGMA synchronous=NORMAL")

    def checkpoint(self) -> None:
        """Moves the log into the file now, so that a later write need not; for idle moments."""
        if self._held:
            return  # the log has nothing that could be moved before the next commit
        self.rows("PRAGMA wal_checkpoint(PASSIVE)")

    def faults(self) -> tuple[str, ...]:
        """What a check of the whole file finds; empty when it is sound. Slow on large files."""
        try:
            found = [str(row[0]) for row in self.rows("PRAGMA quick_check")]
        except StorageError as error:
            return (str(error),)
        return tuple(text for text in found if text != "ok")

    def _prepare(self, migrations: Sequence[Migration], readonly: bool) -> None:
        version = _version(self._connection)
        if version > len(migrations):
            raise StorageError(
                f"{self.path}: schema version {version}, this program knows up to {len(migrations)}; "
                "update the program, or give another --home"
            )
        if readonly:
            if version < len(migrations):
                raise StorageError(
                    f"{self.path}: schema version {version}, {len(migrations)} needed; start the daemon once, it upgrades the file"
                )
            return
        _use_log(self._connection)
        for number, step in enumerate(migrations[version:], start=version + 1):
            _migrate(self._connection, number, step)


def translated(error: Exception, path: Path) -> ScalperError:
    """The daemon's error for one of SQLite's, with its remedy."""
    code = _primary(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusy(f"{path}: {error}; another program holds it, close that program's transaction")
    if isinstance(error, _VALUE_FAULTS):
        return RecordError(f"{path}: record refused: {error}")
    remedy = _REMEDIES.get(code)
    return StorageError(f"{path}: {error}; {remedy}" if remedy else f"{path}: {error}")


def _primary(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the higher bytes are details


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, *_VALUE_FAULTS) as error:
        raise translated(error, path) from error


def _require_whole(path: Path) -> None:
    """Refuses a file whose log SQLite would delete on opening, with the rows that only the log has."""
    log = path.with_name(f"{path.name}-wal")
    # Before the file: another process may be making both at this moment, the file first.
    logged = False
    with suppress(OSError):
        logged = log.stat().st_size > 0
    try:
        with path.open("rb") as file:
            head = file.read(len(_HEADER))
    except FileNotFoundError:
        head = b""
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error}); {_CHECK_FOLDER}") from error
    if head and head != _HEADER:
        raise StorageError(f"{path}: file is not a database; {_MOVE_ASIDE}")
    if not head and logged:
        raise StorageError(f"{path}: the file is empty or missing but its log {log.name} is not; {_MOVE_ASIDE}")


def _connect(path: Path, readonly: bool) -> sqlite3.Connection:
    target = f"{path.resolve().as_uri()}?mode={'ro' if readonly else 'rwc'}"
    connection = sqlite3.connect(target, uri=True, timeout=BUSY_MS / 1_000, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Write-ahead logging with a bounded log; NORMAL survives a killed process, not a power cut."""
    connection.execute("PRAGMA busy_timeout=0")
    _switch_mode(connection)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")


def _switch_mode(connection: sqlite3.Connection) -> None:
    """SQLite does not wait here by itself when several processes make one file at one moment."""
    pause = threading.Event()
    for left in reversed(range(max(1, BUSY_MS // _PAUSE_MS))):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if left == 0 or _primary(error) != sqlite3.SQLITE_BUSY:
                raise
        else:
            return
        pause.wait(_PAUSE_MS / 1_000)


def _migrate(connection: sqlite3.Connection, number: int, step: Migration) -> None:
    """One step, unless another process has just done it."""
    with _begun(connection) as begun:
        if _version(begun) >= number:
            return
        for statement in step:
            begun.execute(statement)
        begun.execute(f"PRAGMA user_version={number}")


@contextmanager
def _begun(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Yields once inside a write transaction; commits after, rolls back where that raises."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _within(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Yields once inside a part of a longer transaction, which alone is undone where that raises."""
    connection.execute("SAVEPOINT part")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK TO part")
        raise
    finally:
        connection.execute("RELEASE part")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
