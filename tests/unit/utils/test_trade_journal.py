import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from config.errors import OutcomeUnknown, RecordError, StopError, StorageBusy, StorageError
from execution.orders import OrderState
from market_data.clock import ManualClock, SystemClock
from strategy.decision import DecisionOutcome, JobRun, ModelEvent
from tests.contracts.recorder_contract import (
    DAY,
    FILLED,
    MINUTE,
    START,
    UNKNOWN,
    RecorderContract,
    a_deal,
    a_lull,
    an_account,
    an_entry,
    an_exit,
    an_intent,
    an_outcome,
)
from utils import database
from utils.database import Database
from utils.journal_queries import JournalReader, journal_scopes
from utils.journal_schema import MIGRATIONS, TABLES
from utils.trade_journal import TradeJournal

ROOT = Path(__file__).parents[3]
ACCOUNT = "simulated/1"


def journal_at(path, account=ACCOUNT, mode="simulated", clock=None):
    return TradeJournal(path, account=account, mode=mode, clock=clock or ManualClock(START))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    with closing(journal_at(path)) as journal:
        yield journal


@pytest.mark.parametrize("slots", [(), ("scalper",), ("xgboost", "lstm 100%", "scalper")])
def test_a_lull_leaves_the_rows_of_its_decisions(tmp_path, slots):
    lulls = [a_lull("EURUSD", (0, 2, 3), slots), a_lull("GBPUSD", (1, 2, 5), slots)]
    rows = []
    for name in ("together", "alone"):
        with closing(journal_at(tmp_path / name)) as journal:
            if name == "together":
                journal.record_lulls(lulls)
            else:
                for lull, place in ((0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)):
                    journal.record_decision(DecisionOutcome(lulls[lull].at(place), "none"))
        with closing(sqlite3.connect(tmp_path / name)) as db:
            rows.append(db.execute("SELECT * FROM decisions ORDER BY id").fetchall())
    assert rows[0] == rows[1]
    assert len(rows[0]) == 6


class TestTradeJournalAsRecorder(RecorderContract):
    def make(self, tmp_path, clock):
        return journal_at(tmp_path / "journal.db", clock=clock)


class TestScopes:
    def test_accounts_and_modes_are_never_mixed(self, path):
        with (
            closing(journal_at(path)) as first,
            closing(journal_at(path, "simulated/2")) as second,
            closing(journal_at(path, mode="paper")) as third,
        ):
            for number, journal in enumerate((first, second, third), start=1):
                journal.record_decision(an_outcome(START + number * MINUTE))
                journal.record_intent(an_intent(), START)
                journal.log_entry(an_entry())
                journal.log_exit(an_exit(net=-float(number)))
                journal.record_equity(START, an_account(1_000.0 * number))
            for number, journal in enumerate((first, second, third), start=1):
                assert journal.get_daily_stats(DAY).net == -number
                assert journal.equity_at_day_start(DAY) == 1_000.0 * number
                assert journal.last_decision("EURUSD") == START + number * MINUTE
                assert len(journal.unresolved_orders()) == len(journal.recent_closed(9)) == len(journal.decisions(9)) == 1
                assert journal.counts()["trades"] == 1

    def test_an_order_of_another_mode_is_not_ours(self, path):
        with closing(journal_at(path, mode="paper")) as paper, closing(journal_at(path, mode="live")) as live:
            paper.record_intent(an_intent(), START)
            with pytest.raises(RecordError, match="k1"):
                live.record_order("k1", FILLED)

    def test_scopes_are_listed_the_last_used_first(self, path):
        with closing(journal_at(path, mode="paper")) as paper, closing(journal_at(path, mode="live")) as live:
            paper.record_decision(an_outcome(START))
            live.record_equity(START + MINUTE, an_account())
            assert journal_scopes(path) == ((ACCOUNT, "live"), (ACCOUNT, "paper"))

    def test_model_events_and_jobs_belong_to_the_home(self, path):
        with closing(journal_at(path, mode="paper")) as paper, closing(journal_at(path, mode="live")) as live:
            paper.record_model_event(ModelEvent(START, "scalper", "promoted", 1, ""))
            paper.record_job(JobRun("train:scalper", "start", START, "promoted", "", START))
            assert [row["slot"] for row in live.model_events(5)] == ["scalper"]
            assert [row["job"] for row in live.jobs(5)] == ["train:scalper"]


