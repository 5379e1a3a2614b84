"""What a file's name tells: symbol and timeframe; and the point size of a symbol."""

from __future__ import annotations

import re
from pathlib import Path

from market_data.bars import Timeframe
from market_data.costs import PAIR_PATTERN, base_symbol

_ENDINGS = re.compile(r"(\.(csv|txt|gz|zip|parquet))+$", re.IGNORECASE)
_FRAMES = "|".join(frame.name for frame in Timeframe)
_BEFORE_FRAME = re.compile(rf"([^_\s]*[A-Za-z][^_\s]*)_({_FRAMES})(?=_|\.|\s|$)")
_PAIR = re.compile(rf"(?<![A-Za-z])({PAIR_PATTERN})(\+|\.[A-Za-z]{{1,6}}|[a-z]{{1,3}})?(?![A-Za-z])", re.IGNORECASE)


def symbol_in(name: str) -> str | None:
    """The symbol that a file name tells, broker's suffix kept; None where it tells none.

    >>> symbol_in("MT5_export_EURJPY+_M15_2024.csv"), symbol_in("20140502_xauusd_minute_quote.csv"), symbol_in("ticks.csv")
    ('EURJPY+', 'XAUUSD', None)
    """
    stem = _ENDINGS.sub("", Path(name).name)
    framed = _BEFORE_FRAME.search(stem)
    if framed:
        return _as_quoted(framed[1])
    pair = _PAIR.search(stem)
    return _as_quoted(pair[0]) if pair else None


def timeframe_in(name: str) -> Timeframe | None:
    """The timeframe that a file name tells; None where it tells none."""
    found = re.search(rf"(?:^|_)({_FRAMES})(?=_|\.|\s|$)", Path(name).name)
    return Timeframe[found[1]] if found else None


def point_of(symbol: str) -> float:
    """Price units of one point as MetaTrader brokers usually quote: 0.00001; yen and silver 0.001; gold 0.01.

    >>> point_of("USDJPYm"), point_of("XAUUSD"), point_of("EURUSD")
    (0.001, 0.01, 1e-05)
    """
    name = base_symbol(symbol) or symbol.upper()
    if name.startswith("XAU"):
        return 0.01
    return 0.001 if name.startswith("XAG") or "JPY" in name else 0.00001


def _as_quoted(token: str) -> str:
    """Names in lower case are a folder's habit; brokers write pairs in capitals."""
    return token.upper() if token.islower() else token
