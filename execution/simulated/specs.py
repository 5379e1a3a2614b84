"""Plausible specifications for symbols of which only the name is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from config.errors import DataError
from execution.simulated import constants as mt5
from market_data.instruments import SymbolSpec

_DOLLARS = MappingProxyType(
    {
        "USD": 1.0,
        "EUR": 1.10,
        "GBP": 1.27,
        "JPY": 0.0068,
        "CHF": 1.14,
        "CAD": 0.73,
        "AUD": 0.66,
        "NZD": 0.60,
        "SGD": 0.75,
        "HKD": 0.128,
        "SEK": 0.095,
        "NOK": 0.095,
        "DKK": 0.147,
        "PLN": 0.25,
        "HUF": 0.0027,
        "CZK": 0.043,
        "MXN": 0.055,
        "ZAR": 0.054,
        "TRY": 0.03,
        "CNH": 0.14,
    }
)
"""Rough dollars of one unit; used only where no symbol of the session prices the currency."""

_CURRENCY = "|".join(_DOLLARS)
_PAIR = re.compile(f"({_CURRENCY})/?({_CURRENCY})", re.IGNORECASE)
_METAL = re.compile(f"(XAU|XAG|XPT|XPD)/?({_CURRENCY})", re.IGNORECASE)
_COIN = re.compile("(BTC|ETH|LTC|XRP|SOL|BCH|ADA|DOGE)/?(USDT|USD|EUR)", re.IGNORECASE)
_INDICES = MappingProxyType(
    {
        "USD": ("US30", "US500", "US100", "NAS100", "NDX", "SPX", "SP500", "DJ30", "WS30", "US2000", "USTEC", "USTEC100"),
        "EUR": ("GER40", "GER30", "DE40", "DE30", "DAX", "EU50", "STOXX50", "FRA40", "ESP35", "IT40"),
        "GBP": ("UK100", "FTSE100"),
        "JPY": ("JP225", "JPN225", "NI225"),
        "AUD": ("AUS200", "AU200"),
        "HKD": ("HK50",),
    }
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the symbols of one asset class have in common."""

    digits: int
    contract: float
    calc_mode: int
    base: str
    profit: str
    margin: str
    smallest: float = 0.01


def default_spec(symbol: str, digits: int | None = None, currency: str = "USD") -> SymbolSpec:
    """What a broker would plausibly say of a symbol.

    Args:
        symbol: a broker's name; prefixes and suffixes are tolerated (`EURUSDm`, `XAUUSD.r`).
        digits: decimals of its prices, where the data show other than the usual ones.
        currency: of the account; the tick value is in it.

    Raises:
        DataError: for an account currency without a rough rate, or a name that holds no known pair, metal, index or coin.

    Example:
        >>> default_spec("USDJPY.pro").digits, default_spec("GOLD#").contract_size, default_spec("US500Cash").currency_profit
        (3, 100.0, 'USD')
    """
    kind = _metal(symbol) or _pair(symbol) or _coin(symbol) or _index(symbol)
    if kind is None:
        raise DataError(f"{symbol}: no known currency pair, metal, index or coin in this name; give its SymbolSpec")
    if currency not in _DOLLARS:
        raise DataError(f"{symbol}: no rough rate of the account currency {currency}; give its SymbolSpec")
    decimals = kind.digits if digits is None else digits
    point = 10.0**-decimals
    return SymbolSpec(
        name=symbol,
        digits=decimals,
        point=round(point, decimals),
        tick_size=round(point, decimals),
        tick_value_loss=point * kind.contract * _DOLLARS[kind.profit] / _DOLLARS[currency],
        contract_size=kind.contract,
        volume_min=kind.smallest,
        volume_max=100.0,
        volume_step=kind.smallest,
        stops_level=0,
        freeze_level=0,
        filling_mode=3,
        exemode=mt5.SYMBOL_TRADE_EXECUTION_MARKET,
        trade_mode=mt5.SYMBOL_TRADE_MODE_FULL,
        calc_mode=kind.calc_mode,
        currency_base=kind.base,
        currency_profit=kind.profit,
        currency_margin=kind.margin,
    )


def _pair(symbol: str) -> _Kind | None:
    found = _PAIR.search(symbol)
    if not found:
        return None
    base, profit = found[1].upper(), found[2].upper()
    digits = 3 if profit in ("JPY", "HUF") else 5
    return _Kind(digits, 100_000.0, mt5.SYMBOL_CALC_MODE_FOREX, base, profit, base)


def _metal(symbol: str) -> _Kind | None:
    upper = symbol.upper()
    alias = next((code for name, code in (("GOLD", "XAUUSD"), ("SILVER", "XAGUSD")) if name in upper), upper)
    found = _METAL.search(alias)
    if not found:
        return None
    metal, profit = found[1].upper(), found[2].upper()
    digits, contract = {"XAU": (2, 100.0), "XAG": (3, 5_000.0)}.get(metal, (2, 100.0))
    return _Kind(digits, contract, mt5.SYMBOL_CALC_MODE_CFDLEVERAGE, metal, profit, profit)


def _coin(symbol: str) -> _Kind | None:
    found = _COIN.search(symbol)
    if not found:
        return None
    profit = "EUR" if found[2].upper() == "EUR" else "USD"
    digits = 2 if found[1].upper() in ("BTC", "ETH") else 4
    return _Kind(digits, 1.0, mt5.SYMBOL_CALC_MODE_CFDLEVERAGE, found[1].upper(), profit, profit)


def _index(symbol: str) -> _Kind | None:
    upper = symbol.upper()
    for currency, names in _INDICES.items():
        if any(name in upper for name in names):
            return _Kind(2, 1.0, mt5.SYMBOL_CALC_MODE_CFDLEVERAGE, currency, currency, currency, 0.1)
    return None
