"""What the simulated broker alone decides of a symbol: swap, trading sessions, hedged margin, spread by hour.

A terminal shows these facts in `symbol_info`; the daemon's `SymbolSpec` does not hold them.
Source of the swap modes: https://www.mql5.com/en/docs/constants/environment_state/marketinfoconstants
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from execution.orders import Side
from execution.simulated import constants as mt5
from market_data.clock import BrokerTime
from market_data.instruments import SymbolSpec

Hours = tuple[tuple[int, int], ...]
"""Open stretches of one day, minutes after midnight, the end not included."""

WORKING_NIGHTS = (0, 1, 1, 3, 1, 1, 0)
"""Nights charged at the end of each day, Sunday first: Wednesday pays for the weekend too."""
EVERY_NIGHT = (1, 1, 1, 1, 1, 1, 1)
TRADING_DAY = BrokerTime("America/New_York+7")
"""Sessions are told in the clock in which a trading day ends at 17:00 New York, whatever clock the server shows."""

_DAY_MINUTES, _DAY_MSC = 1_440, 86_400_000
_THURSDAY = 4  # weekday of 1970-01-01, Sunday = 0
_SWAP_MODES = frozenset(range(mt5.SYMBOL_SWAP_MODE_DISABLED, mt5.SYMBOL_SWAP_MODE_REOPEN_BID + 1))
_REOPENS = frozenset({mt5.SYMBOL_SWAP_MODE_REOPEN_CURRENT, mt5.SYMBOL_SWAP_MODE_REOPEN_BID})


@dataclass(frozen=True, slots=True)
class BrokerTerms:
    """Terms of one symbol.

    Attributes:
        swap_mode: SYMBOL_SWAP_MODE_*: disabled, points, money of a currency, yearly interest in percent, or points
            by which the position is opened anew each night, from the closing quote or from the bid.
        swap_long, swap_short: per lot and night, in the unit of the mode; negative is paid.
        swap_nights: nights charged at the end of each server day, Sunday first.
        sessions: open stretches of each day, Sunday first, in the TRADING_DAY clock; empty = only
            the pauses in the data close the market.
        margin_hedged: units of the contract that bind margin for each lot that is covered by an
            opposite one; None binds the larger of the two legs.
        margin_initial: margin of one lot in the margin currency, instead of the calculation; 0 = calculated.
        spread_by_hour: points by hour of the day in New York, for data without spreads; empty = the usual ones.
    """

    swap_mode: int = mt5.SYMBOL_SWAP_MODE_DISABLED
    swap_long: float = 0.0
    swap_short: float = 0.0
    swap_nights: tuple[int, ...] = WORKING_NIGHTS
    sessions: tuple[Hours, ...] = ()
    margin_hedged: float | None = None
    margin_initial: float = 0.0
    spread_by_hour: tuple[float, ...] = ()

    @property
    def reopens(self) -> bool:
        """Whether a night is paid through the price of a new opening."""
        return self.swap_mode in _REOPENS

    def swap(self, side: Side) -> float:
        """Of one side, in the unit of the mode."""
        return self.swap_long if side is Side.LONG else self.swap_short

    @property
    def triple_day(self) -> int:
        """The weekday that pays most nights, 0 = Sunday."""
        return self.swap_nights.index(max(self.swap_nights))

    def problems(self) -> tuple[str, ...]:
        """What makes these terms impossible; empty when sound."""
        numbers = {"swap_long": self.swap_long, "swap_short": self.swap_short, "margin_initial": self.margin_initial}
        found = [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]
        if self.swap_mode not in _SWAP_MODES:
            found.append(f"swap_mode is {self.swap_mode}; 0 to 8 are simulated")
        if len(self.swap_nights) != 7 or min(self.swap_nights, default=-1) < 0:
            found.append(f"swap_nights is {self.swap_nights}; 7 numbers from 0 on are needed")
        if self.sessions and not _are_sessions(self.sessions):
            found.append(f"sessions is {self.sessions}; 7 days of ascending (from, to) minutes up to {_DAY_MINUTES} are needed")
        if self.spread_by_hour and (len(self.spread_by_hour) != 24 or not all(0 <= points < math.inf for points in self.spread_by_hour)):
            found.append(f"spread_by_hour is {self.spread_by_hour}; 24 numbers from 0 on are needed")
        if self.margin_hedged is not None and not self.margin_hedged >= 0:
            found.append(f"margin_hedged is {self.margin_hedged}; it must be 0 or more")
        return tuple(found)

    def in_session(self, utc_msc: int) -> bool:
        """Whether the symbol trades at an instant, as far as the sessions say."""
        if not self.sessions:
            return True
        local = int(TRADING_DAY.to_server(utc_msc // 1000)[0])
        day, minute = (local // 86_400 + _THURSDAY) % 7, local % 86_400 / 60
        return any(start <= minute < end for start, end in self.sessions[day])


def _are_sessions(sessions: tuple[Hours, ...]) -> bool:
    flat = [[minute for stretch in day for minute in stretch] for day in sessions]
    return len(sessions) == 7 and all(
        day == sorted(day) and (not day or (day[0] >= 0 and day[-1] <= _DAY_MINUTES)) and all(end > start for start, end in hours)
        for day, hours in zip(flat, sessions, strict=True)
    )


def nights_between(swap_nights: Sequence[int], first_msc: int, last_msc: int) -> int:
    """Nights that are charged from one instant of the server, milliseconds, to a later one.

    >>> saturday = 2 * 86_400_000  # 1970-01-03
    >>> nights_between(WORKING_NIGHTS, saturday, saturday + 7 * 86_400_000)
    7
    """
    return sum(swap_nights[(day + _THURSDAY) % 7] for day in range(first_msc // _DAY_MSC, last_msc // _DAY_MSC))


def week(hours: Hours) -> tuple[Hours, ...]:
    """The same hours from Monday to Friday, nothing on the weekend."""
    return ((), hours, hours, hours, hours, hours, ())


PAUSED = week(((61, _DAY_MINUTES - 1),))
"""Metals and indices: closed for an hour around midnight of the trading day, 17 to 18 in New York."""

_FX_SWAP, _METAL_SWAP = (-0.5, -0.2), (-0.15, -0.03)
"""Long and short per night: pips of a currency pair; dollars of an ounce of gold."""
_INTEREST: Mapping[str, tuple[float, float]] = MappingProxyType({"index": (-5.0, -2.0), "coin": (-15.0, -5.0)})
_METALS = ("XAU", "XAG", "XPT", "XPD")
_COINS = ("BTC", "ETH", "LTC", "XRP", "SOL", "BCH", "ADA", "DOGE")


def default_terms(spec: SymbolSpec) -> BrokerTerms:
    """Plausible terms: small swaps that cost on both sides, and no sessions beyond the pauses in the data.

    Currencies pay half a pip long and a fifth of a pip short each night, metals 15 and 3 cents an
    ounce (silver a hundredth of that), indices and coins a yearly interest.

    Example:
        >>> from execution.simulated.specs import default_spec
        >>> default_terms(default_spec("EURUSD")).swap_long
        -5.0
    """
    if spec.currency_base in _COINS:
        return _by_interest("coin", EVERY_NIGHT)
    if spec.currency_base in _METALS:
        unit = 0.01 if spec.currency_base == "XAG" else 1.0
        return _by_points(spec, _METAL_SWAP, unit)
    if spec.calc_mode in (mt5.SYMBOL_CALC_MODE_FOREX, mt5.SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE):
        return _by_points(spec, _FX_SWAP, 0.01 if spec.currency_profit in ("JPY", "HUF") else 0.0001)
    return _by_interest("index", WORKING_NIGHTS)


def _by_points(spec: SymbolSpec, swaps: tuple[float, float], unit: float) -> BrokerTerms:
    long, short = (round(swap * unit / spec.point, 3) for swap in swaps)
    return BrokerTerms(mt5.SYMBOL_SWAP_MODE_POINTS, long, short)


def _by_interest(kind: str, nights: tuple[int, ...]) -> BrokerTerms:
    return BrokerTerms(mt5.SYMBOL_SWAP_MODE_INTEREST_CURRENT, *_INTEREST[kind], swap_nights=nights)
