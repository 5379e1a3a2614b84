"""A synthetic market: seeded M1 bars with a documented, tunable predictable part.

Log price = noise + `edge` x (mechanisms). At edge 0 the price is a martingale: whatever a
model finds there is luck. The mechanisms, all visible in closed bars; the first three are on unless
others are asked for:

- trend: a latent drift that fades with a half-life of TREND_HALF_LIFE bars;
- reversion: a part of the price that is pulled back to zero with REVERSION_HALF_LIFE;
- flow: now and then a bar moves on a surge of ticks, and price drifts on the same way for
  FLOW_BARS bars. At edge 0 the surges are still there and mean nothing;
- hours: price goes on as it went over the last HOURS_BARS bars in the first and third quarter of
  the New York day, and back in the other two. Neither the move nor the hour alone tells anything.

Volatility has a daily shape and clusters. The market keeps the FX week: Sunday 17:00 to Friday
17:00 New York. Highs and lows are the exact maximum and minimum laws of a Brownian bridge.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from market_data.bars import Bars, FloatArray, IntArray, Timeframe
from market_data.clock import BrokerTime
from market_data.instruments import SymbolSpec

MINUTE_SIGMA = 8.5e-5
"""Typical standard deviation of a one-minute log return."""

TREND_HALF_LIFE, TREND_SHARE = 30.0, 0.3
REVERSION_HALF_LIFE, REVERSION_SHARE = 10.0, 3.5
FLOW_EVERY, FLOW_BARS, FLOW_DRIFT, FLOW_JUMP, FLOW_TICKS = 25, 12, 1.25, 1.5, 4.0
HOURS_BARS, HOURS_SHARE = 20, 0.15
"""Shares and drifts are in units of the minute's noise."""

MECHANISMS = ("trend", "reversion", "flow")
"""What makes the default market predictable; `hours` is the fourth that there is."""

_NEW_YORK = BrokerTime("America/New_York")


def synthetic_bars(
    spec: SymbolSpec, *, start: datetime, count: int, seed: int, edge: float, price: float, mechanisms: Sequence[str] = MECHANISMS
) -> Bars:
    """M1 bars of one symbol.

    Args:
        spec: digits and point of the symbol.
        start: first minute, aware.
        count: bars to make.
        seed: equal seeds give equal bars for a symbol, and unrelated ones for two symbols.
        edge: strength of the predictable part; 0 = a martingale, 1 = as documented.
        price: opening price.
        mechanisms: what the predictable part is made of.
    """
    times = _market_minutes(int(start.timestamp()), count)
    return synthetic_bars_at(spec, times, seed=seed, edge=edge, price=price, mechanisms=mechanisms)


def synthetic_bars_at(
    spec: SymbolSpec,
    times: IntArray,
    *,
    seed: int,
    edge: float,
    price: float,
    timeframe: Timeframe = Timeframe.M1,
    mechanisms: Sequence[str] = MECHANISMS,
) -> Bars:
    """Bars of one symbol that open at the times given.

    Args:
        spec: digits and point of the symbol.
        times: shape (n,), UTC epoch seconds, ascending.
        seed: equal seeds give equal bars for a symbol, and unrelated ones for two symbols.
        edge: strength of the predictable part, whose half-lives are in bars.
        price: opening price.
        timeframe: length of the bars; volatility and volume grow with it.
        mechanisms: what the predictable part is made of; the same seed has the same noise with any of them.
    """
    count = len(times)
    rng = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(spec.name.encode())]))
    sigma = MINUTE_SIGMA * _growth(timeframe) * _day_shape(times) * _clusters(rng, count)
    flow = _flow_events(rng, count)
    noise = rng.standard_normal(count) + FLOW_JUMP * flow
    parts = _latent(rng, count, flow) | {"hours": _by_hour(times, noise)}
    returns = sigma * (noise + edge * sum(parts[name] for name in mechanisms))
    return _bars(spec, times, returns, sigma, flow, price, rng, timeframe)


def in_fx_week(times: IntArray) -> NDArray[np.bool_]:
    """Which instants, UTC epoch seconds, lie between Sunday 17:00 and Friday 17:00 New York."""
    since_monday = (_NEW_YORK.to_server(times) + 3 * 86_400) % (7 * 86_400)
    return np.asarray((since_monday < _FRIDAY_CLOSE) | (since_monday >= _SUNDAY_OPEN))


_FRIDAY_CLOSE, _SUNDAY_OPEN = (4 * 24 + 17) * 3600, (6 * 24 + 17) * 3600


