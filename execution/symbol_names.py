"""The broker's name of a symbol: brokers add suffixes, and some call gold GOLD."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from config.errors import SettingsError

ALIASES: Mapping[str, str] = MappingProxyType({"XAUUSD": "GOLD", "GOLD": "XAUUSD", "XAGUSD": "SILVER", "SILVER": "XAGUSD"})
"""Two names of one thing; tried where the broker has nothing under the name that was given."""

_TRADABLE = 4


def other_names(symbol: str, search: Callable[[str], Iterable[Any]]) -> tuple[str, ...]:
    """Tradable names of a symbol that the broker does not trade under its exact name.

    First the name with a suffix, then its alias, exact or with a suffix. Variants that only show
    quotes, or that may not be traded in both directions, are left out.

    Args:
        symbol: as the settings name it.
        search: the broker's symbols that fit a mask.
    """
    for name in filter(None, (symbol, ALIASES.get(symbol))):
        found = {str(info.name): info for info in search(f"*{name}*") if int(info.trade_mode) == _TRADABLE and info.name != symbol}
        if name in found:
            return (name,)
        fits = tuple(sorted(other for other, info in found.items() if _is_variant(name, info)))
        if fits:
            return fits
    return ()


def the_one_name(symbol: str, fits: tuple[str, ...]) -> str:
    """The name, where there is exactly one.

    Raises:
        SettingsError: none or several fit; the message names them.
    """
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise SettingsError(f"SYMBOLS: {symbol} could be any of {', '.join(fits)}; write the exact name")
    raise SettingsError(f"SYMBOLS: the broker has no {symbol} that can be traded; write the name as the terminal's Market Watch shows it")


def _is_variant(symbol: str, info: Any) -> bool:
    """Whether a name is the symbol and a suffix.

    A suffix begins with a sign or is in lower case (`EURUSD.a`, `EURUSDm`); anything else must
    have the pair's own currencies, so `EUR` never becomes `EURUSD`. Other currencies than the
    pair's own are another thing under a similar name; metals and indices have one currency only.
    """
    tail = str(info.name)[len(symbol) :]
    if not str(info.name).startswith(symbol) or not tail:
        return False
    pair = f"{info.currency_base}{info.currency_profit}"
    if pair == symbol:
        return True
    if len(symbol) == 6 and symbol.isalpha() and info.currency_base != info.currency_profit:
        return False
    return tail.islower() or not tail[0].isalnum()
