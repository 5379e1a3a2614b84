"""The trouble that a user lets the simulated terminal have: names in SIM_FAULTS, each a fault of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from config.values import split_fault
from execution.simulated import constants as mt5
from execution.simulated.fault_plan import Fault, FaultPlan, Kind, Step

HANG_SECONDS = 180.0
LASTS, LONG = 60, 120
"""Calls: a quiet bar makes about ten."""

REHEARSED: Mapping[str, Fault] = MappingProxyType(
    {
        "requote": Fault(Kind.RETCODE, Step.BEFORE, value=mt5.TRADE_RETCODE_REQUOTE),
        "price_changed": Fault(Kind.RETCODE, Step.BEFORE, value=mt5.TRADE_RETCODE_PRICE_CHANGED),
        "no_quotes": Fault(Kind.RETCODE, Step.BEFORE, value=mt5.TRADE_RETCODE_PRICE_OFF),
        "reject": Fault(Kind.RETCODE, Step.BEFORE, value=mt5.TRADE_RETCODE_REJECT),
        "partial": Fault(Kind.PARTIAL, Step.ANSWER, value=0.5),
        "none": Fault(Kind.ERROR, Step.AFTER, value=mt5.RES_E_FAIL),
        "unsent": Fault(Kind.ERROR, Step.BEFORE, value=mt5.RES_E_FAIL),
        "timeout": Fault(Kind.RETCODE, Step.AFTER, value=mt5.TRADE_RETCODE_TIMEOUT),
        "late": Fault(Kind.LATE, Step.BEFORE, value=mt5.TRADE_RETCODE_TIMEOUT, lasts=LASTS),
        "lost": Fault(Kind.ERROR, Step.AFTER, value=mt5.RES_E_INTERNAL_FAIL_RECEIVE),
        "hang": Fault(Kind.HANG, Step.AFTER, value=HANG_SECONDS),
        "no_stops": Fault(Kind.STOPS_DROPPED, Step.BEFORE),
        "no_comment": Fault(Kind.COMMENT_LOST, Step.BEFORE),
        "algo_off": Fault(Kind.ALGO_OFF, Step.BEFORE, lasts=LASTS),
        "api_off": Fault(Kind.API_DISABLED, Step.BEFORE, lasts=LASTS),
        "offline": Fault(Kind.SERVER_LOST, Step.BEFORE, lasts=LONG),
        "other_account": Fault(Kind.ACCOUNT_SWAPPED, Step.BEFORE, lasts=LASTS),
        "clock_jump": Fault(Kind.CLOCK_JUMP, Step.BEFORE, value=3_600.0, lasts=LASTS),
        "late_history": Fault(Kind.HISTORY_LATE, Step.ANSWER, lasts=LASTS),
        "late_positions": Fault(Kind.POSITIONS_LATE, Step.ANSWER, lasts=LASTS),
    }
)
"""What each name means."""


def rehearsed_plan(texts: Sequence[str], seed: int) -> FaultPlan:
    """The plan of faults as SIM_FAULTS writes them, the earlier before the later where both are due.

    >>> rehearsed_plan(("requote:0.02", "lost@3"), seed=7).faults[1].nth
    3

    Raises:
        ValueError: one that is not written so.
    """
    return FaultPlan(tuple(_fault(*split_fault(text)) for text in texts), seed)


def _fault(name: str, share: float, nth: int) -> Fault:
    return replace(REHEARSED[name], probability=share, nth=nth)
