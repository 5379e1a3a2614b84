"""What the watch makes of a terminal that goes, comes back, or is somebody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from config.errors import AccountChanged, DataError, TerminalDisconnected, TerminalUnavailable
from execution.orders import Quote
from execution.quote_watch import QuoteWatch
from execution.terminal_session import Link
from market_data.clock import BrokerTime, ManualClock
from utils.terminal_watch import TerminalWatch

MONDAY = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)


class Client:
    """A terminal in whatever state the test puts it."""

    selected = ("EURUSD",)

    def __init__(self, clock):
        self.clock, self.state, self.error, self.connects = clock, Link.UP, None, []

    def link(self):
        return self.state

    def account(self):
        if self.error is not None:
            raise self.error

    def quote(self, symbol):
        return Quote(symbol, self.clock.now(), 1.1, 1.1001)

    def connect(self):
        self.connects.append(self.clock.monotonic())
        if self.state is Link.GONE:
            raise TerminalUnavailable("closed")


@pytest.fixture
def clock():
    return ManualClock(MONDAY)


@pytest.fixture
def client(clock):
    return Client(clock)


@pytest.fixture
def watch(client, clock):
    return TerminalWatch(client, client.connect, clock)


def test_a_try_is_waited_for_until_a_stop(watch, client):
    going, stop = Event(), Event()
    assert watch.wait(stop)
    client.state = Link.GONE
    client.connect = going.wait
    watch._connect = client.connect
    assert not watch.look()
    stop.set()
    assert not watch.wait(stop)
    going.set()
    watch.join()
    stop.clear()
    assert watch.wait(stop)


def wait(clock, seconds):
    clock.set(clock.now() + timedelta(seconds=seconds))


def test_a_terminal_that_answers_is_left_alone(watch, client):
    assert watch.look()
    assert watch.blocked("EURUSD") is None
    assert client.connects == []


def test_a_lost_one_is_connected_again_and_entries_wait_for_it(watch, client):
    client.state = Link.GONE
    assert not watch.look()
    assert "does not answer" in watch.blocked("EURUSD")
    watch.join()
    assert len(client.connects) == 1
    client.state = Link.UP
    assert watch.look()
    assert watch.blocked("EURUSD") is None


def test_the_tries_become_rarer_and_the_pace_returns(watch, client, clock):
    client.state = Link.GONE
    for _ in range(200):
        watch.look()
        watch.join()
        wait(clock, 0.5)
    steps = [round(later - earlier) for earlier, later in zip(client.connects, client.connects[1:], strict=False)]
    assert steps == [1, 2, 4, 8, 16, 30, 30]
    client.connect = lambda: client.connects.append(0)
    watch._connect = client.connect
    wait(clock, 30)
    watch.look()
    watch.join()
    assert watch._pause == 1.0


def test_a_terminal_without_its_server_is_not_connected_again(watch, client):
    client.state = Link.OFFLINE
    assert watch.look()
    assert "lost its server" in watch.blocked()
    assert client.connects == []


def test_another_account_stops_entries_and_is_not_fought_over(watch, client):
    client.error = AccountChanged("login was 1, is 2")
    assert watch.look()
    assert "login was 1, is 2" in watch.blocked("EURUSD")
    assert client.connects == []
    client.error = None
    watch.look()
    assert watch.blocked("EURUSD") is None


def test_a_line_that_breaks_between_two_calls_is_found_gone_at_the_next_look(watch, client):
    client.error = TerminalDisconnected("account_info", -10002, "")
    assert watch.look()
    assert "account_info failed" in watch.blocked()


class TestQuotes:
    @pytest.fixture
    def watch(self, client, clock):
        return TerminalWatch(client, client.connect, clock, QuoteWatch(BrokerTime("America/New_York+7"), clock, 60.0))

    def test_entries_wait_until_the_servers_clock_is_known(self, watch, client, clock):
        watch.look()
        assert "not been measured" in watch.blocked()
        wait(clock, 0.5)
        watch.look()
        assert watch.blocked("EURUSD") is None
        assert watch.blocked("GBPUSD") == "GBPUSD: no quote yet"

    def test_a_symbol_without_a_tick_does_not_hide_the_others(self, watch, client, clock):
        client.selected = ("GBPUSD", "EURUSD")
        known = client.quote

        def quote(symbol):
            if symbol == "GBPUSD":
                raise DataError("no quote yet")
            return known(symbol)

        client.quote = quote
        for _ in range(2):
            watch.look()
            wait(clock, 0.5)
        assert watch.blocked("EURUSD") is None
