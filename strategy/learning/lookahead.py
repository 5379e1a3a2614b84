"""Look-ahead analysis: does anything that teaches know what came after it?

A history is cut off at many instants, and every feature and every label is worked out again from
what was there by then. A feature row must be the same to the last bit with and without the bars
that follow it. A label may read bars up to its own end, and of the bar that opens at its end the
open alone. Whatever changes has read the future, or remembers more than the warm-up: both teach a
model what it will not have in service.

Source: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7 and 11, on leakage;
the cuts are the place where it can be seen without any model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from config.errors import InsufficientHistory
from execution.exits import ExitPolicy
from market_data.bars import Bars, FloatArray, IntArray
from market_data.clock import utc_text
from strategy.features import WARMUP, atr, compute
from strategy.learning.labels import Costs, Labels, label
from strategy.predictor import FeatureSchema

SAMPLED_CUTS = 16
"""Cuts per symbol by which a training job is examined."""

ROWS = 64
"""Feature rows before a cut that are compared where only a stretch of the history is worked out again."""

_SEED = 20_260_102

LABEL_COLUMNS = ("known", "kind", "r_long", "r_short", "forward", "end")


@dataclass(frozen=True, slots=True)
class Subject:
    """How a history becomes rows: what is examined.

    Attributes:
        schema: the feature columns.
        costs: what trading given bars would have cost.
        policy: where labelled trades end.
        max_entry_age: bar lengths after which an entry would be vetoed as stale.
    """

    schema: FeatureSchema
    costs: Callable[[Bars], Costs]
    policy: ExitPolicy
    max_entry_age: float

    @property
    def least_bars(self) -> int:
        """Bars below which there is nothing to cut."""
        return WARMUP + self.reach + 1

    @property
    def reach(self) -> int:
        """Bars before a cut whose rows are compared; those of the newest labels are among them."""
        return ROWS + self.policy.horizon + 2


@dataclass(frozen=True, slots=True)
class Leak:
    """A column that changes with bars that come later, or with where the history begins.

    Attributes:
        kind: `feature` or `label`.
        time: open time of the first bar whose value changes.
        newest: open time of the newest bar that was there when it was worked out again.
        full, early: its value with the whole history, and with the part alone; NaN where it has none.
        whole: whether the part began where the history begins; then only later bars can be the cause.
    """

    symbol: str
    kind: str
    column: str
    time: datetime
    newest: datetime
    full: float
    early: float
    whole: bool

    def __str__(self) -> str:
        cause = "reads the future" if self.whole else "reads the future or remembers beyond the warm-up"
        values = f"{self.full:.9g} with the whole history, {self.early:.9g} with bars up to {utc_text(self.newest)}"
        return f"{self.kind} {self.column} of {self.symbol} {cause}: at {utc_text(self.time)} {values}"


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of cutting one symbol's history.

    Attributes:
        bars, cuts, columns: how many there were; columns are features and labels together.
        leaks: one for each column that changed, the earliest change, features first.
    """

    symbol: str
    bars: int
    cuts: int
    columns: int
    leaks: tuple[Leak, ...]


def examine(bars: Bars, subject: Subject, cuts: int, *, whole: bool = True) -> Examination:
    """Works every feature and label of a history out again at many cuts.

    Args:
        bars: closed bars, oldest first.
        subject: how they become rows.
        cuts: how many, drawn by a fixed seed.
        whole: from the history's beginning up to each cut, every row compared, and once more
            from shortly before the cut; False: only the latter, which costs the same for any length.

    Raises:
        InsufficientHistory: fewer bars than one cut needs.
    """
    least = subject.least_bars
    if len(bars) <= least:
        raise InsufficientHistory(bars.symbol, len(bars), least + 1)
    full = _worked_out(bars, subject)
    found: dict[tuple[str, str], Leak] = {}
    for cut in cut_points(least, len(bars), cuts):
        for start in (0, cut - WARMUP - subject.reach) if whole else (cut - WARMUP - subject.reach,):
            for leak in _compared(bars, subject, full, start, cut):
                known = found.setdefault((leak.kind, leak.column), leak)
                if leak.time < known.time:
                    found[leak.kind, leak.column] = leak
    names = [*(("feature", name) for name in subject.schema.names), *(("label", name) for name in LABEL_COLUMNS)]
    return Examination(bars.symbol, len(bars), cuts, len(names), tuple(found[name] for name in names if name in found))