class TestRows:
    def test_decisions_are_plain_dicts_newest_first(self, journal):
        for minute in range(3):
            journal.record_decision(an_outcome(START + minute * MINUTE))
            journal.record_decision(an_outcome(START + minute * MINUTE, "GBPUSD"))
        rows = journal.decisions(2, "EURUSD")
        assert [row["bar_time"] for row in rows] == ["2024-03-08T12:02:00.000Z", "2024-03-08T12:01:00.000Z"]
        assert rows[0]["forecasts"] == {"scalper": {"expected_r": 0.125, "p_long": 0.5, "p_short": 0.25, "side": "long"}}
        assert rows[0]["absent"] == {"xgboost": "expired"}
        assert len(journal.decisions(99)) == 6

    def test_trades_can_be_limited_to_open_ones(self, journal):
        for ticket in (1, 2, 3):
            journal.log_entry(an_entry(ticket, symbol="GBPUSD" if ticket == 3 else "EURUSD"))
        journal.log_exit(an_exit(1))
        assert [row["ticket"] for row in journal.trades(9)] == [3, 2, 1]
        assert [row["ticket"] for row in journal.trades(9, open_only=True)] == [3, 2]
        assert [row["ticket"] for row in journal.trades(9, "EURUSD", open_only=True)] == [2]
        assert journal.trades(9)[2]["r_multiple"] == 0.5

    def test_an_order_keeps_its_history_and_shows_its_newest_state(self, path):
        clock = ManualClock(START)
        with closing(journal_at(path, clock=clock)) as journal:
            journal.record_intent(an_intent(), START)
            clock.set(START + MINUTE)
            journal.record_order("k1", UNKNOWN)
            clock.set(START + 2 * MINUTE)
            journal.record_order("k1", FILLED)
            assert journal.orders(9)[0]["state"] == OrderState.FILLED.value
            history = [(row["state"], row["at"][14:16], row["order_ticket"]) for row in journal.order_states("k1")]
        assert history == [("intended", "00", 0), ("unknown", "01", 0), ("filled", "02", 11)]

    def test_events_and_jobs_are_filtered_by_name(self, journal):
        for slot in ("scalper", "xgboost"):
            journal.record_model_event(ModelEvent(START, slot, "rejected", 0, "accuracy", {"log_loss": float("nan"), "rows": np.int64(7)}))
            journal.record_job(JobRun(f"train:{slot}", "schedule", START, "rejected", "accuracy", START + MINUTE))
        (row,) = journal.model_events(9, "xgboost")
        assert row["report"] == {"log_loss": "nan", "rows": 7}
        assert [row["job"] for row in journal.jobs(9)] == ["train:xgboost", "train:scalper"]
        assert [row["due_next"] for row in journal.jobs(9, "train:scalper")] == ["2024-03-08T12:01:00.000Z"]

    def test_deals_and_equity_are_listed(self, journal):
        journal.record_deal(replace(a_deal(), side=None))
        journal.record_equity(START, an_account(123.5))
        assert (journal.deals(9)[0]["order_ticket"], journal.deals(9)[0]["side"]) == (2, None)
        assert journal.equity(9)[0]["equity"] == 123.5


class TestValues:
    def test_numpy_numbers_are_stored_as_numbers(self, journal):
        journal.log_entry(replace(an_entry(np.int64(5)), volume=np.float64(0.5), versions={"scalper": np.int64(3)}))
        journal.log_exit(replace(an_exit(np.int64(5)), net=np.float64(5.0)))
        (trade,) = journal.recent_closed(9)
        assert (trade.entry.ticket, trade.entry.versions, trade.r_multiple) == (5, {"scalper": 3}, 0.5)

    def test_a_time_without_zone_is_refused(self, journal):
        with pytest.raises(RecordError, match="no time zone"):
            journal.record_decision(an_outcome(datetime(2024, 3, 8)))  # noqa: DTZ001  # that is what is tested

    def test_a_number_that_is_not_finite_is_refused_by_name(self, journal):
        with pytest.raises(RecordError, match=r"trades\.risk_money"):
            journal.log_entry(an_entry(risk_money=float("nan")))

    def test_a_report_that_is_no_json_is_refused(self, journal):
        with pytest.raises(RecordError, match="object"):
            journal.record_model_event(ModelEvent(START, "scalper", "failed", 0, "", {"error": object()}))

    def test_a_tiny_remainder_is_breakeven(self, journal):
        journal.log_entry(an_entry())
        journal.log_exit(an_exit(net=0.1 + 0.2 - 0.3))
        assert (journal.get_daily_stats(DAY).wins, journal.get_daily_stats(DAY).breakeven) == (0, 1)


