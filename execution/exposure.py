"""Exposure by currency: what positions hold of each, in money at the market and in money at their stops.

A long of EURUSD is long EUR and short USD, by the same amount. Gold is a currency of its own, and
so is anything that is quoted in its own base, such as an index.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from execution.orders import Position, Side
from market_data.instruments import SymbolSpec

_METALS = ("XAU", "XAG", "XPT", "XPD")


@dataclass(frozen=True, slots=True)
class Exposure:
    """Of one currency, in account currency.

    Attributes:
        net: longs less shorts.
        gross: longs and shorts together; never below `abs(net)`.
    """

    net: float = 0.0
    gross: float = 0.0


Line = tuple[SymbolSpec, Side, float]
"""A position as exposure sees it: symbol, direction, amount in account currency (not negative)."""


def legs(spec: SymbolSpec) -> tuple[str, str]:
    """What a long of the symbol buys, and what it pays with.

    Brokers write gold with the base XAU or with the base USD; its name tells. A suffix changes
    nothing: currencies come from the symbol's description.
    """
    base, profit = spec.currency_base, spec.currency_profit
    metal = next((code for code in _METALS if spec.name.upper().startswith(code)), None)
    return metal or (base if base != profit else spec.name), profit


def by_currency(lines: Iterable[Line]) -> dict[str, Exposure]:
    """Net and gross exposure of each currency.

    >>> eurusd = SymbolSpec("EURUSD", 5, 1e-5, 1e-5, 1.0, 1e5, 0.01, 50.0, 0.01, 0, 0, 1, 2, 4, 0, "EUR", "USD", "EUR")
    >>> by_currency([(eurusd, Side.LONG, 50.0), (eurusd, Side.SHORT, 20.0)])["USD"]
    Exposure(net=-30.0, gross=70.0)
    """
    found: dict[str, Exposure] = {}
    for spec, side, amount in lines:
        for currency, sign in zip(legs(spec), (side, side.opposite), strict=True):
            known = found.get(currency, Exposure())
            found[currency] = Exposure(known.net + sign * amount, known.gross + amount)
    return found


def market_lines(positions: Iterable[Position], specs: Mapping[str, SymbolSpec]) -> list[Line]:
    """Positions by their value at the market.

    Raises:
        LookupError: a position whose symbol is not described.
    """
    return [(specs[p.symbol], p.side, p.volume * value_per_lot(specs[p.symbol], p.price_open)) for p in positions]


def stop_lines(positions: Iterable[Position], specs: Mapping[str, SymbolSpec]) -> list[Line]:
    """Positions by what they lose from entry to stop; a stop beyond the entry loses nothing.

    Raises:
        ValueError: a position without a stop: what it may lose is not known.
        LookupError: a position whose symbol is not described.
    """
    return [(specs[p.symbol], p.side, risk_at_stop(p, specs[p.symbol])) for p in positions]


def value_per_lot(spec: SymbolSpec, price: float) -> float:
    """Account currency that a lot is worth at a price; what it would lose if the price went to zero."""
    return spec.risk_per_lot(price)


def risk_at_stop(position: Position, spec: SymbolSpec) -> float:
    """Account currency that a position loses from its entry to its stop, without commission.

    Raises:
        ValueError: it has no stop, or its prices are no numbers.
    """
    if not position.sl > 0:
        raise ValueError(f"position {position.ticket} on {position.symbol} has no stop")
    distance = (position.price_open - position.sl) * position.side
    if not math.isfinite(distance):
        raise ValueError(f"position {position.ticket} on {position.symbol} was opened at {position.price_open}, its stop is {position.sl}")
    return spec.risk_per_lot(max(0.0, distance)) * position.volume
