"""What cannot be simulated is refused at the start, naming symbol, value and remedy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from config.errors import DataError
from execution.simulated.terms import BrokerTerms
from market_data.bars import Bars, IntArray
from market_data.clock import from_epoch
from market_data.instruments import SymbolSpec
from market_data.quotes import Quotes

_PRICES = ("open", "high", "low", "close")


def refuse_bars(bars: Bars, spec: SymbolSpec, terms: BrokerTerms) -> None:
    """Refuses bars that cannot be a market.

    Raises:
        DataError: naming the symbol, the first faulty bar and what to do.
    """
    faults = [*_terms_faults(spec, terms), *(("no bars; give at least one",) if len(bars) == 0 else _bar_faults(bars))]
    _refuse(spec, faults)


def refuse_quotes(quotes: Quotes, spec: SymbolSpec, terms: BrokerTerms) -> None:
    """Refuses quotes that cannot be a market.

    Raises:
        DataError: naming the symbol, the first faulty quote and what to do.
    """
    faults = [*_terms_faults(spec, terms), *(("no quotes; give at least one",) if len(quotes) == 0 else _quote_faults(quotes))]
    _refuse(spec, faults)


def _refuse(spec: SymbolSpec, faults: list[str]) -> None:
    if faults:
        raise DataError(f"{spec.name}: cannot be simulated: {'; '.join(faults)}")


def _terms_faults(spec: SymbolSpec, terms: BrokerTerms) -> Iterator[str]:
    yield from (f"specification: {fault}" for fault in spec.problems())
    whole = {"stops_level": spec.stops_level, "freeze_level": spec.freeze_level, "volume_limit": spec.volume_limit}
    yield from (f"specification: {name} is {value}; it must be 0 or more" for name, value in whole.items() if not value >= 0)
    yield from (f"terms: {fault}" for fault in terms.problems())


def _bar_faults(bars: Bars) -> Iterator[str]:
    prices = {name: getattr(bars, name) for name in _PRICES}
    short = {name: len(column) for name, column in prices.items() if len(column) != len(bars)}
    if short:
        yield f"{len(bars)} times but {short}; every column needs one value a bar"
        return
    if (falls := np.diff(bars.time) <= 0).any():
        at = int(falls.argmax()) + 1
        yield f"bars are not in ascending order of time, first at {_when(bars.time, at)}; sort them and leave out duplicates"
    for name, column in prices.items():
        yield from _first(~(np.isfinite(column) & (column > 0)), bars.time, column, f"{name} must be a price above 0")
    low, high = np.minimum(bars.open, bars.close), np.maximum(bars.open, bars.close)
    outside = (bars.low > low) | (bars.high < high)
    yield from _first(outside, bars.time, bars.high - bars.low, "open and close must lie between low and high")


def _quote_faults(quotes: Quotes) -> Iterator[str]:
    times = quotes.time_msc // 1000
    if not len(quotes) == len(quotes.bid) == len(quotes.ask):
        yield f"{len(quotes)} times, {len(quotes.bid)} bids, {len(quotes.ask)} asks; every quote needs all three"
        return
    if (falls := np.diff(quotes.time_msc) < 0).any():
        yield f"quotes are not in ascending order of time, first at {_when(times, int(falls.argmax()) + 1)}; sort them"
    for name, column in (("bid", quotes.bid), ("ask", quotes.ask)):
        yield from _first(~(np.isfinite(column) & (column > 0)), times, column, f"{name} must be a price above 0")
    yield from _first(quotes.ask < quotes.bid, times, quotes.ask - quotes.bid, "the ask must not lie below the bid")


def _first(faulty: NDArray[np.bool_], times: IntArray, values: NDArray[np.float64], rule: str) -> Iterator[str]:
    if faulty.any():
        at = int(faulty.argmax())
        yield f"{rule}: {values[at]} at {_when(times, at)} ({int(faulty.sum())} such rows); clean the file with import-data"


def _when(times: IntArray, at: int) -> str:
    return f"{from_epoch(int(times[at])):%Y-%m-%d %H:%M:%S} UTC"
