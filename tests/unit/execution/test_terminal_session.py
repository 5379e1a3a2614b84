"""Connecting, connecting again, and never dealing with another account than the one that was meant."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from config.errors import AccountChanged, TerminalUnavailable
from execution.orders import OrderState
from execution.terminal import Request
from execution.terminal_session import Link
from tests.fakes_terminal import ScriptedTerminal, account_info, intent, symbol_info
from tests.unit.execution.test_mt5_client import client_of

CREDENTIALS = {"login": 1001, "password": "p", "server": "Broker-Demo", "path": "C:/t/terminal64.exe", "timeout_ms": 5000}


def test_connect_passes_the_credentials_and_returns_the_account():
    terminal = ScriptedTerminal(initialize=True, account_info=account_info())
    account = client_of(terminal).connect(**CREDENTIALS)
    request = terminal.asked("initialize")[0]
    assert request.args == ("C:/t/terminal64.exe",)
    assert dict(request.kwargs) == {"login": 1001, "password": "p", "server": "Broker-Demo", "timeout": 5000}
    assert (account.login, account.server, account.equity) == (1001, "Broker-Demo", 10_000.0)


def test_connect_without_credentials_passes_none():
    terminal = ScriptedTerminal(initialize=True, account_info=account_info())
    client_of(terminal).connect()
    assert terminal.requests[0].args == ()
    assert dict(terminal.requests[0].kwargs) == {}


@pytest.mark.parametrize("found", [{"login": 2002}, {"server": "Other-Live"}])
def test_connect_refuses_another_account_and_names_both(found):
    terminal = ScriptedTerminal(initialize=True, account_info=account_info(**found), shutdown=True)
    with pytest.raises(TerminalUnavailable) as error:
        client_of(terminal).connect(**CREDENTIALS)
    for fact in ("1001", "Broker-Demo", *map(str, found.values())):
        assert fact in str(error.value)
    assert terminal.asked("shutdown")


@pytest.mark.parametrize("code", [-6, -10003, -10005])
def test_connect_failure_is_terminal_unavailable_with_the_remedy(code):
    terminal = ScriptedTerminal().fail("initialize", code, "no", value=False)
    with pytest.raises(TerminalUnavailable, match=str(code)) as error:
        client_of(terminal).connect(**CREDENTIALS)
    assert "'p'" not in str(error.value)


def test_connect_fails_where_the_account_cannot_be_read():
    with pytest.raises(TerminalUnavailable):
        client_of(ScriptedTerminal(initialize=True).fail("account_info", -10004)).connect()


def test_terminal_connected_tells_server_loss_and_pipe_loss():
    up, down = SimpleNamespace(connected=True), SimpleNamespace(connected=False)
    terminal = ScriptedTerminal().on("terminal_info", up).on("terminal_info", down).fail("terminal_info", -10004)
    client = client_of(terminal)
    assert [client.terminal_connected() for _ in range(3)] == [True, False, False]


def test_the_link_tells_how_far_the_line_reaches():
    terminal = ScriptedTerminal(terminal_info=SimpleNamespace(connected=True))
    terminal.on("terminal_info", SimpleNamespace(connected=False)).fail("terminal_info", -10004)
    assert [client_of(terminal).link() for _ in range(3)] == [Link.UP, Link.OFFLINE, Link.GONE]


# connecting again


def connected(**account):
    terminal = ScriptedTerminal(initialize=True, shutdown=True, symbol_select=True, symbol_info=symbol_info(), positions_get=())
    terminal.on("account_info", account_info(**account))
    client = client_of(terminal)
    client.connect(login=1001, server="Broker-Demo")
    client.select("EURUSD")
    return terminal, client


def test_a_second_connection_shuts_down_first_and_selects_the_symbols_again():
    terminal, client = connected()
    terminal.requests.clear()
    client.connect(login=1001, server="Broker-Demo")
    assert [request.function for request in terminal.requests] == ["shutdown", "initialize", "account_info", "symbol_select"]
    assert terminal.requests[-1].args == ("EURUSD", True)


def test_a_dead_line_does_not_keep_it_from_connecting():
    terminal, client = connected()
    terminal.on("shutdown", ConnectionError("gone"))
    terminal.call(Request("shutdown"))
    assert client.connect(login=1001, server="Broker-Demo").login == 1001


def test_a_symbol_that_cannot_be_selected_again_is_no_connection():
    terminal, client = connected()
    terminal.fail("symbol_select", -1, value=False)
    terminal.call(Request("symbol_select"))
    with pytest.raises(TerminalUnavailable, match="symbol_select of EURUSD"):
        client.connect(login=1001, server="Broker-Demo")


CHANGES = [{"login": 2002}, {"server": "Other"}, {"trade_mode": 2}, {"margin_mode": 0}, {"currency": "EUR"}]


def swap(terminal, change):
    terminal.on("account_info", account_info(**change))
    terminal.call(Request("account_info"))
    terminal.requests.clear()


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_it_never_connects_to_another_account_than_the_first_time(change):
    terminal, client = connected()
    swap(terminal, change)
    with pytest.raises(TerminalUnavailable, match="another account than at the start"):
        client.connect()
    assert terminal.requests[-1].function == "shutdown"


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_nothing_of_another_account_is_read_or_changed(change):
    terminal, client = connected()
    swap(terminal, change)
    calls = [
        client.account,
        client.positions,
        lambda: client.foreign_positions("EURUSD"),
        lambda: client.deals_of(7),
        lambda: client.find(intent()),
    ]
    for call in calls:
        with pytest.raises(AccountChanged, match=f"{next(iter(change))} was .* log in to the first one again"):
            call()
    result = client.send(intent())
    assert (result.state, result.retcode) == (OrderState.REJECTED, 0)
    assert {request.function for request in terminal.requests} == {"account_info"}


def test_the_first_account_is_taken_up_again():
    terminal, client = connected()
    swap(terminal, {"login": 2002})
    with pytest.raises(AccountChanged):
        client.positions()
    swap(terminal, {})
    assert client.positions() == ()


def test_money_may_change_without_the_account_changing():
    terminal, client = connected()
    swap(terminal, {"equity": 9_000.0, "balance": 9_100.0, "leverage": 30})
    assert client.account().equity == 9_000.0
