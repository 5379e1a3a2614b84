"""Who does not know the key is neither let in nor believed."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from threading import Thread

import pytest

from execution import handshake
from execution.handshake import LOOPBACK, admits, dial

KEY = b"one key"


@contextmanager
def listening(key=KEY):
    """A listener that asks one guest for a key; yields its address and, once it has ended, the verdict."""
    verdict = []

    def let_in():
        with listener.accept() as guest:
            verdict.append(admits(guest, key))
            if verdict[0]:
                guest.send_bytes(guest.recv_bytes())

    with Listener((LOOPBACK, 0), family="AF_INET") as listener:
        thread = Thread(target=let_in)
        thread.start()
        yield listener.address, verdict
        thread.join()


def test_with_the_key_both_sides_talk():
    with listening() as (address, verdict), dial(address, KEY) as line:
        line.send_bytes(b"hello")
        assert line.recv_bytes() == b"hello"
    assert verdict == [True]


def test_the_interpreters_own_client_gets_in_with_the_key():
    with listening() as (address, verdict), Client(address, authkey=KEY) as line:
        line.send_bytes(b"hello")
        assert line.recv_bytes() == b"hello"
    assert verdict == [True]


def test_another_key_is_refused_on_both_sides():
    with listening() as (address, verdict), pytest.raises(ConnectionError, match="is not this broker"):
        dial(address, b"another key")
    assert verdict == [False]


def test_the_interpreters_own_client_with_another_key_is_refused():
    with listening() as (address, verdict), pytest.raises(AuthenticationError):
        Client(address, authkey=b"another key")
    assert verdict == [False]


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.0\r\n\r\n", bytes(1000)])
def test_a_guest_that_does_not_know_the_manners_is_sent_away(said):
    with listening() as (address, verdict), socket.create_connection(address) as guest:
        guest.sendall(said)
    assert verdict == [False]


@contextmanager
def foreign_listener(said):
    with socket.create_server((LOOPBACK, 0)) as server, ExitStack() as open_lines:

        def answer():
            line = open_lines.enter_context(server.accept()[0])
            line.sendall(said)

        thread = Thread(target=answer)
        thread.start()
        yield server.getsockname()
        thread.join()


def test_a_listener_that_is_somebody_else_is_found_out():
    with foreign_listener(b"\0\0\0\5hello") as address, pytest.raises(ConnectionError, match="is not this broker"):
        dial(address, KEY)


def test_a_listener_that_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(handshake, "KNOCK_SECONDS", 0.2)
    with foreign_listener(b"") as address, pytest.raises(TimeoutError, match="says nothing"):
        dial(address, KEY)


def test_whoever_has_to_end_does_not_wait_at_all():
    asked = []
    with foreign_listener(b"") as address, pytest.raises(TimeoutError):
        dial(address, KEY, lambda: not asked.append(1))
    assert asked == [1]


def test_where_nobody_listens_is_an_error_of_the_system():
    with socket.create_server((LOOPBACK, 0)) as server:
        address = server.getsockname()
    with pytest.raises(OSError):
        dial(address, KEY)
