"""A real terminal on which nothing is traded: its prices, and a paper account that answers for trades.

Fills take the quoted side at once and whole. What is left out: slippage, pending orders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from execution.orders import Side
from execution.paper.account import PaperAccount
from execution.paper.book import Holding, PaperBook
from execution.paper.broker import PaperBroker
from execution.paper.prices import LivePrices
from execution.simulated import constants as mt5
from execution.simulated.calls import SUCCESS, CallFailed
from execution.simulated.history import History
from execution.simulated.queries import filtered, in_history, window
from execution.simulated.requests import parse_request
from execution.simulated.structs import AccountInfo, Struct, TradePosition
from execution.terminal import Reply, Request, Terminal


class PaperTerminal:
    """Stands between the daemon and a real terminal; safe to call from any thread.

    Args:
        real: whose prices are used; it never gets a trade request, and its own orders, positions
            and deals are never shown.
        book: SQLite file of the paper account; an existing one is resumed.
        commission: account currency per lot and side.
        now_msc: the server's clock, milliseconds.
        balance: that a new paper account is opened with; None: the real account's.

    Raises:
        HomeError: the book cannot be used, or from a call: it holds an account in another currency.
    """

    def __init__(self, real: Terminal, book: Path, *, commission: float, now_msc: Callable[[], int], balance: float | None = None) -> None:
        self._prices, self._book = LivePrices(real), PaperBook(book)
        self._commission, self._now_msc, self._opening = commission, now_msc, balance
        self._lock = threading.RLock()
        self._known: PaperBroker | None = None
        self._answers: dict[str, Callable[..., Any]] = {
            "account_info": self._account_info,
            "order_check": lambda *args, **keywords: self._broker().check(parse_request(args, keywords)),
            "order_send": lambda *args, **keywords: self._broker().send(parse_request(args, keywords)),
            "positions_get": lambda *args, **keywords: filtered(self._positions(), args, keywords)(),
            "positions_total": lambda: len(self._broker().account.holdings),
            "orders_get": lambda *args, **keywords: filtered((), args, keywords)(),
            "orders_total": lambda: 0,
            "history_orders_get": lambda *args, **keywords: self._past("orders", args, keywords),
            "history_deals_get": lambda *args, **keywords: self._past("deals", args, keywords),
            "history_orders_total": lambda *args: self._count("orders", args),
            "history_deals_total": lambda *args: self._count("deals", args),
        }

    def call(self, request: Request) -> Reply:
        """Answers for trades itself, and hands on what only reads the market."""
        answer = self._answers.get(request.function)
        if answer is None:
            return self._forward(request)
        with self._lock:
            try:
                return Reply(answer(*request.args, **request.kwargs), *SUCCESS)
            except CallFailed as failed:
                return Reply(None, failed.code, failed.message)

    def _forward(self, request: Request) -> Reply:
        """The real terminal's answer; a symbol with an open paper position stays in Market Watch."""
        if request.function == "symbol_select" and request.args[1:2] == (False,) and self._holds(request.args[0]):
            return Reply(False, mt5.RES_E_FAIL, "Terminal: Call failed")
        return self._prices.forward(request)

    def _holds(self, symbol: str) -> bool:
        return self._known is not None and any(held.symbol == symbol for held in self._known.account.holdings.values())

    def close(self) -> None:
        """Closes the book; the terminal cannot be used afterwards."""
        with self._lock:
            self._book.close()

    def _broker(self) -> PaperBroker:
        """The broker after all that the market has done so far; made when the real account can first be read."""
        if self._known is None:
            self._prices.look()
            real = self._prices.account()
            opening = float(real.balance) if self._opening is None else self._opening
            account = PaperAccount(
                self._book, currency=str(real.currency), opening=opening, time_msc=self._now_msc(), commission=self._commission
            )
            self._known = PaperBroker(account, self._prices, self._now_msc)
        self._known.catch_up()
        return self._known

    def _account_info(self) -> Struct:
        """The real account's identity and terms, with the paper account's money."""
        broker = self._broker()
        real, (floating, equity, margin) = self._prices.account(), broker.money()
        ours = {
            "trade_allowed": True,
            "trade_expert": True,
            "balance": broker.account.balance,
            "credit": 0.0,
            "profit": floating,
            "equity": equity,
            "margin": margin,
            "margin_free": round(equity - margin, 2),
            "margin_level": equity / margin * 100.0 if margin > 0 else 0.0,
        }
        return AccountInfo(ours[name] if name in ours else getattr(real, name) for name in AccountInfo.__match_args__)

    def _positions(self) -> list[Struct]:
        broker = self._broker()
        return [_position(held, broker) for held in broker.account.holdings.values()]

    def _past(self, kind: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Struct, ...]:
        return in_history(args, keywords)(self._history(kind))

    def _count(self, kind: str, args: tuple[Any, ...]) -> int:
        first, last = window(args)
        return self._history(kind).total(first, last)

    def _history(self, kind: str) -> History:
        account = self._broker().account
        return account.orders if kind == "orders" else account.deals


def _position(held: Holding, broker: PaperBroker) -> Struct:
    times = (held.time_msc // 1000, held.time_msc, held.watched_msc // 1000, held.watched_msc)
    kind = mt5.POSITION_TYPE_BUY if held.side is Side.LONG else mt5.POSITION_TYPE_SELL
    order = (kind, held.magic, held.ticket, mt5.POSITION_REASON_EXPERT)
    prices = (held.volume, held.price_open, held.sl, held.tp, broker.exit_price(held))
    return TradePosition((held.ticket, *times, *order, *prices, broker.swap(held), broker.profit(held), held.symbol, held.comment, ""))
