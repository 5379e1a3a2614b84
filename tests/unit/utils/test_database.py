import sqlite3
from contextlib import closing

import pytest

from config.errors import RecordError, StorageBusy, StorageError
from utils import database
from utils.database import Database

TABLE = (("CREATE TABLE t (x INTEGER NOT NULL UNIQUE)",),)


class BusyAtFirst:
    """A connection whose switch of mode meets other processes `times` times."""

    def __init__(self, times):
        self.left = times

    def execute(self, sql):
        assert sql == "PRAGMA journal_mode=WAL"
        if self.left:
            self.left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
            raise error


def test_processes_that_make_one_file_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(database, "_PAUSE_MS", 1)
    connection = BusyAtFirst(3)
    database._switch_mode(connection)
    assert connection.left == 0


def test_they_do_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(database, "_PAUSE_MS", 1)
    monkeypatch.setattr(database, "BUSY_MS", 5)
    with pytest.raises(sqlite3.OperationalError):
        database._switch_mode(BusyAtFirst(6))


def test_a_file_held_before_its_first_use_is_a_retry(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_MS", 20)
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE other (x)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy, match=r"a\.db"):
            Database(path, TABLE)
        other.execute("COMMIT")
        Database(path, TABLE).close()


def test_a_transaction_that_raises_leaves_nothing_behind(tmp_path):
    with closing(Database(tmp_path / "a.db", TABLE)) as db:
        with pytest.raises(KeyError), db.transaction(durable=True) as begun:
            begun.execute("INSERT INTO t VALUES (1)")
            raise KeyError
        assert db.rows("SELECT * FROM t") == []
        assert db.write("INSERT INTO t VALUES (1)") == 1


@pytest.mark.parametrize("value", [1, None, 2**70, "\ud800"])
def test_a_value_that_the_table_does_not_take_is_a_refused_record(tmp_path, value):
    with closing(Database(tmp_path / "a.db", TABLE)) as db:
        db.write("INSERT INTO t VALUES (1)")
        with pytest.raises(RecordError, match="refused"):
            db.write("INSERT INTO t VALUES (?)", (value,))
        with pytest.raises(RecordError, match="refused"), db.transaction() as begun:
            begun.execute("INSERT INTO t VALUES (?)", (value,))


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        (sqlite3.SQLITE_BUSY, StorageBusy, "another program"),
        (sqlite3.SQLITE_LOCKED, StorageBusy, "another program"),
        (sqlite3.SQLITE_CORRUPT, StorageError, "move it"),
        (sqlite3.SQLITE_NOTADB, StorageError, "move it"),
        (sqlite3.SQLITE_FULL, StorageError, "disk space"),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageError, "check the disk"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StorageError, "folder"),
        (sqlite3.SQLITE_CANTOPEN, StorageError, "folder"),
    ],
)
def test_every_fault_has_its_remedy(tmp_path, code, kind, remedy):
    error = sqlite3.OperationalError("fault")
    error.sqlite_errorcode = code
    translated = database.translated(error, tmp_path / "a.db")
    assert type(translated) is kind
    assert "a.db: fault" in str(translated)
    assert remedy in str(translated)


class TestHeldWrites:
    """Of a replay: all that lies between two commits is there, or nothing of it."""

    @pytest.fixture
    def held(self, tmp_path):
        made = Database(tmp_path / "held.db", TABLE, held=True)
        yield made
        made.close()

    def seen(self, held):
        with closing(sqlite3.connect(held.path)) as other:
            return [row[0] for row in other.execute("SELECT x FROM t ORDER BY x")]

    def test_they_are_read_back_at_once_and_by_others_after_a_commit(self, held):
        assert held.write("INSERT INTO t VALUES (1)") == 1
        with held.transaction(durable=True) as db:
            db.execute("INSERT INTO t VALUES (2)")
        assert [row[0] for row in held.rows("SELECT x FROM t")] == [1, 2]
        assert self.seen(held) == []
        held.commit()
        assert self.seen(held) == [1, 2]

    def test_a_part_that_fails_is_undone_alone(self, held):
        held.write("INSERT INTO t VALUES (1)")
        with pytest.raises(RecordError), held.transaction() as db:
            db.execute("INSERT INTO t VALUES (2)")
            db.execute("INSERT INTO t VALUES (1)")
        held.write("INSERT INTO t VALUES (3)")
        held.commit()
        assert self.seen(held) == [1, 3]

    def test_closing_commits(self, held):
        held.write("INSERT INTO t VALUES (7)")
        held.close()
        assert self.seen(held) == [7]
        held.close()

    def test_a_commit_of_nothing_and_a_checkpoint_do_nothing(self, held):
        held.commit()
        held.write("INSERT INTO t VALUES (1)")
        held.checkpoint()
        assert self.seen(held) == []
