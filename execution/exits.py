"""Where a trade ends: one policy value for labels, gate, simulation and live trading.

Stops are moved once per closed bar, from that bar alone, and only ever nearer to the market: what
is computed again after a restart is the same. Labels and the live desk ask the same arithmetic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from config.settings import ExitSettings
from execution.orders import Side
from market_data.bars import FloatArray

Distance = TypeVar("Distance", float, FloatArray)

_RULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"break_even_r": ("break_even_offset",), "trail_atr": ("trail_start_r",), "partial_r": ("partial_fraction",)}
)
"""What switches a rule on, and what else belongs to it."""
_DUST = 1e-6
"""R: a price exactly at its mark has reached it, whatever the last bit of a difference says."""


@dataclass(frozen=True, slots=True)
class ExitPolicy:
    """Stop, target and time limit of every trade, and how a stop follows the price.

    One R is the distance of the stop at the entry. Profit is that of the closed bar's last
    exit quote: bid for a long, ask for a short.

    Attributes:
        sl_atr, tp_atr: stop and target in multiples of ATR.
        min_stop_costs: the stop is at least this many round-trip costs away; otherwise cost
            alone would eat most of one R.
        horizon: bars after which a trade is closed at the next open.
        break_even_r: profit in R at which the stop moves to the entry; 0 = never.
        break_even_offset: round-trip costs beyond the entry at which that stop stands.
        trail_atr: distance in ATR at which the stop follows the closes; 0 = never.
        trail_start_r: profit in R from which on it follows.
        partial_r: profit in R at which a part is closed, once; 0 = never.
        partial_fraction: of the opened volume, that part.
    """

    sl_atr: float
    tp_atr: float
    min_stop_costs: float
    horizon: int
    break_even_r: float = 0.0
    break_even_offset: float = 0.0
    trail_atr: float = 0.0
    trail_start_r: float = 0.0
    partial_r: float = 0.0
    partial_fraction: float = 0.5

    @classmethod
    def from_settings(cls, exits: ExitSettings) -> ExitPolicy:
        """The policy that the settings describe."""
        return cls(
            exits.atr_sl_multiplier,
            exits.atr_tp_multiplier,
            exits.min_stop_costs,
            exits.horizon_bars,
            exits.break_even_r,
            exits.break_even_offset,
            exits.trail_atr_multiplier,
            exits.trail_start_r,
            exits.partial_close_r,
            exits.partial_close_fraction,
        )

    @property
    def definition(self) -> dict[str, Any]:
        """What is in force, by name; a rule that is off is left out with all that belongs to it."""
        said = asdict(self)
        off = {name for switch, parts in _RULES.items() if not said[switch] for name in (switch, *parts)}
        return {name: value for name, value in said.items() if name not in off}

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any part of the policy that is in force."""
        return hashlib.sha256(json.dumps(self.definition, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def moves_stops(self) -> bool:
        """Whether a stop is ever moved."""
        return bool(self.break_even_r or self.trail_atr)

    @property
    def manages(self) -> bool:
        """Whether an open trade is looked after before its time is up."""
        return self.moves_stops or bool(self.partial_r)

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

    def raised_stop(
        self, stop: FloatArray, entry: FloatArray, risk: FloatArray, close: FloatArray, atr: FloatArray, cost: FloatArray
    ) -> FloatArray:
        """Stops of longs after a bar has closed, elementwise; never below `stop`.

        A short is a long on prices turned upside down: give it negated prices. Both rules start
        from the same stop, so neither undoes the other.

        Args:
            stop: where it stands, price; -inf where there is none.
            entry: fill price.
            risk: one R in price.
            close: the bar's last exit quote.
            atr: average true range at that bar, price; NaN leaves the trail where it is.
            cost: of a round trip at that bar, price.

        Source: Le Beau and Lucas, Computer Analysis of the Futures Markets (1992), for the trail in ATR.
        """
        profit, raised = close - entry, stop
        if self.break_even_r:
            # Once there it stays: the cost of a later bar must not push it about.
            due = (profit >= (self.break_even_r - _DUST) * risk) & (stop < entry)
            raised = np.where(due, np.maximum(raised, entry + self.break_even_offset * cost), raised)
        if self.trail_atr:
            due = profit >= (self.trail_start_r - _DUST) * risk
            raised = np.where(due, np.fmax(raised, close - self.trail_atr * atr), raised)
        return np.asarray(raised, dtype=np.float64)

    def part_due(self, entry: FloatArray, risk: FloatArray, close: FloatArray) -> NDArray[np.bool_]:
        """Whether longs have earned enough for a part of them to be closed, elementwise.

        Args:
            entry: fill price.
            risk: one R in price.
            close: the bar's last exit quote.
        """
        if not self.partial_r:
            return np.zeros(np.shape(close), dtype=np.bool_)
        return np.asarray(close - entry >= (self.partial_r - _DUST) * risk, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Held:
    """What moving a stop needs to know of a position; prices in the symbol's quote.

    Attributes:
        entry: fill price.
        risk: one R: distance of the first stop from the entry.
        stop: where the broker shows it now; 0.0 where there is none.
    """

    side: Side
    entry: float
    risk: float
    stop: float


@dataclass(frozen=True, slots=True)
class ClosedBar:
    """What moving a stop needs to know of the newest closed bar.

    Attributes:
        exit_price: its last quote on the side at which the position leaves: bid for a long.
        atr: average true range there, price.
        cost: of a round trip there, price.
    """

    exit_price: float
    atr: float
    cost: float


def new_stop(policy: ExitPolicy, held: Held, bar: ClosedBar) -> float | None:
    """Where a position's stop should go now, not rounded; None where it stays.

    >>> policy = ExitPolicy(1.5, 1.5, 5.0, 15, break_even_r=1.0)
    >>> long = Held(Side.LONG, entry=1.1000, risk=0.0010, stop=1.0990)
    >>> new_stop(policy, long, ClosedBar(1.1010, 0.0005, 0.0001)), new_stop(policy, long, ClosedBar(1.1009, 0.0005, 0.0001))
    (1.1, None)
    """
    if not held.risk > 0:
        return None
    sign = held.side.value
    stop = sign * held.stop if held.stop else -np.inf
    figures = (stop, sign * held.entry, held.risk, sign * bar.exit_price, bar.atr, bar.cost)
    raised = float(policy.raised_stop(*map(np.asarray, figures)))
    return sign * raised if raised > stop else None


def part_due(policy: ExitPolicy, held: Held, bar: ClosedBar) -> bool:
    """Whether a position has earned enough for a part of it to be closed."""
    sign = held.side.value
    return held.risk > 0 and bool(policy.part_due(*map(np.asarray, (sign * held.entry, held.risk, sign * bar.exit_price))))
