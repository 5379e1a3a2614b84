"""Swap of a paper position: the simulated broker's rule with the real broker's terms."""

from __future__ import annotations

from execution.orders import Side
from execution.paper.book import Holding
from execution.paper.prices import LivePrices
from execution.simulated import constants as mt5
from execution.simulated.money import swap_unit
from execution.simulated.terms import nights_between
from market_data.instruments import SymbolSpec

_WORKING = range(1, 6)


def charged_nights(triple: int) -> tuple[int, ...]:
    """Nights charged at the end of each day, Sunday first: what a terminal tells of it is the one that counts three times.

    >>> charged_nights(3)
    (0, 1, 1, 3, 1, 1, 0)
    """
    return tuple(3 if day == triple else int(day in _WORKING) for day in range(7))


def swap_of(prices: LivePrices, held: Holding, volume: float, price: float, until_msc: int) -> float:
    """What the nights of a position have cost (negative) or brought, whole cents of the account's currency.

    All nights are counted by the terms that the symbol has now.

    Args:
        prices: of the real terminal, whose arithmetic converts currencies.
        held: the position.
        volume: lots of it.
        price: at which it could be closed.
        until_msc: server milliseconds of its end, or now.

    Raises:
        CallFailed: the real terminal did not answer.
    """
    spec, terms = prices.spec(held.symbol), prices.terms(held.symbol)
    mode, rate = int(terms.swap_mode), float(terms.swap_long if held.side is Side.LONG else terms.swap_short)
    nights = nights_between(charged_nights(int(terms.swap_rollover3days)), held.time_msc, until_msc)
    if not nights or not rate or mode == mt5.SYMBOL_SWAP_MODE_DISABLED:
        return 0.0
    if mode == mt5.SYMBOL_SWAP_MODE_CURRENCY_DEPOSIT:
        return round(rate * volume * nights, 2)
    distance = rate * swap_unit(spec, mode, price, held.price_open) * _worth(spec, mode, price) / spec.contract_size
    return round(prices.profit(Side.LONG, held.symbol, volume, price, price + distance * nights), 2)


def _worth(spec: SymbolSpec, mode: int, price: float) -> float:
    """One unit of the swap's currency in the symbol's profit currency."""
    currency = {
        mt5.SYMBOL_SWAP_MODE_CURRENCY_SYMBOL: spec.currency_base,
        mt5.SYMBOL_SWAP_MODE_CURRENCY_MARGIN: spec.currency_margin,
    }.get(mode, spec.currency_profit)
    return 1.0 if currency == spec.currency_profit else price
