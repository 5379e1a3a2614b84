"""The paper account: fills become orders, deals and positions, and are on record before they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from config.errors import HomeError
from execution.paper.book import Holding, PaperBook
from execution.simulated import constants as mt5
from execution.simulated.dealer import Fill
from execution.simulated.history import past_deals, past_orders
from execution.simulated.structs import Struct, TradeDeal, TradeOrder

FIRST_ORDER, FIRST_DEAL = 7_000_001, 3_000_001  # apart, so that one taken for the other is not found
_CENTS = 2


class PaperAccount:
    """A hedging account in the real account's currency; `holdings`, `orders` and `deals` are read, never edited.

    Args:
        book: resumed where it holds an account.
        currency: of the real account.
        opening: account currency that a new paper account is opened with.
        time_msc: server milliseconds now.
        commission: account currency per lot and side.

    Raises:
        HomeError: the book's account has another currency.
    """

    def __init__(self, book: PaperBook, *, currency: str, opening: float, time_msc: int, commission: float) -> None:
        self._book, self._commission = book, commission
        memory = book.load()
        self.holdings: Mapping[int, Holding] = {held.ticket: held for held in memory.holdings}
        self.orders, self.deals = past_orders(memory.orders), past_deals(memory.deals)
        self._state = memory.state
        if not memory.state:
            self._state = {"balance": 0.0, "currency": currency, "next_order": FIRST_ORDER, "next_deal": FIRST_DEAL}
            deposit = {"type": mt5.DEAL_TYPE_BALANCE, "profit": opening, "comment": "Paper deposit"}
            self._commit({}, (), (self._deal({**deposit, "time_msc": time_msc}),))
        elif memory.state["currency"] != currency:
            raise HomeError(
                f"the paper account in {book.path} is in {memory.state['currency']}, the real one in {currency}; choose another --home"
            )

    @property
    def balance(self) -> float:
        """Account currency, without what is open."""
        return float(self._state["balance"])

    def open(self, fill: Fill) -> Struct:
        """Opens a position under the ticket of its order; the deal."""
        order = self._order(fill, 0)
        deal = self._deal(_deal_fields(fill, order, order.ticket, mt5.DEAL_ENTRY_IN) | self._fee(fill))
        held = Holding(
            order.ticket,
            fill.symbol,
            fill.side,
            fill.volume,
            fill.price,
            fill.sl,
            fill.tp,
            fill.time_msc,
            fill.time_msc,
            fill.magic,
            fill.comment,
        )
        self._commit({**self.holdings, held.ticket: held}, (order,), (deal,))
        return deal

    def close(self, held: Holding, fill: Fill, profit: float, swap: float = 0.0) -> Struct:
        """Closes a position, or a part of it; the deal, which carries profit and swap."""
        order = self._order(fill, held.ticket)
        earned = self._fee(fill) | {"profit": profit, "swap": swap}
        deal = self._deal(_deal_fields(fill, order, held.ticket, mt5.DEAL_ENTRY_OUT) | earned)
        left = round(held.volume - fill.volume, 8)
        others = {ticket: other for ticket, other in self.holdings.items() if ticket != held.ticket}
        kept = {**others, held.ticket: replace(held, volume=left)} if left > 0 else others
        self._commit(kept, (order,), (deal,))
        return deal

    def change(self, held: Holding, **changes: Any) -> None:
        """Replaces fields of a position."""
        self._commit({**self.holdings, held.ticket: replace(held, **changes)}, (), ())

    def _fee(self, fill: Fill) -> dict[str, float]:
        return {"commission": 0.0 - round(self._commission * fill.volume, _CENTS)}

    def _order(self, fill: Fill, position: int) -> Struct:
        ticket = self._next("next_order")
        fields = {
            "ticket": ticket,
            "time_setup_msc": fill.time_msc,
            "time_done_msc": fill.time_msc,
            "type": fill.deal_type,
            "state": mt5.ORDER_STATE_FILLED,
            "magic": fill.magic,
            "position_id": position or ticket,
            "reason": fill.reason,
            "volume_initial": fill.volume,
            "price_open": fill.price,
            "price_current": fill.price,
            "sl": fill.sl,
            "tp": fill.tp,
            "symbol": fill.symbol,
            "comment": fill.comment,
            "time_setup": fill.time_msc // 1000,
            "time_done": fill.time_msc // 1000,
        }
        return _struct(TradeOrder, fields, ("volume_current", "price_stoplimit"))

    def _deal(self, fields: dict[str, Any]) -> Struct:
        money = round(fields.get("profit", 0.0), _CENTS)
        deal = {**fields, "ticket": self._next("next_deal"), "time": fields["time_msc"] // 1000, "profit": money}
        costs = deal.get("commission", 0.0) + deal.get("swap", 0.0)
        self._state = {**self._state, "balance": round(self.balance + money + costs, _CENTS)}
        return _struct(TradeDeal, deal, ("volume", "price", "commission", "swap", "fee"))

    def _next(self, name: str) -> int:
        ticket = int(self._state[name])
        self._state = {**self._state, name: ticket + 1}
        return ticket

    def _commit(self, holdings: Mapping[int, Holding], orders: tuple[Struct, ...], deals: tuple[Struct, ...]) -> None:
        self._book.save(self._state, holdings.values(), orders, deals)
        self.holdings = holdings
        self.orders.extend(orders)
        self.deals.extend(deals)


def _deal_fields(fill: Fill, order: Struct, position: int, entry: int) -> dict[str, Any]:
    return {
        "order": order.ticket,
        "time_msc": fill.time_msc,
        "type": fill.deal_type,
        "entry": entry,
        "magic": fill.magic,
        "position_id": position,
        "reason": fill.reason,
        "volume": fill.volume,
        "price": fill.price,
        "symbol": fill.symbol,
        "comment": fill.comment,
    }


def _struct(kind: Callable[[Any], Struct], fields: Mapping[str, Any], floats: tuple[str, ...]) -> Struct:
    """A record of the given fields; what is not given is 0, or empty."""
    names: tuple[str, ...] = kind.__match_args__  # type: ignore[attr-defined]  # every struct has it
    blank = {**dict.fromkeys(names, 0), **dict.fromkeys(floats, 0.0), "symbol": "", "comment": "", "external_id": ""}
    return kind({**blank, **fields}[name] for name in names)
