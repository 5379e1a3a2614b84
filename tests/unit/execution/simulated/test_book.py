import multiprocessing
import os
import sqlite3

import numpy as np
import pytest

from config.errors import HomeError
from tests import fakes_simulated
from tests.fakes_simulated import all_deals, flat, make_bars, order

_OPENED = []


def make_terminal(*args, **options):
    _OPENED.append(fakes_simulated.make_terminal(*args, **options))
    return _OPENED[-1]


@pytest.fixture(autouse=True)
def _close_books():
    yield
    while _OPENED:
        _OPENED.pop().close()


def wandering(count=120, seed=3):
    steps = np.random.default_rng(seed).normal(0, 2e-4, count)
    closes = np.round(1.1 + np.cumsum(steps), 5)
    opens = np.concatenate(([1.1], closes[:-1]))
    rows = np.stack((opens, np.maximum(opens, closes) + 2e-4, np.minimum(opens, closes) - 2e-4, closes), axis=1)
    return make_bars(np.round(rows, 5))


def trade(terminal, bars):
    """A fixed habit: an order every third bar, half of them closed by hand."""
    for _ in range(bars):
        terminal.advance()
        at = int(terminal.clock.now().timestamp()) // 60
        tick = terminal.symbol_info_tick("EURUSD")
        if at % 3 == 0:
            order(terminal, volume=0.1, sl=round(tick.bid - 0.0008, 5), tp=round(tick.bid + 0.0008, 5), magic=2**64 - 1, comment="k")
        if at % 4 == 0 and terminal.positions_total():
            position = terminal.positions_get()[0]
            order(terminal, "sell", volume=position.volume, position=position.ticket)


def state(terminal):
    return (
        terminal.clock.now(),
        terminal.symbol_info_tick("EURUSD"),
        terminal.account_info(),
        terminal.positions_get(),
        all_deals(terminal),
        terminal.history_orders_get(0, 2**33),
        terminal.copy_rates_from_pos("EURUSD", 1, 0, 20).tolist(),
    )


def test_a_resumed_book_is_where_it_was(tmp_path):
    first = make_terminal(wandering(), history=20, book=tmp_path / "broker.db", commission_per_lot=3.5)
    trade(first, 31)
    before = state(first)
    first.close()
    second = make_terminal(wandering(), history=20, book=tmp_path / "broker.db", commission_per_lot=3.5, balance=5.0)
    assert state(second) == before
    assert before[3]


def test_interrupted_and_uninterrupted_runs_make_the_same_deals(tmp_path):
    whole = make_terminal(wandering(), history=20, commission_per_lot=3.5)
    trade(whole, 80)
    for part in (7, 1, 32, 40):
        terminal = make_terminal(wandering(), history=20, book=tmp_path / "broker.db", commission_per_lot=3.5)
        trade(terminal, part)
        last = state(terminal)
        terminal.close()
    assert last == state(whole)
    assert len(last[4]) > 40


def test_the_book_holds_what_the_account_says(tmp_path):
    terminal = make_terminal(wandering(), history=20, book=tmp_path / "broker.db")
    trade(terminal, 50)
    with sqlite3.connect(tmp_path / "broker.db") as db:
        (total,) = db.execute("SELECT round(sum(profit + commission + swap + fee), 2) FROM deals").fetchone()
        (positions,) = db.execute("SELECT count(*) FROM positions").fetchone()
    db.close()
    assert total == terminal.account_info().balance
    assert positions == terminal.positions_total()


def test_market_watch_is_remembered(tmp_path):
    make_terminal(wandering(), book=tmp_path / "broker.db").close()
    again = make_terminal(wandering(), book=tmp_path / "broker.db", connect=False)
    again.initialize()
    assert again.symbol_info_tick("EURUSD") is not None


@pytest.mark.parametrize(
    "other",
    [
        lambda book: make_terminal(make_bars(flat(1.1, 9)), book=book),
        lambda book: make_terminal(make_bars(flat(1.1, 9), symbol="GBPUSD"), book=book),
        lambda book: make_terminal(wandering(), book=book, login=5),
    ],
)
def test_a_book_of_another_market_or_account_is_refused(tmp_path, other):
    make_terminal(wandering(), book=tmp_path / "broker.db").close()
    with pytest.raises(HomeError, match=r"broker\.db.*--home"):
        other(tmp_path / "broker.db")


def test_a_file_that_is_no_book_is_refused(tmp_path):
    (tmp_path / "broker.db").write_text("not a database " * 100, encoding="utf-8")
    with pytest.raises(HomeError, match="cannot be used"):
        make_terminal(wandering(), book=tmp_path / "broker.db")


def test_a_book_of_a_later_version_is_refused(tmp_path):
    db = sqlite3.connect(tmp_path / "broker.db")
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(HomeError, match="version 9"):
        make_terminal(wandering(), book=tmp_path / "broker.db")


