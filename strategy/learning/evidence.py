"""What a candidate has shown, in figures: by symbol, by fold, by outcome, in R and in money.

Trades are counted as the trade desk makes them: a symbol holds one position, and the next may open
once it is gone. Means over rows use more of the data; means over trades are what an account earns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from config.settings import FilterSettings
from market_data.bars import FloatArray, IntArray
from market_data.clock import from_epoch
from strategy.filters import FilterCase, first_veto
from strategy.learning.calibration import is_identity
from strategy.learning.dataset import Dataset
from strategy.learning.recipes import Candidate, class_probabilities, side_result
from strategy.learning.validation import log_loss_rows

Flags = NDArray[np.bool_]
Figures = dict[str, float]


def one_at_a_time(data: Dataset, side: IntArray) -> IntArray:
    """The rows that become trades where a symbol holds one position at a time.

    Args:
        data: n rows, ordered by time.
        side: shape (n,), +1, -1, or 0 where there is no entry.

    Returns:
        Indices of rows, ascending.
    """
    leaves = np.where(side > 0, data.out_long, data.out_short)
    wanted = [np.flatnonzero((data.symbol == index) & (side != 0)) for index in range(len(data.symbols))]
    return np.sort(np.concatenate([_in_turn(rows, data.time[rows], leaves[rows]) for rows in wanted]))


def _in_turn(rows: IntArray, time: IntArray, leaves: IntArray) -> IntArray:
    follows = np.maximum(np.searchsorted(time, leaves), np.arange(1, len(rows) + 1))
    chosen, at = [], 0
    while at < len(rows):
        chosen.append(at)
        at = int(follows[at])
    return rows[np.array(chosen, dtype=np.int64)]


def enterable(data: Dataset, rows: Flags, filters: FilterSettings, bar_seconds: int) -> Flags:
    """Those of the chosen rows on which the loop's own filters let an entry through.

    Args:
        data: n rows.
        rows: shape (n,), which to ask for; the others are answered False.
        filters: as the loop applies them.
        bar_seconds: length of a bar; a row is decided when its bar has closed.
    """
    allowed = rows.copy()
    for row in np.flatnonzero(rows):
        opened = from_epoch(int(data.time[row]))
        case = FilterCase(opened, opened + timedelta(seconds=bar_seconds), bar_seconds, 1.0, 1.0, filters)
        allowed[row] = first_veto(case) is None
    return allowed


def trade_figures(data: Dataset, side: IntArray) -> Figures:
    """Count, result in R and in money per lot, and drawdown of the trades that `side` makes."""
    rows = one_at_a_time(data, side)
    result = side_result(data, side)[rows]
    money = result * data.lot_r[rows]
    return {
        "trades": len(rows),
        "trade_expectancy_r": mean(result),
        "money_per_lot": mean(money),
        "max_drawdown_r": drawdown(result),
        "max_drawdown_per_lot": drawdown(money),
    }


def by_symbol(data: Dataset, side: IntArray) -> dict[str, Figures]:
    """Figures of every symbol's own final rows."""
    result = side_result(data, side)
    found: dict[str, Figures] = {}
    for index, name in enumerate(data.symbols):
        own = data.symbol == index
        taken = own & (side != 0)
        figures = {"rows": int(own.sum()), "directional_rows": int(taken.sum()), "expectancy_r": mean(result[taken])}
        found[name] = figures | trade_figures(data, np.where(own, side, 0))
    return found


def by_fold(candidate: Candidate) -> list[Figures]:
    """Figures of the held rows of every fold, by models that did not see them, at the frozen threshold."""
    held, said = candidate.held, candidate.held_forecasts
    taken = said.expected_r >= candidate.inference.threshold
    result, gain = side_result(held, said.side), log_loss_gain(held, class_probabilities(said), candidate.priors)
    return [
        {
            "rows": int((candidate.fold == fold).sum()),
            "directional_rows": int((taken & (candidate.fold == fold)).sum()),
            "expectancy_r": mean(result[taken & (candidate.fold == fold)]),
            "log_loss_gain": mean(gain[candidate.fold == fold]),
        }
        for fold in np.unique(candidate.fold)
    ]


OUTCOMES = ("flat", "long", "short")


def recalls(candidate: Candidate) -> Figures:
    """Share of each outcome's final rows that the likeliest class names; nan where it never came."""
    named = class_probabilities(candidate.forecasts).argmax(axis=1)
    return {f"recall_{name}": mean((named == code)[candidate.final.kind == code].astype(np.float64)) for code, name in enumerate(OUTCOMES)}


def reliability(candidate: Candidate) -> dict[str, Figures]:
    """Mean forecast probability and frequency of each outcome in the final window."""
    forecast = class_probabilities(candidate.forecasts).mean(axis=0)
    came = np.bincount(candidate.final.kind, minlength=3) / len(candidate.final)
    return {name: {"forecast": float(forecast[code]), "came": float(came[code])} for code, name in enumerate(OUTCOMES)}


def direction_skill(candidate: Candidate) -> float:
    """Share of final rows whose move the forecast side names, twice, less one: 0 = a coin, 1 = always right."""
    moved = candidate.final.forward != 0
    right = np.sign(candidate.final.forward) == candidate.forecasts.side
    return 2.0 * mean(right[moved].astype(np.float64)) - 1.0


def tables(candidate: Candidate, side: IntArray) -> dict[str, object]:
    """Everything that does not fit one line, as plain JSON values."""
    found = {
        "symbols": by_symbol(candidate.final, side),
        "folds": by_fold(candidate),
        "calibration": {"kept": not is_identity(candidate.inference), **reliability(candidate)},
        "priors": dict(zip(OUTCOMES, candidate.priors.tolist(), strict=True)),
    }
    return {name: plain(value) for name, value in found.items()}


def plain(value: object) -> object:
    """Rounded, and without what JSON cannot say."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items() if not (isinstance(part, float) and not np.isfinite(part))}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    return round(value, 6) if isinstance(value, float) else value


def log_loss_gain(data: Dataset, probabilities: FloatArray, priors: FloatArray) -> FloatArray:
    """Nats by which each row's forecast beats the class shares of the rows that taught."""
    trivial = -np.log(np.clip(priors, 1e-9, 1.0))[data.kind]
    return np.asarray(trivial - log_loss_rows(probabilities, data.kind))


def direction_gain(data: Dataset, probabilities: FloatArray, priors: FloatArray) -> FloatArray:
    """Nats by which the forecast of the side beats the class shares, on the rows that were long or short."""
    came = data.kind > 0
    kind = data.kind[came] - 1
    sides = np.clip(probabilities[came, 1:], 1e-9, 1.0)
    trivial = np.clip(priors[1:], 1e-9, 1.0)
    said = np.log(sides / sides.sum(axis=1, keepdims=True))[np.arange(len(kind)), kind]
    return np.asarray(said - np.log(trivial / trivial.sum())[kind])


def mean(values: FloatArray) -> float:
    """The mean; -inf without values, so that it exceeds nothing."""
    return float(values.mean()) if len(values) else float("-inf")


def drawdown(result: FloatArray) -> float:
    """Deepest fall of the running sum from its peak, in the unit of the values."""
    if len(result) == 0:
        return 0.0
    curve = np.cumsum(result)
    return float((np.maximum.accumulate(np.maximum(curve, 0.0)) - curve).max())
