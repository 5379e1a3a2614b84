"""Finding a broker again, and never two of them on one book."""

from __future__ import annotations

import json
import os
from functools import partial

import pytest

from config.errors import HomeError, TerminalUnavailable
from execution.broker import connect_broker
from execution.channel import Deadlines
from execution.terminal import Request
from tests.fakes_processes import brokers_of_this_process, small_terminal
from utils.simulated_broker import close_leftover, open_broker

ALSO = frozenset({"advance"})


@pytest.fixture
def opened(tmp_path):
    made = []

    def make(market="m"):
        made.append(open_broker(partial(small_terminal, str(tmp_path / "broker.db")), market, tmp_path / "card", Deadlines(), ALSO))
        return made[-1]

    yield make
    for terminal, close in reversed(made):
        terminal.close()
        close()


def port(tmp_path):
    return json.loads((tmp_path / "card").read_text(encoding="utf-8"))["port"]


def test_the_next_daemon_meets_the_same_broker(opened, tmp_path):
    first, _ = opened()
    before = port(tmp_path)
    first.call(Request("advance"))
    reached = first.clock.now()
    first.close()  # as when the daemon dies
    second, _ = opened()
    assert port(tmp_path) == before
    assert second.clock.now() == reached


def test_a_broker_of_another_market_is_ended_first(opened, tmp_path):
    opened("one market")
    card = json.loads((tmp_path / "card").read_text(encoding="utf-8"))
    second, _ = opened("another")
    assert second.call(Request("initialize")).value is True
    with pytest.raises(TerminalUnavailable):
        connect_broker((card["host"], card["port"]), bytes.fromhex(card["key"]))


def test_closing_ends_the_broker_and_takes_the_card_away(opened, tmp_path):
    _, close = opened()
    close()
    assert not (tmp_path / "card").exists()


def test_a_leftover_is_ended_before_somebody_else_writes_to_the_book(opened, tmp_path):
    terminal, _ = opened()
    close_leftover(tmp_path / "card")
    assert not (tmp_path / "card").exists()
    with pytest.raises(OSError):
        terminal.call(Request("advance"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "127.0.0.1"}'])
def test_a_card_that_says_nothing_is_no_broker(opened, tmp_path, text):
    (tmp_path / "card").write_text(text, encoding="utf-8")
    close_leftover(tmp_path / "card")
    assert opened()[0].call(Request("initialize")).value is True


@pytest.fixture
def terminal(opened):
    terminal, _ = opened()
    terminal.call(Request("initialize"))
    terminal.call(Request("symbol_select", ("EURUSD", True)))
    order = {
        "action": 1,
        "symbol": "EURUSD",
        "volume": 0.1,
        "type": 0,
        "price": terminal.call(Request("symbol_info_tick", ("EURUSD",))).value.ask,
    }
    assert terminal.call(Request("order_send", (order,))).value.retcode == 10009
    terminal.call(Request("advance"))
    return terminal


def brokers():
    return list(brokers_of_this_process())


def lost(terminal):
    with pytest.raises(OSError):
        terminal.call(Request("positions_get"))
    return True


def test_a_broker_that_dies_is_started_again_on_its_book(terminal, tmp_path):
    held, reached, where = terminal.call(Request("positions_get")).value, terminal.clock.now(), port(tmp_path)
    (broker,) = brokers()
    broker.kill()
    assert lost(terminal)
    assert terminal.call(Request("initialize")).value is True
    assert terminal.call(Request("positions_get")).value == held
    assert terminal.clock.now() == reached
    assert port(tmp_path) != where


def test_a_broker_that_lives_is_not_started_again(terminal):
    before = brokers()
    terminal.close()
    assert terminal.call(Request("initialize")).value is True
    assert brokers() == before


def test_a_broker_that_hangs_is_killed_before_another_opens_its_book(terminal, monkeypatch):
    monkeypatch.setattr("execution.handshake.KNOCK_SECONDS", 0.4)
    (broker,) = brokers()
    broker.suspend()
    terminal.close()
    assert terminal.call(Request("initialize")).value is True
    assert broker.pid not in [process.pid for process in brokers()]
    assert len(brokers()) == 1


def test_an_earlier_daemon_s_broker_that_hangs_is_named_and_no_second_is_started(opened, monkeypatch):
    opened()
    (broker,) = brokers()
    broker.suspend()
    with monkeypatch.context() as patch:
        patch.setattr("execution.handshake.KNOCK_SECONDS", 0.4)
        with pytest.raises(HomeError, match="says nothing: end the process of the simulated broker, or delete that file"):
            opened()
    assert brokers() == [broker]
    broker.resume()


def test_one_that_was_found_and_dies_is_replaced_too(opened, tmp_path):
    opened()[0].close()
    found, close = opened()
    (broker,) = brokers()
    broker.kill()
    broker.wait()
    assert lost(found)
    assert found.call(Request("initialize")).value is True
    close()
    assert brokers() == []
    assert not (tmp_path / "card").exists()


def test_once_it_is_ended_no_thread_starts_it_again(opened):
    terminal, close = opened()
    close()
    with pytest.raises(ConnectionError, match="is being ended"):
        terminal.call(Request("initialize"))
    assert brokers() == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_key_is_for_its_user_alone(opened, tmp_path):
    opened()
    assert (tmp_path / "card").stat().st_mode & 0o077 == 0
