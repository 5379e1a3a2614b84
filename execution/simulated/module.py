"""The module itself: an object with every function, constant and record type of `MetaTrader5`.

The functions are bound methods, so a program that copies them into a class of its own does not
turn them into methods of that class.
"""

from __future__ import annotations

from typing import Any

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated import reports
from execution.simulated.calls import CallFailed, expect, integer, invalid, number, terminal_call, text, without_arguments
from execution.simulated.market_calls import MarketCalls
from execution.simulated.queries import filtered, in_history, window
from execution.simulated.requests import parse_request
from execution.simulated.shortcuts import Shortcuts
from execution.simulated.structs import STRUCTS, Struct

_LOGIN_NAMES = ("login", "password", "server")
_START_TYPES = {"path": str, "login": int, "password": str, "server": str, "timeout": int, "portable": int}
_LOGIN_TYPES = {name: _START_TYPES[name] for name in (*_LOGIN_NAMES, "timeout")}
_START_TIMEOUT = 60_000


class SimulatedMT5(Shortcuts, MarketCalls):
    """A MetaTrader 5 terminal, its Python module and its broker, simulated.

    Time at the surface is server time as epoch seconds, as in the real module. Nothing is
    random and no machine clock is read: the same data and calls give the same deals.

    Args:
        feeds: BID bars per symbol, UTC, ascending.
        specs: a specification per symbol, under the same names.
        history_bars: bars of every symbol that are closed at the start.
        account: what the broker opens; a book that exists keeps its own balance.
        broker_time: the server's clock.
        book: SQLite file of the broker; None keeps it in memory. An existing one is resumed.
        start: first instant, instead of counting `history_bars`.

    Raises:
        DataError: data or specifications that cannot be simulated.
        InsufficientHistory: fewer bars than `history_bars` and one more.
        HomeError: a book of another market or account, or one that cannot be used.
    """

    __version__ = "5.0.6231"
    __author__ = "Simulated terminal"

    @terminal_call(failure=False)
    def initialize(self, *args: Any, **keywords: Any) -> bool:
        """Connects: `([path], login=, password=, server=, timeout=, portable=)`; again is a reconnect."""
        given = _named(args, keywords, ("path",), _START_TYPES)
        self._start(given.get("timeout", _START_TIMEOUT))
        self._authorise(given)
        self._initialized = True
        return True

    @terminal_call(failure=False)
    def login(self, *args: Any, **keywords: Any) -> bool:
        """Logs in: `(login, password=, server=, timeout=)`."""
        given = _named(args, keywords, _LOGIN_NAMES, _LOGIN_TYPES)
        if "login" not in given:
            raise invalid()
        self._require_connection()
        self._authorise(given)
        return True

    @terminal_call()
    def shutdown(self) -> bool:
        """Disconnects."""
        self._initialized = False
        return True

    @terminal_call()
    def version(self) -> tuple[int, int, str] | None:
        """Version, build and its date."""
        self._require_connection()
        return reports.VERSION

    @without_arguments
    def last_error(self) -> tuple[int, str]:
        """Code and message that the last call left; asking does not change it."""
        return self._error

    @terminal_call()
    def terminal_info(self) -> Struct | None:
        """The terminal's settings and state."""
        self._require_connection()
        return reports.terminal_info(self.connected, self.algo_trading, self.api_disabled)

    @terminal_call()
    def account_info(self) -> Struct | None:
        """The account's money and rules."""
        self._require_connection()
        return reports.account_info(self._dealer, trade_allowed=True)

    @terminal_call()
    def positions_total(self) -> int | None:
        """How many positions are open."""
        self._require_connection()
        return len(self._ledger.positions)

    @terminal_call()
    def positions_get(self, *args: Any, **keywords: Any) -> tuple[Struct, ...] | None:
        """Open positions, by `ticket=`, `symbol=` or `group=`; keywords only."""
        held = (reports.position(position, self._dealer) for position in list(self._ledger.positions.values()))
        read = filtered(held, args, keywords)
        self._require_connection()
        return read()

    @terminal_call()
    def orders_total(self) -> int | None:
        """How many pending orders work."""
        self._require_connection()
        return len(self._ledger.working)

    @terminal_call()
    def orders_get(self, *args: Any, **keywords: Any) -> tuple[Struct, ...] | None:
        """Pending orders, by `ticket=`, `symbol=` or `group=`; keywords only."""
        read = filtered(list(self._ledger.working.values()), args, keywords)
        self._require_connection()
        return read()

    @terminal_call()
    def history_orders_total(self, *args: Any) -> int | None:
        """How many finished orders were set up between two dates."""
        first, last = window(args)
        self._require_connection()
        return self._ledger.orders.total(first, last)

    @terminal_call()
    def history_orders_get(self, *args: Any, **keywords: Any) -> tuple[Struct, ...] | None:
        """Finished orders: `(date_from, date_to[, group=])`, or `ticket=`, or `position=`."""
        find = in_history(args, keywords)
        self._require_connection()
        return find(self._ledger.orders)

    @terminal_call()
    def history_deals_total(self, *args: Any) -> int | None:
        """How many deals were made between two dates."""
        first, last = window(args)
        self._require_connection()
        return self._ledger.deals.total(first, last)

    @terminal_call()
    def history_deals_get(self, *args: Any, **keywords: Any) -> tuple[Struct, ...] | None:
        """Deals: `(date_from, date_to[, group=])`, or `ticket=` of their ORDER, or `position=`."""
        find = in_history(args, keywords)
        self._require_connection()
        return find(self._ledger.deals)

    @terminal_call()
    def order_calc_margin(self, *args: Any) -> float | None:
        """Margin of `(action, symbol, volume, price)`, account currency."""
        expect(args, 4)
        action, symbol, volume, price = integer(args[0]), text(args[1]), number(args[2]), number(args[3])
        self._quoted(symbol)
        _side(action)
        if not (volume > 0 and price > 0):
            raise invalid("Terminal: Invalid params")
        return round(self._dealer.money.margin_per_lot(symbol, price) * volume, 2)

    @terminal_call()
    def order_calc_profit(self, *args: Any) -> float | None:
        """Profit of `(action, symbol, volume, price_open, price_close)`, account currency."""
        expect(args, 5)
        action, symbol = integer(args[0]), text(args[1])
        volume, opened, closed = (number(value) for value in args[2:])
        self._quoted(symbol)
        side = _side(action)
        if not (volume > 0 and opened > 0 and closed > 0):
            raise invalid("Terminal: Invalid params")
        return round(self._dealer.money.profit(symbol, side, volume, opened, closed), 2)

    @terminal_call()
    def order_check(self, *args: Any, **keywords: Any) -> Struct | None:
        """Whether a request would be accepted (retcode 0), and the account after it."""
        request = parse_request(args, keywords)
        self._require_connection()
        return self._desk.check(request)

    @terminal_call()
    def order_send(self, *args: Any, **keywords: Any) -> Struct | None:
        """Executes a request; it is on record before the answer comes."""
        request = parse_request(args, keywords)
        self._require_connection()
        if self.api_disabled:
            raise CallFailed(mt5.RES_E_AUTO_TRADING_DISABLED, "Auto-Trading using Python API disabled in Terminal")
        result, changed = self._desk.send(request)
        if changed:
            self._commit(durable=True)
        return result

    def _authorise(self, given: dict[str, Any]) -> None:
        """Compares what is given with the account; any password fits."""
        account = self._dealer.account
        if given.get("login", account.login) != account.login or given.get("server", account.server) != account.server:
            raise CallFailed(mt5.RES_E_AUTH_FAILED, "Terminal: Authorization failed")


def _named(args: tuple[Any, ...], keywords: dict[str, Any], order: tuple[str, ...], types: dict[str, type]) -> dict[str, Any]:
    """Arguments by name; those without one stand in an order. Each is of the type that the official core wants."""
    given = {**dict(zip(order, args, strict=False)), **keywords}
    if len(args) > len(order) or not given.keys() <= types.keys():
        raise invalid()
    for name, value in given.items():
        if not isinstance(value, types[name]):
            raise invalid(f'Invalid "{name}" argument')
    return given


def _side(action: int) -> Side:
    if action not in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL):
        raise invalid("Terminal: Invalid params")
    return Side.LONG if action == mt5.ORDER_TYPE_BUY else Side.SHORT


for _name, _value in {**mt5.CONSTANTS, **STRUCTS}.items():
    setattr(SimulatedMT5, _name, _value)
