"""What a predictor says on dataset rows, as it would have said it live."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_data.bars import FloatArray, IntArray
from strategy.learning.dataset import Dataset
from strategy.predictor import FeatureSchema, FeatureWindow, Forecasts, Matrix, Predictor, select


def project(data: Dataset, schema: FeatureSchema) -> Dataset:
    """The same rows with the columns of another schema."""
    window = select("recipe", FeatureWindow(data.schema, data.table), schema)
    return replace(data, schema=schema, table=np.ascontiguousarray(window.values))


def forecasts_on(predictor: Predictor, data: Dataset) -> Forecasts:
    """A predictor's forecasts on dataset rows.

    Rows on which it would not vote live, because the symbol is not its own or its window has a
    missing value, expect -inf.
    """
    table = project(data, predictor.info.schema).table
    rows = predictor.info.rows
    finite = np.asarray(np.isfinite(table).all(axis=1), dtype=np.bool_)
    whole = finite[data.row[:, None] + np.arange(1 - rows, 1)].all(axis=1)
    serves = np.isin(np.array(data.symbols), predictor.info.symbols)[data.symbol] & whole
    empty = np.zeros(len(data))
    answered = Forecasts(empty, empty, np.ones(len(data), dtype=np.int64), np.full(len(data), -np.inf))
    if not serves.any():
        return answered
    said = _answers(predictor, table, data.row[serves])
    return Forecasts(
        *(_filled(getattr(answered, name), serves, getattr(said, name)) for name in ("p_long", "p_short", "side", "expected_r"))
    )


def _answers(predictor: Predictor, table: Matrix, row: IntArray) -> Forecasts:
    """Forecasts of given rows of a table; neighbours are asked together, which costs a fraction of one by one."""
    order = np.argsort(row)
    runs = np.split(row[order], np.flatnonzero(np.diff(row[order]) != 1) + 1)
    said = _stacked([predictor.predict_many(table[run[0] - predictor.info.rows + 1 : run[-1] + 1]) for run in runs])
    back = np.argsort(order)
    return Forecasts(said.p_long[back], said.p_short[back], said.side[back], said.expected_r[back])


def _filled(column: NDArray[Any], rows: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    filled = column.copy()
    filled[rows] = values
    return filled


def _stacked(parts: list[Forecasts]) -> Forecasts:
    def column(name: str) -> FloatArray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Forecasts(column("p_long"), column("p_short"), column("side").astype(np.int64), column("expected_r"))
