"""A terminal that answers from a script and remembers what it was asked, and structs to answer with."""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from execution.orders import Account, OrderIntent, Position, Quote, Side
from execution.simulated.structs import AccountInfo
from execution.terminal import Reply, Request
from market_data.instruments import SymbolSpec

MAGIC = 20_260_101
MONDAY = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
"""A winter noon in UTC; a New York + 7 h server shows 14:00."""
SERVER_NOON = int(MONDAY.timestamp()) + 2 * 3600

EURUSD = SymbolSpec("EURUSD", 5, 1e-5, 1e-5, 1.0, 100_000.0, 0.01, 50.0, 0.01, 0, 0, 1, 2, 4, 0, "EUR", "USD", "EUR")


class ScriptedTerminal:
    """Answers each function from its own queue; the last reply of a queue repeats.

    A reply may be an exception, which is raised. A function without a script fails the test.
    """

    def __init__(self, **values: Any) -> None:
        self.requests: list[Request] = []
        self._replies: dict[str, deque[Reply | Exception]] = defaultdict(deque)
        for function, value in values.items():
            self.on(function, value)

    def on(self, function: str, value: Any, code: int = 1, message: str = "Success") -> ScriptedTerminal:
        """Adds a reply to a function's queue."""
        self._replies[function].append(value if isinstance(value, Exception) else Reply(value, code, message))
        return self

    def fail(self, function: str, code: int, message: str = "", value: Any = None) -> ScriptedTerminal:
        """Adds a call without a result."""
        return self.on(function, value, code, message)

    def call(self, request: Request) -> Reply:
        """Records the request and answers it."""
        self.requests.append(request)
        queue = self._replies.get(request.function)
        if not queue:
            raise AssertionError(f"unscripted call {request}")
        reply = queue.popleft() if len(queue) > 1 else queue[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def asked(self, function: str) -> list[Request]:
        """The requests of one function, in order."""
        return [request for request in self.requests if request.function == function]


def symbol_info(name: str = "EURUSD", **changes: Any) -> SimpleNamespace:
    fields = {
        "name": name,
        "digits": 5,
        "point": 1e-5,
        "trade_tick_size": 1e-5,
        "trade_tick_value_loss": 1.0,
        "trade_contract_size": 100_000.0,
        "volume_min": 0.01,
        "volume_max": 50.0,
        "volume_step": 0.01,
        "volume_limit": 0.0,
        "trade_stops_level": 0,
        "trade_freeze_level": 0,
        "filling_mode": 1,
        "trade_exemode": 2,
        "trade_mode": 4,
        "trade_calc_mode": 0,
        "currency_base": "EUR",
        "currency_profit": "USD",
        "currency_margin": "EUR",
    }
    return SimpleNamespace(**fields | changes)


def account_info(**changes: Any) -> SimpleNamespace:
    fields = {
        **dict.fromkeys(AccountInfo.__match_args__, 0),
        "login": 1001,
        "server": "Broker-Demo",
        "currency": "USD",
        "balance": 10_000.0,
        "equity": 10_000.0,
        "margin": 0.0,
        "margin_free": 10_000.0,
        "leverage": 100,
        "trade_mode": 0,
        "margin_mode": 2,
        "trade_allowed": True,
        "trade_expert": True,
    }
    return SimpleNamespace(**fields | changes)


def terminal_info(**changes: Any) -> SimpleNamespace:
    fields = {"connected": True, "trade_allowed": True, "tradeapi_disabled": False, "build": 5_000, "maxbars": 100_000}
    return SimpleNamespace(**fields | changes)


def trade_position(ticket: int = 7, **changes: Any) -> SimpleNamespace:
    fields = {
        "ticket": ticket,
        "symbol": "EURUSD",
        "type": 0,
        "volume": 0.1,
        "price_open": 1.1,
        "sl": 1.09,
        "tp": 1.11,
        "time_msc": SERVER_NOON * 1000,
        "magic": MAGIC,
        "profit": 0.0,
        "swap": 0.0,
        "comment": "",
    }
    return SimpleNamespace(**fields | changes)


def trade_order(ticket: int = 7, **changes: Any) -> SimpleNamespace:
    fields = {
        "ticket": ticket,
        "symbol": "EURUSD",
        "type": 0,
        "state": 4,
        "reason": 3,
        "volume_initial": 0.1,
        "magic": MAGIC,
        "comment": "",
        "position_id": ticket,
        "time_setup_msc": SERVER_NOON * 1000,
    }
    return SimpleNamespace(**fields | changes)


def trade_deal(ticket: int = 11, **changes: Any) -> SimpleNamespace:
    fields = {
        "ticket": ticket,
        "order": 7,
        "position_id": 7,
        "symbol": "EURUSD",
        "type": 0,
        "entry": 0,
        "reason": 3,
        "volume": 0.1,
        "price": 1.1001,
        "commission": -0.35,
        "swap": 0.0,
        "profit": 0.0,
        "fee": 0.0,
        "magic": MAGIC,
        "comment": "",
        "time_msc": SERVER_NOON * 1000,
    }
    return SimpleNamespace(**fields | changes)


def sent(retcode: int = 10009, **changes: Any) -> SimpleNamespace:
    fields = {"retcode": retcode, "deal": 11, "order": 7, "volume": 0.1, "price": 1.1001, "comment": ""}
    return SimpleNamespace(**fields | changes)


def intent(**changes: Any) -> OrderIntent:
    fields: dict[str, Any] = {
        "key": "EURUSD-0001",
        "symbol": "EURUSD",
        "side": Side.LONG,
        "volume": 0.1,
        "price": 1.10005,
        "sl": 1.09905,
        "tp": 1.10105,
        "deviation": 10,
        "magic": MAGIC,
        "created": MONDAY,
    }
    return OrderIntent(**fields | changes)


def account(**changes: Any) -> Account:
    fields: dict[str, Any] = {
        "login": 1001,
        "server": "Broker-Demo",
        "currency": "USD",
        "balance": 10_000.0,
        "equity": 10_000.0,
        "margin": 0.0,
        "margin_free": 10_000.0,
        "leverage": 100,
        "trade_mode": 0,
        "margin_mode": 2,
        "trade_allowed": True,
    }
    return Account(**fields | changes)


def position(ticket: int = 7, symbol: str = "EURUSD", side: Side = Side.LONG, volume: float = 0.1) -> Position:
    return Position(ticket, symbol, side, volume, 1.1, 1.09, 1.11, MONDAY, MAGIC, 0.0, 0.0, "")


def quote(bid: float = 1.10000, ask: float = 1.10005) -> Quote:
    return Quote("EURUSD", MONDAY, bid, ask)


_INTS = ("action", "magic", "order", "deviation", "type", "type_filling", "type_time", "expiration", "position", "position_by")
_FLOATS = ("volume", "price", "stoplimit", "sl", "tp")


def refused_argument(request: dict[str, Any]) -> str | None:
    """The first field that the official module would refuse, by its own type rules."""
    if type(request) is not dict:
        return "request"
    for names, kind in ((_INTS, int), (_FLOATS, float)):
        for name in names:
            if name in request and not isinstance(request[name], kind):
                return name
    texts = [name for name in ("symbol", "comment") if not isinstance(request[name], str) or len(request[name]) > 29]
    return texts[0] if texts else None
