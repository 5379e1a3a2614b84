"""Where a trade ends: one policy value for labels, gate, simulation and live trading."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TypeVar, overload

import numpy as np

from config.settings import ExitSettings
from market_data.bars import FloatArray

Distance = TypeVar("Distance", float, FloatArray)


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

    @overload
    def stop_distance(self, atr: float, round_trip_cost: float, least: float) -> float: ...

    @overload
    def stop_distance(self, atr: FloatArray, round_trip_cost: FloatArray, least: float | FloatArray) -> FloatArray: ...

    def stop_distance(self, atr: float | FloatArray, round_trip_cost: float | FloatArray, least: float | FloatArray) -> float | FloatArray:
        """Distance of the stop from the entry, in price; NaN where an input is NaN.

        Args:
            atr: average true range at the decision, price; one number or shape (n,).
            round_trip_cost: spread plus commission of a round trip, price; shaped as `atr`.
            least: that the broker takes, price: its stops level, and the spread, for it measures
                from the side of the quote at which the trade leaves.
        """
        wanted: FloatArray = np.maximum(np.maximum(self.sl_atr * atr, self.min_stop_costs * round_trip_cost), least)
        return wanted if wanted.ndim else float(wanted)

    def target_distance(self, stop: Distance) -> Distance:
        """Distance of the target, in the policy's proportion to a stop."""
        return stop * (self.tp_atr / self.sl_atr)
