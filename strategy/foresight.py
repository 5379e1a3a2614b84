"""Decides a played market many bars at a time: what each bar's decision needs is worked out before the market gets there.

A replay knows its bars to the end. Features look back alone, so the row of a bar is the same whether
it is worked out when the bar closes or long before, and a model asked about five hundred rows at once
takes a fraction of the time. Nothing else changes: the loop still meets bar after bar, asks the
models that serve then, and a decision reads its own row only.

Feature rows and the forecasts of trees are the same to the last bit; a model says so of itself, and is held to it. A network's
differ in the last digits, by less than `PARITY`; a bar whose decision, or its wording, could hang on them is decided by itself.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

import numpy as np
from loguru import logger
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from config.errors import SlotError
from market_data.bars import Bars, Capabilities, FloatArray
from strategy.features import atr, compute, hash_of, schema_for
from strategy.predictor import (
    BundleInfo,
    FeatureWindow,
    Forecast,
    Forecasts,
    Inference,
    Matrix,
    Predictor,
    newest_rows,
    require_schema,
    select,
)
from strategy.scalping_strategy import Sight

PARITY = 1e-6
"""Most by which a probability may differ between one row and many."""

SLACK = 4 * PARITY
"""Most by which an expected R then differs: a trade wins or loses little more than one R."""

AHEAD = 2
"""Blocks that are worked out while the market plays one."""

Mask = NDArray[np.bool_]


class Ahead(Protocol):
    """Bars of a market that is played, in blocks; the same bars in the same block, whenever it is asked."""

    def block_of(self, symbol: str, time: int) -> int:
        """Number of the block that holds the bar that opened at a time."""
        ...

    def block(self, symbol: str, number: int) -> tuple[Bars, int]:
        """The bars of a block behind those that its decisions look back on, and how many these are; no bars beyond the end."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """What all models share: the feature rows of a block.

    Attributes:
        window: of all bars, those before the block included.
        first: row of the block's first bar.
        place: opening time of a bar -> its place in the block.
        bars: those of the block.
        ranges: ATR of each.
        hashes: of the feature row of each.
    """

    window: FeatureWindow
    first: int
    place: Mapping[int, int]
    bars: Bars
    ranges: FloatArray
    hashes: Sequence[str]

    def sight(self, place: int) -> Sight:
        """What a decision reads of a bar."""
        bars = self.bars
        opened, close, range_ = bars.opened_at(place), bars.close.item(place), self.ranges.item(place)
        return Sight(bars.symbol, opened, bars.timeframe.seconds, close, range_, self.hashes[place])


@dataclass(slots=True, eq=False)
class _Block:
    """One block: its rows, and what the models say of them, as it becomes known."""

    number: int
    rows: Future[_Rows | None]
    said: dict[Predictor, Future[_Said | None]] = field(default_factory=dict)
    answer: _Answer | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What the models in service say of a block together.

    Attributes:
        asked: those models.
        sure: for each bar, whether it may be decided so.
        told: what each of them says of the bars.
        voices: places of the bars that are not sure, or on which one of them takes a side; ascending.
    """

    asked: tuple[Predictor, ...]
    sure: Sequence[bool]
    told: Sequence[Forecasts]
    voices: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What one model says of a block.

    Attributes:
        told: one forecast for each bar.
        known: bars of which it could be asked: their windows have no gap.
        lead: R by which the better side is better.
        slack: most by which an expected R differs from that of a bar alone; 0.0 where none does.
    """

    told: Forecasts
    known: Mask
    lead: FloatArray
    slack: float


class Foresight:
    """Feature rows and forecasts of the bars to come, worked out beside the loop.

    Args:
        bars: of the played market.
        extra: optional feature families.
        workers: threads; the libraries let go of the interpreter while they count.
    """

    def __init__(self, bars: Ahead, extra: tuple[str, ...] = (), workers: int | None = None) -> None:
        self._bars = bars
        self._extra = extra
        self._pool = ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1), thread_name_prefix="foresight")
        self._blocks: dict[str, dict[int, _Block]] = {}
        self._current: dict[str, tuple[_Rows, _Block]] = {}

    def close(self) -> None:
        """Drops what is not worked out yet; safe to repeat."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def look(
        self, symbol: str, time: int, known: Capabilities, models: Mapping[str, Predictor]
    ) -> tuple[Sight, dict[str, Forecast]] | None:
        """What is seen and forecast on a bar; None where that bar has to be decided by itself.

        Args:
            symbol: of the bar.
            time: when it opened, UTC epoch seconds.
            known: what the source records beside prices.
            models: slot -> predictor, those to ask.
        """
        found = self._current.get(symbol)
        if found is None or time not in found[0].place:
            found = self._move(symbol, time, known, tuple(models.values()))
            if found is None:
                return None
        rows, block = found
        place = rows.place[time]
        asked = tuple(models.values())
        answer = block.answer
        if answer is None or answer.asked != asked:
            answer = block.answer = self._asked(symbol, block, asked, known)
        if not answer.sure[place]:
            return None
        return rows.sight(place), {slot: told.at(place) for slot, told in zip(models, answer.told, strict=True)}

    def seen(self, symbol: str, time: int) -> tuple[Sight, FeatureWindow] | None:
        """What is seen on a bar that was looked at, and the feature rows up to it; None where no block knows it."""
        rows, block = self._current.get(symbol, (None, None))
        if rows is None or block is None or time not in rows.place:
            return None
        place = rows.place[time]
        return rows.sight(place), FeatureWindow(rows.window.schema, rows.window.values[: rows.first + place + 1])

    def silent(self, symbol: str, time: int, models: Mapping[str, Predictor]) -> int:
        """On how many bars behind one that was looked at no model takes a side; as far as that is sure, and worked out.

        Args:
            symbol: of the bars.
            time: when the one that was looked at opened, UTC epoch seconds.
            models: those that were asked.
        """
        rows, block = self._current.get(symbol, (None, None))
        if rows is None or block is None or time not in rows.place:
            return 0
        answer, first = block.answer, rows.place[time] + 1
        if answer is None or answer.asked != tuple(models.values()):
            return 0
        voice = bisect_left(answer.voices, first)
        return (answer.voices[voice] if voice < len(answer.voices) else len(rows.bars)) - first

    def shown(
        self, symbol: str, time: int, count: int, models: Mapping[str, Predictor]
    ) -> tuple[Bars, FloatArray, Sequence[str], dict[str, Forecasts]]:
        """Bars behind one that was looked at, as `silent` counts them: they, their ATR, the hashes of their rows, and the forecasts."""
        rows, block = self._current[symbol]
        assert block.answer is not None  # noqa: S101  # or nothing would have been counted
        first = rows.place[time] + 1
        part = slice(first, first + count)
        forecasts = {slot: told.part(part) for slot, told in zip(models, block.answer.told, strict=True)}
        return rows.bars.slice(first, first + count), rows.ranges[part], rows.hashes[part], forecasts

    # --- moving on ----------------------------------------------------------------------------

    def _move(self, symbol: str, time: int, known: Capabilities, models: Sequence[Predictor]) -> tuple[_Rows, _Block] | None:
        """The block of a bar; the ones after it are begun."""
        number = self._bars.block_of(symbol, time)
        blocks = self._blocks.setdefault(symbol, {})
        for passed in [other for other in blocks if not number <= other <= number + AHEAD]:
            del blocks[passed]
        for wanted in range(number, number + AHEAD + 1):
            self._begun(symbol, wanted, known, models)
        rows = blocks[number].rows.result()
        if rows is None or time not in rows.place:
            return None
        self._current[symbol] = rows, blocks[number]
        return self._current[symbol]

    def _begun(self, symbol: str, number: int, known: Capabilities, models: Sequence[Predictor]) -> _Block:
        """A block of which rows and forecasts are on their way. First in, first out: rows come before whoever waits for them."""
        block = self._blocks[symbol].get(number)
        if block is None:
            block = self._blocks[symbol][number] = _Block(number, self._pool.submit(self._rows_of, symbol, number, known))
        for model in models:
            if model not in block.said:
                block.said[model] = self._pool.submit(_said, block.rows, model)
        return block

    def _asked(self, symbol: str, block: _Block, models: tuple[Predictor, ...], known: Capabilities) -> _Answer:
        """Asks the models that serve now, forgets those that do not, and waits."""
        for later in range(block.number, block.number + AHEAD + 1):
            begun = self._begun(symbol, later, known, models)
            begun.said = {model: said for model, said in begun.said.items() if model in models}
        rows = block.rows.result()
        size = 0 if rows is None else len(rows.bars)
        said = [one for model in models if (one := block.said[model].result()) is not None]
        if len(said) < len(models):  # somebody has to be asked bar by bar
            return _Answer(models, [False] * size, (), range(size))
        margins = [one.told.expected_r - model.inference.threshold for one, model in zip(said, models, strict=True)]
        sure = _sure(said, margins, size)
        silent = np.logical_and.reduce([sure, *(margin < 0.0 for margin in margins)])
        return _Answer(models, sure.tolist(), [one.told for one in said], np.flatnonzero(~silent).tolist())

    def _rows_of(self, symbol: str, number: int, known: Capabilities) -> _Rows | None:
        bars, first = self._bars.block(symbol, number)
        if len(bars) <= first:
            return None
        window = compute(bars, schema_for(known, self._extra))
        new, hashes = bars.slice(first, None), [hash_of(row) for row in window.values[first:]]
        return _Rows(window, first, {time: place for place, time in enumerate(new.time.tolist())}, new, atr(bars)[first:], hashes)