class TestFile:
    def test_times_of_every_row_are_reproducible(self, tmp_path):
        """Two replays leave the same tables but for measured columns."""
        dumps = []
        for name, latency in (("a.db", 5), ("b.db", 999)):
            with closing(journal_at(tmp_path / name)) as journal:
                journal.record_decision(replace(an_outcome(), latency_us=latency))
                journal.record_intent(an_intent(), START)
                journal.record_order("k1", FILLED)
                journal.record_deal(a_deal())
                journal.log_entry(an_entry())
                journal.log_exit(an_exit())
                journal.record_model_event(ModelEvent(START, "scalper", "promoted", 1, "", {"b": 1, "a": 2}))
                journal.record_equity(START, an_account())
                journal.record_job(JobRun("train:scalper", "start", START, "promoted", "", START, seconds_wall=float(latency)))
            dumps.append(_reproducible(tmp_path / name))
        assert dumps[0] == dumps[1]
        assert all(dumps[0][table] for table in TABLES)

    def test_what_was_written_is_there_after_reopening(self, path):
        with closing(journal_at(path)) as journal:
            journal.log_entry(an_entry())
        with closing(journal_at(path)) as journal:
            assert journal.open_trades() == (an_entry(),)
            assert journal.faults() == ()

    def test_closing_twice_is_safe_and_writing_then_fails(self, path):
        journal = journal_at(path)
        journal.close()
        journal.close()
        with pytest.raises(StorageError, match=r"journal\.db"):
            journal.log_entry(an_entry())

    def test_an_intent_waits_for_the_disk_and_a_decision_does_not(self, journal):
        seen = []
        journal._writing._connection.set_trace_callback(seen.append)
        journal.record_intent(an_intent(), START)
        assert seen[0] == "PRAGMA synchronous=FULL"
        assert seen[-2:] == ["COMMIT", "PRAGMA synchronous=NORMAL"]
        seen.clear()
        journal.record_decision(an_outcome())
        assert [sql[:6] for sql in seen] == ["INSERT"]

    def test_a_duplicate_intent_leaves_the_journal_usable(self, journal):
        journal.record_intent(an_intent(), START)
        with pytest.raises(OutcomeUnknown):
            journal.record_intent(an_intent(), START)
        journal.record_intent(an_intent("k2"), START)
        assert journal._writing._connection.execute("PRAGMA synchronous").fetchone()[0] == 1
        assert journal.counts()["order_states"] == 2

    def test_the_log_does_not_grow_without_bound(self, path, monkeypatch):
        monkeypatch.setattr(database, "CHECKPOINT_PAGES", 20)
        with closing(journal_at(path)) as journal:
            for minute in range(400):
                journal.record_decision(an_outcome(START + minute * MINUTE))
            assert path.with_name("journal.db-wal").stat().st_size < 60 * 4_200

    def test_a_checkpoint_moves_the_log_into_the_file(self, journal, path):
        for minute in range(100):
            journal.record_decision(an_outcome(START + minute * MINUTE))
        before = path.stat().st_size
        journal.checkpoint()
        assert path.stat().st_size > before

    @pytest.mark.parametrize("name", ["with space.db", "per%20cent.db", "hash#mark.db", "Währung.db"])
    def test_any_file_name_works(self, tmp_path, name):
        with closing(journal_at(tmp_path / name)) as journal:
            journal.log_entry(an_entry())
            assert len(journal.open_trades()) == 1
        assert (tmp_path / name).is_file()