def cut_points(least: int, count: int, cuts: int) -> tuple[int, ...]:
    """Numbers of bars to keep, from `least` up to all but one; the same ones every time.

    Drawn, not evenly spaced: those could all fall on the end of a longer bar, where a feature
    that reads the bar still forming looks honest.
    """
    return tuple(int(cut) for cut in np.random.default_rng(_SEED).integers(least, count, cuts))


def told(examinations: Sequence[Examination]) -> tuple[bool, str]:
    """Whether nothing leaks, and that in words; nothing examined is nothing shown."""
    leaks = [leak for examination in examinations for leak in examination.leaks]
    if leaks:
        more = f"; and {len(leaks) - 1} more columns" if len(leaks) > 1 else ""
        return False, f"{leaks[0]}{more}"
    each = ", ".join(f"{part.columns} columns of {part.symbol} at {part.cuts} cuts" for part in examinations)
    return bool(examinations), f"unchanged without later bars: {each or 'nothing was examined'}"


# --- one history, with and without its end ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """Features, (n, F), and labels of a history."""

    features: NDArray[np.float32]
    labels: Labels


def _worked_out(bars: Bars, subject: Subject) -> _Rows:
    return _Rows(compute(bars, subject.schema).values, _labels(bars, subject))


def _labels(bars: Bars, subject: Subject) -> Labels:
    return label(bars, atr(bars), subject.costs(bars), subject.policy, subject.max_entry_age)


def _compared(bars: Bars, subject: Subject, full: _Rows, start: int, cut: int) -> Iterator[Leak]:
    part = bars.slice(start, cut)
    first = WARMUP if start else 0
    leak_of = _Describer(bars, start + first, cut, whole=start == 0)
    features = compute(part, subject.schema).values[first:]
    yield from leak_of("feature", subject.schema.names, full.features[start + first : cut], features)
    settled = _settled(full.labels, int(part.time[-1]))[start + first : cut]
    early = _labels(_just_opened(part), subject)
    yield from leak_of(
        "label",
        LABEL_COLUMNS,
        _label_table(full.labels, slice(start + first, cut), settled),
        _label_table(early, slice(first, None), early.known[first:]),
    )


def _settled(labels: Labels, now: int) -> NDArray[np.bool_]:
    """Rows whose label says that it was known when the bar of `now` opened."""
    return np.asarray(labels.known & (labels.end <= now))


def _just_opened(bars: Bars) -> Bars:
    """The same bars at the instant at which the newest has opened and not moved yet."""
    moved = {name: getattr(bars, name).copy() for name in ("high", "low", "close")}
    for column in moved.values():
        column[-1] = bars.open[-1]
    return replace(bars, **moved)


def _label_table(labels: Labels, rows: slice, known: NDArray[np.bool_]) -> FloatArray:
    """Label columns as numbers, (n, 6); NaN beside `known` where it is not."""
    columns = [getattr(labels, name)[rows].astype(np.float64) for name in LABEL_COLUMNS[1:]]
    return np.column_stack([known.astype(np.float64), *(np.where(known, column, np.nan) for column in columns)])


@dataclass(frozen=True, slots=True)
class _Describer:
    """Says what differs between the same rows of two histories.

    Attributes:
        first: the bar of their first row.
        cut: bars that the shorter history knows of.
    """

    bars: Bars
    first: int
    cut: int
    whole: bool

    def __call__(self, kind: str, names: Sequence[str], full: NDArray[np.floating], early: NDArray[np.floating]) -> Iterator[Leak]:
        changed = _differ(full, early)
        rows: IntArray = changed.argmax(axis=0)
        for index in np.flatnonzero(changed.any(axis=0)).tolist():
            row = int(rows[index])
            values = float(full[row, index]), float(early[row, index])
            opened, newest = self.bars.opened_at(self.first + row), self.bars.opened_at(self.cut - 1)
            yield Leak(self.bars.symbol, kind, names[index], opened, newest, *values, self.whole)


def _differ(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where two tables hold other bits; two missing values are the same."""
    bits = np.dtype(f"u{one.dtype.itemsize}")
    same = np.ascontiguousarray(one).view(bits) == np.ascontiguousarray(other).view(bits)
    return np.asarray(~same & ~(np.isnan(one) & np.isnan(other)))
