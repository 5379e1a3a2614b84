"""What a benchmark reports, and how two things are timed beside each other.

A machine that does other work slows everything it runs. So a figure is compared with what was timed in the
same run: the calls take turns, round by round, and the ratio is the median of the ratios of the rounds. A
disturbance that lasts longer than a round slows both sides of it, and one that is shorter moves a single round.

A topic is a module `bench_<topic>.py` beside this one with `figures(quick: bool) -> Iterator[Figure]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table, and one key of the JSON file.

    Attributes:
        key: Name in the JSON file; the unit is its last part where it has one.
        value: What was measured, in `unit`.
        unit: "us", "ms", "s", "MB", "bars/s", "x" and the like.
        what: The measured thing in a few words.
        reference: The plain way to the same end, timed in the same run, in the same unit; none: nothing to compare with.
        reference_is: What the reference is.
        limit: Sum of the bare kernels in the same run, in the same unit: what no code around them can beat.
        budget: What the value is to keep, in the same unit; none: the figure only informs.
        at_least: More is better, and the budget is a floor; otherwise less is better, and it is a ceiling.
        note: What a reader has to know: how many rounds, what was left out, what bounds it.
    """

    key: str
    value: float
    unit: str
    what: str
    reference: float | None = None
    reference_is: str = ""
    limit: float | None = None
    budget: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the reference; below 1: worse. None without a reference."""
        return None if self.reference is None else _times_better(self.value, self.reference, self.at_least)

    @property
    def over_limit(self) -> float | None:
        """How many times worse than the bare kernels; 1 would be nothing added to them. None without a limit."""
        return None if self.limit is None else _times_better(self.limit, self.value, self.at_least)

    @property
    def verdict(self) -> str:
        """ "within", "over" (worse than the budget), or "" without a budget. What is not a number is never within."""
        if self.budget is None:
            return ""
        within = self.value >= self.budget if self.at_least else self.value <= self.budget
        return "within" if within else "over"


def _times_better(value: float, other: float, more_is_better: bool) -> float:
    """How many times better `value` is than `other`."""
    good, bad = (value, other) if more_is_better else (other, value)
    return good / bad if bad else float("inf")


@dataclass(frozen=True, slots=True)
class Rounds:
    """Seconds of calls that took turns.

    Attributes:
        seconds: Shape (calls, rounds): row i is the i-th call, column j the j-th round.
    """

    seconds: FloatArray

    @property
    def medians(self) -> FloatArray:
        """Median seconds of every call, shape (calls,)."""
        return np.median(self.seconds, axis=1)

    def ratios(self, over: int, under: int) -> FloatArray:
        """Seconds of call `over` divided by those of call `under` in the same round, shape (rounds,)."""
        return self.seconds[over] / self.seconds[under]

    def ratio(self, over: int = 0, under: int = 1) -> float:
        """Median of the rounds' ratios: how many times longer call `over` takes than call `under`."""
        return float(np.median(self.ratios(over, under)))


def paired(*calls: Call, rounds: int, warm_up: int = 1) -> Rounds:
    """Times calls in turns.

    The order turns round with every round, so that none always follows the same one.

    Args:
        calls: Called without arguments; what they return is dropped.
        rounds: How often each is timed; at least 10 where two things are compared.
        warm_up: Rounds before those, which do not count.
    """
    seconds = np.empty((len(calls), rounds))
    for turn in range(-warm_up, rounds):
        order = range(len(calls)) if turn % 2 == 0 else reversed(range(len(calls)))
        for index in order:
            spent = timed(calls[index])
            if turn >= 0:
                seconds[index, turn] = spent
    return Rounds(seconds)


def timed(call: Call) -> float:
    """Seconds of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def repeated(call: Call, times: int) -> Call:
    """A call that makes `call` so often: what takes microseconds is timed by the hundred."""

    def run() -> None:
        for _ in range(times):
            call()

    return run


def percentiles(times: ArrayLike, levels: Sequence[float] = (50.0, 99.0)) -> tuple[float, ...]:
    """Percentiles of times, in their unit, one for each level; the median and the 99th unless told."""
    return tuple(float(value) for value in np.percentile(np.asarray(times, dtype=np.float64), levels))
