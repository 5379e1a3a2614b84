"""Module functions that read the market: rates, ticks, symbols, depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from execution.simulated import constants as mt5
from execution.simulated import reports
from execution.simulated.calls import CallFailed, expect, integer, invalid, matches, stamp, terminal_call, text
from execution.simulated.feed import Feed
from execution.simulated.link import TerminalLink
from execution.simulated.series import Rates
from execution.simulated.structs import TICK_DTYPE, Struct

_ALL_TIME_MSC = 2**53


class MarketCalls(TerminalLink):
    """Functions of the module that change nothing but Market Watch."""

    @terminal_call()
    def copy_rates_from_pos(self, *args: Any) -> Rates | None:
        """Bars `(symbol, timeframe, start_pos, count)`, counted back from the forming one; None on failure."""
        expect(args, 4)
        symbol, timeframe, start, count = text(args[0]), integer(args[1]), integer(args[2]), integer(args[3])
        feed = self._feed(symbol, mt5.RES_E_FAIL)
        _check_count(count)
        stop = feed.visible(timeframe) - start
        if start < 0 or stop <= 0:
            raise CallFailed(mt5.RES_E_FAIL, "Terminal: Call failed")
        return feed.window(timeframe, max(0, stop - count), stop)

    @terminal_call()
    def copy_rates_from(self, *args: Any) -> Rates | None:
        """Bars `(symbol, timeframe, date_from, count)`: the last `count` that opened by the date; None on failure."""
        expect(args, 4)
        symbol, timeframe, date, count = text(args[0]), integer(args[1]), stamp(args[2]), integer(args[3])
        feed = self._feed(symbol, mt5.RES_E_FAIL)
        _check_count(count)
        stop = _opened_by(feed, timeframe, date)
        return feed.window(timeframe, max(0, stop - count), stop)

    @terminal_call()
    def copy_rates_range(self, *args: Any) -> Rates | None:
        """Bars `(symbol, timeframe, date_from, date_to)` whose open time is within the dates; None on failure."""
        expect(args, 4)
        symbol, timeframe, first, last = text(args[0]), integer(args[1]), stamp(args[2]), stamp(args[3])
        feed = self._feed(symbol, mt5.RES_E_FAIL)
        start, stop = _opened_by(feed, timeframe, first - 1), _opened_by(feed, timeframe, last)
        if stop - start > reports.MAX_BARS:
            raise invalid("Terminal: Invalid params")
        return feed.window(timeframe, min(start, stop), stop)

    @terminal_call()
    def copy_ticks_from(self, *args: Any) -> NDArray[np.void] | None:
        """Ticks `(symbol, date_from, count, flags)`: the first `count` from the date on; None on failure."""
        expect(args, 4)
        symbol, first, count, flags = text(args[0]), stamp(args[1]), integer(args[2]), integer(args[3])
        feed = self._feed(symbol)
        if count <= 0:
            raise invalid("Terminal: Invalid params")
        return _of_kind(_ticks(feed, first, _ALL_TIME_MSC), flags)[:count].copy()

    @terminal_call()
    def copy_ticks_range(self, *args: Any) -> NDArray[np.void] | None:
        """Ticks `(symbol, date_from, date_to, flags)` within the dates; None on failure."""
        expect(args, 4)
        symbol, first, last, flags = text(args[0]), stamp(args[1]), stamp(args[2]), integer(args[3])
        return _of_kind(_ticks(self._feed(symbol), first, last * 1000), flags)

    @terminal_call()
    def symbols_total(self) -> int | None:
        """How many symbols the server has."""
        self._require_connection()
        return len(self._market.feeds)

    @terminal_call(refused=False)
    def symbols_get(self, *args: Any, **keywords: Any) -> tuple[Struct, ...] | bool | None:
        """Symbols, optionally those of a `group` mask; False on bad arguments."""
        given = [*args, *keywords.values()]
        if len(given) > 1 or not set(keywords) <= {"group"} or not all(isinstance(value, str) for value in given):
            raise invalid()
        self._require_connection()
        mask = given[0] if given else "*"
        return tuple(self._describe(feed) for name, feed in self._market.feeds.items() if matches(name, mask))

    @terminal_call()
    def symbol_info(self, *args: Any) -> Struct | None:
        """A symbol's specification and quote; None where the server has no such symbol."""
        expect(args, 1)
        return self._describe(self._feed(text(args[0])))

    @terminal_call()
    def symbol_info_tick(self, *args: Any) -> Struct | None:
        """The last quote of a symbol in Market Watch; None for others."""
        expect(args, 1)
        return reports.tick(self._quoted(text(args[0])))

    @terminal_call(failure=False)
    def symbol_select(self, *args: Any) -> bool:
        """Puts a symbol into Market Watch or takes it out: `(symbol[, enable])`."""
        expect(args, 1, 2)
        symbol, enable = text(args[0]), bool(args[1]) if len(args) > 1 else True
        self._feed(symbol)
        if not enable and any(position.symbol == symbol for position in self._ledger.positions.values()):
            raise CallFailed(mt5.RES_E_FAIL, "Terminal: Call failed")
        (self._desk.selected.add if enable else self._desk.selected.discard)(symbol)
        self._commit(durable=True)
        return True

    @terminal_call(failure=False, refused=None)
    def market_book_add(self, *args: Any) -> bool | None:
        """Subscribes to the depth of market of a symbol."""
        expect(args, 1)
        self._depth.add(self._feed(text(args[0])).spec.name)
        return True

    @terminal_call()
    def market_book_get(self, *args: Any) -> tuple[Struct, ...] | None:
        """The depth of market of a subscribed symbol; None without a subscription."""
        expect(args, 1)
        feed = self._quoted(text(args[0]))
        if feed.spec.name not in self._depth:
            raise CallFailed(mt5.RES_E_NOT_FOUND, "Terminal: Not found")
        return reports.depth(feed)

    @terminal_call(failure=False, refused=None)
    def market_book_release(self, *args: Any) -> bool | None:
        """Ends a subscription to the depth of market."""
        expect(args, 1)
        symbol = self._feed(text(args[0])).spec.name
        if symbol not in self._depth:
            raise CallFailed(mt5.RES_E_NOT_FOUND, "Terminal: Not found")
        self._depth.discard(symbol)
        return True

    def _describe(self, feed: Feed) -> Struct:
        return reports.symbol_info(feed, self._dealer, feed.spec.name in self._desk.selected)


def _check_count(count: int) -> None:
    if not 0 < count < reports.MAX_BARS:
        raise invalid("Terminal: Invalid params")


def _opened_by(feed: Feed, timeframe: int, date: int) -> int:
    """How many bars of a timeframe opened by a server date, of those that exist."""
    series = feed.series(timeframe)
    return min(int(np.searchsorted(series.time, date, side="right")), feed.visible(timeframe))


def _ticks(feed: Feed, first: int, last_msc: int) -> NDArray[np.void]:
    """Ticks from a server date on; none before the first bar has opened."""
    if feed.position < 0:
        return np.zeros(0, np.dtype(TICK_DTYPE))
    return feed.ticks(first * 1000, min(last_msc, feed.tick.time_msc))


def _of_kind(ticks: NDArray[np.void], flags: int) -> NDArray[np.void]:
    """Quotes are INFO ticks; there are no TRADE ticks."""
    if flags not in (mt5.COPY_TICKS_ALL, mt5.COPY_TICKS_INFO, mt5.COPY_TICKS_TRADE):
        raise invalid("Terminal: Invalid params")
    return ticks[:0].copy() if flags == mt5.COPY_TICKS_TRADE else ticks
