"""Orders, positions, deals, account: the frozen records that pass between the daemon and a terminal.

Prices are in the symbol's quote, volumes in lots, money in account currency, times aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

_HEDGING = 2  # ACCOUNT_MARGIN_MODE_RETAIL_HEDGING


class Side(IntEnum):
    """Direction of a trade; its value is the sign of its profit when price rises."""

    LONG = 1
    SHORT = -1

    @property
    def opposite(self) -> Side:
        """The side that closes this one."""
        return Side(-self.value)


class OrderState(Enum):
    """A state in the life of an order, as the journal writes it."""

    INTENDED = "intended"
    DENIED = "denied"
    FILLED = "filled"
    PARTIAL = "partial"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    CONFIRMED = "confirmed"
    """A change of stop and target that the venue shows."""


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order we mean to send, committed to the journal before it is sent.

    Attributes:
        key: unique; at most 29 ASCII characters; travels in the order's comment.
        purpose: `entry`, `exit`, `partial` (an exit of less than all) or `stop` (a change of the stop).
        position: ticket of the position to close or to change; 0 for an entry.
        price: the quote when the intent was made.
        sl, tp: stop loss and take profit; 0.0 on an exit.
        deviation: points of slippage accepted on instant execution.
        reason: why, in words: the decision's reason or the exit rule.
    """

    key: str
    symbol: str
    side: Side
    volume: float
    price: float
    sl: float
    tp: float
    deviation: int
    magic: int
    created: datetime
    purpose: str = "entry"
    position: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What became of an order that was sent.

    Attributes:
        state: FILLED, PARTIAL, REJECTED or UNKNOWN; CONFIRMED for a change of the stop.
        retcode: the venue's code; 0 where there was no reply.
        order, deal: tickets; 0 where there is none.
        price, volume: the fill; 0.0 where there is none.
    """

    state: OrderState
    retcode: int
    message: str
    order: int = 0
    deal: int = 0
    price: float = 0.0
    volume: float = 0.0


@dataclass(frozen=True, slots=True)
class Position:
    """An open position at the broker."""

    ticket: int
    symbol: str
    side: Side
    volume: float
    price_open: float
    sl: float
    tp: float
    opened: datetime
    magic: int
    profit: float
    swap: float
    comment: str


@dataclass(frozen=True, slots=True)
class Deal:
    """A booked transaction; `net` over all deals of a position is what the trade made.

    Attributes:
        transfer: whether it paid money in or out: a deposit, a withdrawal, credit, a bonus.
    """

    ticket: int
    order: int
    position: int
    symbol: str
    side: Side | None
    entry: str
    volume: float
    price: float
    commission: float
    swap: float
    profit: float
    fee: float
    reason: str
    magic: int
    time: datetime
    comment: str
    transfer: bool = False

    @property
    def net(self) -> float:
        """Money that this deal moved."""
        return self.profit + self.swap + self.commission + self.fee


@dataclass(frozen=True, slots=True)
class Account:
    """The account as the terminal reports it."""

    login: int
    server: str
    currency: str
    balance: float
    equity: float
    margin: float
    margin_free: float
    leverage: int
    trade_mode: int
    margin_mode: int
    trade_allowed: bool

    @property
    def hedging(self) -> bool:
        """Whether a symbol can have several positions; otherwise they merge into one."""
        return self.margin_mode == _HEDGING


@dataclass(frozen=True, slots=True)
class Quote:
    """The latest tick of a symbol."""

    symbol: str
    time: datetime
    bid: float
    ask: float

    @property
    def spread(self) -> float:
        """Ask minus bid, in price."""
        return self.ask - self.bid