def _said(waited: Future[_Rows | None], model: Predictor) -> _Said | None:
    """What a model says of a block; None where it cannot be asked so: asked bar by bar it says why."""
    rows = waited.result()
    if rows is None:
        return None
    before = model.info.rows - 1
    if rows.first < before:
        return None
    try:
        values = select(model.info.slot, rows.window, model.info.schema).values[rows.first - before :]
        whole: Mask = np.logical_and.reduce(np.isfinite(values), axis=1)
        told = model.predict_many(np.where(whole[:, None], values, np.float32(0.0)))
        known: Mask = np.logical_and.reduce(sliding_window_view(whole, before + 1), axis=1)
        _require_parity(model, values, told, known)
    except SlotError as error:
        logger.warning("{} v{}: asked bar by bar: {}", model.info.slot, model.info.version, error)
        return None
    long, short = model.inference.payoff.expected(told.p_long, told.p_short)
    return _Said(told, known, np.abs(long - short), 0.0 if model.exact else SLACK)


def _require_parity(model: Predictor, values: NDArray[np.float32], told: Forecasts, known: Mask) -> None:
    """Compares the bar of a block that is nearest to the model's threshold with what the model says of it alone.

    Raises:
        SlotError: they differ by more than rounding; at all, where the model says that they do not.
    """
    if not known.any():
        return
    place = int(np.where(known, np.abs(told.expected_r - model.inference.threshold), np.inf).argmin())
    alone, among = model.predict(FeatureWindow(model.info.schema, values[place : place + model.info.rows])), told.at(place)
    allowed = 0.0 if model.exact else PARITY
    worst = max(abs(alone.p_long - among.p_long), abs(alone.p_short - among.p_short))
    if worst > allowed or (model.exact and alone != among):
        raise SlotError(f"{model.info.slot} v{model.info.version}: many rows at once differ by {worst:.3g}, {allowed:g} allowed")


