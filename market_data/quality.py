"""What is wrong with a history: holes, order, impossible prices, spikes, staleness, and the market's week that tells holes from weekends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from market_data.bars import Bars, FloatArray, IntArray
from market_data.clock import BrokerTime, from_epoch
from market_data.costs import base_symbol

BoolArray = NDArray[np.bool_]

HOLE_SECONDS = 1800
"""Open market without a bar, from this long on a hole of its own; shorter stretches are counted together."""
SPIKE_RANGES = 25.0
"""A spike sticks out of both its neighbours by this many usual bar ranges."""

_HOLIDAYS = frozenset({(12, 24), (12, 25), (12, 26), (12, 31), (1, 1), (1, 2)})
"""Month and day on which FX rests; other holidays thin the market but do not close it."""

_DAY, _WEEK = 86_400, 604_800
_SUNDAY = 3 * _DAY  # the epoch began on a Thursday
_NEW_YORK = BrokerTime("America/New_York")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in a history.

    Attributes:
        kind: `hole`, `holiday`, `early_close`, `missing`, `closed_hours`, `duplicate`, `order`, `prices`,
            `spike`, `stale` or `empty`.
        at: UTC time of the (first) bar concerned.
        detail: a plain sentence.
        count: bars concerned, or bars missing.
    """

    kind: str
    at: datetime
    detail: str
    count: int


def open_seconds(symbol: str, utc: IntArray) -> IntArray:
    """Seconds that the market of `symbol` has been open since a fixed Sunday, at UTC epoch seconds.

    FX opens on Sunday at 17:00 New York and closes on Friday at 17:00; metals open at 18:00 and
    pause from 17:00 to 18:00 on each day. Differences are the open time between two instants.
    Holidays count as open.
    """
    opens, hours = (18, 23) if _is_metal(symbol) else (17, 24)
    clock = _NEW_YORK.to_server(utc) - _SUNDAY - opens * 3600
    week, inside = np.divmod(clock, _WEEK)
    day, second = np.divmod(np.minimum(inside, 5 * _DAY), _DAY)
    total: IntArray = (week * 5 + day) * hours * 3600 + np.minimum(second, hours * 3600)
    return total


def in_market_week(symbol: str, utc: IntArray) -> BoolArray:
    """Which UTC epoch seconds lie in the open hours of the week; the first second of a closed stretch does not."""
    return open_seconds(symbol, utc + 1) > open_seconds(symbol, utc)


def findings(bars: Bars, now: datetime | None = None) -> tuple[Finding, ...]:
    """Everything that a user should know about a history before trusting it; empty when sound.

    Args:
        bars: any bars, also unsorted ones.
        now: the present, aware, for staleness; None leaves that check out.

    Returns:
        Findings by kind, then time. Weekends and the daily break of metals are none.
    """
    if not len(bars):
        return (Finding("empty", from_epoch(0), f"{bars.symbol}: no bars at all", 0),)
    found = [*_order(bars), *_prices(bars)]
    if not found:  # gaps and neighbours mean nothing where order or prices are broken
        found = [*_gaps(bars), *_closed_hours(bars), *_spikes(bars)]
    return (*found, *_stale(bars, now))


def _is_metal(symbol: str) -> bool:
    return (base_symbol(symbol) or "").startswith(("XAU", "XAG"))


def _order(bars: Bars) -> list[Finding]:
    steps = np.diff(bars.time)
    found = []
    if (back := np.flatnonzero(steps < 0)).size:
        found.append(_finding(bars, "order", back + 1, "bars open before the bar in front of them; sort the history"))
    if (same := np.flatnonzero(steps == 0)).size:
        found.append(_finding(bars, "duplicate", same + 1, "bars repeat the time of the bar in front of them; drop them"))
    return found


def _prices(bars: Bars) -> list[Finding]:
    prices = np.stack([bars.open, bars.high, bars.low, bars.close])
    wrong = ~np.isfinite(prices).all(axis=0) | (prices <= 0).any(axis=0)
    crossed = ~wrong & ((bars.high < prices.max(axis=0)) | (bars.low > prices.min(axis=0)))
    checks = (
        (wrong, "bars have a price that is not a positive number; leave them out"),
        (crossed, "bars have an open or close outside low and high; leave them out"),
    )
    return [_finding(bars, "prices", np.flatnonzero(mask), text) for mask, text in checks if mask.any()]


def _finding(bars: Bars, kind: str, rows: IntArray, text: str) -> Finding:
    at = bars.opened_at(int(rows[0]))
    return Finding(kind, at, f"{bars.symbol}: {len(rows)} {text} (first at {at:%Y-%m-%d %H:%M} UTC)", len(rows))


