"""Reading the journal, also beside a daemon that writes it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from config.errors import StorageError
from execution.orders import OrderIntent, OrderResult
from strategy.decision import DecisionOutcome, TradeEntry
from utils.database import Database
from utils.journal_records import MONEY_NOISE, ClosedTrade, DailyStats, daily_stats
from utils.journal_rows import (
    instant,
    plain,
    read_closed,
    read_entry,
    read_intent,
    read_outcome,
    read_plan,
    read_result,
    stamp,
)
from utils.journal_schema import MIGRATIONS, TABLES

Rows = list[dict[str, Any]]


class JournalReader:
    """The journal of one account and mode, opened read-only; safe to use from any thread.

    Sees every write that was committed before the call. What is read is never mixed between
    accounts or modes, with one exception: model events and job runs belong to the home.

    Args:
        path: `journal.db` of a home.
        account: `simulated/1` or `mt5:<server>/<login>`.
        mode: `simulated`, `paper` or `live`.

    Raises:
        StorageError: there is no such file, it is damaged, or its schema is not this program's.
    """

    def __init__(self, path: Path, *, account: str, mode: str) -> None:
        self.path, self.account, self.mode = path, account, mode
        self._reading = _opened(path)

    def close(self) -> None:
        """Closes the file; safe to repeat."""
        self._reading.close()

    def open_trades(self) -> tuple[TradeEntry, ...]:
        """Trades without an exit, oldest first."""
        sql = "SELECT * FROM trades WHERE account = ? AND mode = ? AND closed IS NULL ORDER BY opened, ticket"
        return tuple(read_entry(row) for row in self._reading.rows(sql, self._scope))

    def unresolved_orders(self) -> tuple[OrderIntent, ...]:
        """Orders that may or may not exist at the venue (intended or unknown), oldest first."""
        sql = "SELECT * FROM orders WHERE account = ? AND mode = ? AND state IN ('intended', 'unknown') ORDER BY created, key"
        return tuple(read_intent(row) for row in self._reading.rows(sql, self._scope))

    def given_up_orders(self, since: datetime) -> tuple[OrderIntent, ...]:
        """Orders made since an instant and taken as never sent, oldest first."""
        sql = "SELECT * FROM orders WHERE account = ? AND mode = ? AND created >= ? AND state = 'not_sent' ORDER BY created, key"
        return tuple(read_intent(row) for row in self._reading.rows(sql, (*self._scope, stamp(since))))

    def tickets_of_others(self, key: str, since: datetime) -> frozenset[int]:
        """Tickets that the venue gave to other orders made since an instant."""
        sql = (
            "SELECT DISTINCT s.order_ticket FROM orders AS o JOIN order_states AS s ON s.account = o.account AND s.mode = o.mode "
            "AND s.key = o.key WHERE o.account = ? AND o.mode = ? AND o.created >= ? AND o.key != ? AND s.order_ticket != 0"
        )
        return frozenset(int(row[0]) for row in self._reading.rows(sql, (*self._scope, stamp(since), key)))

    def unlogged_fills(self) -> tuple[tuple[OrderIntent, OrderResult], ...]:
        """Entries that were filled and have no trade: a crash came between the two; oldest first."""
        sql = (
            "SELECT * FROM orders AS o WHERE account = ? AND mode = ? AND purpose = 'entry' AND state IN ('filled', 'partial') AND NOT EXISTS "
            "(SELECT 1 FROM trades WHERE account = o.account AND mode = o.mode AND order_key = o.key) ORDER BY created, key"
        )
        latest = "SELECT * FROM order_states WHERE account = ? AND mode = ? AND key = ? ORDER BY id DESC LIMIT 1"
        found = self._reading.rows(sql, self._scope)
        return tuple((read_intent(row), read_result(self._reading.rows(latest, (*self._scope, row["key"]))[0])) for row in found)

    def planned(self, key: str) -> TradeEntry | None:
        """The trade that an entry order was to open, with ticket 0; None where no entry has this key."""
        sql = "SELECT * FROM orders WHERE account = ? AND mode = ? AND key = ? AND purpose = 'entry'"
        rows = self._reading.rows(sql, (*self._scope, key))
        return read_plan(rows[0]) if rows else None

    def intent_of_ticket(self, ticket: int) -> OrderIntent | None:
        """Our intent behind an order ticket of the venue; None where the order is not ours."""
        sql = (
            "SELECT o.* FROM order_states AS s JOIN orders AS o ON o.account = s.account AND o.mode = s.mode AND o.key = s.key "
            "WHERE s.account = ? AND s.mode = ? AND s.order_ticket = ? ORDER BY s.id DESC LIMIT 1"
        )
        rows = self._reading.rows(sql, (*self._scope, ticket)) if ticket else []
        return read_intent(rows[0]) if rows else None

    def last_decision(self, symbol: str) -> datetime | None:
        """Open time of the newest decided bar of a symbol."""
        return self._instant("SELECT MAX(bar_time) FROM decisions WHERE account = ? AND mode = ? AND symbol = ?", symbol)

    def decision(self, symbol: str, bar_time: datetime) -> DecisionOutcome | None:
        """What was decided on one bar."""
        sql = "SELECT * FROM decisions WHERE account = ? AND mode = ? AND symbol = ? AND bar_time = ?"
        rows = self._reading.rows(sql, (*self._scope, symbol, stamp(bar_time)))
        return read_outcome(rows[0]) if rows else None

    def intent_for_bar(self, symbol: str, bar_time: datetime) -> OrderIntent | None:
        """The entry that was intended on one bar; the newest where there were several."""
        sql = (
            "SELECT * FROM orders WHERE account = ? AND mode = ? AND symbol = ? AND bar_time = ? "
            "AND purpose = 'entry' ORDER BY created DESC, key DESC LIMIT 1"
        )
        rows = self._reading.rows(sql, (*self._scope, symbol, stamp(bar_time)))
        return read_intent(rows[0]) if rows else None

    def last_loss(self, symbol: str) -> datetime | None:
        """When the newest losing trade of a symbol closed."""
        sql = "SELECT MAX(closed) FROM trades WHERE account = ? AND mode = ? AND symbol = ? AND net < ?"
        return self._instant(sql, symbol, -MONEY_NOISE)

    def recent_closed(self, limit: int) -> tuple[ClosedTrade, ...]:
        """Closed trades, newest first."""
        sql = "SELECT * FROM trades WHERE account = ? AND mode = ? AND closed IS NOT NULL ORDER BY closed DESC, ticket DESC LIMIT ?"
        return tuple(read_closed(row) for row in self._reading.rows(sql, (*self._scope, limit)))

    def get_daily_stats(self, day: date) -> DailyStats:
        """Figures of the trades that closed on a UTC day."""
        sql = "SELECT * FROM trades WHERE account = ? AND mode = ? AND closed >= ? AND closed < ? ORDER BY closed, ticket"
        return daily_stats(day, map(read_closed, self._reading.rows(sql, (*self._scope, *_bounds(day)))))

    def equity_at_day_start(self, day: date) -> float | None:
        """The first equity recorded on a UTC day, account currency; None where there is none."""
        sql = "SELECT equity FROM equity WHERE account = ? AND mode = ? AND at >= ? AND at < ? ORDER BY at LIMIT 1"
        rows = self._reading.rows(sql, (*self._scope, *_bounds(day)))
        return float(rows[0][0]) if rows else None

    def equity_since(self, start: datetime) -> float | None:
        """The first equity recorded at or after an instant, account currency; None where there is none."""
        sql = "SELECT equity FROM equity WHERE account = ? AND mode = ? AND at >= ? ORDER BY at LIMIT 1"
        rows = self._reading.rows(sql, (*self._scope, stamp(start)))
        return float(rows[0][0]) if rows else None

    def day_opening(self, start: datetime) -> tuple[datetime, float] | None:
        """When the first equity at or after an instant was recorded, and what it was, account currency."""
        sql = "SELECT at, equity FROM equity WHERE account = ? AND mode = ? AND at >= ? ORDER BY at LIMIT 1"
        rows = self._reading.rows(sql, (*self._scope, stamp(start)))
        return (instant(rows[0][0]), float(rows[0][1])) if rows else None

    def entry_before(self, rank: int) -> datetime | None:
        """When the `rank`-th newest entry was intended, 1 for the newest; None where there are fewer."""
        # NOT INDEXED: a walk back over a few rows, however long the journal is.
        sql = (
            "SELECT created FROM orders NOT INDEXED WHERE account = ? AND mode = ? AND purpose = 'entry' ORDER BY id DESC LIMIT 1 OFFSET ?"
        )
        rows = self._reading.rows(sql, (*self._scope, rank - 1))
        return instant(rows[0][0]) if rows else None

    def decided_between(self, start: datetime, end: datetime, symbol: str | None = None) -> tuple[DecisionOutcome, ...]:
        """What was decided on bars that opened from `start` up to, not including, `end`; in the order of decision."""
        sql = (
            "SELECT * FROM decisions NOT INDEXED WHERE account = ? AND mode = ? AND bar_time >= ? AND bar_time < ? "
            "AND symbol = IFNULL(?, symbol) ORDER BY id"
        )
        return tuple(map(read_outcome, self._reading.rows(sql, (*self._scope, stamp(start), stamp(end), symbol))))

    def decisions(self, limit: int, symbol: str | None = None) -> Rows:
        """Rows of `decisions`, newest first."""
        return self._listed(
            "SELECT * FROM decisions NOT INDEXED WHERE account = ? AND mode = ? AND symbol = IFNULL(?, symbol)", limit, symbol
        )

    def decisions_by(self, at: datetime) -> Rows:
        """Of each symbol the row on its newest bar that had opened by an instant."""
        sql = "SELECT *, MAX(bar_time) FROM decisions WHERE account = ? AND mode = ? AND bar_time <= ? GROUP BY symbol"
        return [plain(row) for row in self._reading.rows(sql, (*self._scope, stamp(at)))]

    def orders(self, limit: int, symbol: str | None = None) -> Rows:
        """Rows of `orders`, newest first."""
        return self._listed("SELECT * FROM orders NOT INDEXED WHERE account = ? AND mode = ? AND symbol = IFNULL(?, symbol)", limit, symbol)

    def order_states(self, key: str) -> Rows:
        """Every state of one order, in the order they were recorded."""
        sql = "SELECT * FROM order_states WHERE account = ? AND mode = ? AND key = ? ORDER BY id"
        return [plain(row) for row in self._reading.rows(sql, (*self._scope, key))]

    def deals(self, limit: int, symbol: str | None = None) -> Rows:
        """Rows of `deals`, newest first."""
        return self._listed("SELECT * FROM deals NOT INDEXED WHERE account = ? AND mode = ? AND symbol = IFNULL(?, symbol)", limit, symbol)

    def trades(self, limit: int, symbol: str | None = None, open_only: bool = False) -> Rows:
        """Rows of `trades`, newest first; `closed` is None while a trade is open."""
        sql = "SELECT * FROM trades NOT INDEXED WHERE account = ? AND mode = ? AND symbol = IFNULL(?, symbol) AND (closed IS NULL OR ? = 0)"
        return self._listed(sql, limit, symbol, int(open_only))

    def equity(self, limit: int) -> Rows:
        """Rows of `equity`, newest first."""
        return self._listed("SELECT * FROM equity NOT INDEXED WHERE account = ? AND mode = ?", limit)

    def model_events(self, limit: int, slot: str | None = None) -> Rows:
        """Rows of `model_events` of the whole home, newest first."""
        rows = self._reading.rows("SELECT * FROM model_events WHERE slot = IFNULL(?, slot) ORDER BY id DESC LIMIT ?", (slot, limit))
        return [plain(row) for row in rows]

    def jobs(self, limit: int, job: str | None = None) -> Rows:
        """Rows of `job_runs` of the whole home, newest first."""
        rows = self._reading.rows("SELECT * FROM job_runs WHERE job = IFNULL(?, job) ORDER BY id DESC LIMIT ?", (job, limit))
        return [plain(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Rows of this account and mode by table."""
        counted = "SELECT COUNT(*) FROM {} WHERE account = ? AND mode = ?"
        return {table: int(self._reading.rows(counted.format(table), self._scope)[0][0]) for table in TABLES}

    def tally(self) -> tuple[dict[str, Any], ...]:
        """Decisions by `symbol` and `action`: `count`, and the instants `first` and `last` of their bars."""
        sql = (
            "SELECT symbol, action, COUNT(*) AS count, MIN(bar_time) AS first, MAX(bar_time) AS last FROM decisions "
            "WHERE account = ? AND mode = ? GROUP BY symbol, action ORDER BY symbol, action"
        )
        rows = [plain(row) for row in self._reading.rows(sql, self._scope)]
        return tuple({**row, "first": instant(row["first"]), "last": instant(row["last"])} for row in rows)

    def faults(self) -> tuple[str, ...]:
        """What a check of the whole file finds; empty when it is sound."""
        return self._reading.faults()

    @property
    def _scope(self) -> tuple[str, str]:
        return self.account, self.mode

    def _instant(self, sql: str, *values: object) -> datetime | None:
        text = self._reading.rows(sql, (*self._scope, *values))[0][0]
        return None if text is None else instant(text)

    def _listed(self, sql: str, limit: int, *values: object) -> Rows:
        # NOT INDEXED: walk back from the newest row instead of sorting what an index finds.
        rows = self._reading.rows(f"{sql} ORDER BY id DESC LIMIT ?", (*self._scope, *values, limit))
        return [plain(row) for row in rows]


def journal_scopes(path: Path) -> tuple[tuple[str, str], ...]:
    """The accounts and modes that a journal holds rows of, the one used last first.

    Raises:
        StorageError: as JournalReader.
    """
    used = (
        "SELECT account, mode, MAX(at) AS used FROM "
        "(SELECT account, mode, MAX(bar_time) AS at FROM decisions GROUP BY account, mode "
        "UNION ALL SELECT account, mode, MAX(at) FROM equity GROUP BY account, mode "
        "UNION ALL SELECT account, mode, MAX(opened) FROM trades GROUP BY account, mode) "
        "GROUP BY account, mode ORDER BY used DESC, account, mode"
    )
    reading = _opened(path)
    try:
        return tuple((row["account"], row["mode"]) for row in reading.rows(used))
    finally:
        reading.close()


def _opened(path: Path) -> Database:
    if not path.is_file():
        raise StorageError(f"{path}: no journal here; start the daemon once, or give its --home")
    return Database(path, MIGRATIONS, readonly=True)


def _bounds(day: date) -> tuple[str, str]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return stamp(start), stamp(start + timedelta(days=1))
