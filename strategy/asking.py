"""How the models of a snapshot are asked: who may be, about which windows, and what they say or why they are silent.

A window is read on the loop's thread. What is left of a question is the model's own work, for which the runtimes
let go of the interpreter, so that two threads share it (`side_by_side.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np

from config.errors import SlotError
from strategy.predictor import BundleInfo, FeatureWindow, Forecast, Matrix, Predictor, select
from strategy.side_by_side import Maker, one_by_one

Told = tuple[dict[str, Forecast], dict[str, str]]
"""Slot -> what it said, and slot -> why it is silent."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a model must have been made for to vote here.

    Attributes:
        origin: kind of prices, `synthetic`, `file` or `mt5`: models of simulated prices never
            vote on real ones.
        timeframe: name of the bar length.
        exit_hash: of the exit policy in force.
        expiry_hours: age from which a version does not vote; 0 = never.
    """

    origin: str
    timeframe: str
    exit_hash: str
    expiry_hours: float = 0.0


def forecasts_of(snapshot: Mapping[str, Predictor], window: FeatureWindow, symbol: str, scope: Scope, now: datetime) -> Told:
    """What each predictor says, and why the silent ones are silent."""
    return forecasts_of_all(snapshot, {symbol: window}, scope, now)[symbol]


def forecasts_of_all(
    snapshot: Mapping[str, Predictor], windows: Mapping[str, FeatureWindow], scope: Scope, now: datetime, make: Maker = one_by_one
) -> dict[str, Told]:
    """As `forecasts_of`, for the windows of several symbols.

    Args:
        snapshot: slot -> predictor.
        windows: symbol -> feature rows.
        scope: what a predictor must have been made for.
        now: the instant of the decisions.
        make: asks the models; not one after the other, where there are threads for it.
    """
    told: dict[str, Told] = {symbol: ({}, {}) for symbol in windows}
    shares = _shares(snapshot, windows, scope, now, told)
    for share, found in zip(shares, make([partial(_answers, share) for share in shares]), strict=True):
        for question, answers in zip(share, found, strict=True):
            for symbol, answer in zip(question.symbols, answers, strict=True):
                _note(told[symbol], question.slot, answer)
    return told


def _shares(
    snapshot: Mapping[str, Predictor], windows: Mapping[str, FeatureWindow], scope: Scope, now: datetime, told: Mapping[str, Told]
) -> list[list[_Question]]:
    """What is asked, in shares for `Maker`: models that read a row take less time together than one that reads many. Who is not asked is noted."""
    quick: list[_Question] = []
    long: list[list[_Question]] = []
    for slot, predictor in snapshot.items():
        objections = {symbol: out_of_scope(predictor, symbol, scope, now) for symbol in windows}
        for symbol, objection in objections.items():
            if objection is not None:
                _note(told[symbol], slot, objection)
        questions = _questions(slot, predictor, {symbol: windows[symbol] for symbol in windows if objections[symbol] is None})
        if predictor.info.rows == 1:
            quick += questions
        else:
            long += [[question] for question in questions]
    return [quick, *long] if quick else long


@dataclass(frozen=True, slots=True)
class _Question:
    """A call that asks a model about windows that it has read, and says of each symbol what was forecast, or why not."""

    slot: str
    symbols: Sequence[str]
    ask: Callable[[], Sequence[Forecast | str]]


def _questions(slot: str, predictor: Predictor, windows: Mapping[str, FeatureWindow]) -> list[_Question]:
    """One for all symbols where a row is all that the model reads, else one for each."""
    if len(windows) > 1 and predictor.info.rows == 1:
        return [_Question(slot, tuple(windows), _together(predictor, tuple(windows.values())))]
    return [_Question(slot, (symbol,), _alone(predictor, window)) for symbol, window in windows.items()]


def _answers(questions: Iterable[_Question]) -> list[Sequence[Forecast | str]]:
    return [question.ask() for question in questions]


def _note(told: Told, slot: str, answer: Forecast | str) -> None:
    if isinstance(answer, Forecast):
        told[0][slot] = answer
    else:
        told[1][slot] = answer


def _alone(predictor: Predictor, window: FeatureWindow) -> Callable[[], Sequence[Forecast | str]]:
    """The window is read at once; what is left is the model's own work, which another thread may do meanwhile."""
    info = predictor.info
    try:
        return partial(_said, predictor.prepare(select(info.slot, window, info.schema, info.rows)))
    except SlotError as error:
        said = str(error)
        return lambda: (said,)


def _said(forecast: Callable[[], Forecast]) -> Sequence[Forecast | str]:
    try:
        return (forecast(),)
    except SlotError as error:
        return (str(error),)


def _together(predictor: Predictor, windows: Sequence[FeatureWindow]) -> Callable[[], Sequence[Forecast | str]]:
    """One call for all; where one of them cannot be read they are asked one by one, and that one says why."""
    info = predictor.info
    apart = partial(_each, predictor, windows)
    try:
        rows = np.concatenate([select(info.slot, window, info.schema, 1).values for window in windows])
    except SlotError:
        return apart
    return partial(_at_once, predictor, rows, apart)


def _at_once(predictor: Predictor, rows: Matrix, otherwise: Callable[[], Sequence[Forecast | str]]) -> Sequence[Forecast | str]:
    try:
        found = predictor.predict_many(rows)
    except SlotError:
        return otherwise()
    return [found.at(place) for place in range(len(rows))]


def _each(predictor: Predictor, windows: Iterable[FeatureWindow]) -> Sequence[Forecast | str]:
    return [_alone(predictor, window)()[0] for window in windows]


def expired(info: BundleInfo, hours: float, now: datetime) -> bool:
    """Whether a version is too old to vote; `hours` = 0 means that none ever is."""
    return bool(hours and info.made and now.timestamp() - info.made >= 3_600 * hours)


def out_of_scope(predictor: Predictor, symbol: str, scope: Scope, now: datetime) -> str | None:
    """Why a predictor may not vote here, or None."""
    info = predictor.info
    if info.origin != scope.origin:
        return f"learned from {info.origin} prices, these are {scope.origin}"
    if info.timeframe != scope.timeframe:
        return f"made for {info.timeframe}, not {scope.timeframe}"
    if info.exit_hash != scope.exit_hash:
        return f"made for exit policy {info.exit_hash}, not {scope.exit_hash}: a retrain follows"
    if symbol not in info.symbols:
        return f"made for {', '.join(info.symbols)}, not {symbol}"
    if expired(info, scope.expiry_hours, now):
        return f"expired: made {(now.timestamp() - info.made) / 3_600:.1f} h ago, at most {scope.expiry_hours:g} h"
    return None
