"""The paper broker: fills at the real quote, and stops and targets that meet every real tick."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from execution.orders import Side
from execution.paper.account import PaperAccount
from execution.paper.book import Holding
from execution.paper.nights import swap_of
from execution.paper.prices import LivePrices, Ticks
from execution.paper.rules import Case, refusal
from execution.retcodes import retcode
from execution.simulated import constants as mt5
from execution.simulated.dealer import Fill
from execution.simulated.structs import OrderCheckResult, OrderSendResult, Struct
from market_data.bars import FloatArray

CLOSED_AFTER_MSC = 30 * 60 * 1000
"""A symbol without a quote for so long is not being traded."""


class PaperBroker:
    """What a broker does with an account; ask `catch_up` before anything else.

    Args:
        account: whose trades these are.
        prices: of the real terminal; one instant from `catch_up` on.
        now_msc: the server's clock, milliseconds.
    """

    def __init__(self, account: PaperAccount, prices: LivePrices, now_msc: Callable[[], int]) -> None:
        self.account, self._prices, self._now_msc = account, prices, now_msc
        self._watched: dict[int, int] = {}
        self._requests = 0

    # --- the account now --------------------------------------------------------------------

    def exit_price(self, held: Holding) -> float:
        """The side of the quote at which a position is closed."""
        tick = self._prices.tick(held.symbol)
        return float(tick.bid if held.side is Side.LONG else tick.ask)

    def profit(self, held: Holding) -> float:
        """What a position would make now."""
        return self._prices.profit(held.side, held.symbol, held.volume, held.price_open, self.exit_price(held))

    def swap(self, held: Holding) -> float:
        """What its nights have cost or brought so far."""
        return swap_of(self._prices, held, held.volume, self.exit_price(held), self._now_msc())

    def money(self) -> tuple[float, float, float]:
        """Floating profit, equity (swap included) and bound margin, account currency."""
        held = self.account.holdings.values()
        floating = round(sum(map(self.profit, held), 0.0), 2)
        margin = sum((self._prices.margin(one.side, one.symbol, one.volume, one.price_open) for one in held), 0.0)
        swap = sum(map(self.swap, held), 0.0)
        return floating, round(self.account.balance + floating + swap, 2), round(margin, 2)

    # --- what the market does ---------------------------------------------------------------

    def catch_up(self) -> None:
        """Does to the account all that the market has done to it since the last time."""
        self._prices.look()
        self._prices.account()  # a terminal that is gone tells nothing, also where nothing is open
        for symbol in sorted({held.symbol for held in self.account.holdings.values()}):
            self._watch(symbol)
        self._watched = {ticket: seen for ticket, seen in self._watched.items() if ticket in self.account.holdings}
        self._stop_out()

    def _watch(self, symbol: str) -> None:
        held = [position for position in self.account.holdings.values() if position.symbol == symbol]
        since = {position.ticket: self._watched.get(position.ticket, position.watched_msc) for position in held}
        for ticks in self._prices.ticks(symbol, min(since.values())):
            for position in held:
                if position.ticket in self.account.holdings:
                    self._meet(position, ticks, since[position.ticket])
        self._watched |= dict.fromkeys(since, int(self._prices.tick(symbol).time_msc))

    def _meet(self, held: Holding, ticks: Ticks, since: int) -> None:
        """Closes a position at the first tick that reached its stop or target.

        A stop fills at that tick, which may lie beyond it; a target at its level and never better.
        """
        rising: FloatArray = (ticks.bid if held.side is Side.LONG else ticks.ask) * held.side
        stop = held.sl * held.side if held.sl else -np.inf
        target = held.tp * held.side if held.tp else np.inf
        hits = np.flatnonzero(((rising <= stop) | (rising >= target)) & (ticks.time_msc > since))
        if len(hits):
            stopped, price = bool(rising[hits[0]] <= stop), float(rising[hits[0]] * held.side)
            level, kind, reason = (held.sl, "sl", mt5.DEAL_REASON_SL) if stopped else (held.tp, "tp", mt5.DEAL_REASON_TP)
            mark = f"[{kind} {level:.{self._prices.spec(held.symbol).digits}f}]"
            self._end(held, price if stopped else level, int(ticks.time_msc[hits[0]]), reason, mark)

    def _stop_out(self) -> None:
        """Closes the worst position while the margin level is below the real account's limit."""
        while self.account.holdings:
            _, equity, margin = self.money()
            real = self._prices.account()
            by_percent = int(real.margin_so_mode) == mt5.ACCOUNT_STOPOUT_MODE_PERCENT
            level = equity / margin * 100.0 if margin > 0 else np.inf
            if not by_percent or level >= float(real.margin_so_so):
                return
            worst = min(self.account.holdings.values(), key=lambda held: (self.profit(held), held.ticket))
            now = int(self._prices.tick(worst.symbol).time_msc)
            self._end(worst, self.exit_price(worst), now, mt5.DEAL_REASON_SO, f"so {level:.2f}%")

    def _end(self, held: Holding, price: float, time_msc: int, reason: int, mark: str) -> None:
        fill = Fill(held.symbol, held.side.opposite, held.volume, price, time_msc, reason, held.magic, mark)
        self._close(held, fill)

    def _close(self, held: Holding, fill: Fill) -> Struct:
        made = self._prices.profit(held.side, held.symbol, fill.volume, held.price_open, fill.price)
        swap = swap_of(self._prices, held, fill.volume, fill.price, fill.time_msc)
        return self.account.close(held, fill, made, swap)

    # --- requests ---------------------------------------------------------------------------

    def check(self, request: Struct) -> Struct:
        """Whether a request would be filled (retcode 0), and the account after it; changes nothing."""
        case = self._case(request)
        code = case if isinstance(case, int) else refusal(case) or 0
        floating, equity, margin = self.money()
        if code == 0 and _enters(request):
            margin = round(margin + self._needed(request), 2)
        figures = (
            self.account.balance,
            equity,
            floating,
            margin,
            round(equity - margin, 2),
            equity / margin * 100.0 if margin > 0 else 0.0,
        )
        return OrderCheckResult((code, *figures, retcode(code).name if code else "Done", request))

    def send(self, request: Struct) -> Struct:
        """Fills a request; it is on record when this returns."""
        case = self._case(request)
        self._requests += 1
        if isinstance(case, int):
            return self._result(request, case)
        code = refusal(case)
        if code is not None:
            return self._result(request, code)
        if request.action == mt5.TRADE_ACTION_SLTP and case.held is not None:
            now = int(self._prices.tick(case.spec.name).time_msc)
            self.account.change(case.held, sl=request.sl, tp=request.tp, watched_msc=now)
            return self._result(request, mt5.TRADE_RETCODE_DONE)
        fill = self._fill(case)
        deal = self.account.open(fill) if case.held is None else self._close(case.held, fill)
        return self._result(request, mt5.TRADE_RETCODE_DONE, deal)

    def _case(self, request: Struct) -> Case | int:
        """The request and what it meets, or the retcode where its symbol cannot be traded at all."""
        if not self._prices.knows("symbol_info", request.symbol):
            return mt5.TRADE_RETCODE_INVALID
        if not self._prices.knows("symbol_info_tick", request.symbol):
            return mt5.TRADE_RETCODE_PRICE_OFF
        spec, tick = self._prices.spec(request.symbol), self._prices.tick(request.symbol)
        netting = int(self._prices.account().margin_mode) != mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING
        return Case(
            request=request,
            spec=spec,
            bid=float(tick.bid),
            ask=float(tick.ask),
            held=self.account.holdings.get(request.position),
            crowded=netting and any(held.symbol == request.symbol for held in self.account.holdings.values()),
            closed=self._now_msc() - int(tick.time_msc) > CLOSED_AFTER_MSC,
            affordable=lambda: self._affordable(request),
        )

    def _affordable(self, request: Struct) -> bool:
        _, equity, margin = self.money()
        return self._needed(request) <= equity - margin

    def _needed(self, request: Struct) -> float:
        """Margin that a market order would bind."""
        side, tick = (Side.SHORT if request.type else Side.LONG), self._prices.tick(request.symbol)
        return self._prices.margin(side, request.symbol, request.volume, tick.ask if side is Side.LONG else tick.bid)

    def _fill(self, case: Case) -> Fill:
        request = case.request
        return Fill(
            symbol=case.spec.name,
            side=case.side,
            volume=request.volume,
            price=case.price,
            time_msc=int(self._prices.tick(case.spec.name).time_msc),
            magic=request.magic,
            comment=request.comment,
            sl=request.sl,
            tp=request.tp,
        )

    def _result(self, request: Struct, code: int, deal: Struct | None = None) -> Struct:
        filled = (deal.ticket, deal.order, deal.volume, deal.price) if deal is not None else (0, 0, 0.0, 0.0)
        quoted = self._prices.knows("symbol_info_tick", request.symbol)
        quote = (float(self._prices.tick(request.symbol).bid), float(self._prices.tick(request.symbol).ask)) if quoted else (0.0, 0.0)
        return OrderSendResult((code, *filled, *quote, retcode(code).name, self._requests, 0, request))


def _enters(request: Struct) -> bool:
    return bool(request.action == mt5.TRADE_ACTION_DEAL and not request.position)
