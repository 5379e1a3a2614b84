"""Finding a broker again, and never two of them on one book."""

from __future__ import annotations

import json
import os
from functools import partial

import pytest

from config.errors import TerminalUnavailable
from execution.broker import connect_broker
from execution.channel import Deadlines
from execution.terminal import Request
from tests.fakes_processes import small_terminal
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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_key_is_for_its_user_alone(opened, tmp_path):
    opened()
    assert (tmp_path / "card").stat().st_mode & 0o077 == 0
