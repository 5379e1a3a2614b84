"""Features: one definition for training and serving.

Every column is causal (row t reads bars up to t), scale-free (ATR units, ratios, phases) and has
a finite memory of at most WARMUP bars, so a row does not depend on how much history was fetched.
Rows that lack that memory, and rows whose scale is undefined (no movement at all), are NaN.

Indicators follow the definitions of TA-Lib (https://ta-lib.org) in their simple-average forms:
Wilder's recursive averages never forget where a history began. Sums are taken window by window
for the same reason: a running sum carries the rounding of all it ever held, and leaves dust
where a market that stands still has nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import talib

from market_data.bars import Bars, Capabilities, FloatArray
from market_data.clock import BrokerTime
from strategy.predictor import FeatureSchema, FeatureWindow, Matrix

WARMUP = 160
"""Bars before the first usable row; no column looks further back."""

SLOW = 120
"""Longest window, bars."""

_NEW_YORK = BrokerTime("America/New_York")
Columns = dict[str, FloatArray]


def atr(bars: Bars, period: int = 14) -> FloatArray:
    """Simple average of the true range, shape (n,), price units; NaN for the first `period` rows.

    Source: Wilder, New Concepts in Technical Trading Systems (1978), with a simple average.
    """
    if len(bars) <= period:
        return np.full(len(bars), np.nan)
    return _mean(talib.TRANGE(bars.high, bars.low, bars.close), period)


def schema_for(known: Capabilities) -> FeatureSchema:
    """The columns that a source with these capabilities can fill, in order."""
    return FeatureSchema(tuple(name for family in families(known) for name in family.names))


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
SWAPPED_COLUMNS = (("upper_wick", "lower_wick"), ("swing_high_distance", "swing_low_distance"), ("swing_high_age", "swing_low_age"))


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
    values = np.full((len(bars), len(schema.names)), np.nan, dtype=np.float32)
    if len(bars) <= WARMUP:
        return FeatureWindow(schema, values)
    columns = _columns(bars)
    lacking = [name for name in schema.names if name not in columns]
    if lacking:
        raise ValueError(f"{bars.symbol}: the source does not record what columns {lacking} need")
    # One column after the other, and turned once: writing across rows costs several times as much.
    table = np.empty((len(schema.names), len(bars) - WARMUP), dtype=np.float32)
    for row, name in zip(table, schema.names, strict=True):
        row[:] = columns[name][WARMUP:]
    table[~np.isfinite(table)] = np.nan
    values[WARMUP:] = table.T
    return FeatureWindow(schema, values)


def row_hash(window: FeatureWindow) -> str:
    """Sixteen hex digits over the newest row's bytes; equal rows, equal hash, on every machine."""
    return hashlib.blake2b(window.values[-1].tobytes(), digest_size=8).hexdigest()


