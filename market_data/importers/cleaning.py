"""From rows to clean history: what cannot be is left out by line, what can be put right is put right and noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.errors import DataFileError
from market_data.bars import Bars, FloatArray, IntArray, Timeframe
from market_data.clock import BrokerTime, from_epoch
from market_data.costs import base_symbol
from market_data.importers.content import Content
from market_data.importers.names import point_of, timeframe_in
from market_data.importers.records import TICK_DTYPE, DamagedRow, Ticks
from market_data.importers.table import NO_TIME, Rows
from market_data.quality import in_market_week

BoolArray = NDArray[np.bool_]
Check = tuple[BoolArray, str]

_PRICES = ("open", "high", "low", "close")
_ASKS = ("ask_open", "ask_high", "ask_low", "ask_close")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """History and the account of what became of the rest."""

    bars: Bars | None
    ticks: Ticks | None
    damaged: tuple[DamagedRow, ...]
    notes: tuple[str, ...]


def clean_bars(content: Content, rows: Rows, clock: BrokerTime, symbol: str) -> Cleaned:
    """Bars of rows.

    Raises:
        DataFileError: where no row survives, or the rows do not lie on a known time grid.
    """
    damaged = list(rows.broken)
    sound = _sift(content, rows, _bar_faults(rows), damaged)
    utc = clock.to_utc(sound.stamp // 1000)
    timeframe = _timeframe(content, utc)
    # The grid is that of the file's own clock; a four-hour grid may shift with daylight saving.
    grid = min(timeframe.seconds, 3600) * 1000
    sound = _sift(content, sound, [(sound.stamp % grid != 0, f"time is not on the {timeframe.name} grid")], damaged)
    utc = clock.to_utc(sound.stamp // 1000)
    kept, notes = _in_order(content, sound, utc, damaged)
    bars = _bars(symbol, timeframe, utc[kept], {name: column[kept] for name, column in sound.values.items()})
    notes += _week_notes(bars, clock.zone)
    return Cleaned(bars, None, _by_line(damaged), tuple(notes))


def clean_ticks(content: Content, rows: Rows, clock: BrokerTime) -> Cleaned:
    """Ticks of rows; equal stamps stay in file order, and crossed quotes stay: the market saw them.

    Raises:
        DataFileError: where no row survives.
    """
    damaged = list(rows.broken)
    sound = _sift(content, rows, [_no_time(rows), *_number_faults(rows, ("bid", "ask"))], damaged)
    ticks = np.empty(len(sound.line), dtype=TICK_DTYPE)
    ticks["time_msc"] = clock.to_utc(sound.stamp // 1000) * 1000 + sound.stamp % 1000
    ticks["bid"], ticks["ask"] = sound.values["bid"], sound.values["ask"]
    notes = _sorting_note(ticks["time_msc"])
    if crossed := int((ticks["bid"] > ticks["ask"]).sum()):
        notes.append(f"{crossed} quotes have the bid above the ask; they were kept")
    return Cleaned(None, ticks[np.argsort(ticks["time_msc"], kind="stable")], _by_line(damaged), tuple(notes))


def mean_spread(bid: Sequence[FloatArray], ask: Sequence[FloatArray], point: float) -> FloatArray:
    """Points between ask and bid, averaged over open, high, low and close, rounded, never below 0.

    The two sides were sampled apart, so single differences may be negative.
    """
    gap = np.mean([asked - offered for asked, offered in zip(ask, bid, strict=True)], axis=0)
    points: FloatArray = np.clip(np.round(gap / point), 0, None)
    return points


def _bar_faults(rows: Rows) -> list[Check]:
    """Checks in the order in which they name a row's fault."""
    value = rows.values
    asks = _ASKS if "ask_open" in value else ()
    faults = [_no_time(rows), *_number_faults(rows, (*_PRICES, *asks))]
    with np.errstate(invalid="ignore"):
        outside = (np.maximum(value["open"], value["close"]) > value["high"]) | (np.minimum(value["open"], value["close"]) < value["low"])
        faults += [(value["high"] < value["low"], "high is below low"), (outside, "open or close lies outside low and high")]
        for name in ("tick_volume", "spread"):
            if name in value:
                faults.append((~(value[name] >= 0) | np.isinf(value[name]), f"{name} is not a number of 0 or more"))
    return faults


def _no_time(rows: Rows) -> Check:
    return rows.stamp == NO_TIME, "time cannot be read"


def _number_faults(rows: Rows, names: Sequence[str]) -> list[Check]:
    unread = [(~np.isfinite(rows.values[name]), f"{name} is not a number") for name in names]
    with np.errstate(invalid="ignore"):
        return unread + [(rows.values[name] <= 0, f"{name} is not above 0") for name in names]


