"""What the broker remembers of an account: balance, positions, orders, deals, tickets."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from config.errors import SettingsError
from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.history import History, past_deals, past_orders
from execution.simulated.structs import Struct, TradeDeal, TradeOrder

_CENTS = 2
FIRST_ORDER, FIRST_DEAL = 2_000_001, 1_000_001  # apart, so that one taken for the other is not found


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """The account that the simulated broker keeps.

    Attributes:
        balance: opening balance, account currency.
        leverage: of currency pairs, metals and indices alike.
        commission_per_lot: account currency, per lot and side.
        slippage_points: lost on every market fill.
        hedging: several positions per symbol; False nets them into one.
        margin_call: margin level in percent at which the broker warns.
        stop_out: margin level in percent below which it closes positions.
        fifo: whether the oldest position of a symbol must be closed first.
        limit_orders: most pending orders at a time; 0 = no limit.
        limit_positions: most open positions at a time, on a hedging account together with the pending
            orders that would open more; 0 = no limit. The server knows it, `account_info` does not.
    """

    login: int = 1
    server: str = "Simulated"
    currency: str = "USD"
    balance: float = 10_000.0
    leverage: int = 100
    commission_per_lot: float = 0.0
    slippage_points: float = 0.0
    hedging: bool = True
    margin_call: float = 100.0
    stop_out: float = 50.0
    fifo: bool = False
    limit_orders: int = 0
    limit_positions: int = 0

    def __post_init__(self) -> None:
        for name in ("balance", "leverage"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"simulated account: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("commission_per_lot", "slippage_points", "margin_call", "stop_out", "limit_orders", "limit_positions"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"simulated account: {name} is {getattr(self, name)}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position as the broker keeps it; times in server milliseconds.

    Attributes:
        margin_per_lot: account currency, fixed by the fill.
        swap: account currency gathered so far, whole cents.
        identifier: ticket of the order that opened it; it stays when a netting position turns, the ticket does not.
    """

    ticket: int
    symbol: str
    side: Side
    volume: float
    price_open: float
    sl: float
    tp: float
    time_msc: int
    time_update_msc: int
    magic: int
    reason: int
    comment: str
    margin_per_lot: float
    swap: float = 0.0
    identifier: int = 0

    @property
    def type(self) -> int:
        """POSITION_TYPE_BUY or POSITION_TYPE_SELL."""
        return mt5.POSITION_TYPE_BUY if self.side is Side.LONG else mt5.POSITION_TYPE_SELL


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the last commit.

    Attributes:
        gone: tickets of positions that no longer exist.
        done: tickets of working orders that no longer work.
    """

    positions: tuple[OpenPosition, ...]
    gone: tuple[int, ...]
    working: tuple[Struct, ...]
    done: tuple[int, ...]
    orders: tuple[Struct, ...]
    deals: tuple[Struct, ...]


NOTHING = Changes((), (), (), (), (), ())
"""What happens in most minutes."""


@dataclass
class Ledger:
    """The account's memory; every change is also noted for the next commit.

    Attributes:
        positions: by ticket.
        working: pending orders by ticket.
        orders: finished orders, in the order in which they ended.
        deals: oldest first.
        revision: how often positions and working orders have changed.
    """

    balance: float = 0.0
    next_order: int = FIRST_ORDER
    next_deal: int = FIRST_DEAL
    positions: dict[int, OpenPosition] = field(default_factory=dict)
    working: dict[int, Struct] = field(default_factory=dict)
    orders: History = field(default_factory=past_orders)
    deals: History = field(default_factory=past_deals)
    revision: int = 0
    _touched: set[int] = field(default_factory=set)
    _ordered: set[int] = field(default_factory=set)
    _saved: list[int] = field(default_factory=lambda: [0, 0])

    def put(self, position: OpenPosition) -> None:
        """Opens or replaces a position."""
        self.positions[position.ticket] = position
        self._touch(position.ticket)

    def reduce(self, position: OpenPosition, volume: float, time_msc: int) -> None:
        """Takes lots off a position; without lots left it is gone."""
        left = round(position.volume - volume, 8)
        if left > 0:
            self.put(replace(position, volume=left, time_update_msc=time_msc))
        else:
            self.drop(position.ticket)

    def drop(self, ticket: int) -> None:
        """Ends a position."""
        del self.positions[ticket]
        self._touch(ticket)

    def put_working(self, order: Struct) -> None:
        """Places or replaces a pending order."""
        self.working[order.ticket] = order
        self._ordered.add(order.ticket)
        self.revision += 1

    def finish(self, order: Struct) -> None:
        """Moves an order to history; a pending one works no longer."""
        if self.working.pop(order.ticket, None) is not None:
            self._ordered.add(order.ticket)
            self.revision += 1
        self.orders.append(order)

    def order_ticket(self) -> int:
        """A new order ticket."""
        self.next_order += 1
        return self.next_order - 1

    def add_deal(self, fields: dict[str, Any]) -> Struct:
        """Books a deal and moves the balance by what it nets; money is rounded to cents."""
        money = {name: round(fields.get(name, 0.0), _CENTS) for name in ("commission", "swap", "profit", "fee")}
        values = {**_DEAL_DEFAULTS, **fields, **money, "ticket": self.next_deal}
        deal = TradeDeal(values[name] for name in TradeDeal.__match_args__)
        self.next_deal += 1
        self.deals.append(deal)
        self.balance = round(self.balance + sum(money.values()), _CENTS)
        return deal

    def take_changes(self) -> Changes:
        """Everything since the last call, for the book; NOTHING where there is nothing."""
        if not self._touched and not self._ordered and self._saved == [len(self.orders), len(self.deals)]:
            return NOTHING
        touched, ordered, (orders, deals) = sorted(self._touched), sorted(self._ordered), self._saved
        changes = Changes(
            tuple(self.positions[ticket] for ticket in touched if ticket in self.positions),
            tuple(ticket for ticket in touched if ticket not in self.positions),
            tuple(self.working[ticket] for ticket in ordered if ticket in self.working),
            tuple(ticket for ticket in ordered if ticket not in self.working),
            tuple(self.orders[orders:]),
            tuple(self.deals[deals:]),
        )
        self.mark_saved()
        return changes

    def _touch(self, ticket: int) -> None:
        self._touched.add(ticket)
        self.revision += 1

    def mark_saved(self) -> None:
        """Notes that all of this is on record."""
        self._touched.clear()
        self._ordered.clear()
        self._saved = [len(self.orders), len(self.deals)]


_DEAL_DEFAULTS: dict[str, Any] = {
    "order": 0,
    "magic": 0,
    "position_id": 0,
    "entry": mt5.DEAL_ENTRY_IN,
    "volume": 0.0,
    "price": 0.0,
    "symbol": "",
    "comment": "",
    "external_id": "",
}


def order_record(fields: dict[str, Any]) -> Struct:
    """A TradeOrder of the given fields; what is not given is 0 or empty."""
    values: dict[str, Any] = {
        **dict.fromkeys(TradeOrder.__match_args__, 0),
        **dict.fromkeys(("volume_initial", "volume_current", "price_open", "sl", "tp", "price_current", "price_stoplimit"), 0.0),
        **dict.fromkeys(("symbol", "comment", "external_id"), ""),
        **fields,
    }
    for name in ("time_setup", "time_done"):
        values[name] = values[f"{name}_msc"] // 1000
    return TradeOrder(values[name] for name in TradeOrder.__match_args__)
