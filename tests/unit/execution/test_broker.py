"""A broker in a process of its own: the same module, and it lives on when a client goes."""

from __future__ import annotations

from functools import partial
from multiprocessing.connection import Client

import numpy as np
import pytest

from config.errors import HomeError, TerminalUnavailable
from execution.broker import connect_broker, start_broker
from execution.mt5_client import MT5Client
from execution.orders import OrderState
from execution.terminal import Request
from market_data.bars import RATES_DTYPE, Timeframe
from tests.fakes_processes import refuse_to_start, small_terminal
from tests.fakes_simulated import MONDAY, SERVER
from tests.fakes_terminal import MAGIC, intent


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return tmp_path_factory.mktemp("broker") / "broker.db"


@pytest.fixture(scope="module")
def broker(book):
    process = start_broker(partial(small_terminal, str(book)))
    yield process
    process.stop()


@pytest.fixture
def terminal(broker):
    client = broker.connect()
    yield client
    client.close()


def client_of(terminal):
    return MT5Client(terminal, broker_time=SERVER, magic=MAGIC, deviation=10)


def test_the_client_cannot_tell_it_from_the_module(terminal):
    client = client_of(terminal)
    assert client.connect().login == 1
    rates = client.rates(client.select("EURUSD").name, Timeframe.M1, 0, 20)
    assert rates.dtype == RATES_DTYPE
    assert len(rates) == 20
    assert rates["close"][-1] == client.quote("EURUSD").bid


def test_result_and_error_come_together(terminal):
    terminal.call(Request("initialize"))
    reply = terminal.call(Request("copy_rates_from_pos", ("NOPE", 1, 0, 5)))
    assert (reply.value, reply.code) == (None, -1)


def test_what_the_module_raises_is_raised_here(terminal):
    with pytest.raises(TypeError, match="keyword"):
        terminal.call(Request("symbol_info", (), {"symbol": "EURUSD"}))


def test_arguments_that_cannot_travel_are_refused_as_the_module_does(terminal):
    reply = terminal.call(Request("order_check", ({"position": np.int64(4)},)))
    assert (reply.value, reply.code, reply.message) == (None, -2, 'Invalid "position" argument')


@pytest.mark.parametrize("function", ["close", "_commit", "__class__", "nothing"])
def test_only_the_modules_functions_can_be_called(terminal, function):
    with pytest.raises(ConnectionError):
        terminal.call(Request(function))


def test_time_is_the_brokers_for_every_client(broker, terminal):
    before = terminal.clock.now()
    assert terminal.call(Request("advance")).value is True
    assert (terminal.clock.now() - before).total_seconds() == 60
    other = broker.connect()
    assert other.clock.now() == terminal.clock.now()
    assert other.clock.now().timestamp() > MONDAY
    other.close()


def test_an_order_is_in_the_books_of_every_client_and_of_the_next(broker, terminal):
    client = client_of(terminal)
    client.connect()
    spec = client.select("EURUSD")
    sent = client.send(intent(price=0.0, sl=0.0, tp=0.0, symbol=spec.name))
    assert sent.state is OrderState.FILLED
    second = broker.connect()
    assert [p.ticket for p in client_of(second).positions()] == [sent.order]
    terminal.close()
    with pytest.raises(ConnectionError):
        terminal.call(Request("positions_get"))
    assert [p.ticket for p in client_of(second).positions()] == [sent.order]
    second.close()


def test_initialize_opens_a_lost_connection_again(terminal):
    terminal.close()
    assert terminal.call(Request("initialize")).value is True
    assert terminal.call(Request("account_info")).value.login == 1


def test_a_stranger_is_not_let_in_and_keeps_nobody_waiting(broker):
    with pytest.raises(TerminalUnavailable, match="not this broker"):
        connect_broker(broker.address, b"another key")
    silent = Client(broker.address, family="AF_INET")
    friend = broker.connect()
    assert friend.call(Request("initialize")).value is True
    friend.close()
    silent.close()


def test_the_broker_dies_with_its_book_in_order_and_the_next_goes_on(tmp_path):
    make = partial(small_terminal, str(tmp_path / "broker.db"))
    first = start_broker(make)
    terminal = first.connect()
    client = client_of(terminal)
    client.connect()
    sent = client.send(intent(price=0.0, sl=0.0, tp=0.0))
    reached = terminal.clock.now()
    first.kill()
    with pytest.raises(OSError):
        terminal.call(Request("positions_get"))
    with pytest.raises(TerminalUnavailable, match="no simulated broker answers"):
        first.connect()
    second = start_broker(make)
    again = second.connect()
    assert again.clock.now() == reached
    assert [p.ticket for p in client_of(again).positions()] == [sent.order]
    again.close()
    second.stop()
    assert second.process.returncode == 0


def test_a_broker_that_cannot_start_says_why():
    with pytest.raises(HomeError, match="belongs to another market"):
        start_broker(refuse_to_start)


def test_without_clients_it_ends_by_itself():
    lonely = start_broker(small_terminal, linger_seconds=0.0)
    assert lonely.process.wait(30) == 0
