"""What shall go wrong between the daemon and its broker, and when: a value, seeded or spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from config.errors import SettingsError


class Step(Enum):
    """Where in a call a fault strikes.

    BEFORE: the request does not reach the broker as it was sent. AFTER: the broker has committed
    it, its answer is lost. ANSWER: the answer arrives and is not what it should be.
    """

    BEFORE = "before"
    AFTER = "after"
    ANSWER = "answer"


class Kind(Enum):
    """What goes wrong; `value` and `lasts` are those of the Fault.

    ERROR: no result, and `value` is the `last_error`; -10001 and -10002 break the pipe, after
    which everything is -10004 until `initialize`. OS_ERROR, EOF_ERROR: the wire raises, and is
    broken likewise. RETCODE: an order is answered with the retcode `value`. LATE: the same (or
    the `last_error`, where negative), and the broker executes the order `lasts` calls later.
    PARTIAL: only the share `value` of the volume is filled. HANG: the call takes `value` seconds.
    STOPS_DROPPED, COMMENT_LOST: the broker takes the order without its stops, or its comment;
    AFTER means that the answer is lost as well.

    The others hold for `lasts` calls. ALGO_OFF: 10027. API_DISABLED: None and -8.
    ACCOUNT_SWAPPED: somebody has logged in to another account, which is empty. SERVER_LOST: the
    terminal shows what it last knew, orders are 10031. CLOCK_JUMP: the server's clock is off by
    `value` seconds. HISTORY_LATE, POSITIONS_LATE: what the order did is not shown yet.
    """

    ERROR = "error"
    OS_ERROR = "os_error"
    EOF_ERROR = "eof_error"
    RETCODE = "retcode"
    LATE = "late"
    PARTIAL = "partial"
    HANG = "hang"
    STOPS_DROPPED = "stops_dropped"
    COMMENT_LOST = "comment_lost"
    ALGO_OFF = "algo_off"
    API_DISABLED = "api_disabled"
    ACCOUNT_SWAPPED = "account_swapped"
    SERVER_LOST = "server_lost"
    CLOCK_JUMP = "clock_jump"
    HISTORY_LATE = "history_late"
    POSITIONS_LATE = "positions_late"


_B, _A, _R = Step.BEFORE, Step.AFTER, Step.ANSWER
STEPS: Mapping[Kind, frozenset[Step]] = MappingProxyType(
    {
        Kind.ERROR: frozenset({_B, _A}),
        Kind.OS_ERROR: frozenset({_B, _A}),
        Kind.EOF_ERROR: frozenset({_B, _A}),
        Kind.RETCODE: frozenset({_B, _A}),
        Kind.LATE: frozenset({_B}),
        Kind.PARTIAL: frozenset({_A, _R}),
        Kind.HANG: frozenset({_B, _A}),
        Kind.STOPS_DROPPED: frozenset({_B, _A}),
        Kind.COMMENT_LOST: frozenset({_B, _A}),
        Kind.ALGO_OFF: frozenset({_B}),
        Kind.API_DISABLED: frozenset({_B}),
        Kind.ACCOUNT_SWAPPED: frozenset({_B}),
        Kind.SERVER_LOST: frozenset({_B}),
        Kind.CLOCK_JUMP: frozenset({_B}),
        Kind.HISTORY_LATE: frozenset({_R}),
        Kind.POSITIONS_LATE: frozenset({_R}),
    }
)
"""The steps at which a kind can strike."""

ORDERS_ONLY = frozenset(
    {Kind.RETCODE, Kind.LATE, Kind.PARTIAL, Kind.STOPS_DROPPED, Kind.COMMENT_LOST, Kind.HISTORY_LATE, Kind.POSITIONS_LATE}
)
"""Kinds that mean something for `order_send` alone."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        function: of the module, whose call it strikes.
        nth: strikes the nth call of the function, counted from 1; 0: by `probability`.
        probability: that it strikes a call, 0 to 1.
        value, lasts: see Kind.

    Raises:
        SettingsError: a step or function at which the kind cannot strike.

    >>> Fault(Kind.ERROR, Step.AFTER, nth=2, value=-10002).function
    'order_send'
    """

    kind: Kind
    step: Step
    function: str = "order_send"
    nth: int = 0
    probability: float = 0.0
    value: float = 0.0
    lasts: int = 0

    def __post_init__(self) -> None:
        if self.step not in STEPS[self.kind]:
            possible = ", ".join(sorted(step.value for step in STEPS[self.kind]))
            raise SettingsError(f"fault {self.kind.value}: cannot strike {self.step.value}; possible: {possible}")
        if self.kind in ORDERS_ONLY and self.function != "order_send":
            raise SettingsError(f"fault {self.kind.value}: strikes order_send only, not {self.function}")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which faults a terminal shall have; the first that is due strikes a call.

    Attributes:
        seed: of the draws against `probability`; the same calls then meet the same faults.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0