def _gaps(bars: Bars) -> list[Finding]:
    """Stretches without bars while the market was open: long ones singly, short ones as one finding."""
    seconds = bars.timeframe.seconds
    steps = np.flatnonzero(np.diff(bars.time) > seconds)
    ends, starts = bars.time[steps] + seconds, bars.time[steps + 1]
    missed = open_seconds(bars.symbol, starts) - open_seconds(bars.symbol, ends)
    bars_missed = missed // seconds
    short = (bars_missed > 0) & (missed < max(HOLE_SECONDS, seconds))
    long = np.flatnonzero((bars_missed > 0) & ~short)
    found = [_hole(bars, int(ends[row]), int(starts[row]), int(bars_missed[row])) for row in long]
    return found + _missing(bars, steps[short], bars_missed[short])


def _hole(bars: Bars, end: int, start: int, count: int) -> Finding:
    left, right = from_epoch(end), from_epoch(start)
    kind = _kind_of_hole(bars.symbol, end, start)
    words = {
        "hole": "no bars while the market was open",
        "holiday": "no bars over a holiday",
        "early_close": "closed early until the next session",
    }
    detail = f"{bars.symbol}: {words[kind]}, {left:%Y-%m-%d %H:%M} to {right:%Y-%m-%d %H:%M} UTC, {count} bars"
    return Finding(kind, left, detail, count)


def _kind_of_hole(symbol: str, end: int, start: int) -> str:
    """Holidays by New York's date; metals close early on days of US holidays: from noon or later to the next opening."""
    first, last = (from_epoch(float(instant)) for instant in _NEW_YORK.to_server(np.array([end, start - 1])))
    if {(first.month, first.day), (last.month, last.day)} & _HOLIDAYS:
        return "holiday"
    at_opening = abs(last.hour * 60 + last.minute - 18 * 60) <= 10
    missed = int(np.diff(open_seconds(symbol, np.array([end, start])))[0])
    early = _is_metal(symbol) and at_opening and first.hour >= 12 and missed < 6 * 3600
    return "early_close" if early else "hole"


def _missing(bars: Bars, rows: IntArray, counts: IntArray) -> list[Finding]:
    if not len(rows):
        return []
    total, at = int(counts.sum()), bars.opened_at(int(rows[0]))
    detail = f"{bars.symbol}: {total} bars missing in {len(rows)} short gaps (first after {at:%Y-%m-%d %H:%M} UTC); minutes without a tick have no bar"
    return [Finding("missing", at, detail, total)]


def _closed_hours(bars: Bars) -> list[Finding]:
    if base_symbol(bars.symbol) is None:  # its market's week is not known
        return []
    # The last minutes before a close may carry its stamp: a quarter of an hour is no sign of a wrong zone.
    closed = (
        ~in_market_week(bars.symbol, bars.time)
        & ~in_market_week(bars.symbol, bars.time - 900)
        & ~in_market_week(bars.symbol, bars.time + 900)
    )
    rows = np.flatnonzero(closed)
    return [_finding(bars, "closed_hours", rows, "bars stand where the market is closed; is the time zone right?")] if rows.size else []


def _spikes(bars: Bars) -> list[Finding]:
    """Bars that stick out of both neighbours, with the price back where it was: the mark of a bad quote."""
    if len(bars) < 3:
        return []
    limit = SPIKE_RANGES * max(float(np.median(bars.high - bars.low)), 1e-12)
    rows = np.flatnonzero(_excursion(bars) > limit) + 1
    return (
        [
            _finding(
                bars,
                "spike",
                rows,
                f"bars reach more than {SPIKE_RANGES:g} usual ranges beyond both neighbours; compare with another source",
            )
        ]
        if rows.size
        else []
    )


def _excursion(bars: Bars) -> FloatArray:
    """How far bars 1..n-2 reach beyond the higher high or the lower low of their neighbours, price units."""
    above = bars.high[1:-1] - np.maximum(bars.high[:-2], bars.high[2:])
    below = np.minimum(bars.low[:-2], bars.low[2:]) - bars.low[1:-1]
    reach: FloatArray = np.maximum(above, below)
    return reach


def _stale(bars: Bars, now: datetime | None) -> Sequence[Finding]:
    """The newest bar is older than five bars (five minutes at least) of open market."""
    if now is None:
        return ()
    newest = int(bars.time.max())
    ends = newest + bars.timeframe.seconds
    age = open_seconds(bars.symbol, np.array([max(int(now.timestamp()), ends)])) - open_seconds(bars.symbol, np.array([ends]))
    late = int(age[0])
    if late <= max(5 * bars.timeframe.seconds, 300):
        return ()
    at = from_epoch(newest)
    detail = f"{bars.symbol}: the newest bar opened {at:%Y-%m-%d %H:%M} UTC, {late // 60} minutes of open market ago; is the feed running?"
    return (Finding("stale", at, detail, late // bars.timeframe.seconds),)
