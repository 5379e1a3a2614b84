"""What a trade costs before it earns: spreads for histories that record none, and the cost of a round trip.

The levels are those of a raw-spread account, where commission is charged apart. The hourly
shape is the median, over four measured feeds (EURUSD 2018 and 2020, USDJPY 2013, GBPUSD 2012;
gold: one broker 2025-26), of the hour's median spread over the median of 02:00-16:00 New York.
A profile by hour supplies costs only, never features: it is not an observation.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from market_data.bars import Bars, FloatArray, IntArray
from market_data.clock import new_york_hour

_FX_SHAPE = np.array(
    # Hour of day in New York, 0..23; the day rolls over at 17.
    [1.5, 1.25, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.7, 4.7, 1.9, 1.5, 1.5, 1.35, 1.5, 1.5]
)
_METAL_SHAPE = np.array(
    # Closed from 17 to 18: the figure is that of the few quotes seen there.
    [1.1, 1.05, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.05, 1.2, 5.0, 1.35, 1.15, 1.1, 1.05, 1.0, 1.05]
)

_LEVELS = MappingProxyType(
    {
        "EURUSD": 0.00002,
        "GBPUSD": 0.00004,
        "AUDUSD": 0.00003,
        "NZDUSD": 0.00005,
        "USDCAD": 0.00004,
        "USDCHF": 0.00004,
        "USDJPY": 0.003,
        "EURGBP": 0.00004,
        "EURCHF": 0.00006,
        "EURJPY": 0.005,
        "GBPJPY": 0.009,
        "XAUUSD": 0.25,
        "XAGUSD": 0.03,
    }
)
"""Daytime spread in price units, so that it does not depend on how many digits a broker quotes."""

_GOLD_ABROAD, _SILVER_ABROAD, _YEN_CROSS, _CROSS = 0.5, 0.05, 0.010, 0.00010
_UNKNOWN_POINTS = 30.0

_CODE = "AUD|CAD|CHF|CNH|CZK|DKK|EUR|GBP|HKD|HUF|JPY|MXN|NOK|NZD|PLN|SEK|SGD|TRY|USD|ZAR|XAU|XAG"
PAIR_PATTERN = f"(?:{_CODE})/?(?:{_CODE})"
"""Regular expression of a currency or metal pair inside a longer name."""
_PAIR = re.compile(PAIR_PATTERN, re.IGNORECASE)
_ALIASES = MappingProxyType({"GOLD": "XAUUSD", "SILVER": "XAGUSD"})


def base_symbol(symbol: str) -> str | None:
    """The bare name inside a broker's name, or None where none is known.

    >>> base_symbol("EURUSDm"), base_symbol("XAUUSD.r"), base_symbol("#gbpjpy+"), base_symbol("US500")
    ('EURUSD', 'XAUUSD', 'GBPJPY', None)
    """
    found = _PAIR.search(symbol)
    if found:
        return found[0].replace("/", "").upper()
    return next((name for alias, name in _ALIASES.items() if alias in symbol.upper()), None)


def typical_spread(symbol: str, utc: IntArray, point: float) -> FloatArray:
    """Usual spread by New York hour, for a source that records none.

    Args:
        symbol: a broker's name; prefixes and suffixes are tolerated. A name that holds no
            known pair gets a wide default.
        utc: shape (n,), UTC epoch seconds, any order.
        point: price units of one point, as in the caller's specification.

    Returns:
        Shape (n,), points of size `point`.

    Example:
        >>> typical_spread("EURUSDm", np.array([1_700_000_000 // 86_400 * 86_400 + 15 * 3600]), 0.00001).round(3)
        array([2.])
    """
    name = base_symbol(symbol)
    shape = _METAL_SHAPE if name is not None and name.startswith("XA") else _FX_SHAPE
    level = _UNKNOWN_POINTS if name is None else _level(name) / point
    spreads: FloatArray = level * shape[new_york_hour(utc)]
    return spreads


def spread_of(bars: Bars, point: float) -> FloatArray:
    """Spread of each bar: the recorded one where there is one, else the usual one.

    Args:
        bars: n bars; a recorded spread of 0 is a real one (raw-spread accounts show them).
        point: price units of one point; must be the point of the recorded spreads.

    Returns:
        Shape (n,), points.
    """
    if bars.spread is None:
        return typical_spread(bars.symbol, bars.time, point)
    known = np.isfinite(bars.spread) & (bars.spread >= 0)
    if known.all():
        return bars.spread
    return np.where(known, bars.spread, typical_spread(bars.symbol, bars.time, point))


Amount = TypeVar("Amount", float, FloatArray)


def round_trip_cost(spread_points: Amount, point: float, commission_price: float) -> Amount:
    """Price units lost by opening and closing at once: the spread is paid once, commission is for both sides.

    Args:
        spread_points: points; one number or shape (n,).
        point: price units of one point.
        commission_price: commission of both sides together, per unit, in price units.
    """
    return spread_points * point + commission_price


def _level(name: str) -> float:
    """Daytime spread in price units of a bare pair; its class where it is not listed."""
    by_class = (("XAU", _GOLD_ABROAD), ("XAG", _SILVER_ABROAD), ("JPY", _YEN_CROSS))
    return _LEVELS.get(name, next((level for code, level in by_class if code in name), _CROSS))
