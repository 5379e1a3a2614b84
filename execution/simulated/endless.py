"""A synthetic market without an end, for programs that bring their own idea of now.

History keeps the FX week. From the Friday close before the first start on, the market trades
around the clock: a program that is tried on a Saturday finds it open. M1 bars reach back sixty
days; hourly and longer ones four years, as brokers keep short bars for a shorter time. Symbols
move on their own: crosses do not follow from their majors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np

from execution.simulated import constants as mt5
from execution.simulated.feed import BarFeed
from execution.simulated.module import SimulatedMT5
from execution.simulated.series import TIMEFRAME_SECONDS, Rates, Series, Young
from execution.simulated.specs import default_spec
from execution.simulated.terms import BrokerTerms, default_terms
from market_data.bars import Bars, IntArray, Timeframe
from market_data.clock import BrokerTime
from market_data.instruments import SymbolSpec
from market_data.synthetic import in_fx_week, synthetic_bars_at

MARKET_WATCH = ("EURUSD", "GBPUSD", "USDJPY", "USDCHF", "AUDUSD", "USDCAD", "EURGBP", "EURJPY", "XAUUSD", "US500", "BTCUSD")
"""Symbols of a terminal that nobody configured."""

INSTANT = frozenset({"US500"})
"""Symbols of instant execution, where a program must name a price and may ask for RETURN filling; the others fill at market."""

HISTORY, DEEP_HISTORY, BLOCK, MARGIN = timedelta(days=60), timedelta(days=4 * 365), timedelta(days=30), timedelta(days=1)
"""M1 bars before the start, hourly bars before those, what is made at a time, what lies ahead at least."""

_PRICES: Mapping[str, float] = MappingProxyType(
    {"EURGBP": 0.86, "JPY": 150.0, "GBP": 1.27, "CHF": 0.88, "AUD": 0.66, "NZD": 0.6, "CAD": 1.36, "XAU": 2_000.0, "XAG": 25.0}
    | {"BTC": 60_000.0, "ETH": 3_000.0, "500": 5_000.0, "100": 18_000.0, "30": 38_000.0, "40": 17_000.0, "225": 38_000.0}
)
"""First price by a part of the symbol's name; what is named first counts."""

_MINUTE, _HOUR = 60, 3_600


@dataclass(frozen=True)
class EndlessMarket:
    """The recipe of the market; equal recipes give equal prices.

    Attributes:
        symbols: names of pairs, metals, indices or coins.
        start: when it is first looked at, aware.
        seed: of the prices.
        edge: strength of the predictable part.
        currency: of the account.
    """

    symbols: Sequence[str]
    start: datetime
    seed: int
    edge: float
    currency: str = "USD"

    @property
    def first(self) -> datetime:
        """The first M1 bar: a midnight in UTC."""
        return (self.start.astimezone(UTC) - HISTORY).replace(hour=0, minute=0, second=0, microsecond=0)

    def bars(self, symbol: str, until: datetime) -> Bars:
        """M1 bars from the beginning to `until` at least."""
        made = [self._block(symbol, 0, _price(symbol))]
        while made[-1].time[-1] < until.timestamp():
            made.append(self.following(symbol, made[-1], len(made)))
        return joined(made)

    def following(self, symbol: str, last: Bars, number: int) -> Bars:
        """Block `number`, which goes on where the one before it ended."""
        return self._block(symbol, number, last.close.item(-1))

    def older(self, symbol: str, price: float) -> Bars:
        """Hourly bars up to the first M1 bar, of which the last closes near `price`."""
        stop = int(self.first.timestamp())
        hours = np.arange(stop - int(DEEP_HISTORY.total_seconds()), stop, _HOUR, dtype=np.int64)
        hours, spec = hours[in_fx_week(hours)], spec_of(symbol)

        def path(opening: float) -> Bars:
            return synthetic_bars_at(spec, hours, seed=self.seed, edge=0.0, price=opening, timeframe=Timeframe.H1)

        return path(price * price / path(price).close.item(-1))  # the same path, moved so that its end fits

    def _block(self, symbol: str, number: int, price: float) -> Bars:
        first = self.first + (HISTORY + number * BLOCK if number else timedelta(0))
        stop = self.first + HISTORY + (number + 1) * BLOCK
        minutes = np.arange(int(first.timestamp()), int(stop.timestamp()), _MINUTE, dtype=np.int64)
        traded = minutes[in_fx_week(minutes) | (minutes >= self._always_open_from())]
        return synthetic_bars_at(spec_of(symbol), traded, seed=self.seed + number, edge=self.edge, price=price)

    def _always_open_from(self) -> int:
        """The last minute of the FX week before the start."""
        start = int(self.start.timestamp()) // _MINUTE * _MINUTE
        minutes: IntArray = start - np.arange(3 * 1440, dtype=np.int64) * _MINUTE
        return int(minutes[in_fx_week(minutes)][0])


