"""Instruments: what a symbol is, and all arithmetic between prices, points, lots and money."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_COMMENT = 29
"""Longest symbol name or comment that the terminal's module accepts."""


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """A tradable symbol as its broker describes it.

    Attributes:
        name: exact name at the broker, suffix included.
        digits: decimals of a price.
        point: smallest price step that digits can show, `10 ** -digits`.
        tick_size: smallest price step that the broker quotes.
        tick_value_loss: account currency lost by one lot when price moves one tick against it.
        contract_size: units of the base in one lot.
        volume_min, volume_max, volume_step: lots.
        stops_level: least distance of a stop from the quote, in points; 0 = the broker says none.
        freeze_level: within this many points of the quote a position cannot be changed.
        filling_mode: bit mask, 1 = fill-or-kill, 2 = immediate-or-cancel, 4 = book-or-cancel.
        exemode: execution: 0 request, 1 instant, 2 market, 3 exchange.
        trade_mode: 0 disabled, 1 long only, 2 short only, 3 close only, 4 full.
        calc_mode: the broker's rule for profit and margin (0 = FX).
        currency_base, currency_profit, currency_margin: ISO codes.
        volume_limit: most lots open in one direction, all positions together; 0 = no limit.
    """

    name: str
    digits: int
    point: float
    tick_size: float
    tick_value_loss: float
    contract_size: float
    volume_min: float
    volume_max: float
    volume_step: float
    stops_level: int
    freeze_level: int
    filling_mode: int
    exemode: int
    trade_mode: int
    calc_mode: int
    currency_base: str
    currency_profit: str
    currency_margin: str
    volume_limit: float = 0.0

    def problems(self) -> tuple[str, ...]:
        """What makes this specification impossible to trade on; empty when sound."""
        positive = ("point", "tick_size", "contract_size", "volume_min", "volume_max", "volume_step")
        found = [f"{name} is {getattr(self, name)}" for name in positive if not getattr(self, name) > 0]
        if self.volume_min > self.volume_max:
            found.append(f"volume_min {self.volume_min} above volume_max {self.volume_max}")
        return tuple(found)

    def points(self, distance: float) -> float:
        """A price distance in points."""
        return distance / self.point

    def round_price(self, price: float) -> float:
        """The nearest price that the broker can quote."""
        return round(round(price / self.tick_size) * self.tick_size, self.digits)

    def floor_lots(self, lots: float) -> float:
        """Rounds down to the volume step and caps at the maximum; 0.0 below the minimum.

        The small allowance keeps 0.3 / 0.1 = 2.9999999999999996 from losing a step.
        """
        steps = math.floor(min(lots, self.volume_max) / self.volume_step + 1e-9)
        floored = round(steps * self.volume_step, _decimals(self.volume_step))
        return floored if floored >= self.volume_min - 1e-12 else 0.0

    def risk_per_lot(self, distance: float) -> float:
        """Account currency that one lot loses over a price distance, without commission."""
        return distance / self.tick_size * self.tick_value_loss


def _decimals(step: float) -> int:
    """Decimals needed to write a step: 0.01 -> 2."""
    text = f"{step:.8f}".rstrip("0")
    return len(text.partition(".")[2])
