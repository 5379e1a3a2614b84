"""The trade journal: what was decided, ordered, traded and learned, so that it can be explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from config.errors import OutcomeUnknown, RecordError
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState
from market_data.clock import Clock
from strategy.decision import DecisionOutcome, JobRun, Lull, ModelEvent, TradeEntry, TradeExit
from utils import journal_rows
from utils.database import Database
from utils.journal_lulls import lull_values
from utils.journal_queries import JournalReader
from utils.journal_records import r_multiple
from utils.journal_rows import Values, stamp
from utils.journal_schema import MIGRATIONS


def _insert(table: str, columns: str) -> str:
    """An insert of account, mode and `columns`; a row that is there already stays as it is."""
    names = f"account, mode, {columns}"
    marks = ", ".join("?" * len(names.split(",")))
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608  # names from this module only


_DECISION = _insert(
    "decisions",
    "symbol, bar_time, side, action, detail, reason, expected_r, close, atr, feature_hash, forecasts, absent, versions, order_key, latency_us",
)
_ORDER = _insert(
    "orders",
    "key, symbol, bar_time, purpose, side, volume, price, sl, tp, deviation, magic, position, created, reason, "
    "risk_money, versions, expected_r, state",
)
_STATE = _insert("order_states", "key, at, state, retcode, message, order_ticket, deal, price, volume")
_DEAL = _insert(
    "deals",
    "ticket, order_ticket, position, symbol, side, entry, volume, price, commission, swap, profit, fee, reason, magic, time, comment",
)
_ENTRY = _insert(
    "trades", "ticket, order_key, symbol, side, volume, opened, bar_time, price, sl, tp, risk_money, versions, expected_r, reason"
)
_EVENT = _insert("model_events", "at, slot, event, version, detail, report")
_JOB = _insert("job_runs", "job, trigger, started, outcome, reason, due_next, rows, epochs, version, seconds_wall")
_EQUITY = _insert("equity", "at, currency, balance, equity, margin, margin_free")

_EXIT = (
    "UPDATE trades SET closed = ?, close_price = ?, close_reason = ?, gross = ?, commission = ?, swap = ?, net = ?, r_multiple = ? "
    "WHERE account = ? AND mode = ? AND ticket = ? AND closed IS NULL"
)
_RISK = "SELECT risk_money FROM trades WHERE account = ? AND mode = ? AND ticket = ?"
_LATEST_STATE = (
    "SELECT state, retcode, message, order_ticket, deal, price, volume FROM order_states "
    "WHERE account = ? AND mode = ? AND key = ? ORDER BY id DESC LIMIT 1"
)
_INTENDED = journal_rows.result_values(OrderResult(OrderState.INTENDED, 0, ""))


class TradeJournal(JournalReader):
    """The journal as its only writer sees it.

    Thread contract: any thread may call any method. Writes go one at a time over one
    connection; reads use another and never wait for a write. Every write is committed when the
    call returns and survives the death of the process; an intent also survives a power cut.
    A record that is journalled already is left as it is, and the call says so with False.

    Args:
        path: `journal.db` of the home; made or upgraded as needed.
        account, mode: written into every row; see JournalReader.
        clock: when an order changed its state.
        held: for replays: writes are kept back until `commit`, and until then read by this object alone; called
            before every commit, for what has to be as far as the journal.

    Raises:
        StorageError: the file is damaged or made by a newer version; it is left as it was.
        StorageBusy: from any call: another program has held the file for five seconds.
        RecordError: from any write: a value that has no place in the journal.
    """

    def __init__(self, path: Path, *, account: str, mode: str, clock: Clock, held: Callable[[], None] | None = None) -> None:
        self._writing = Database(path, MIGRATIONS, held=held is not None)
        self._clock = clock
        self._before_commit = held
        super().__init__(path, account=account, mode=mode)
        if held is not None:
            self._reading.close()
            self._reading = self._writing

    def close(self) -> None:
        """Closes the file, folding its log into it; safe to repeat."""
        super().close()
        self._writing.close()

    def record_decision(self, outcome: DecisionOutcome) -> bool:
        """Writes what was decided on a bar; False where that bar has its decision."""
        return self._add(_DECISION, journal_rows.decision_values(outcome))

    def record_lulls(self, lulls: Sequence[Lull]) -> None:
        """Writes what was decided on many bars together, in the order of the passes; all of it or nothing."""
        with self._writing.transaction() as db:
            db.executemany(_DECISION, [(*self._scope, *values) for values in lull_values(lulls)])

    def record_intent(self, intent: OrderIntent, bar_time: datetime, plan: TradeEntry | None = None) -> None:
        """Writes an order before it is sent; on the disk when this returns.

        Args:
            intent: the order.
            bar_time: of the bar whose decision it follows.
            plan: the trade that an entry is to open; its risk, versions and expected R are kept,
                so that `planned` tells them after a crash.

        Raises:
            OutcomeUnknown: the key was used before, so that order may exist. Send nothing.
        """
        first = (*self._scope, intent.key, stamp(intent.created), *_INTENDED)
        values = (
            *self._scope,
            *journal_rows.intent_values(intent, bar_time),
            *journal_rows.plan_values(plan),
            OrderState.INTENDED.value,
        )
        with self._writing.transaction(durable=True) as db:
            if db.execute(_ORDER, values).rowcount == 0:
                raise OutcomeUnknown(intent.key, "its intent was journalled before; look for it at the venue")
            db.execute(_STATE, first)

    def record_order(self, key: str, result: OrderResult) -> bool:
        """Adds a state to an order's history; False where it is in that state already.

        Raises:
            RecordError: no intent has this key.
        """
        state, at = journal_rows.result_values(result), stamp(self._clock.now())
        with self._writing.transaction() as db:
            latest = db.execute(_LATEST_STATE, (*self._scope, key)).fetchone()
            if latest is None:
                raise RecordError(f"order {key}: no such intent in {self.path}; record the intent before the order")
            if tuple(latest) == state:
                return False
            db.execute(_STATE, (*self._scope, key, at, *state))
            db.execute("UPDATE orders SET state = ? WHERE account = ? AND mode = ? AND key = ?", (state[0], *self._scope, key))
        return True

    def record_deal(self, deal: Deal) -> bool:
        """Writes a deal; False where its ticket is journalled."""
        return self._add(_DEAL, journal_rows.deal_values(deal))

    def log_entry(self, entry: TradeEntry) -> bool:
        """Writes an opened trade; False where its ticket is journalled."""
        return self._add(_ENTRY, journal_rows.entry_values(entry))

    def log_exit(self, exit: TradeExit) -> bool:
        """Closes a trade and computes its R multiple; False where it is closed already.

        Raises:
            RecordError: no trade has this ticket.
        """
        with self._writing.transaction() as db:
            trade = db.execute(_RISK, (*self._scope, int(exit.ticket))).fetchone()
            if trade is None:
                raise RecordError(
                    f"trade {exit.ticket}: no entry of {self.account} {self.mode} in {self.path}; log the entry before the exit"
                )
            values = (*journal_rows.exit_values(exit), r_multiple(exit.net, trade["risk_money"]), *self._scope, int(exit.ticket))
            return db.execute(_EXIT, values).rowcount > 0

    def record_model_event(self, event: ModelEvent) -> bool:
        """Writes an event of a model slot; False where the same event is journalled."""
        return self._add(_EVENT, journal_rows.event_values(event))

    def record_job(self, run: JobRun) -> None:
        """Writes a run, or a skip, of a trainer job; at once, for the shared state knows of it already."""
        self._add(_JOB, journal_rows.job_values(run))
        self.commit()

    def record_equity(self, at: datetime, account: Account) -> bool:
        """Writes the account's state; False where that instant has one: the first stays."""
        return self._add(_EQUITY, journal_rows.equity_values(at, account))

    def commit(self) -> None:
        """Writes what was held back, where writes are."""
        if self._before_commit is not None:
            self._before_commit()
            self._writing.commit()

    def checkpoint(self) -> None:
        """Folds the log into the file now; call it when idle, so that no later write has to."""
        self._writing.checkpoint()

    def _add(self, sql: str, values: Values) -> bool:
        return self._writing.write(sql, (*self._scope, *values)) > 0