class EndlessTerminal(SimulatedMT5):
    """A simulated terminal whose data never end.

    Args:
        market: what it trades on.
        until: prices are made up to this instant at least, and further when time gets there.
        broker_time: the server's clock.
        more: `account`, `book` and `terms`, as `SimulatedMT5` takes them.
    """

    def __init__(self, market: EndlessMarket, until: datetime, broker_time: BrokerTime, **more: Any) -> None:
        feeds = {symbol: market.bars(symbol, max(until, market.start) + MARGIN) for symbol in market.symbols}
        specs = {symbol: spec_of(symbol, market.currency) for symbol in market.symbols}
        super().__init__(feeds, specs, history_bars=1, broker_time=broker_time, start=market.start - timedelta(minutes=1), **more)
        self._recipe, self._broker_time = market, broker_time
        self._older = {symbol: _rates_of(market.older(symbol, bars.open.item(0)), broker_time) for symbol, bars in feeds.items()}
        for symbol, bars in feeds.items():
            self._replace(symbol, bars)
        self._desk.selected |= set(feeds)
        self._end = self._made_until()

    def advance_to(self, now: datetime) -> None:
        """Plays the market up to an instant, after making what is missing of it."""
        with self._lock:
            while self._end < now + MARGIN:
                self._prolong()
            super().advance_to(now)

    def _made_until(self) -> datetime:
        return min(datetime.fromtimestamp(int(feed.time[-1]), UTC) for feed in self._market.feeds.values())

    def _prolong(self) -> None:
        """Adds a block to every symbol."""
        number = round((self._end - self._recipe.first - HISTORY) / BLOCK)
        for symbol, feed in list(self._market.feeds.items()):
            self._replace(symbol, joined([feed.bars, self._recipe.following(symbol, feed.bars, number)]))
        self._end = self._made_until()

    def _replace(self, symbol: str, bars: Bars) -> None:
        """Puts a longer feed in the place of one."""
        held = self._market.feeds[symbol]
        self._market.put(DeepFeed(bars, held.spec, self._broker_time, held.terms, self._older[symbol]))


class DeepFeed(BarFeed):
    """A feed with older bars of which only longer timeframes know.

    Args:
        bars, spec, broker_time, terms: as for every feed.
        older: hourly rates before the first bar.
    """

    def __init__(self, bars: Bars, spec: SymbolSpec, broker_time: BrokerTime, terms: BrokerTerms, older: Rates) -> None:
        super().__init__(bars, spec, broker_time, terms)
        self._older = older

    def _aggregate(self, timeframe: int) -> Series:
        made = super()._aggregate(timeframe)
        if TIMEFRAME_SECONDS[timeframe] < _HOUR:
            return made
        older = Series.aggregate(self._older, timeframe).rows
        return DeepSeries(made, older[older["time"] < made.time[0]])


class DeepSeries(Series):
    """A series behind older bars that never change."""

    def __init__(self, recent: Series, older: Rates) -> None:
        super().__init__(older, np.arange(len(older), dtype=np.int64), older)
        self._recent, self._count = recent, len(older)
        self.time = np.concatenate([self.time, recent.time])

    def visible(self, position: int) -> int:
        """How many bars exist when base bar `position` is the newest."""
        return self._count + self._recent.visible(position)

    def visible_at(self, positions: IntArray) -> IntArray:
        """The same for many positions."""
        return self._count + self._recent.visible_at(positions)

    def extremes(self, position: int, young: Young | None) -> tuple[float, float, float]:
        """Open, high and low of the last visible bar."""
        return self._recent.extremes(position, young)

    def read(self, start: int, stop: int, position: int, young: Young | None) -> Rates:
        """A copy of bars `start:stop` as they stand now."""
        old = self.rows[start : min(stop, self._count)]
        new = self._recent.read(max(0, start - self._count), max(0, stop - self._count), position, young)
        return np.concatenate([old, new]) if len(old) else new


def spec_of(symbol: str, currency: str = "USD") -> SymbolSpec:
    """The symbol as its broker would describe it to an account in `currency`."""
    spec = default_spec(symbol, currency=currency)
    return replace(spec, exemode=mt5.SYMBOL_TRADE_EXECUTION_INSTANT) if symbol in INSTANT else spec


def joined(parts: Sequence[Bars]) -> Bars:
    """Bars of one symbol and timeframe, one after the other; every part knows volume and spread."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("time", "open", "high", "low", "close", "tick_volume", "spread")
    }
    return Bars(parts[0].symbol, parts[0].timeframe, **columns)


def _price(symbol: str) -> float:
    return next((price for part, price in _PRICES.items() if part in symbol.upper()), 1.1)


def _rates_of(bars: Bars, broker_time: BrokerTime) -> Rates:
    """Bars as the terminal shows them."""
    spec = spec_of(bars.symbol)
    return BarFeed(bars, spec, broker_time, default_terms(spec)).rates
