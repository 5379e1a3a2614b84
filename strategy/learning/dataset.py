"""Training rows: features and labels of one or more symbols, ordered by time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from config.errors import InsufficientHistory
from execution.exits import ExitPolicy
from market_data.bars import Bars, FloatArray, IntArray
from market_data.clock import new_york_hour
from market_data.sessions import Session, in_session
from strategy.features import WARMUP, atr, compute
from strategy.learning.labels import Costs, label
from strategy.predictor import FeatureSchema, Matrix


@dataclass(frozen=True, slots=True)
class Dataset:
    """Usable rows in time order; all symbols of an instant stand together.

    Attributes:
        table: shape (N, F) float32: every feature row of every symbol, one symbol after the
            other, for windows that reach back over rows without a label.
        row: shape (n,), index into `table` of each usable row.
        symbol: shape (n,), index into `symbols`.
        time: shape (n,), UTC epoch seconds of the decided bar's open.
        end: shape (n,), UTC epoch seconds when the row's label is known.
        kind, r_long, r_short, forward, out_long, out_short: shape (n,), as in Labels.
        lot_r: shape (n,), account currency that one R is worth at one lot.
    """

    schema: FeatureSchema
    symbols: tuple[str, ...]
    table: Matrix
    row: IntArray
    symbol: IntArray
    time: IntArray
    end: IntArray
    kind: IntArray
    r_long: FloatArray
    r_short: FloatArray
    forward: FloatArray
    out_long: IntArray
    out_short: IntArray
    lot_r: FloatArray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def values(self) -> Matrix:
        """Feature rows, shape (n, F)."""
        return self.table[self.row]

    def take(self, rows: IntArray | NDArray[np.bool_]) -> Dataset:
        """The given rows, in order; `table` is shared."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ROW_FIELDS})

    def balance(self) -> FloatArray:
        """Sample weights, mean 1, that give every symbol the same total."""
        counts = np.bincount(self.symbol, minlength=len(self.symbols))
        present = np.count_nonzero(counts)
        return np.asarray(len(self) / (present * counts[self.symbol]), dtype=np.float64)


LABEL_FIELDS = ("end", "kind", "r_long", "r_short", "forward", "out_long", "out_short", "lot_r")
ROW_FIELDS = ("row", "symbol", "time", *LABEL_FIELDS)
"""Columns of a Dataset that hold one value for each of its rows."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """How rows become labels.

    Rows on which the desk never enters are left out: what a model would have earned there says
    nothing of what it will earn. News windows stay in, for nobody kept the calendars of the past.

    Attributes:
        max_entry_age: bar lengths after which an entry would be vetoed as stale.
        blocked_hours: New York hours without entries; their rows teach and judge nothing.
        window: feature rows that a model reads for one forecast.
        sessions: outside of which there are no entries, by the instant at which the row's bar closes; none: at all hours.
    """

    policy: ExitPolicy
    max_entry_age: float
    blocked_hours: tuple[int, ...]
    window: int
    sessions: tuple[Session, ...] = ()


def build(histories: Mapping[str, Bars], costs: Mapping[str, Costs], schema: FeatureSchema, how: Labelling, most_rows: int) -> Dataset:
    """Rows of all symbols, the newest `most_rows` of them.

    Raises:
        InsufficientHistory: a symbol gives no usable row.
    """
    parts = [_symbol_rows(bars, costs[name], schema, how) for name, bars in histories.items()]
    offsets = np.cumsum([0, *(len(part.table) for part in parts[:-1])])
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")[-most_rows:]

    def join(columns: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
        return np.concatenate(columns)[order]

    return Dataset(
        schema,
        tuple(histories),
        np.concatenate([part.table for part in parts]),
        join([part.row + offset for part, offset in zip(parts, offsets, strict=True)]),  # type: ignore[arg-type]  # int64 in, int64 out
        join([np.full(len(part), index, dtype=np.int64) for index, part in enumerate(parts)]),  # type: ignore[arg-type]  # as above
        time[order],
        **{name: join([getattr(part, name) for part in parts]) for name in LABEL_FIELDS},  # type: ignore[arg-type]  # as above
    )


def _symbol_rows(bars: Bars, costs: Costs, schema: FeatureSchema, how: Labelling) -> Dataset:
    table = compute(bars, schema).values
    labels = label(bars, atr(bars), costs, how.policy, how.max_entry_age)
    finite = np.asarray(np.isfinite(table).all(axis=1), dtype=np.bool_)
    rows = np.flatnonzero(labels.known & _whole_windows(finite, how.window) & _open(bars, how))
    if len(rows) == 0:
        raise InsufficientHistory(bars.symbol, len(bars), WARMUP + how.window + how.policy.horizon + 2)
    zeros = np.zeros(len(rows), dtype=np.int64)
    found = {name: getattr(labels, name)[rows] for name in LABEL_FIELDS if name != "lot_r"}
    return Dataset(schema, (bars.symbol,), table, rows, zeros, bars.time[rows], **found, lot_r=labels.stop[rows] * costs.lot_value)


def _open(bars: Bars, how: Labelling) -> NDArray[np.bool_]:
    """Rows on which an entry is allowed by the clock, as the filters judge the same bar."""
    blocked = np.isin(new_york_hour(bars.time), how.blocked_hours)
    return ~blocked & in_session(how.sessions, bars.time + bars.timeframe.seconds)


def _whole_windows(finite: NDArray[np.bool_], window: int) -> NDArray[np.bool_]:
    """Rows whose last `window` rows are all finite."""
    streak = np.arange(len(finite)) - np.maximum.accumulate(np.where(finite, -1, np.arange(len(finite))))
    return streak >= window


class LastBuilt:
    """The newest dataset of a workshop, for the next job that would build the very same one.

    RandomForest and XGBoost read the same rows; where both are due at once, the second finds them ready.
    """

    def __init__(self) -> None:
        self._of: tuple[object, Mapping[str, Bars]] | None = None
        self._data: Dataset | None = None

    def get(self, how: object, histories: Mapping[str, Bars], make: Callable[[], Dataset]) -> Dataset:
        """What `make` gives, or what it gave the last time, if that was for the same.

        Args:
            how: everything beside the bars that the rows depend on.
            histories: closed bars by symbol; compared value by value, as a terminal may correct its past.
            make: builds the dataset.
        """
        if self._data is None or self._of is None or self._of[0] != how or not _same_bars(self._of[1], histories):
            self._data, self._of = None, None  # before, not beside, the next one
            self._data = make()
            self._of = how, histories
        return self._data


def _same_bars(one: Mapping[str, Bars], other: Mapping[str, Bars]) -> bool:
    return tuple(one) == tuple(other) and all(_equal(one[name], other[name]) for name in one)


def _equal(one: Bars, other: Bars) -> bool:
    if (one.symbol, one.timeframe, len(one)) != (other.symbol, other.timeframe, len(other)):
        return False
    columns = ("time", "open", "high", "low", "close", "tick_volume", "spread")
    return all(_same_column(getattr(one, name), getattr(other, name)) for name in columns)


def _same_column(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
