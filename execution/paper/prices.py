"""What paper trading asks of the real terminal: prices and arithmetic, and never a trade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.calls import CallFailed
from execution.terminal import Reply, Request, Terminal
from execution.translate import ORDER_TYPES, spec_from
from market_data.bars import FloatArray, IntArray
from market_data.instruments import SymbolSpec

FORWARDED = frozenset(
    {
        *("initialize", "login", "shutdown", "version", "terminal_info"),
        *("symbols_total", "symbols_get", "symbol_info", "symbol_info_tick", "symbol_select"),
        *("market_book_add", "market_book_get", "market_book_release"),
        *("copy_rates_from", "copy_rates_from_pos", "copy_rates_range", "copy_ticks_from", "copy_ticks_range"),
        *("order_calc_margin", "order_calc_profit"),
    }
)
"""Functions that the real terminal answers: they read, and change Market Watch at most."""

_CHUNK_SECONDS = 6 * 3600
"""Ticks of a quarter of a day in one call: the module holds the interpreter while it waits."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Quotes in the order they came, shape (n,) each; times in server milliseconds."""

    time_msc: IntArray
    bid: FloatArray
    ask: FloatArray


class LivePrices:
    """The real terminal, as far as paper trading may use it.

    Between two calls of `look` every question has one answer, so that what is computed from
    several of them belongs to one instant. Use all but `forward` from one thread at a time.

    Raises:
        CallFailed: from any method but `forward`: the real terminal did not answer; its code and message.
    """

    def __init__(self, real: Terminal) -> None:
        self._real = real
        self._seen: dict[tuple[str, ...], Any] = {}

    def forward(self, request: Request) -> Reply:
        """The real terminal's answer to a call of FORWARDED; any other is not even asked."""
        if request.function not in FORWARDED:
            return Reply(None, mt5.RES_E_INVALID_PARAMS, f"{request.function} is not answered in paper trading")
        return self._real.call(request)

    def look(self) -> None:
        """Forgets all answers: from here on the market is as it is now."""
        self._seen.clear()

    def account(self) -> Any:
        """The real account, for its identity and its terms."""
        return self._once("account_info")

    def knows(self, function: str, symbol: str) -> bool:
        """Whether a symbol exists (`symbol_info`), or is quoted (`symbol_info_tick`)."""
        try:
            self._once(function, symbol)
        except CallFailed as failed:
            if failed.code != mt5.RES_E_NOT_FOUND:
                raise
            return False
        return True

    def spec(self, symbol: str) -> SymbolSpec:
        """The symbol as the broker describes it."""
        return spec_from(self.terms(symbol))

    def terms(self, symbol: str) -> Any:
        """The same as the module's record, swap included."""
        return self._once("symbol_info", symbol)

    def tick(self, symbol: str) -> Any:
        """The latest tick, as the module's record."""
        return self._once("symbol_info_tick", symbol)

    def profit(self, side: Side, symbol: str, volume: float, opened: float, closed: float) -> float:
        """Account currency that a position makes, by the broker's own arithmetic."""
        return float(self._ask("order_calc_profit", ORDER_TYPES[side], symbol, float(volume), float(opened), float(closed)))

    def margin(self, side: Side, symbol: str, volume: float, price: float) -> float:
        """Account currency that a position binds, by the broker's own arithmetic."""
        return float(self._ask("order_calc_margin", ORDER_TYPES[side], symbol, float(volume), float(price)))

    def ticks(self, symbol: str, after_msc: int) -> Iterator[Ticks]:
        """Every quote later than `after_msc` (server milliseconds), piece by piece, `tick` itself last."""
        latest = self.tick(symbol)
        end = int(latest.time_msc) // 1000 + 1
        for first in range(after_msc // 1000, end, _CHUNK_SECONDS):
            found = self._ask("copy_ticks_range", symbol, first, min(first + _CHUNK_SECONDS, end), mt5.COPY_TICKS_INFO)
            past = found[found["time_msc"] < latest.time_msc]
            yield _later(after_msc, past["time_msc"], past["bid"], past["ask"])
        yield _later(after_msc, *(np.array([value]) for value in (latest.time_msc, latest.bid, latest.ask)))

    def _once(self, function: str, *symbol: str) -> Any:
        key = (function, *symbol)
        if key not in self._seen:
            # The account is asked for past the list: it is read here, and never shown as ours.
            self._seen[key] = _value(self._real.call(Request(function, symbol)))
        return self._seen[key]

    def _ask(self, function: str, *args: Any) -> Any:
        return _value(self.forward(Request(function, args)))


def _value(reply: Reply) -> Any:
    if reply.value is None or reply.value is False:
        raise CallFailed(reply.code, reply.message)
    return reply.value


def _later(after_msc: int, time_msc: IntArray, bid: FloatArray, ask: FloatArray) -> Ticks:
    """Whole quotes after an instant; a tick may carry one side only."""
    kept: NDArray[np.bool_] = (time_msc > after_msc) & (bid > 0) & (ask > 0)
    return Ticks(time_msc[kept], bid[kept], ask[kept])