_FIRST_LAYOUT = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (ticket INTEGER PRIMARY KEY, symbol TEXT, side INTEGER, volume REAL, price_open REAL, sl REAL, tp REAL,
    time_msc INTEGER, time_update_msc INTEGER, magic TEXT, reason INTEGER, comment TEXT, margin_per_lot REAL, swap REAL);
INSERT INTO positions SELECT ticket, symbol, side, volume, price_open, sl, tp, time_msc, time_update_msc, magic, reason, comment,
    margin_per_lot, swap FROM now.positions;
CREATE TABLE orders AS SELECT * FROM now.orders;
CREATE TABLE working_orders AS SELECT * FROM now.working_orders;
CREATE TABLE deals AS SELECT * FROM now.deals;
INSERT INTO state SELECT key, CASE key WHEN 'now' THEN value / 1000 ELSE value END FROM now.state;
PRAGMA user_version=1;
"""


def test_a_book_of_the_first_layout_is_lifted(tmp_path):
    terminal = make_terminal(wandering(), history=20, book=tmp_path / "new.db")
    trade(terminal, 31)
    before = state(terminal)
    terminal.close()
    db = sqlite3.connect(tmp_path / "old.db")
    db.execute("ATTACH ? AS now", (str(tmp_path / "new.db"),))
    db.executescript(_FIRST_LAYOUT)
    db.close()
    lifted = make_terminal(wandering(), history=20, book=tmp_path / "old.db")
    assert state(lifted) == before
    assert before[3]


def _die_while_trading(book, seen):
    terminal = make_terminal(wandering(), history=20, book=book)
    while terminal.advance():
        trade(terminal, 1)
        seen.value += 1
        if seen.value == 37:
            os._exit(9)  # no clean-up at all, in the midst of an open book


def test_a_killed_process_leaves_a_book_that_adds_up(tmp_path):
    context = multiprocessing.get_context("spawn")
    seen = context.Value("i", 0)
    child = context.Process(target=_die_while_trading, args=(tmp_path / "broker.db", seen))
    child.start()
    child.join(60)
    assert (child.exitcode, seen.value) == (9, 37)
    terminal = make_terminal(wandering(), history=20, book=tmp_path / "broker.db")
    whole = make_terminal(wandering(), history=20)
    for _ in range(37):
        whole.advance()
        trade(whole, 1)
    assert state(terminal) == state(whole)


def _advance_until_killed(book, ready):
    terminal = make_terminal(make_bars(flat(1.1, 200_000)), history=20, book=book)
    while terminal.advance():
        if len(all_deals(terminal)) > 50:
            ready.set()
        order(terminal, volume=0.01, sl=1.0)
        order(terminal, "sell", volume=0.01, position=terminal.positions_get()[0].ticket)


def test_a_kill_at_any_moment_leaves_a_consistent_book(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_advance_until_killed, args=(tmp_path / "broker.db", ready))
    child.start()
    assert ready.wait(60)
    child.kill()
    child.join(60)
    terminal = make_terminal(make_bars(flat(1.1, 200_000)), history=20, book=tmp_path / "broker.db")
    deals, account = all_deals(terminal), terminal.account_info()
    assert round(sum(deal.profit + deal.commission for deal in deals), 2) == account.balance
    held = {deal.position_id for deal in deals if deal.entry == 0 and deal.order} - {deal.position_id for deal in deals if deal.entry == 1}
    assert held == {position.ticket for position in terminal.positions_get()}
    assert terminal.advance() is True


def test_held_saves_are_there_together_or_not_at_all(tmp_path):
    """A replay commits many bars at once; what is killed between goes on from the last commit, its clock included."""
    path = tmp_path / "broker.db"
    terminal = make_terminal(wandering(), book=path)
    terminal.initialize()
    terminal.hold()
    trade(terminal, 10)
    terminal.commit()
    kept = state(terminal)
    trade(terminal, 10)
    assert state(terminal) != kept
    copy = tmp_path / "copy.db"  # what a killed process leaves behind: file and log
    for suffix in ("", "-wal", "-shm"):
        if (left := path.with_name(path.name + suffix)).exists():
            copy.with_name(copy.name + suffix).write_bytes(left.read_bytes())
    again = make_terminal(wandering(), book=copy)
    again.initialize()
    assert state(again) == kept
    ended = state(terminal)
    terminal.close()
    last = make_terminal(wandering(), book=path)
    last.initialize()
    assert state(last) == ended


def test_every_change_of_the_books_has_a_revision_of_its_own():
    terminal = make_terminal(wandering())
    terminal.initialize()
    seen = [terminal.revision]
    terminal.advance()
    assert terminal.revision == seen[0]
    order(terminal, volume=0.1)
    seen.append(terminal.revision)
    order(terminal, "sell", volume=0.1, position=terminal.positions_get()[0].ticket)
    seen.append(terminal.revision)
    assert seen == sorted(set(seen))