def _market_minutes(start: int, count: int) -> IntArray:
    """The next `count` minutes in which the FX market is open, UTC epoch seconds."""
    weeks = count // (5 * 1440) + 3
    minutes = (start // 60 + np.arange(weeks * 7 * 1440, dtype=np.int64)) * 60
    return minutes[in_fx_week(minutes)][:count]


def _growth(timeframe: Timeframe) -> float:
    """Standard deviation of a bar's return over that of a minute's."""
    return math.sqrt(timeframe.seconds / 60)


def _day_shape(times: IntArray) -> FloatArray:
    """Volatility by time of day: quiet in Asia, high in London and New York."""
    hour = (_NEW_YORK.to_server(times) % 86_400) / 3600.0
    return 0.75 + 0.45 * np.exp(-(((hour - 9.0) / 3.0) ** 2)) + 0.35 * np.exp(-(((hour - 3.5) / 2.0) ** 2))


def _clusters(rng: np.random.Generator, count: int) -> FloatArray:
    """Slow log-normal waves of volatility."""
    return np.asarray(np.exp(0.25 * _autoregression(rng.standard_normal(count), 400.0)))


def _autoregression(noise: FloatArray, half_life: float) -> FloatArray:
    """AR(1) of unit variance with the given half-life in bars."""
    phi = 0.5 ** (1.0 / half_life)
    return np.asarray(lfilter([np.sqrt(1.0 - phi**2)], [1.0, -phi], noise))


def _flow_events(rng: np.random.Generator, count: int) -> FloatArray:
    """+1 or -1 on the bars that move on a surge, 0 on the others."""
    return np.where(rng.random(count) < 1.0 / FLOW_EVERY, rng.choice([-1.0, 1.0], count), 0.0)


def _latent(rng: np.random.Generator, count: int, flow: FloatArray) -> dict[str, FloatArray]:
    """Expected return of each bar, in units of its noise, by mechanism."""
    trend = TREND_SHARE * _autoregression(rng.standard_normal(count), TREND_HALF_LIFE)
    stretch = REVERSION_SHARE * _autoregression(rng.standard_normal(count), REVERSION_HALF_LIFE)
    kernel = np.r_[0.0, np.full(FLOW_BARS, FLOW_DRIFT)]
    drift = lfilter(kernel, [1.0], flow)
    return {"trend": trend, "reversion": np.diff(stretch, prepend=stretch[0]), "flow": np.asarray(drift)}


def _by_hour(times: IntArray, noise: FloatArray) -> FloatArray:
    """What goes on in one quarter of the day and turns back in the next, in units of the noise."""
    quarter = (_NEW_YORK.to_server(times) % 86_400) // 21_600
    moved = lfilter(np.r_[0.0, np.full(HOURS_BARS, 1.0 / np.sqrt(HOURS_BARS))], [1.0], noise)
    return np.asarray(HOURS_SHARE * np.where(quarter % 2 == 0, 1.0, -1.0) * moved)


def _bars(
    spec: SymbolSpec,
    times: IntArray,
    returns: FloatArray,
    sigma: FloatArray,
    flow: FloatArray,
    price: float,
    rng: np.random.Generator,
    timeframe: Timeframe,
) -> Bars:
    close = np.cumsum(returns)
    opened = np.r_[0.0, close[:-1]]
    reach = 2.0 * sigma**2
    top = 0.5 * (opened + close + np.sqrt((close - opened) ** 2 - reach * np.log(rng.random(len(close)))))
    bottom = 0.5 * (opened + close - np.sqrt((close - opened) ** 2 - reach * np.log(rng.random(len(close)))))
    open_, high, low, close_ = (np.round(price * np.exp(part), spec.digits) for part in (opened, top, bottom, close))
    pace = 40.0 * (sigma / MINUTE_SIGMA) * (1.0 + FLOW_TICKS * np.abs(flow)) * _growth(timeframe)
    ticks = np.asarray(rng.poisson(pace) + 1.0, dtype=np.float64)
    return Bars(spec.name, timeframe, times, open_, high, low, close_, ticks, _spreads(rng, times))


def _spreads(rng: np.random.Generator, times: IntArray) -> FloatArray:
    """Points: a tight market that widens after 17:00 New York."""
    hour = (_NEW_YORK.to_server(times) // 3600) % 24
    base = np.where(hour == 17, 10.0, np.where(hour == 18, 4.0, 2.0))
    return np.asarray(base + rng.poisson(0.5, len(times)))