class TestDamage:
    @pytest.mark.parametrize("opened", [journal_at, lambda path: JournalReader(path, account=ACCOUNT, mode="simulated")])
    def test_a_file_that_is_no_database_is_named_and_left_alone(self, path, opened):
        path.write_bytes(b"not a database at all" * 400)
        path.with_name("journal.db-wal").write_bytes(b"log")
        with pytest.raises(StorageError, match=r"journal\.db.*not a database.*move it") as caught:
            opened(path)
        assert isinstance(caught.value, StopError)
        assert path.read_bytes() == b"not a database at all" * 400
        assert path.with_name("journal.db-wal").read_bytes() == b"log"

    @pytest.mark.parametrize("empty", [True, False])
    def test_a_log_without_its_file_is_not_thrown_away(self, path, empty):
        if empty:
            path.touch()
        path.with_name("journal.db-wal").write_bytes(b"log")
        with pytest.raises(StorageError, match=r"empty or missing.*journal\.db-wal.*move it"):
            journal_at(path)
        assert path.with_name("journal.db-wal").read_bytes() == b"log"

    def test_a_truncated_file_is_named(self, path):
        with closing(journal_at(path)) as journal:
            for minute in range(200):
                journal.record_decision(an_outcome(START + minute * MINUTE))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StorageError, match=r"malformed.*move it"):
            journal_at(path)
        assert path.read_bytes() == whole[: len(whole) // 2]

    def test_damage_inside_is_found_by_the_check(self, path):
        with closing(journal_at(path)) as journal:
            for minute in range(200):
                journal.record_decision(an_outcome(START + minute * MINUTE))
        damaged = bytearray(path.read_bytes())
        damaged[-8_192:-4_096] = b"\x55" * 4_096
        path.write_bytes(damaged)
        with closing(JournalReader(path, account=ACCOUNT, mode="simulated")) as reader:
            assert reader.faults() != ()

    def test_a_folder_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(StorageError, match=r"absent.*check that its folder exists"):
            journal_at(tmp_path / "absent" / "journal.db")

    def test_a_file_that_another_program_holds_is_a_retry(self, path, monkeypatch):
        monkeypatch.setattr(database, "BUSY_MS", 10)
        with closing(journal_at(path)) as journal, closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageBusy, match=r"journal\.db"):
                journal.record_intent(an_intent(), START)
            other.execute("ROLLBACK")
            journal.record_intent(an_intent(), START)


class TestMigrations:
    def test_a_journal_of_version_1_is_upgraded_and_keeps_its_rows(self, path):
        _version_1(path)
        with closing(journal_at(path)) as journal:
            assert [entry.ticket for entry in journal.open_trades()] == [42]
            assert journal.log_exit(an_exit(42)) is True
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
            assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'trades_by_close'").fetchone() == (1,)

    def test_an_upgraded_schema_equals_a_new_one(self, path, tmp_path):
        _version_1(path)
        journal_at(path).close()
        journal_at(tmp_path / "new.db").close()
        assert _schema(path) == _schema(tmp_path / "new.db")

    def test_a_newer_schema_is_refused_naming_both_versions(self, path):
        journal_at(path).close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
        before = path.read_bytes()
        with pytest.raises(StorageError, match=rf"version 99.*up to {len(MIGRATIONS)}.*update the program"):
            journal_at(path)
        assert path.read_bytes() == before

    def test_a_step_happens_whole_or_not_at_all(self, path):
        steps = (("CREATE TABLE a (x)",), ("ALTER TABLE a ADD COLUMN y", "ALTER TABLE absent ADD COLUMN z"))
        with pytest.raises(StorageError, match="absent"):
            Database(path, steps)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (1,)
            assert [row[1] for row in db.execute("PRAGMA table_info(a)")] == ["x"]

    def test_a_reader_never_upgrades(self, path):
        _version_1(path)
        with pytest.raises(StorageError, match="start the daemon once"):
            JournalReader(path, account=ACCOUNT, mode="simulated")
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (1,)


class TestReader:
    def test_it_needs_a_journal_and_makes_none(self, path):
        with pytest.raises(StorageError, match="no journal here"):
            JournalReader(path, account=ACCOUNT, mode="simulated")
        assert not path.exists()

    def test_it_sees_what_was_committed_and_cannot_write(self, journal, path):
        with closing(JournalReader(path, account=ACCOUNT, mode="simulated")) as reader:
            assert reader.open_trades() == ()
            journal.log_entry(an_entry())
            assert reader.open_trades() == (an_entry(),)
            with pytest.raises(StorageError, match="readonly"):
                reader._reading.write("DELETE FROM trades")

    def test_it_works_while_the_daemon_is_down(self, path):
        with closing(journal_at(path)) as journal:
            journal.log_entry(an_entry())
        with closing(JournalReader(path, account=ACCOUNT, mode="simulated")) as reader:
            assert reader.open_trades() == (an_entry(),)

    def test_reading_while_writing_sees_whole_bars_in_order(self, journal, path):
        bars, seen, stop = 400, [], threading.Event()

        def read():
            with closing(JournalReader(path, account=ACCOUNT, mode="simulated")) as reader:
                while not stop.is_set():
                    seen.append([row["bar_time"] for row in reader.decisions(bars)])

        thread = threading.Thread(target=read)
        thread.start()
        for minute in range(bars):
            journal.record_decision(an_outcome(START + minute * MINUTE))
        stop.set()
        thread.join()
        assert seen
        written = [row["bar_time"] for row in journal.decisions(bars)]
        assert all(times == written[bars - len(times) :] for times in seen)
        assert [len(times) for times in seen] == sorted(len(times) for times in seen)

    def test_many_threads_write_without_losing_a_row(self, journal):
        start = threading.Barrier(4)

        def write(worker):
            start.wait()
            for number in range(50):
                journal.record_decision(an_outcome(START + number * MINUTE, f"S{worker}"))
                journal.log_entry(an_entry(worker * 1_000 + number))

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (journal.counts()["decisions"], journal.counts()["trades"]) == (200, 200)


