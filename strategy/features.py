"""Features: one definition for training and serving.

Every column is causal (row t reads bars up to t), scale-free (ATR units, ratios, phases) and has
a finite memory of at most WARMUP bars, so a row does not depend on how much history was fetched.
Rows that lack that memory, and rows whose scale is undefined (no movement at all), are NaN.

Indicators follow the definitions of TA-Lib (https://ta-lib.org) in their simple-average forms:
Wilder's recursive averages never forget where a history began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from market_data.bars import Bars, Capabilities, FloatArray, IntArray
from market_data.clock import BrokerTime
from strategy.past import Column, Newest, Past, extremes, sums, true_range
from strategy.predictor import FeatureSchema, FeatureWindow, Matrix, select
from strategy.structure import FAIR_VALUE_GAPS, LIQUIDITY, ORDER_BLOCKS, fair_value_gaps, liquidity, order_blocks

WARMUP = 160
"""Bars before the first usable row; no column looks further back."""

SLOW = 120
"""Longest window, bars."""

STRETCH = 8192
"""Rows of a long history that are worked out together: few enough to stay in the processor's cache."""

ATR_PERIOD = 14
"""Bars of the ATR that stops, targets and labels are measured in."""

_NEW_YORK = BrokerTime("America/New_York")


def atr(bars: Bars, period: int = ATR_PERIOD) -> FloatArray:
    """Simple average of the true range, shape (n,), price units; NaN for the first `period` rows."""
    average = np.full(len(bars), np.nan)
    if len(bars) > period:
        average[period:] = sums(true_range(bars), period) / period
    return average


def newest_atr(bars: Bars, period: int = ATR_PERIOD) -> float:
    """The last value of `atr`, to the last digit."""
    if len(bars) <= period:
        return np.nan
    return float(sums(true_range(bars.tail(period + 1)), period)[0]) / period


def schema_for(known: Capabilities, extra: tuple[str, ...] = ()) -> FeatureSchema:
    """The columns that a source with these capabilities can fill, in order.

    Args:
        known: what the source records beside prices.
        extra: names of the optional families to add, `FEATURE_FAMILIES`.

    Raises:
        KeyError: there is no such family.
    """
    return _schema(known, extra)


@cache
def _schema(known: Capabilities, extra: tuple[str, ...]) -> FeatureSchema:
    return FeatureSchema(tuple(name for family in families(known, extra) for name in family.names))


def schema_around(known: Capabilities, wanted: FeatureSchema) -> FeatureSchema:
    """All columns of a source, and of the optional families those of which `wanted` has columns."""
    return _plan(known, wanted)[0]


@cache
def _plan(known: Capabilities, wanted: FeatureSchema) -> tuple[FeatureSchema, tuple[Family, ...]]:
    """All columns that are computed where some are wanted, and the families that fill them."""
    extra = tuple(name for name, family in OPTIONAL.items() if not set(family.names).isdisjoint(wanted.names))
    return _schema(known, extra), families(known, extra)


SEQUENCE_COLUMNS = (
    *("move_1", "move_5", "move_20", "move_60", "strength_14", "place_60", "atr_5_14", "atr_14_120", "range"),
    *("from_mean_20", "from_mean_60", "slope_30", "straight_20", "body_share", "body"),
    *("swing_high_distance", "swing_low_distance", "x15_move_3", "volume", "flow_20", "surge", "surge_10", "surge_20"),
)
"""What a model reads that sees many rows at once: the rest repeats what the sequence shows, and
the time of day would let it learn the few days of a short history by heart."""


def sequence_schema(known: Capabilities) -> FeatureSchema:
    """The columns of `schema_for` that sequence models read."""
    return FeatureSchema(tuple(name for name in schema_for(known).names if name in SEQUENCE_COLUMNS))


def compute(bars: Bars, schema: FeatureSchema) -> FeatureWindow:
    """Features of every bar.

    Args:
        bars: closed bars, oldest first.
        schema: from `schema_for`; its hash travels with every model.

    Returns:
        Window of shape (n, F) float32; the first WARMUP rows are NaN.

    Raises:
        ValueError: the schema needs volume or spread that the bars do not have.
    """
    own, filled_by = _source(bars, schema)
    values = np.empty((len(bars), len(own.names)), dtype=np.float32)
    values[:WARMUP] = np.nan
    for first in range(WARMUP, len(bars), STRETCH):
        part = bars.slice(first - WARMUP, first + STRETCH)
        values[first : first + STRETCH] = _rows(part, len(part) - WARMUP, filled_by)
    return select(bars.symbol, FeatureWindow(own, values), schema)