def _sift(content: Content, rows: Rows, faults: Sequence[Check], damaged: list[DamagedRow]) -> Rows:
    """Rows without a fault; the others are added to `damaged`, each with its first fault."""
    first = np.select([mask for mask, _ in faults], range(len(faults)), default=-1)
    for row in np.flatnonzero(first >= 0):
        line = int(rows.line[row])
        damaged.append(DamagedRow(line, content.text(line), faults[int(first[row])][1]))
    if (first >= 0).all():
        worst = damaged[0]
        raise DataFileError(f"{content.path}: all {len(damaged)} rows are damaged; line {worst.line}: {worst.reason}: {worst.text!r}")
    return _take(rows, first < 0)


def _take(rows: Rows, kept: BoolArray) -> Rows:
    if kept.all():
        return rows
    return Rows(rows.line[kept], rows.stamp[kept], {name: column[kept] for name, column in rows.values.items()}, ())


def _timeframe(content: Content, utc: IntArray) -> Timeframe:
    """What the file's name says, where the steps between bars allow it; else the most frequent step."""
    ordered = np.sort(utc)
    gaps: IntArray = ordered[1:] - ordered[:-1]
    steps: IntArray = gaps[gaps > 0]
    named = timeframe_in(content.name) or timeframe_in(content.path.name)
    sizes, counts = np.unique(steps, return_counts=True) if steps.size else (np.array([0]), np.array([0]))
    step = int(sizes[np.argmax(counts)])
    shown = next((frame for frame in Timeframe if frame.seconds == step), None)
    # A thin market leaves out bars: its steps are multiples of the named one, and some are it.
    fits = named is not None and (not steps.size or (not (steps % named.seconds).any() and bool((steps == named.seconds).any())))
    found = named if fits else shown
    if found is None:
        known = ", ".join(frame.name for frame in Timeframe)
        seen = f"most bars are {step} seconds apart" if steps.size else "one bar alone shows no timeframe"
        raise DataFileError(f"{content.path}: {seen}; known timeframes are {known}; put it into the name, as in EURUSD_M1_2024.csv")
    return found


def _in_order(content: Content, rows: Rows, utc: IntArray, damaged: list[DamagedRow]) -> tuple[IntArray, list[str]]:
    """Row numbers in order of time, one for each time: equal repeats dropped, others damaged."""
    order = np.argsort(utc, kind="stable")
    fresh = np.r_[True, np.diff(utc[order]) > 0]
    first = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
    equal = np.logical_and.reduce([column[order] == column[first] for column in rows.values.values()])
    for row, kept in zip(order[~fresh & ~equal], first[~fresh & ~equal], strict=True):
        line = int(rows.line[row])
        damaged.append(DamagedRow(line, content.text(line), f"repeats the time of line {rows.line[kept]} with other numbers"))
    return order[fresh], _sorting_note(utc) + _repeat_note(utc[order[~fresh & equal]])


def _sorting_note(times: IntArray) -> list[str]:
    places = int((np.diff(times) < 0).sum())
    return [f"rows were out of order at {places} places and were sorted by time"] if places else []


def _repeat_note(times: IntArray) -> list[str]:
    if not len(times):
        return []
    first, last = from_epoch(int(times.min())), from_epoch(int(times.max()))
    span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    hour = " (an hour stands in the file twice)" if len(times) >= 20 and times.max() - times.min() < 3600 else ""
    return [f"{len(times)} exact repeats were dropped, {span}{hour}"]


def _bars(symbol: str, timeframe: Timeframe, time: IntArray, value: dict[str, FloatArray]) -> Bars:
    """A volume or spread of zeros throughout was not recorded."""
    spread = value.get("spread")
    if "ask_open" in value:
        spread = mean_spread([value[name] for name in _PRICES], [value[name] for name in _ASKS], point_of(symbol))
    volume = value.get("tick_volume")
    opens, high, low, close = (value[name] for name in _PRICES)
    return Bars(symbol, timeframe, time, opens, high, low, close, _recorded(volume), _recorded(spread))


def _recorded(column: FloatArray | None) -> FloatArray | None:
    return column if column is not None and bool((column > 0).any()) else None


def _week_notes(bars: Bars, zone: str) -> list[str]:
    """Bars in the weekend betray a wrong time zone."""
    if base_symbol(bars.symbol) is None or bars.timeframe.seconds > 3600:
        return []
    closed = int((~in_market_week("EURUSD", bars.time)).sum())
    return [f"{closed} bars lie in the weekend of the FX market; is {zone} the zone of this file?"] if closed else []


def _by_line(damaged: list[DamagedRow]) -> tuple[DamagedRow, ...]:
    return tuple(sorted(damaged, key=lambda row: row.line))
