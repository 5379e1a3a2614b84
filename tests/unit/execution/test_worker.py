"""The module in a worker: a call that hangs with the interpreter's lock held costs the worker, and nothing else."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from config.errors import HomeError, TerminalDisconnected
from execution.channel import Deadlines
from execution.mt5_client import MT5Client
from execution.orders import OrderState
from execution.terminal import Request
from execution.worker import worker_terminal
from market_data.bars import Timeframe
from tests.fakes_processes import hanging_terminal, refuse_to_start
from tests.fakes_simulated import SERVER
from tests.fakes_terminal import MAGIC, intent

DEADLINES = Deadlines(call=3.0, history=3.0, order=3.0, connect=30.0)
MARKET_ORDER = intent(price=0.0, sl=0.0, tp=0.0)


@pytest.fixture
def terminal(tmp_path):
    worker = worker_terminal(partial(hanging_terminal, str(tmp_path)), DEADLINES, {"advance"})
    yield worker
    worker.close()


@pytest.fixture
def client(terminal):
    client = MT5Client(terminal, broker_time=SERVER, magic=MAGIC, deviation=10)
    client.connect()
    client.select("EURUSD")
    return client


@pytest.fixture
def hang(tmp_path):
    def order(function, when="before"):
        (tmp_path / "new").write_text(f"{function} {when}", encoding="utf-8")
        (tmp_path / "new").replace(tmp_path / "hang")

    return order


def test_the_others_go_on_while_a_call_hangs_and_the_worker_is_replaced(client, hang, tmp_path):
    ended = threading.Event()

    def ask():
        with pytest.raises(TerminalDisconnected, match="no answer within 3 s"):
            client.rates("EURUSD", Timeframe.M1, 0, 10)
        ended.set()

    hang("copy_rates_from_pos")
    asking = threading.Thread(target=ask)
    asking.start()
    while (tmp_path / "hang").exists():  # this thread runs: it sees the hang begin ...
        assert not ended.is_set()
    assert not ended.is_set()  # ... and goes on while it lasts
    asking.join()
    with pytest.raises(TerminalDisconnected, match="no connection"):
        client.account()
    client.connect()
    assert len(client.rates("EURUSD", Timeframe.M1, 0, 10)) == 10


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_pending_order_is_unknown_and_never_sent_again(client, terminal, hang, when, made):
    hang("order_send", when)
    assert client.send(MARKET_ORDER).state is OrderState.UNKNOWN
    client.connect()
    found = client.find(MARKET_ORDER)
    assert (found is not None and found.state is OrderState.FILLED) == bool(made)
    assert len(client.positions()) == made
    booked = terminal.call(Request("history_deals_get", (0, 2**31))).value
    assert sum(deal.position_id != 0 for deal in booked) == made


def test_time_and_market_watch_are_as_they_were_before_the_hang(client, terminal, hang):
    terminal.call(Request("advance"))
    reached = terminal.clock.now()
    hang("account_info")
    with pytest.raises(TerminalDisconnected):
        client.account()
    client.connect()
    assert terminal.clock.now() == reached
    assert client.quote("EURUSD").time == reached


def test_an_interrupt_does_not_wait_for_the_deadline(tmp_path, hang, monkeypatch):
    monkeypatch.setattr("execution.far_terminal.LAST_SECONDS", 0.0)
    worker = worker_terminal(partial(hanging_terminal, str(tmp_path)), Deadlines(*[3_600.0] * 4))
    hang("initialize")
    threading.Timer(0.1, worker.interrupt).start()
    with pytest.raises(TimeoutError, match="given up"):
        worker.call(Request("initialize"))
    worker.close()


def test_a_worker_that_cannot_start_says_why():
    with pytest.raises(HomeError, match="belongs to another market"):
        worker_terminal(refuse_to_start, DEADLINES)