def newest(bars: Bars, schema: FeatureSchema, rows: int) -> Matrix:
    """Features of the newest bars alone, shape (rows, F) float32: the last rows of `compute`, to the last digit.

    Args:
        bars: closed bars, oldest first; at least WARMUP more than `rows`.
        schema: as for `compute`.
        rows: how many, at least one.

    Raises:
        ValueError: the schema needs volume or spread that the bars do not have.
    """
    own, filled_by = _source(bars, schema)
    values = _rows(bars if rows == 1 else bars.tail(WARMUP + rows), rows, filled_by)
    return values if own is schema else select(bars.symbol, FeatureWindow(own, values), schema).values


def _source(bars: Bars, schema: FeatureSchema) -> tuple[FeatureSchema, tuple[Family, ...]]:
    """As `_plan`, for a source that has to record what the columns need."""
    own, filled_by = _plan(bars.capabilities, schema)
    lacking = [name for name in schema.names if name not in own.names] if schema is not own else []
    if lacking:
        raise ValueError(f"{bars.symbol}: the source does not record what columns {lacking} need")
    return own, filled_by


def row_hash(window: FeatureWindow) -> str:
    """Sixteen hex digits over the newest row's bytes; equal rows, equal hash, on every machine."""
    return hash_of(window.values[-1])


def hash_of(row: Matrix) -> str:
    """Sixteen hex digits over one feature row."""
    return hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest()


def _rows(bars: Bars, rows: int, filled_by: tuple[Family, ...]) -> Matrix:
    """Every column of these families for the newest bars, (rows, F)."""
    past = Past(bars, rows, UNIT) if rows > 1 else Newest(bars, UNIT)
    with np.errstate(divide="ignore", invalid="ignore"):
        return past.table([column for family in filled_by for column in family.columns(past)])


# --- families -----------------------------------------------------------------------------------

UNIT = SLOW // 2
"""Bars of the ATR in which distances are measured."""


class Family:
    """Columns that are computed together: their names, and one function from the past to their values in that order."""

    def __init__(self, names: tuple[str, ...], columns: Callable[[Past], Iterable[Column]]) -> None:
        self.names = names
        self.columns = columns


MOMENTUM_LAGS = (1, 2, 3, 5, 10, 20, 30, 60, 120)


def _momentum(past: Past) -> Iterable[Column]:
    """Moves over several lags, and two bounded oscillators."""
    close = past.bars.close
    now = past.at(close)
    return (
        *[past.distance(now, past.at(close, lag), lag) for lag in MOMENTUM_LAGS],
        *[_relative_strength(past, period) for period in (6, 14)],
        *[_place(past, now, period) for period in (14, 60)],
    )


def _relative_strength(past: Past, period: int) -> Column:
    """Cutler's RSI over simple sums, scaled to -1..1; 0 where nothing moved."""
    return past.share(past.sum(past.step, period), past.sum(past.path, period))


def _place(past: Past, now: Column, period: int) -> Column:
    """Where the close lies in the range of the last `period` bars, -1..1; 0 where there is none."""
    top, bottom = past.highest(past.bars.high, period), past.lowest(past.bars.low, period)
    return 2.0 * past.share(now - bottom, top - bottom, 0.5) - 1.0


def _volatility(past: Past) -> Iterable[Column]:
    """How wide the market is now against how wide it was."""
    short, mid, long = [past.mean(past.true_range, period) for period in (5, 14, SLOW)]
    return (
        past.share(short - mid, short + mid),  # a ratio that stays finite when one of them is zero
        past.share(mid - long, mid + long),
        past.distance(past.at(past.bars.high), past.at(past.bars.low)),
        _deviation(past, past.span[past.since(19)] / past.means(past.true_range, UNIT, 19), 20),
    )


def _deviation(past: Past, series: FloatArray, period: int) -> Column:
    """Standard deviation of the last `period` values."""
    mean = past.mean(series, period)
    deviation: Column = np.sqrt(past.larger(past.mean(series * series, period) - mean * mean, 0.0))
    return deviation


