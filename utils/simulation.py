"""The simulated terminal that the settings mean: its market, account and book.

It may be made in this process, in a worker, or in a broker's process, so what makes it is a plain
function of values that can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.errors import DataError, SettingsError
from config.settings import Settings
from execution.simulated import BrokerTerms, SimulatedAccount, SimulatedMT5, default_spec
from execution.simulated.series import Rates
from market_data.bars import Bars, IntArray, Timeframe
from market_data.clock import BrokerTime
from market_data.importers import read_market
from market_data.instruments import SymbolSpec
from market_data.quotes import Quotes
from market_data.synthetic import synthetic_bars

SYNTHETIC = "synthetic"
SYNTHETIC_START = datetime(2024, 1, 1, 14, 20, tzinfo=UTC)
"""After the default history the clock stands at the New York morning, when there is something to trade."""
SYNTHETIC_BARS = 1_000_000
"""M1 bars of a synthetic market beyond its history: 11 days at 60 times real speed."""

TYPICAL_PRICE: Mapping[str, float] = MappingProxyType({"JPY": 150.0, "XAU": 2_000.0, "XAG": 25.0, "BTC": 60_000.0})


class Simulation(SimulatedMT5):
    """The simulated terminal, which also tells how long its bars are."""

    def bar_seconds(self) -> int:
        """Length of one bar of the feed."""
        return next(iter(self._market.feeds.values())).seconds

    def closed(self, symbol: str, timeframe: int) -> int:
        """How many bars of a timeframe have closed; the newest of all is taken as forming."""
        return self._market.feeds[symbol].visible(timeframe) - 1

    def closed_at(self, symbol: str, timeframe: int, instants: IntArray) -> IntArray:
        """The same for instants to come, UTC epoch milliseconds, where every bar opens at one of them."""
        return self._market.feeds[symbol].visible_at(timeframe, instants) - 1

    def complete(self, symbol: str, timeframe: int, start: int, stop: int) -> Rates:
        """Bars `start:stop` of a timeframe as they will have closed, in server time; fewer at the end. For replays alone."""
        return self._market.feeds[symbol].series(timeframe).rows[start:stop]


def simulated_module(settings: Settings, source: Sequence[str], start: datetime | None, book: Path | None) -> Simulation:
    """Makes the simulated terminal, or takes up the one whose book there is.

    Args:
        settings: of market, symbols and account.
        source: `synthetic`, or files as PATH or SYMBOL=PATH.
        start: simulated instant at which the clock starts; None: after HISTORY_BARS.
        book: the broker's; None: it keeps none.

    Raises:
        SettingsError: files that do not fit the settings, or a symbol or currency that the simulated broker does not know.
        DataError: files that cannot be used.
        HomeError: the book is of another market or account, or cannot be used.
    """
    _check_known(settings)
    feeds = _feeds(settings, source)
    simulation = settings.simulation
    return Simulation(
        feeds,
        {symbol: spec_of(history, simulation.sim_currency) for symbol, history in feeds.items()},
        history_bars=settings.data.history_bars * _bars_per_bar(settings, feeds),
        account=account_of(settings),
        terms=terms_of(settings, feeds),
        broker_time=BrokerTime(settings.terminal.broker_time_zone),
        book=book,
        start=start,
    )


def _check_known(settings: Settings) -> None:
    """What the simulated broker cannot describe is named with its setting."""
    currency = settings.simulation.sim_currency
    for symbol in settings.symbols.symbols:
        try:
            default_spec(symbol)
        except DataError as error:
            known = "currency pairs, metals, indices and coins by their usual names, such as EURUSD, XAUUSD, US500 or BTCUSD"
            raise SettingsError(f"SYMBOLS (--symbols): the simulated terminal does not know {symbol}; it knows {known}") from error
        try:
            default_spec(symbol, currency=currency)
        except DataError as error:
            raise SettingsError(
                f"SIM_CURRENCY={currency}: no rate of this currency is known; choose another, such as USD or EUR"
            ) from error


def account_of(settings: Settings, **identity: Any) -> SimulatedAccount:
    """The account that the settings open.

    Args:
        settings: of money, leverage, margin and costs.
        identity: `login` and `server`, where they are not the usual ones.
    """
    simulation = settings.simulation
    return SimulatedAccount(
        balance=simulation.sim_balance,
        leverage=simulation.sim_leverage,
        commission_per_lot=settings.risk.commission_per_lot,
        slippage_points=simulation.sim_slippage_points,
        currency=simulation.sim_currency,
        hedging=simulation.sim_margin_mode == "hedging",
        margin_call=simulation.sim_margin_call_percent,
        stop_out=simulation.sim_stop_out_percent,
        **identity,
    )


def terms_of(settings: Settings, symbols: Iterable[str]) -> Mapping[str, BrokerTerms] | None:
    """The broker's terms by symbol; None: the usual ones, swap included."""
    return None if settings.simulation.sim_swap else dict.fromkeys(symbols, BrokerTerms())


def _feeds(settings: Settings, source: Sequence[str]) -> Mapping[str, Bars | Quotes]:
    if tuple(source) != (SYNTHETIC,):
        return read_market(list(source), list(settings.symbols.symbols))
    simulation = settings.simulation
    count = settings.data.history_bars * Timeframe[settings.symbols.timeframe].seconds // 60 + SYNTHETIC_BARS
    return {
        symbol: synthetic_bars(
            default_spec(symbol),
            start=SYNTHETIC_START,
            count=count,
            seed=simulation.synthetic_seed,
            edge=simulation.synthetic_edge,
            price=next((price for code, price in TYPICAL_PRICE.items() if code in symbol), 1.1),
        )
        for symbol in settings.symbols.symbols
    }


def spec_of(history: Bars | Quotes, currency: str) -> SymbolSpec:
    """The symbol as a broker would describe it; gold with three decimals is told by its prices."""
    spec = default_spec(history.symbol, currency=currency)
    newest = (history.bid if isinstance(history, Quotes) else history.close)[-1_000:]
    fits = bool((abs(newest * 10**spec.digits - (newest * 10**spec.digits).round()) < 1e-3).all())
    return spec if fits else default_spec(history.symbol, digits=spec.digits + 1, currency=currency)


def _timeframe(history: Bars | Quotes) -> Timeframe:
    """The bars that a history is played in."""
    return Timeframe.M1 if isinstance(history, Quotes) else history.timeframe


def _bars_per_bar(settings: Settings, feeds: Mapping[str, Bars | Quotes]) -> int:
    """Feed bars in one decision bar."""
    wanted = Timeframe[settings.symbols.timeframe].seconds
    for symbol, history in feeds.items():
        made = _timeframe(history)
        if wanted % made.seconds:
            raise SettingsError(f"{symbol}: a {made.name} file cannot make {settings.symbols.timeframe} bars; set TIMEFRAME")
    return wanted // min(_timeframe(history).seconds for history in feeds.values())
