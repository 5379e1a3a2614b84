"""Where a trade ends: one policy value for labels, gate, simulation and live trading."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from config.settings import ExitSettings

Distance = TypeVar("Distance", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class ExitPolicy:
    """Stop, target and time limit of every trade.

    Attributes:
        sl_atr, tp_atr: stop and target in multiples of ATR.
        min_stop_costs: the stop is at least this many round-trip costs away; otherwise cost
            alone would eat most of one R.
        horizon: bars after which a trade is closed at the next open.
    """

    sl_atr: float
    tp_atr: float
    min_stop_costs: float
    horizon: int

    @classmethod
    def from_settings(cls, exits: ExitSettings) -> ExitPolicy:
        """The policy that the settings describe."""
        return cls(exits.atr_sl_multiplier, exits.atr_tp_multiplier, exits.min_stop_costs, exits.horizon_bars)

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any part of the policy."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def stop_distance(self, atr: Distance, round_trip_cost: Distance, least: float) -> Distance:
        """Distance of the stop from the entry, in price.

        Args:
            atr: average true range at the decision, price.
            round_trip_cost: spread plus commission of a round trip, price.
            least: the broker's stops level, price.
        """
        wanted = np.maximum(np.maximum(self.sl_atr * atr, self.min_stop_costs * round_trip_cost), least)
        return wanted if isinstance(atr, np.ndarray) else float(wanted)  # type: ignore[return-value]  # np.maximum of floats

    def target_distance(self, stop: Distance) -> Distance:
        """Distance of the target, in the policy's proportion to a stop."""
        return stop * (self.tp_atr / self.sl_atr)