WRITER = """
import sys
from datetime import timedelta
from pathlib import Path
from market_data.clock import SystemClock
from tests.contracts.recorder_contract import FILLED, MINUTE, START, an_intent, an_outcome
from utils.trade_journal import TradeJournal
journal = TradeJournal(Path(sys.argv[1]), account="simulated/1", mode="simulated", clock=SystemClock())
number = int(sys.argv[2])
while True:
    key = f"k{number}"
    journal.record_intent(an_intent(key, START + number * MINUTE), START)
    sys.stdout.write(f"{key} intended\\n"); sys.stdout.flush()
    journal.record_order(key, FILLED)
    sys.stdout.write(f"{key} filled\\n"); sys.stdout.flush()
    journal.record_decision(an_outcome(START + number * MINUTE))
    sys.stdout.write(f"{key} decided\\n"); sys.stdout.flush()
    number += 1
"""


class TestKilledWriter:
    def test_every_write_that_returned_survives_repeated_kills(self, path):
        returned = []
        for life in range(3):
            returned += _run_and_kill(path, first=life * 1_000_000, lines=40 + 17 * life)
            with closing(JournalReader(path, account=ACCOUNT, mode="simulated")) as reader:
                assert reader.faults() == ()
        with closing(journal_at(path, clock=SystemClock())) as journal:
            for key, step in returned:
                states = [row["state"] for row in journal.order_states(key)]
                assert states[0] == "intended"
                if step != "intended":
                    assert states == ["intended", "filled"]
                if step == "decided":
                    assert journal.decision("EURUSD", START + int(key[1:]) * MINUTE) is not None
            # Beside what returned, each life may have committed one write that it could not report.
            assert journal.counts()["orders"] <= len({key for key, _ in returned}) + 3
            assert len(journal.unresolved_orders()) <= 3


def _run_and_kill(path, first, lines):
    """Starts the writer, kills it after `lines` reports, and returns all that it reported."""
    command = [sys.executable, "-c", WRITER, str(path), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        reported = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        reported += process.stdout.readlines()
    whole = [line.split() for line in reported if line.endswith("\n")]
    assert len(whole) >= lines, "the writer died before it was killed"
    return [(key, step) for key, step in whole]


def _version_1(path):
    """A journal as the first schema made it, with one open trade."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute(
            "INSERT INTO trades (account, mode, ticket, order_key, symbol, side, volume, opened, bar_time, price, sl, tp, "
            "risk_money, versions, expected_r, reason) VALUES (?, 'simulated', 42, 'k', 'EURUSD', 'long', 0.1, "
            "'2024-03-08T12:00:00.000Z', '2024-03-08T12:00:00.000Z', 1.08, 1.07, 1.09, 10.0, '{\"scalper\":1}', 0.1, 'old')",
            (ACCOUNT,),
        )
        db.execute("PRAGMA user_version = 1")


def _schema(path):
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute("SELECT type, name, sql FROM sqlite_master"), key=str)


def _reproducible(path):
    tables = {}
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        for table in TABLES:
            rows = db.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
            tables[table] = [{name: row[name] for name in row.keys() if not name.endswith(("_us", "_wall"))} for row in rows]  # noqa: SIM118  # a Row iterates over its values
    return tables


def test_decisions_of_a_span_come_in_the_order_in_which_they_were_made(tmp_path):
    with closing(TradeJournal(tmp_path / "journal.db", account="a", mode="paper", clock=ManualClock(START))) as journal:
        for minute, symbol in ((0, "EURUSD"), (1, "GBPUSD"), (1, "EURUSD"), (2, "EURUSD")):
            journal.record_decision(an_outcome(START + minute * MINUTE, symbol))
        told = journal.decided_between(START, START + 2 * MINUTE)
        assert [(row.decision.bar_time, row.decision.symbol) for row in told] == [
            (START, "EURUSD"),
            (START + MINUTE, "GBPUSD"),
            (START + MINUTE, "EURUSD"),
        ]
        assert told[0] == an_outcome(START)
        assert len(journal.decided_between(START + MINUTE, START + 9 * MINUTE, "EURUSD")) == 2
