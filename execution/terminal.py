"""What the daemon asks of a terminal: one request, one reply, result and error together.

The functions and their arguments are those of the official `MetaTrader5` module; the official
module, the simulated one and a remote one stand behind the same Protocol.
Source: https://www.mql5.com/en/docs/python_metatrader5
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from market_data.clock import Clock

SUCCESS = 1
NO_CONNECTION = -10004

DISCONNECTED_CODES = frozenset({-10001, -10002, -10003, -10004, -10005, -10000})
"""`last_error` codes after which nothing works until `initialize` is called again."""

LAST_ERRORS: Mapping[int, str] = MappingProxyType(
    {
        1: "success",
        -1: "the terminal could not do it",
        -2: "invalid arguments",
        -3: "out of memory",
        -4: "not found",
        -5: "terminal too old; update it",
        -6: "authorisation failed; check MT5_LOGIN, MT5_PASSWORD and MT5_SERVER",
        -7: "not supported by this terminal",
        -8: "Python trading is disabled in the terminal: Tools > Options > Expert Advisors",
        -10000: "internal failure of the connection",
        -10001: "sending to the terminal failed",
        -10002: "no answer from the terminal",
        -10003: "the terminal could not be started; check MT5_PATH",
        -10004: "no connection to the terminal",
        -10005: "the terminal did not answer in time",
    }
)
"""Every code of `last_error`, in words and with the remedy where there is one."""


class Execution:
    """Constants of the module that the daemon uses; their names are the module's."""

    TRADE_ACTION_DEAL = 1
    TRADE_ACTION_SLTP = 6
    ORDER_TYPE_BUY = 0
    ORDER_TYPE_SELL = 1
    ORDER_FILLING_FOK = 0
    ORDER_FILLING_IOC = 1
    ORDER_FILLING_RETURN = 2
    ORDER_TIME_GTC = 0
    SYMBOL_FILLING_FOK = 1
    SYMBOL_FILLING_IOC = 2
    SYMBOL_TRADE_EXECUTION_MARKET = 2
    ACCOUNT_MARGIN_MODE_RETAIL_HEDGING = 2
    ACCOUNT_TRADE_MODE_REAL = 2
    DEAL_ENTRY_IN = 0
    DEAL_ENTRY_OUT = 1


@dataclass(frozen=True, slots=True)
class Request:
    """One call: the module's function name and its arguments."""

    function: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call returned, with the `last_error` that belongs to it."""

    value: Any
    code: int
    message: str


class Terminal(Protocol):
    """A terminal that answers requests."""

    def call(self, request: Request) -> Reply:
        """Answers one request; safe to call from any thread, one at a time inside."""
        ...


class ModuleTerminal:
    """Any object with the module's functions, behind one lock.

    The lock keeps result and `last_error` together: the module holds that error in one
    process-wide place, and other threads call too.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._lock = threading.Lock()

    def call(self, request: Request) -> Reply:
        """Calls the function, then reads the error that it left."""
        with self._lock:
            value = getattr(self._module, request.function)(*request.args, **request.kwargs)
            code, message = self._module.last_error()
        return Reply(value, int(code), str(message))


class PlayedModule(Protocol):
    """A simulated module, which stands still between two instants."""

    @property
    def clock(self) -> Clock:
        """The simulated now."""
        ...

    @property
    def revision(self) -> int:
        """A number that grows with every change of its books."""
        ...


REMEMBERED = frozenset(
    {"account_info", "positions_get", "history_deals_get", "symbol_info", "symbol_info_tick", "order_calc_margin", "order_calc_profit"}
)
"""Questions whose answers are records that nobody can change."""


class PlayedTerminal(ModuleTerminal):
    """A simulated module in a replay: while its time stands still and no book changes, a question has one answer.

    The loop, the desk and the watch ask for the same account, symbol and positions at the same instant.
    """

    def __init__(self, module: PlayedModule) -> None:
        super().__init__(module)
        self._played = module
        self._told: dict[object, Reply] = {}
        self._standing: object = None

    def call(self, request: Request) -> Reply:
        """Answers from memory where it can; whatever is no mere question makes it forget."""
        if request.function not in REMEMBERED:
            self._told.clear()
            return super().call(request)
        standing = (self._played.clock.now(), self._played.revision)
        if standing != self._standing:
            self._told.clear()
            self._standing = standing
        key = (request.function, request.args, tuple(request.kwargs.items()))
        told = self._told.get(key)
        if told is not None:
            return told
        reply = super().call(request)
        if reply.value is not None:  # a failure may pass
            self._told[key] = reply
        return reply
