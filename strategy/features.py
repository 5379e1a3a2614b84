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

import numpy as np
import talib

from market_data.bars import Bars, Capabilities, FloatArray, IntArray
from market_data.clock import BrokerTime
from strategy.past import Column, Distance, Past, Share, sums, table_of, true_range
from strategy.predictor import FeatureSchema, FeatureWindow, Matrix, select
from strategy.structure import FAIR_VALUE_GAPS, LIQUIDITY, ORDER_BLOCKS, SWAPPED, fair_value_gaps, liquidity, order_blocks

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
    return _schema(known, _extras(wanted))


@cache
def _extras(schema: FeatureSchema) -> tuple[str, ...]:
    """The optional families of which a schema has columns."""
    return tuple(name for name, family in OPTIONAL.items() if not set(family.names).isdisjoint(schema.names))


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


EVEN_COLUMNS = frozenset(
    {"atr_5_14", "atr_14_120", "range", "range_spread_20", "straight_20", "straight_60", "volume", "spread"}
    | {"day_sin", "day_cos", "half_day_sin", "half_day_cos", "week_sin", "week_cos"}
)
SWAPPED_COLUMNS = (
    ("upper_wick", "lower_wick"),
    ("swing_high_distance", "swing_low_distance"),
    ("swing_high_age", "swing_low_age"),
    *SWAPPED,
)


def mirror(table: Matrix, schema: FeatureSchema) -> Matrix:
    """Feature rows of the market turned upside down, shape (N, F).

    Even columns keep their value, swapped pairs change places, all others change sign. A model
    that learns from both images cannot take the drift of a few days for a law.
    """
    other = {a: b for pair in SWAPPED_COLUMNS for a, b in (pair, pair[::-1])}
    source = [schema.names.index(other.get(name, name)) for name in schema.names]
    sign = [1.0 if name in EVEN_COLUMNS or name in other else -1.0 for name in schema.names]
    return table[:, source] * np.array(sign, dtype=np.float32)


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
    extra = _extras(schema)
    own = _schema(bars.capabilities, extra)
    lacking = [name for name in schema.names if name not in own.names] if schema is not own else []
    if lacking:
        raise ValueError(f"{bars.symbol}: the source does not record what columns {lacking} need")
    values = np.empty((len(bars), len(own.names)), dtype=np.float32)
    values[:WARMUP] = np.nan
    for first in range(WARMUP, len(bars), STRETCH):
        values[first : first + STRETCH] = _rows(bars.slice(first - WARMUP, first + STRETCH), extra)
    return select(bars.symbol, FeatureWindow(own, values), schema)


def row_hash(window: FeatureWindow) -> str:
    """Sixteen hex digits over the newest row's bytes; equal rows, equal hash, on every machine."""
    return hashlib.blake2b(window.values[-1].tobytes(), digest_size=8).hexdigest()


def _rows(bars: Bars, extra: tuple[str, ...]) -> Matrix:
    """Every column that these bars can fill, and of the optional families asked for, for each bar after the warm-up, (n - WARMUP, F)."""
    past = Past(bars, len(bars) - WARMUP)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = [column for family in families(bars.capabilities, extra) for column in family.columns(past)]
        table = table_of(columns, past.mean(past.true_range, UNIT))
    np.copyto(table, np.nan, where=~np.isfinite(table))
    return table.T


# --- families -----------------------------------------------------------------------------------
# A family is a tuple of names and one function from the past to columns in that order.

UNIT = SLOW // 2
"""Bars of the ATR in which distances are measured."""


class Family:
    """Columns that are computed together."""

    def __init__(self, names: tuple[str, ...], columns: Callable[[Past], Iterable[Column]]) -> None:
        self.names = names
        self.columns = columns


MOMENTUM_LAGS = (1, 2, 3, 5, 10, 20, 30, 60, 120)


def _momentum(past: Past) -> Iterable[Column]:
    """Moves over several lags, and two bounded oscillators."""
    close = past.bars.close
    return (
        *(Distance(close[past.now], close[past.ago(lag)], lag) for lag in MOMENTUM_LAGS),
        *(_relative_strength(past, period) for period in (6, 14)),
        *(_place(past, period) for period in (14, 60)),
    )


def _relative_strength(past: Past, period: int) -> Column:
    """Cutler's RSI over simple sums, scaled to -1..1; 0 where nothing moved."""
    return Share(past.sum(past.step, period), past.sum(past.path, period))


def _place(past: Past, period: int) -> Column:
    """Where the close lies in the range of the last `period` bars, -1..1."""
    top, bottom = talib.MAX(past.bars.high, period)[past.now], talib.MIN(past.bars.low, period)[past.now]
    return np.where(top > bottom, 2.0 * (past.bars.close[past.now] - bottom) / (top - bottom) - 1.0, 0.0)


def _volatility(past: Past) -> Iterable[Column]:
    """How wide the market is now against how wide it was."""
    short, mid, long = (past.mean(past.true_range, period) for period in (5, 14, SLOW))
    return (
        _contrast(short, mid),
        _contrast(mid, long),
        Distance(past.bars.high[past.now], past.bars.low[past.now]),
        _deviation(past, past.span[past.since(19)] / past.mean(past.true_range, UNIT, 19), 20),
    )


