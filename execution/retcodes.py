"""Every code with which a terminal refuses: its name, what it means for us, and the remedy.

Two kinds of code exist. A trade retcode is the venue's answer to an order; `last_error` says why
a call of the module came back without any answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from config.errors import TerminalCallFailed, TerminalDisconnected
from execution.terminal import DISCONNECTED_CODES, LAST_ERRORS

PLACED, DONE, DONE_PARTIAL, TIMEOUT = 10008, 10009, 10010, 10012
NO_CHANGES, INVALID_FILL, POSITION_CLOSED = 10025, 10030, 10036


class Verdict(Enum):
    """What a retcode means for the caller.

    ACCEPTED: the order was taken. PRICE: nothing was done; a new order needs a fresh price.
    WAIT: nothing was done; the same order may pass later. REFUSED: nothing was done and the
    same order would be refused again. UNKNOWN: look at the venue before anything else.
    """

    ACCEPTED = "accepted"
    PRICE = "price"
    WAIT = "wait"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Retcode:
    """A trade retcode; `name` is the module's constant without `TRADE_RETCODE_`."""

    code: int
    name: str
    verdict: Verdict
    remedy: str

    def __str__(self) -> str:
        return f"{self.code} {self.name}: {self.remedy}"


_A, _P, _W, _R, _U = Verdict.ACCEPTED, Verdict.PRICE, Verdict.WAIT, Verdict.REFUSED, Verdict.UNKNOWN

_TABLE = (
    Retcode(10004, "REQUOTE", _P, "the price moved; decide again on the next quote, or raise DEVIATION"),
    Retcode(10006, "REJECT", _R, "the broker rejected the order; ask the broker if it recurs"),
    Retcode(10007, "CANCEL", _R, "the order was cancelled by hand or by the dealer"),
    Retcode(PLACED, "PLACED", _A, "the order was taken; its fill follows"),
    Retcode(DONE, "DONE", _A, "filled"),
    Retcode(DONE_PARTIAL, "DONE_PARTIAL", _A, "filled in part; the rest was cancelled"),
    Retcode(10011, "ERROR", _R, "the server failed on the order; look at the terminal's journal"),
    Retcode(TIMEOUT, "TIMEOUT", _U, "no answer in time; the order may exist, look before anything else"),
    Retcode(10013, "INVALID", _R, "a field of the order is wrong; report the journalled order as a defect"),
    Retcode(10014, "INVALID_VOLUME", _R, "compare the volume with the symbol's minimum, maximum and step"),
    Retcode(10015, "INVALID_PRICE", _R, "the price is not one that the symbol can have; check digits and tick size"),
    Retcode(10016, "INVALID_STOPS", _R, "stop or target is too near or on the wrong side; raise ATR_SL_MULTIPLIER"),
    Retcode(10017, "TRADE_DISABLED", _R, "trading is off for this account or symbol; was the investor password used?"),
    Retcode(10018, "MARKET_CLOSED", _R, "the symbol's session is closed; it opens again by the broker's schedule"),
    Retcode(10019, "NO_MONEY", _R, "free margin does not carry the order; lower RISK_PERCENT or MAX_MARGIN_PERCENT"),
    Retcode(10020, "PRICE_CHANGED", _P, "the price moved; decide again on the next quote, or raise DEVIATION"),
    Retcode(10021, "PRICE_OFF", _P, "the broker has no quote now; decide again when quotes return"),
    Retcode(10022, "INVALID_EXPIRATION", _R, "the expiration is not one that the symbol allows"),
    Retcode(10023, "ORDER_CHANGED", _R, "the order's state changed meanwhile; read it again"),
    Retcode(10024, "TOO_MANY_REQUESTS", _W, "the broker limits the rate of requests; wait before the next one"),
    Retcode(NO_CHANGES, "NO_CHANGES", _R, "the position already has these values; nothing is to be done"),
    Retcode(10026, "SERVER_DISABLES_AT", _R, "the broker forbids automated trading on this account; ask the broker"),
    Retcode(10027, "CLIENT_DISABLES_AT", _R, "switch Algo Trading on in the terminal's toolbar"),
    Retcode(10028, "LOCKED", _W, "the broker is still busy with this order or position"),
    Retcode(10029, "FROZEN", _R, "the price is within the freeze level; the position cannot be changed now"),
    Retcode(INVALID_FILL, "INVALID_FILL", _R, "the symbol does not take this filling mode; the next order uses another"),
    Retcode(10031, "CONNECTION", _W, "the terminal has lost its server; wait until it is connected again"),
    Retcode(10032, "ONLY_REAL", _R, "the symbol is for real accounts only"),
    Retcode(10033, "LIMIT_ORDERS", _R, "the account has its most pending orders; cancel some"),
    Retcode(10034, "LIMIT_VOLUME", _R, "the symbol's volume limit in this direction is reached"),
    Retcode(10035, "INVALID_ORDER", _R, "the symbol does not allow this kind of order"),
    Retcode(POSITION_CLOSED, "POSITION_CLOSED", _R, "the position is closed already; its deals say how"),
    Retcode(10038, "INVALID_CLOSE_VOLUME", _R, "the position is smaller than the volume to close; read it again"),
    Retcode(10039, "CLOSE_ORDER_EXIST", _R, "another order is closing this position already"),
    Retcode(10040, "LIMIT_POSITIONS", _R, "the account has its most open positions; lower MAX_POSITIONS"),
    Retcode(10041, "REJECT_CANCEL", _R, "the pending order could not be activated and was cancelled"),
    Retcode(10042, "LONG_ONLY", _R, "the symbol may only be bought"),
    Retcode(10043, "SHORT_ONLY", _R, "the symbol may only be sold"),
    Retcode(10044, "CLOSE_ONLY", _R, "positions of the symbol may only be closed"),
    Retcode(10045, "FIFO_CLOSE", _R, "the account closes oldest positions first; set MAX_POSITIONS_PER_SYMBOL=1"),
)

RETCODES: Mapping[int, Retcode] = MappingProxyType({row.code: row for row in _TABLE})
"""Every trade retcode of the module."""


def retcode(code: int) -> Retcode:
    """The row of a code; a code that nobody knows counts as refused.

    >>> retcode(10027).name
    'CLIENT_DISABLES_AT'
    >>> retcode(10999).verdict
    <Verdict.REFUSED: 'refused'>
    """
    return RETCODES.get(code) or Retcode(code, "UNKNOWN_CODE", Verdict.REFUSED, "this code is not in our table; ask the broker")


def call_error(function: str, code: int, message: str) -> TerminalCallFailed:
    """The error for a call that came back empty.

    Args:
        function: the module's function.
        code: of the `last_error` that belongs to the call.
        message: of the same.

    Returns:
        TerminalDisconnected where nothing works until a reconnect, else TerminalCallFailed.
    """
    kind = TerminalDisconnected if code in DISCONNECTED_CODES else TerminalCallFailed
    remedy = LAST_ERRORS.get(code, "this code is not in our table")
    return kind(function, code, f"{message}; {remedy}")