def _trend(past: Past) -> Iterable[Column]:
    """Distance from averages, regression slopes, and how straight the path was."""
    close = past.bars.close
    now = past.at(close)
    means = [past.mean(close, period) for period in (5, 20, 60, SLOW)]
    return (
        *[past.distance(now, mean) for mean in means],
        past.distance(means[0], means[1]),
        *[_slope(past, period) for period in (10, 30, 60)],
        *[_efficiency(past, period) for period in (20, 60)],
    )


def _slope(past: Past, period: int) -> Column:
    """How far the regression line through the last `period` closes rises over as many bars."""
    return past.distance(past.weighted(past.step, _step_weights(period)), 0.0, period)


@cache
def _step_weights(period: int) -> FloatArray:
    """Weights of the steps between `period` values in the rise of their regression line; they sum to `period`.

    Steps, not values: where nothing moves the line is exactly level.
    """
    step = np.arange(1.0, period)
    weights: FloatArray = 6.0 * step * (period - step) / (period**2 - 1)
    return weights


def _efficiency(past: Past, period: int) -> Column:
    """Kaufman's efficiency ratio: net move over path length, 0..1."""
    close = past.bars.close
    return past.share(abs(past.at(close) - past.at(close, period)), past.sum(past.path, period))


def _candle(past: Past) -> Iterable[Column]:
    """Anatomy of the last candle, and the balance of the last few."""
    bars, span = past.bars, past.at(past.span)
    opened, close, before = past.at(bars.open), past.at(bars.close), past.at(bars.close, 1)
    return (
        past.share(past.at(past.body), span),
        past.share(past.at(bars.high) - past.larger(opened, close), span),
        past.share(past.smaller(opened, close) - past.at(bars.low), span),
        past.distance(close, opened),
        past.distance(opened, before),
        past.mean(np.sign(past.body[past.since(4)]), 5),
        past.share(past.at(past.body, 1), past.at(past.span, 1)),
        past.distance(before, past.at(bars.open, 1)),
    )


SWING_WING = 3


def _swings(past: Past) -> Iterable[Column]:
    """Distance from, and age of, the last confirmed swing high and low.

    A bar is a swing high when none of the SWING_WING bars on either side is higher. It is known
    only SWING_WING bars later, and counts from then on: a centred window would read the future.
    """
    high, low, close, row = past.bars.high, past.bars.low, past.at(past.bars.close), past.row
    high_at, low_at = _last_swing(past, high, np.maximum), _last_swing(past, low, np.minimum)
    return past.distance(high[high_at], close), past.distance(close, low[low_at]), (row - high_at) / SLOW, (row - low_at) / SLOW


def _last_swing(past: Past, series: FloatArray, extreme: np.ufunc) -> Any:
    """Row of the last swing that is confirmed by each row; the oldest row in reach where there is none."""
    confirmed = series[SWING_WING:-SWING_WING] == extremes(extreme, series, 2 * SWING_WING + 1)
    return past.larger(past.last(confirmed) - SWING_WING, past.row - SLOW)


HIGHER_FACTORS = (5, 15)


def _higher_timeframes(past: Past) -> Iterable[Column]:
    """Trend of the longer bars that have closed by row t; the one still forming is not read."""
    close = past.bars.close
    for factor in HIGHER_FACTORS:
        ends, newest = _closed_longer(past, factor)
        now = close[ends[newest]]
        for back in (1, 3, 6):
            yield past.distance(now, close[ends[newest - back]], back * factor)
        yield past.distance(past.at(close), now, factor)


def _closed_longer(past: Past, factor: int) -> tuple[IntArray, Any]:
    """Last rows of the longer bars, and for each row the index of the newest one closed by then."""
    seconds = past.bars.timeframe.seconds
    longer = past.bounds // (factor * seconds)
    ends = (longer[1:] != longer[:-1]).nonzero()[0]
    # A row's bar ends at time + one bar length: longer bars of an earlier number are closed then.
    closed_before = (past.at(past.bars.time) + seconds) // (factor * seconds)
    return ends, longer[ends].searchsorted(closed_before) - 1


