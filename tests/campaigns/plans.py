"""Which faults a run of the send-once campaign meets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from execution.simulated.faults import Fault, FaultPlan, Kind, Step

B, A, R = Step.BEFORE, Step.AFTER, Step.ANSWER
BOTH = (B, A)

LOST_CODES = (1, -1, -3, -4, -5, -6, -7, -10000, -10001, -10002, -10003, -10004, -10005)
"""`last_error` codes behind which an order may have been executed; 1 is a None that calls itself a success."""
NEVER_SENT = (-2, -8)

ORDER_CASES: tuple[Fault, ...] = (
    *(Fault(Kind.ERROR, step, value=code) for code in LOST_CODES for step in BOTH),
    *(Fault(Kind.ERROR, B, value=code) for code in NEVER_SENT),
    *(Fault(kind, step) for kind in (Kind.OS_ERROR, Kind.EOF_ERROR, Kind.STOPS_DROPPED, Kind.COMMENT_LOST) for step in BOTH),
    *(Fault(Kind.RETCODE, step, value=10012) for step in BOTH),
    *(Fault(Kind.RETCODE, B, value=code) for code in (10004, 10006, 10020, 10021)),
    Fault(Kind.LATE, B, value=10012, lasts=160),
    Fault(Kind.LATE, B, value=-10005, lasts=160),
    *(Fault(Kind.PARTIAL, step, value=0.4) for step in (A, R)),
    *(Fault(Kind.HANG, step, value=90.0) for step in BOTH),
    Fault(Kind.HANG, A, value=420.0),
    Fault(Kind.ALGO_OFF, B, lasts=60),
    Fault(Kind.API_DISABLED, B, lasts=60),
    Fault(Kind.SERVER_LOST, B, lasts=120),
    Fault(Kind.CLOCK_JUMP, B, value=3600.0, lasts=80),
    Fault(Kind.CLOCK_JUMP, B, value=-3600.0, lasts=80),
    Fault(Kind.HISTORY_LATE, R, lasts=60),
    Fault(Kind.POSITIONS_LATE, R, lasts=60),
)
"""Every fault that can strike an order; `lasts` is the most, a run draws less."""

READ_CASES: tuple[Fault, ...] = (
    *(
        Fault(kind, B, function, value=value)
        for function in ("positions_get", "history_orders_get", "history_deals_get", "account_info")
        for kind, value in ((Kind.ERROR, -1), (Kind.ERROR, -10001), (Kind.ERROR, -10002), (Kind.OS_ERROR, 0), (Kind.EOF_ERROR, 0))
    ),
    Fault(Kind.HANG, B, "positions_get", value=90.0),
    Fault(Kind.ACCOUNT_SWAPPED, B, "account_info", lasts=120),
    Fault(Kind.ACCOUNT_SWAPPED, B, "positions_get", lasts=120),
    Fault(Kind.SERVER_LOST, B, "positions_get", lasts=120),
)
"""Faults of the calls around an order."""

ORDER_FAULTS, READ_FAULTS = 5, 2
FIRST_ORDERS, FIRST_READS = 12, 60


def plan_for(seed: int) -> FaultPlan:
    """Five orders of the first dozen meet a fault, and two other calls.

    The cases follow the seed in turn, so that any stretch of seeds meets all of them equally
    often; which call they strike is drawn.
    """
    rng = np.random.default_rng(seed)
    orders = [ORDER_CASES[(seed * ORDER_FAULTS + index) % len(ORDER_CASES)] for index in range(ORDER_FAULTS)]
    reads = [READ_CASES[(seed * READ_FAULTS + index) % len(READ_CASES)] for index in range(READ_FAULTS)]
    calls = rng.choice(FIRST_ORDERS, ORDER_FAULTS, replace=False) + 1
    struck = [_at(fault, int(nth), rng) for fault, nth in zip(orders, calls, strict=True)]
    struck += [_at(fault, int(rng.integers(1, FIRST_READS)), rng) for fault in reads]
    return FaultPlan(tuple(struck), seed)


def _at(fault: Fault, nth: int, rng: np.random.Generator) -> Fault:
    return replace(fault, nth=nth, lasts=int(rng.integers(1, fault.lasts + 1)) if fault.lasts else 0)


def label(fault: Fault) -> str:
    """How a fault is counted: what, where, on which kind of call."""
    code = f" {fault.value:.0f}" if fault.kind in (Kind.ERROR, Kind.RETCODE, Kind.LATE, Kind.CLOCK_JUMP) else ""
    call = "order" if fault.function == "order_send" else "read"
    return f"{fault.kind.value}{code} | {call} | {fault.step.value}"