def _sure(said: Sequence[_Said], margins: Sequence[FloatArray], size: int) -> Mask:
    """Bars on which no rounding of a forecast can change the decision or its wording, (size,).

    That is where every model could be asked, none is near its threshold or undecided between the sides, no two
    are equally near to voting, and no figure that may be written is near to being rounded otherwise. What is exact is near to nothing.
    """
    sure = np.ones(size, dtype=bool)
    for one, margin in zip(said, margins, strict=True):
        sure &= one.known & _keeps_sign(one.lead, one.slack) & _keeps_sign(margin, one.slack)
    for (one, left), (other, right) in combinations(zip(said, margins, strict=True), 2):
        sure &= _keeps_sign(left - right, one.slack + other.slack)
    for some in range(1, len(said) + 1):
        for group in combinations(said, some):
            if slack := max(one.slack for one in group):
                sure &= _steady(np.mean([one.told.expected_r for one in group], axis=0), slack)
    return sure


def _keeps_sign(figures: FloatArray, slack: float) -> Mask:
    """Where figures stay on their side of zero, if they differ by no more than the slack."""
    return np.abs(figures) > slack if slack else np.ones(len(figures), dtype=bool)


def _steady(figures: FloatArray, slack: float) -> Mask:
    """Where two decimals read the same a little above and below."""
    cents = 100.0 * figures
    steady: Mask = (np.abs(cents - np.floor(cents) - 0.5) > 100 * slack) & (np.abs(figures) > slack)
    return steady


@dataclass(frozen=True, slots=True, eq=False)
class AmongMany:
    """A predictor that is asked about one row as `Foresight` asks it: among others, which gives the same last digits."""

    model: Predictor

    @property
    def info(self) -> BundleInfo:
        """Identity and scope."""
        return self.model.info

    @property
    def inference(self) -> Inference:
        """Calibration, payoff and threshold."""
        return self.model.inference

    @property
    def backend(self) -> str:
        """What runs it."""
        return self.model.backend

    @property
    def exact(self) -> bool:
        """Whether a batch changes no bit."""
        return self.model.exact

    def prepare(self, window: FeatureWindow) -> Callable[[], Forecast]:
        """The call that makes the forecast for the newest row of a window; see `Predictor.prepare`."""
        require_schema(self.info.slot, self.info.schema, window.schema)
        rows = newest_rows(self.info.slot, window, self.info.rows)
        return lambda: self.model.predict_many(np.concatenate((rows[:1], rows))).at(-1)

    def predict(self, window: FeatureWindow) -> Forecast:
        """Forecast for the newest row of a window; see `Predictor.predict`."""
        return self.prepare(window)()

    def predict_many(self, values: Matrix) -> Forecasts:
        """See `Predictor.predict_many`."""
        return self.model.predict_many(values)
