"""The journal's tables, and the steps from each older schema to the newest.

Times are UTC ISO text with milliseconds, which sorts as time does. Money is in account currency,
prices in the symbol's quote, volumes in lots. `forecasts`, `absent`, `versions` and `report` are
JSON with sorted keys. Only columns that end in `_us` or `_wall` differ between two replays.
"""

from __future__ import annotations

from utils.database import Migration

TABLES = ("decisions", "orders", "order_states", "deals", "trades", "model_events", "equity", "job_runs")

_DECISIONS = """
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    symbol TEXT NOT NULL, bar_time TEXT NOT NULL,
    side TEXT,                          -- NULL: stay out
    action TEXT NOT NULL,               -- none, vetoed, denied, sent, rejected, unknown, recovered
    detail TEXT NOT NULL,               -- the filter, risk rule or retcode behind the action
    reason TEXT NOT NULL,
    expected_r REAL NOT NULL, close REAL NOT NULL, atr REAL NOT NULL,
    feature_hash TEXT NOT NULL,
    forecasts TEXT NOT NULL, absent TEXT NOT NULL, versions TEXT NOT NULL,
    order_key TEXT NOT NULL,
    latency_us INTEGER NOT NULL,        -- closed bar to decision
    UNIQUE (account, mode, symbol, bar_time)
)"""

_ORDERS = """
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    key TEXT NOT NULL,                  -- travels in the order's comment
    symbol TEXT NOT NULL, bar_time TEXT NOT NULL,
    purpose TEXT NOT NULL,              -- entry, exit
    side TEXT NOT NULL, volume REAL NOT NULL,
    price REAL NOT NULL, sl REAL NOT NULL, tp REAL NOT NULL, deviation INTEGER NOT NULL,
    magic INTEGER NOT NULL, position INTEGER NOT NULL,
    created TEXT NOT NULL, reason TEXT NOT NULL,
    state TEXT NOT NULL,                -- the newest of order_states
    UNIQUE (account, mode, key)
)"""

_ORDER_STATES = """
CREATE TABLE order_states (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    key TEXT NOT NULL,
    at TEXT NOT NULL, state TEXT NOT NULL,
    retcode INTEGER NOT NULL, message TEXT NOT NULL,
    order_ticket INTEGER NOT NULL, deal INTEGER NOT NULL,
    price REAL NOT NULL, volume REAL NOT NULL
)"""

_DEALS = """
CREATE TABLE deals (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    ticket INTEGER NOT NULL, order_ticket INTEGER NOT NULL, position INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT,                          -- NULL: a balance operation
    entry TEXT NOT NULL, volume REAL NOT NULL, price REAL NOT NULL,
    commission REAL NOT NULL, swap REAL NOT NULL, profit REAL NOT NULL, fee REAL NOT NULL,
    reason TEXT NOT NULL, magic INTEGER NOT NULL, time TEXT NOT NULL, comment TEXT NOT NULL,
    UNIQUE (account, mode, ticket)
)"""

_TRADES = """
CREATE TABLE trades (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    ticket INTEGER NOT NULL, order_key TEXT NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, volume REAL NOT NULL,
    opened TEXT NOT NULL, bar_time TEXT NOT NULL,
    price REAL NOT NULL, sl REAL NOT NULL, tp REAL NOT NULL,
    risk_money REAL NOT NULL,           -- one R
    versions TEXT NOT NULL, expected_r REAL NOT NULL, reason TEXT NOT NULL,
    closed TEXT,                        -- NULL, with all below: still open
    close_price REAL, close_reason TEXT,
    gross REAL, commission REAL, swap REAL, net REAL,
    r_multiple REAL,                    -- net / risk_money; NULL where the risk was not known
    UNIQUE (account, mode, ticket)
)"""

_MODEL_EVENTS = """
CREATE TABLE model_events (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    at TEXT NOT NULL, slot TEXT NOT NULL, event TEXT NOT NULL,
    version INTEGER NOT NULL, detail TEXT NOT NULL, report TEXT NOT NULL,
    UNIQUE (slot, at, event, version, detail)
)"""

_EQUITY = """
CREATE TABLE equity (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    at TEXT NOT NULL, currency TEXT NOT NULL,
    balance REAL NOT NULL, equity REAL NOT NULL, margin REAL NOT NULL, margin_free REAL NOT NULL,
    UNIQUE (account, mode, at)
)"""

_JOB_RUNS = """
CREATE TABLE job_runs (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL, mode TEXT NOT NULL,
    job TEXT NOT NULL, trigger TEXT NOT NULL, started TEXT NOT NULL,
    outcome TEXT NOT NULL, reason TEXT NOT NULL, due_next TEXT NOT NULL,
    rows INTEGER NOT NULL, epochs INTEGER NOT NULL, version INTEGER NOT NULL,
    seconds_wall REAL NOT NULL
)"""

MIGRATIONS: tuple[Migration, ...] = (
    (_DECISIONS, _ORDERS, _ORDER_STATES, _DEALS, _TRADES, _MODEL_EVENTS, _EQUITY, _JOB_RUNS),
    (  # the reads of every bar must not slow down as the journal grows
        "CREATE INDEX orders_by_bar ON orders (account, mode, symbol, bar_time)",
        "CREATE INDEX orders_unresolved ON orders (account, mode, created) WHERE state IN ('intended', 'unknown')",
        "CREATE INDEX order_states_by_key ON order_states (account, mode, key)",
        "CREATE INDEX trades_by_close ON trades (account, mode, closed)",
    ),
    (  # what an entry's trade needs to be told in full after a crash between the order and the trade
        "ALTER TABLE orders ADD COLUMN risk_money REAL NOT NULL DEFAULT 0",
        "ALTER TABLE orders ADD COLUMN versions TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE orders ADD COLUMN expected_r REAL NOT NULL DEFAULT 0",
        "CREATE INDEX order_states_by_ticket ON order_states (account, mode, order_ticket)",
        "CREATE INDEX trades_by_order ON trades (account, mode, order_key)",
    ),
)
"""Step n leads from schema version n - 1 to n. A published step is never edited; append another."""