def _session(past: Past) -> Iterable[Column]:
    """Phase of the New York day, and of the week: sessions repeat by that clock all year."""
    minute = past.at(_NEW_YORK.to_server(past.at(past.bars.time))) // 60
    # Epoch day 0 was a Thursday: + 3 makes Monday 0.
    return *_DAY_WAVES[:, minute % 1_440], *_WEEK_WAVES[:, (minute // 1_440 + 3) % 7]


def _waves(phase: FloatArray) -> FloatArray:
    """Sine and cosine, (2, n)."""
    return np.array((np.sin(phase), np.cos(phase)))


_DAY = 2.0 * np.pi * (60 * np.arange(1_440)) / 86_400
_DAY_WAVES = np.concatenate((_waves(_DAY), _waves(2 * _DAY)))
_WEEK_WAVES = _waves(2.0 * np.pi * np.arange(7) / 7)


LEAST_VOLUME = 0.02
"""Share of the average volume below which a bar counts as this quiet: the logarithm of nothing has no value."""


def _volume(past: Past) -> Iterable[Column]:
    """Tick volume against its own average, and on which side of the candles it came."""
    assert past.bars.tick_volume is not None  # noqa: S101  # families() asks for this family only then
    recent = past.since(19)  # the longest sum below is over 20 bars
    volume = past.bars.tick_volume[recent]
    ratio = np.log(np.maximum(volume / past.means(past.bars.tick_volume, 60, 19), LEAST_VOLUME))
    direction = np.sign(past.body[recent])
    signed = volume * direction
    flows = [past.share(past.sum(signed, period), past.sum(volume, period), np.nan) for period in (5, 20)]
    surge = direction * np.maximum(ratio, 0.0)
    return past.at(ratio), *flows, past.at(surge), past.at(surge, 1), past.sum(surge, 10), past.sum(surge, 20)


def _spread(past: Past) -> Iterable[Column]:
    """Spread against its own average, 0 where they agree; a spread of nothing is a real one."""
    assert past.bars.spread is not None  # noqa: S101  # families() asks for this family only then
    average = past.mean(past.bars.spread, 60)
    return (np.log1p(past.share(past.at(past.bars.spread), average, 1.0)) - np.log(2.0),)


ALWAYS = (
    Family(
        (*(f"move_{k}" for k in MOMENTUM_LAGS), "strength_6", "strength_14", "place_14", "place_60"),
        _momentum,
    ),
    Family(("atr_5_14", "atr_14_120", "range", "range_spread_20"), _volatility),
    Family(
        (
            *(f"from_mean_{n}" for n in (5, 20, 60, SLOW)),
            "mean_5_20",
            *(f"slope_{n}" for n in (10, 30, 60)),
            "straight_20",
            "straight_60",
        ),
        _trend,
    ),
    Family(("body_share", "upper_wick", "lower_wick", "body", "gap", "candle_sign_5", "body_share_1", "body_1"), _candle),
    Family(("swing_high_distance", "swing_low_distance", "swing_high_age", "swing_low_age"), _swings),
    Family(
        tuple(f"x{factor}_{what}" for factor in HIGHER_FACTORS for what in ("move_1", "move_3", "move_6", "inside")),
        _higher_timeframes,
    ),
    Family(("day_sin", "day_cos", "half_day_sin", "half_day_cos", "week_sin", "week_cos"), _session),
)
VOLUME = Family(("volume", "flow_5", "flow_20", "surge", "surge_1", "surge_10", "surge_20"), _volume)
SPREAD = Family(("spread",), _spread)


OPTIONAL: Mapping[str, Family] = {
    "order_blocks": Family(ORDER_BLOCKS, order_blocks),
    "fair_value_gaps": Family(FAIR_VALUE_GAPS, fair_value_gaps),
    "liquidity": Family(LIQUIDITY, liquidity),
}
"""Families that are computed where `FEATURE_FAMILIES` names them; docs/ABLATION.md says what they earn."""


def families(known: Capabilities, extra: tuple[str, ...] = ()) -> tuple[Family, ...]:
    """The families whose inputs are recorded, and the optional ones that are asked for."""
    recorded = (*ALWAYS, *((VOLUME,) if known.volume else ()), *((SPREAD,) if known.spread else ()))
    return (*recorded, *(OPTIONAL[name] for name in extra))


FAMILIES: Mapping[str, Family] = {family.columns.__name__.removeprefix("_"): family for family in (*ALWAYS, VOLUME, SPREAD)}
"""Every family that is always on, by name, for tests and ablation."""