def _contrast(near: FloatArray, far: FloatArray) -> Column:
    """(near - far) / (near + far), -1..1: a ratio that stays finite when one of them is zero."""
    return Share(near - far, near + far)


def _deviation(past: Past, series: FloatArray, period: int) -> Column:
    """Standard deviation of the last `period` values."""
    return np.sqrt(np.maximum(past.mean(series**2, period) - past.mean(series, period) ** 2, 0.0))


def _trend(past: Past) -> Iterable[Column]:
    """Distance from averages, regression slopes, and how straight the path was."""
    close = past.bars.close
    means = [past.mean(close, period) for period in (5, 20, 60, SLOW)]
    return (
        *(Distance(close[past.now], mean) for mean in means),
        Distance(means[0], means[1]),
        *(_slope(past, period) for period in (10, 30, 60)),
        *(_efficiency(past, period) for period in (20, 60)),
    )


def _slope(past: Past, period: int) -> Column:
    """How far the regression line through the last `period` closes rises over as many bars."""
    rise = np.correlate(past.step[past.since(period - 2)], _step_weights(period))
    return Distance(rise, np.zeros(past.rows), period)


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
    return Share(np.abs(close[past.now] - close[past.ago(period)]), past.sum(past.path, period))


def _candle(past: Past) -> Iterable[Column]:
    """Anatomy of the last candle, and the balance of the last few."""
    now, before = past.now, past.ago(1)
    opened, high, low, close = past.bars.open, past.bars.high[now], past.bars.low[now], past.bars.close
    return (
        Share(past.body[now], past.span[now]),
        Share(high - np.maximum(opened[now], close[now]), past.span[now]),
        Share(np.minimum(opened[now], close[now]) - low, past.span[now]),
        Distance(close[now], opened[now]),
        Distance(opened[now], close[before]),
        past.mean(np.sign(past.body), 5),
        Share(past.body[before], past.span[before]),
        Distance(close[before], opened[before]),
    )


SWING_WING = 3


def _swings(past: Past) -> Iterable[Column]:
    """Distance from, and age of, the last confirmed swing high and low.

    A bar is a swing high when none of the SWING_WING bars on either side is higher. It is known
    only SWING_WING bars later, and counts from then on: a centred window would read the future.
    """
    high, low, close = past.bars.high, past.bars.low, past.bars.close[past.now]
    rows = np.arange(WARMUP, len(past.bars))
    high_at, low_at = _last_swing(past, high, talib.MAX), _last_swing(past, low, talib.MIN)
    return Distance(high[high_at], close), Distance(close, low[low_at]), (rows - high_at) / SLOW, (rows - low_at) / SLOW


def _last_swing(past: Past, series: FloatArray, extreme: Callable[[FloatArray, int], FloatArray]) -> IntArray:
    """Row of the last swing that is confirmed by each row; the oldest row in reach where there is none."""
    width = 2 * SWING_WING + 1
    centre = np.arange(SWING_WING, len(series) - SWING_WING)
    confirmed = series[centre] == extreme(series, width)[width - 1 :]
    last = np.maximum.accumulate(centre * confirmed)[past.now]
    return np.maximum(last, np.arange(WARMUP - SLOW, len(series) - SLOW))


HIGHER_FACTORS = (5, 15)


def _higher_timeframes(past: Past) -> Iterable[Column]:
    """Trend of the longer bars that have closed by row t; the one still forming is not read."""
    close = past.bars.close
    for factor in HIGHER_FACTORS:
        ends, newest = _closed_longer(past, factor)
        now = close[ends[newest]]
        for back in (1, 3, 6):
            yield Distance(now, close[ends[newest - back]], back * factor)
        yield Distance(close[past.now], now, factor)


def _closed_longer(past: Past, factor: int) -> tuple[IntArray, IntArray]:
    """Last rows of the longer bars, and for each row the index of the newest one closed by then."""
    time, seconds = past.bars.time, past.bars.timeframe.seconds
    bucket = time // (factor * seconds)
    # A row's bar ends at time + one bar length: longer bars of an earlier bucket are closed then.
    closed_before = (time[past.now] + seconds) // (factor * seconds)
    ends = (bucket != np.concatenate((bucket[1:], closed_before[-1:]))).nonzero()[0]
    return ends, bucket[ends].searchsorted(closed_before) - 1


def _session(past: Past) -> Iterable[Column]:
    """Phase of the New York day, and of the week: sessions repeat by that clock all year."""
    minute = _NEW_YORK.to_server(past.bars.time[past.now]) // 60
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
    ratio = np.log(np.maximum(volume / past.mean(past.bars.tick_volume, 60, 19), LEAST_VOLUME))
    direction = np.sign(past.body[recent])
    signed = volume * direction
    flows = [past.sum(signed, period) / past.sum(volume, period) for period in (5, 20)]
    surge = direction * np.maximum(ratio, 0.0)
    return ratio[past.now], *flows, surge[past.now], surge[past.ago(1)], past.sum(surge, 10), past.sum(surge, 20)


def _spread(past: Past) -> Iterable[Column]:
    """Spread against its own average, 0 where they agree; a spread of nothing is a real one."""
    assert past.bars.spread is not None  # noqa: S101  # families() asks for this family only then
    average = past.mean(past.bars.spread, 60)
    return (np.log1p(np.where(average == 0, 1.0, past.bars.spread[past.now] / average)) - np.log(2.0),)


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
