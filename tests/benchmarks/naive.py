"""The plain way to the same figures: pandas rolling windows, and each library's own call.

Nothing here is slowed down on purpose: rolling windows are pandas' compiled ones, the forest and the booster
predict on one thread, torch runs without gradients. `tests/unit/benchmarks` holds its features to ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from market_data.bars import Bars
from strategy.features import HIGHER_FACTORS, LEAST_VOLUME, MOMENTUM_LAGS, SLOW, SWING_WING

UNIT = SLOW // 2


def frame_of(bars: Bars) -> pd.DataFrame:
    """Bars as a table, indexed by their opening time."""
    columns = ("open", "high", "low", "close", "tick_volume", "spread")
    return pd.DataFrame({name: getattr(bars, name) for name in columns}, index=pd.to_datetime(bars.time, unit="s", utc=True))


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Every column that is always on, for every bar; early rows are not numbers."""
    previous = bars.close.shift()
    ranges = pd.concat([bars.high - bars.low, (bars.high - previous).abs(), (bars.low - previous).abs()], axis=1).max(axis=1, skipna=False)
    unit = ranges.rolling(UNIT).mean()
    parts = (_momentum, _volatility, _trend, _candle, _swings, _higher, _session, _volume)
    columns = {name: series for part in parts for name, series in part(bars, ranges, unit).items()}
    columns["spread"] = np.log1p(bars.spread / bars.spread.rolling(60).mean()) - np.log(2.0)
    return pd.DataFrame(columns, index=bars.index).replace([np.inf, -np.inf], np.nan)


Columns = dict[str, Any]


def _momentum(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    step = bars.close.diff()
    found = {f"move_{lag}": (bars.close - bars.close.shift(lag)) / (unit * np.sqrt(lag)) for lag in MOMENTUM_LAGS}
    for period in (6, 14):
        found[f"strength_{period}"] = step.rolling(period).sum() / step.abs().rolling(period).sum()
    for period in (14, 60):
        top, bottom = bars.high.rolling(period).max(), bars.low.rolling(period).min()
        found[f"place_{period}"] = 2.0 * (bars.close - bottom) / (top - bottom) - 1.0
    return found


def _volatility(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    short, mid, long = (ranges.rolling(period).mean() for period in (5, 14, SLOW))
    span = bars.high - bars.low
    return {
        "atr_5_14": (short - mid) / (short + mid),
        "atr_14_120": (mid - long) / (mid + long),
        "range": span / unit,
        "range_spread_20": (span / unit).rolling(20).std(ddof=0),
    }


def _trend(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    close = bars.close
    means = {period: close.rolling(period).mean() for period in (5, 20, 60, SLOW)}
    found = {f"from_mean_{period}": (close - mean) / unit for period, mean in means.items()}
    found["mean_5_20"] = (means[5] - means[20]) / unit
    number = pd.Series(np.arange(float(len(close))), index=close.index)
    for period in (10, 30, 60):
        slope = close.rolling(period).cov(number) / number.rolling(period).var()
        found[f"slope_{period}"] = slope * period / (unit * np.sqrt(period))
    for period in (20, 60):
        found[f"straight_{period}"] = (close - close.shift(period)).abs() / close.diff().abs().rolling(period).sum()
    return found


def _candle(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    span, body = bars.high - bars.low, bars.close - bars.open
    upper, lower = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
    share = (body / span).where(span > 0, 0.0)
    return {
        "body_share": share,
        "upper_wick": ((bars.high - upper) / span).where(span > 0, 0.0),
        "lower_wick": ((lower - bars.low) / span).where(span > 0, 0.0),
        "body": body / unit,
        "gap": (bars.open - bars.close.shift()) / unit,
        "candle_sign_5": np.sign(body).rolling(5).mean(),
        "body_share_1": share.shift(),
        "body_1": body.shift() / unit,
    }


def _swings(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    width, row = 2 * SWING_WING + 1, pd.Series(np.arange(len(bars)), index=bars.index)
    found: Columns = {}
    for side, series, extreme in (("high", bars.high, bars.high.rolling(width).max()), ("low", bars.low, bars.low.rolling(width).min())):
        confirmed = series.shift(SWING_WING) == extreme
        last = np.maximum((row - SWING_WING).where(confirmed).ffill(), row - SLOW)
        level = pd.Series(series.to_numpy()[last.fillna(0).clip(lower=0).astype(int)], index=bars.index)
        found[f"swing_{side}_distance"] = (level - bars.close if side == "high" else bars.close - level) / unit
        found[f"swing_{side}_age"] = (row - last) / SLOW
    return found


def _higher(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    seconds = bars.index.as_unit("s").asi8
    found: Columns = {}
    for factor in HIGHER_FACTORS:
        longer = bars.close.groupby(seconds // (60 * factor)).last()
        newest = longer.index.searchsorted((seconds + 60) // (60 * factor)) - 1
        level = {back: pd.Series(longer.to_numpy()[np.maximum(newest - back, 0)], index=bars.index) for back in (0, 1, 3, 6)}
        for back in (1, 3, 6):
            found[f"x{factor}_move_{back}"] = (level[0] - level[back]) / (unit * np.sqrt(back * factor))
        found[f"x{factor}_inside"] = (bars.close - level[0]) / (unit * np.sqrt(factor))
    return found


def _session(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    local = bars.index.tz_convert("America/New_York")
    day = 2.0 * np.pi * (local.hour * 60 + local.minute) / 1_440
    week = 2.0 * np.pi * local.day_of_week / 7
    waves = {"day": day, "half_day": 2 * day, "week": week}
    return {f"{name}_{what}": wave(phase) for name, phase in waves.items() for what, wave in (("sin", np.sin), ("cos", np.cos))}


def _volume(bars: pd.DataFrame, ranges: pd.Series, unit: pd.Series) -> Columns:
    volume, direction = bars.tick_volume, np.sign(bars.close - bars.open)
    ratio = np.log((volume / volume.rolling(60).mean()).clip(lower=LEAST_VOLUME))
    surge = direction * ratio.clip(lower=0.0)
    found = {"volume": ratio, "surge": surge, "surge_1": surge.shift()}
    for period in (5, 20):
        found[f"flow_{period}"] = (volume * direction).rolling(period).sum() / volume.rolling(period).sum()
    for period in (10, 20):
        found[f"surge_{period}"] = surge.rolling(period).sum()
    return found