def _columns(bars: Bars) -> Columns:
    columns: Columns = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = atr(bars, SLOW // 2)
        for family in families(bars.capabilities):
            columns.update(zip(family.names, family.columns(bars, unit), strict=True))
    return columns


def _lag(values: FloatArray, bars: int) -> FloatArray:
    """`values` as they were `bars` rows ago; NaN where there was no row."""
    lagged = np.empty(len(values))
    lagged[:bars] = np.nan
    lagged[bars:] = values[:-bars]
    return lagged


def _sum(values: FloatArray, period: int) -> FloatArray:
    """Sum of the last `period` values; NaN for the first `period - 1` rows and where a value is NaN."""
    total = np.empty(len(values))
    total[: period - 1] = np.nan
    total[period - 1 :] = np.correlate(values, np.ones(period))
    return total


def _mean(values: FloatArray, period: int) -> FloatArray:
    """Average of the last `period` values; NaN as `_sum`."""
    return _sum(values, period) / period


def _deviation(values: FloatArray, period: int) -> FloatArray:
    """Standard deviation of the last `period` values; NaN as `_sum`."""
    return np.sqrt(np.maximum(_mean(values**2, period) - _mean(values, period) ** 2, 0.0))


# --- families -----------------------------------------------------------------------------------
# A family is a tuple of names and one function (bars, unit) -> columns in that order;
# `unit` is the ATR over SLOW / 2 bars, the yardstick of price distances.


class Family:
    """Columns that are computed together."""

    def __init__(self, names: tuple[str, ...], columns: Callable[[Bars, FloatArray], tuple[FloatArray, ...]]) -> None:
        self.names = names
        self.columns = columns


MOMENTUM_LAGS = (1, 2, 3, 5, 10, 20, 30, 60, 120)


def _momentum(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Moves over several lags in diffusion units, and two bounded oscillators."""
    close = bars.close
    moves = [(close - _lag(close, k)) / (unit * np.sqrt(k)) for k in MOMENTUM_LAGS]
    return (*moves, _relative_strength(close, 6), _relative_strength(close, 14), _place(bars, 14), _place(bars, 60))


def _relative_strength(close: FloatArray, period: int) -> FloatArray:
    """Cutler's RSI over simple sums, scaled to -1..1; 0 where nothing moved."""
    step = close - _lag(close, 1)
    step[0] = 0.0
    net = _sum(step, period)
    path = _sum(np.abs(step), period)
    return np.where(path > 0, net / path, 0.0)


def _place(bars: Bars, period: int) -> FloatArray:
    """Where the close lies in the range of the last `period` bars, -1..1."""
    top, bottom = talib.MAX(bars.high, period), talib.MIN(bars.low, period)
    return np.where(top > bottom, 2.0 * (bars.close - bottom) / (top - bottom) - 1.0, 0.0)


def _volatility(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """How wide the market is now against how wide it was."""
    span = (bars.high - bars.low) / unit
    short, mid, long = atr(bars, 5), atr(bars, 14), atr(bars, SLOW)
    return _contrast(short, mid), _contrast(mid, long), span, _deviation(span, 20)


def _contrast(near: FloatArray, far: FloatArray) -> FloatArray:
    """(near - far) / (near + far), -1..1: a ratio that stays finite when one of them is zero."""
    return np.where(near + far > 0, (near - far) / (near + far), 0.0)


def _trend(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Distance from averages, regression slopes, and how straight the path was."""
    close = bars.close
    averages = [_mean(close, n) for n in (5, 20, 60, SLOW)]
    slopes = [talib.LINEARREG_SLOPE(close, n) * np.sqrt(n) / unit for n in (10, 30, 60)]
    return (
        *((close - average) / unit for average in averages),
        (averages[0] - averages[1]) / unit,
        *slopes,
        _efficiency(close, 20),
        _efficiency(close, 60),
    )


def _efficiency(close: FloatArray, period: int) -> FloatArray:
    """Kaufman's efficiency ratio: net move over path length, 0..1."""
    step = np.abs(close - _lag(close, 1))
    step[0] = 0.0
    path = _sum(step, period)
    return np.where(path > 0, np.abs(close - _lag(close, period)) / path, 0.0)


def _candle(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Anatomy of the last candle, and the balance of the last few."""
    span = bars.high - bars.low
    body = bars.close - bars.open
    share = np.where(span > 0, body / span, 0.0)
    upper = np.where(span > 0, (bars.high - np.maximum(bars.open, bars.close)) / span, 0.0)
    lower = np.where(span > 0, (np.minimum(bars.open, bars.close) - bars.low) / span, 0.0)
    gap = (bars.open - _lag(bars.close, 1)) / unit
    return share, upper, lower, body / unit, gap, _mean(np.sign(body), 5), _lag(share, 1), _lag(body, 1) / unit


SWING_WING = 3


def _swings(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Distance from, and age of, the last confirmed swing high and low.

    A bar is a swing high when none of the SWING_WING bars on either side is higher. It is known
    only SWING_WING bars later, and counts from then on: a centred window would read the future.
    """
    high_at, low_at = _last_swing(bars.high, talib.MAX), _last_swing(bars.low, talib.MIN)
    rows = np.arange(len(bars))
    return (
        (bars.high[high_at] - bars.close) / unit,
        (bars.close - bars.low[low_at]) / unit,
        (rows - high_at) / SLOW,
        (rows - low_at) / SLOW,
    )


def _last_swing(values: FloatArray, extreme: Callable[[FloatArray, int], FloatArray]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Row of the last swing that is confirmed by row t; the oldest row in reach where there is none."""
    rows = np.arange(len(values))
    centre = np.maximum(rows - SWING_WING, 0)
    confirmed = values[centre] == extreme(values, 2 * SWING_WING + 1)
    last = np.maximum.accumulate(np.where(confirmed, centre, -1))
    return np.maximum(last, np.maximum(rows - SLOW, 0))


HIGHER_FACTORS = (5, 15)


def _higher_timeframes(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Trend of the longer bars that have closed by row t; the one still forming is not read."""
    found: list[FloatArray] = []
    for factor in HIGHER_FACTORS:
        ends, newest = _closed_longer(bars, factor)
        closes = bars.close[ends]
        now = closes[np.maximum(newest, 0)]
        for back in (1, 3, 6):
            before = closes[np.maximum(newest - back, 0)]
            found.append((now - before) / (unit * np.sqrt(back * factor)))
        found.append((bars.close - now) / (unit * np.sqrt(factor)))
    return tuple(found)


def _closed_longer(
    bars: Bars, factor: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Last rows of the longer bars, and for each row the index of the newest one closed by then."""
    length = factor * bars.timeframe.seconds
    bucket = bars.time // length
    ends = np.append(np.flatnonzero(bucket[1:] != bucket[:-1]), len(bucket) - 1)
    # A row's bar ends at time + one bar length: longer bars of an earlier bucket are closed then.
    closed_before = (bars.time + bars.timeframe.seconds) // length
    return ends, np.searchsorted(bucket[ends], closed_before, side="left") - 1


def _session(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Phase of the New York day, and of the week: sessions repeat by that clock all year."""
    local = _NEW_YORK.to_server(bars.time)
    day = 2.0 * np.pi * (local % 86_400) / 86_400
    # Epoch day 0 was a Thursday: + 3 makes Monday 0.
    week = 2.0 * np.pi * ((local // 86_400 + 3) % 7) / 7
    return np.sin(day), np.cos(day), np.sin(2 * day), np.cos(2 * day), np.sin(week), np.cos(week)


LEAST_VOLUME = 0.02
"""Share of the average volume below which a bar counts as this quiet: the logarithm of nothing has no value."""


def _volume(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Tick volume against its own average, and on which side of the candles it came."""
    assert bars.tick_volume is not None  # noqa: S101  # families() asks for this family only then
    volume = bars.tick_volume
    ratio = np.log(np.maximum(volume / _mean(volume, 60), LEAST_VOLUME))
    direction = np.sign(bars.close - bars.open)
    signed = volume * direction
    flows = [_sum(signed, n) / _sum(volume, n) for n in (5, 20)]
    surge = direction * np.maximum(ratio, 0.0)
    return ratio, *flows, surge, _lag(surge, 1), _sum(surge, 10), _sum(surge, 20)


def _spread(bars: Bars, unit: FloatArray) -> tuple[FloatArray, ...]:
    """Spread against its own average, 0 where they agree; a spread of nothing is a real one."""
    assert bars.spread is not None  # noqa: S101  # families() asks for this family only then
    average = _mean(bars.spread, 60)
    return (np.log1p(np.where(average == 0, 1.0, bars.spread / average)) - np.log(2.0),)


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


def families(known: Capabilities) -> tuple[Family, ...]:
    """The families whose inputs are recorded."""
    return (*ALWAYS, *((VOLUME,) if known.volume else ()), *((SPREAD,) if known.spread else ()))


FAMILIES: Mapping[str, Family] = {family.columns.__name__.removeprefix("_"): family for family in (*ALWAYS, VOLUME, SPREAD)}
"""Every family by name, for tests and ablation."""
