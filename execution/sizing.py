"""How many lots an amount of money carries. Lots are only ever rounded down."""

from __future__ import annotations

import math

from config.errors import OrderDenied
from market_data.instruments import SymbolSpec

_DUST = 1e-12
"""Relative float error of one product: 0.07 * 100 is a little more than 7."""


def lots_for_risk(budget: float, loss_per_lot: float, spec: SymbolSpec) -> float:
    """The most lots whose loss stays within a budget.

    Args:
        budget: account currency that may be lost.
        loss_per_lot: account currency that one lot loses at the stop, commission included.
        spec: the symbol's volume steps and limits.

    Returns:
        Lots on the volume step, at most `volume_max`; 0.0 where the budget does not carry
        `volume_min`: the least volume is never taken in its place.

    Raises:
        OrderDenied: an argument from which no volume can be computed.

    >>> eurusd = SymbolSpec("EURUSD", 5, 1e-5, 1e-5, 1.0, 1e5, 0.01, 50.0, 0.01, 0, 0, 1, 2, 4, 0, "EUR", "USD", "EUR")
    >>> lots_for_risk(50.0, 127.0, eurusd)  # 0.39 lots lose 49.53, 0.40 would lose 50.80
    0.39
    >>> lots_for_risk(1.0, 127.0, eurusd)
    0.0
    """
    if not (math.isfinite(budget) and math.isfinite(loss_per_lot) and loss_per_lot > 0):
        raise OrderDenied("sizing", f"{spec.name}: no volume from a budget of {budget} and a loss per lot of {loss_per_lot}")
    if budget <= 0:
        return 0.0
    wanted = budget / loss_per_lot
    lots = spec.floor_lots(wanted)
    if lots * loss_per_lot > budget * (1 + _DUST):  # the floor's own allowance reached the next step
        lots = spec.floor_lots(wanted - spec.volume_step / 2)
    return lots
