"""A connection to a terminal and the one account behind it; every call of ours goes through here."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import Any

from config.errors import AccountChanged, RetryError, TerminalCallFailed, TerminalDisconnected, TerminalUnavailable
from execution.identity import account_change
from execution.orders import Account
from execution.retcodes import call_error
from execution.terminal import LAST_ERRORS, Reply, Request, Terminal
from execution.translate import account_from


class Link(Enum):
    """How far the line to the broker reaches.

    UP: all the way. OFFLINE: the terminal answers and has lost its server; it connects again by
    itself. GONE: the terminal does not answer; `connect` is needed.
    """

    UP = "up"
    OFFLINE = "offline"
    GONE = "gone"


class TerminalSession:
    """Connects, says who is there, and makes calls whose failures are our errors.

    Args:
        terminal: answers requests.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._known: Account | None = None
        self._read: tuple[Any, Account] | None = None
        self._selected: tuple[str, ...] = ()

    def connect(
        self,
        *,
        login: int | None = None,
        password: str | None = None,
        server: str | None = None,
        path: str | None = None,
        timeout_ms: int | None = None,
    ) -> Account:
        """Connects, or connects again, and makes sure that it is the account that was meant.

        The account of the first time is the account of every time: login, server, demo or real
        money, netting or hedging. Symbols that had been selected are selected again.

        Args:
            login: account number; None takes whatever the terminal is logged in to.
            password: None uses the one that the terminal has saved.
            server: the broker's server as the terminal shows it.
            path: of terminal64.exe, where more than one is installed.
            timeout_ms: how long the terminal may take to start and log in.

        Raises:
            TerminalUnavailable: no connection, or another account than the configured one, or
                than the one of the first time.
        """
        self._let_go()
        wanted = {"login": login, "password": password, "server": server, "timeout": timeout_ms}
        given = {name: value for name, value in wanted.items() if value is not None}
        try:
            reply = self._call("initialize", *([] if path is None else [str(path)]), **given)
            if not reply.value:
                raise call_error("initialize", reply.code, reply.message)
            account = account_from(self._value("account_info"))
            self._verify(account, login, server)
            self._select_again()
        except TerminalCallFailed as error:
            raise TerminalUnavailable(f"the terminal of {server or 'this machine'} cannot be reached: {error}") from error
        self._known, self._read = account, None
        return account

    def _let_go(self) -> None:
        """Before a second `initialize`; there is nothing to let go of where the line is dead."""
        if self._known is not None:
            with suppress(RetryError):
                self.close()

    def _select_again(self) -> None:
        for name in self._selected:
            reply = self._call("symbol_select", name, True)
            if not reply.value:
                raise call_error(f"symbol_select of {name}", reply.code, reply.message)

    def _verify(self, account: Account, login: int | None, server: str | None) -> None:
        change = account_change(self._known, account) if self._known is not None else None
        if change is not None:
            self.close()
            raise TerminalUnavailable(
                f"the terminal is logged in to another account than at the start: {change}; log in to the first one again"
            )
        if (login is None or account.login == int(login)) and (server is None or account.server == server):
            return
        self.close()
        raise TerminalUnavailable(
            f"the terminal is logged in to {account.login} at {account.server!r}, but MT5_LOGIN and MT5_SERVER say {login} at {server!r}; "
            "correct them, or set MT5_PATH to the right terminal"
        )

    def close(self) -> None:
        """Lets the terminal go; it stays logged in and keeps its stops."""
        self._call("shutdown")

    @property
    def selected(self) -> tuple[str, ...]:
        """Symbols that were selected, by the broker's names."""
        return self._selected

    def link(self) -> Link:
        """How far the line to the broker reaches now."""
        try:
            return Link.UP if self._value("terminal_info").connected else Link.OFFLINE
        except TerminalCallFailed:
            return Link.GONE

    def terminal_connected(self) -> bool:
        """Whether the terminal answers and has a connection to its server."""
        return self.link() is Link.UP

    def account(self) -> Account:
        """The account now.

        Raises:
            AccountChanged: it is another one than `connect` verified.
        """
        raw = self._value("account_info")
        if self._read is not None and raw is self._read[0]:
            return self._read[1]  # the very record that was read and verified last
        account = account_from(raw)
        change = account_change(self._known, account) if self._known is not None else None
        if change is not None:
            raise AccountChanged(change)
        self._read = (raw, account)
        return account

    def _own(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a call that is about the account: never about another than the one that was meant."""
        self._same_account()
        return self._value(function, *args, **kwargs)

    def _same_account(self) -> None:
        if self._known is not None:
            self.account()

    def _call(self, function: str, *args: Any, **kwargs: Any) -> Reply:
        """One call; what a terminal raises becomes our own error."""
        try:
            return self._terminal.call(Request(function, args, kwargs))
        except (OSError, EOFError) as error:
            raise TerminalDisconnected(function, -10002, f"{type(error).__name__}: {error}; {LAST_ERRORS[-10002]}") from error
        except SystemError as error:  # the module's way to refuse an argument of the wrong type
            raise call_error(function, -2, str(error)) from error

    def _value(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a call that always has one; None and False mean that it failed."""
        reply = self._call(function, *args, **kwargs)
        if reply.value is None or reply.value is False:
            raise call_error(function, reply.code, reply.message)
        return reply.value
