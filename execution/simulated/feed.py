"""The market of one symbol: bars, each played as four quotes: open, two extremes, close."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import DataError
from execution.simulated import constants as mt5
from execution.simulated.calls import CallFailed, invalid
from execution.simulated.series import TIMEFRAME_SECONDS, Rates, Series, Young, single_increasing
from execution.simulated.structs import TICK_DTYPE
from market_data.bars import RATES_DTYPE, Bars, FloatArray, IntArray
from market_data.clock import BrokerTime
from market_data.costs import spread_of
from market_data.instruments import SymbolSpec

_FLAGS = 0x80 | mt5.TICK_FLAG_BID | mt5.TICK_FLAG_ASK  # the high bit is what official samples show
_COLUMNS = ("time", "open", "high", "low", "close", "tick_volume", "spread")
_CLOSED_GAP = 1_800
_GUARD_DIGITS = 3  # keeps a spread of 2.5 points, drops the dust of adding floats
LAST = 3
"""The stage of a bar that has shown its open (0), its extremes (1, 2) and its close."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A quote; `time_msc` in server milliseconds."""

    time_msc: int
    bid: float
    ask: float


class Feed:
    """Bars of one symbol and how far they have been played.

    Args:
        bars: BID bars, UTC, ascending.
        spec: the symbol; its point is the unit of the bars' spread.
        broker_time: the server's clock.

    Attributes:
        position: index of the newest bar; -1 before the first.
        stage: how much of it has been shown: 0 its open only, LAST all of it.
        tick: the current quote.
    """

    def __init__(self, bars: Bars, spec: SymbolSpec, broker_time: BrokerTime) -> None:
        _check(bars, spec)
        keep = single_increasing(broker_time.to_server(bars.time))
        self.bars = bars if keep.all() else _masked(bars, keep)
        self.spec, self.seconds = spec, bars.timeframe.seconds
        self.points: FloatArray = spread_of(self.bars, spec.point)
        self.time, self.rates = self.bars.time, _rates(self.bars, broker_time)
        self._series = {bars.timeframe.constant: Series.native(self.rates)}
        self._server: IntArray = np.ascontiguousarray(self.rates["time"])
        self._ends = len(self.time)
        self._offsets = tuple(seconds * 1000 for seconds in _offsets(self.seconds))
        self.position, self.stage = -1, LAST
        self.tick = Tick(0, 0.0, 0.0)

    @property
    def next_open(self) -> int | None:
        """When the next bar opens, UTC epoch milliseconds; None at the end."""
        following = self.position + 1
        return self.time.item(following) * 1000 if following < self._ends else None

    @property
    def forming(self) -> bool:
        """Whether the newest bar has not shown its close."""
        return self.stage < LAST

    def seek(self, now: int) -> None:
        """Goes to the state that playing up to `now` (UTC epoch milliseconds) leaves."""
        self.position = int(np.searchsorted(self.time, now // 1000, side="right")) - 1
        if self.position >= 0:
            self.show(self.stage_at(now))

    def stage_at(self, now: int) -> int:
        """How much of the newest bar is seen at `now`; all of it where the next bar opens."""
        if self.next_open == now:
            return LAST
        passed = now - self.time.item(self.position) * 1000
        return bisect_right(self._offsets, passed) - 1

    def show(self, stage: int) -> None:
        """Plays the newest bar up to a stage, whose price is the quote."""
        self.stage = stage
        self._quote()

    def open_next(self) -> None:
        """Opens the next bar; the quote is its open."""
        self.position += 1
        self.show(0)

    def spread(self) -> float:
        """Spread of the current bar, price units."""
        return float(self.points.item(self.position)) * self.spec.point

    def path(self) -> tuple[float, float, float, float]:
        """BID at each stage of the newest bar, known to the broker alone; the extreme against its direction comes first."""
        at, bars = self.position, self.bars
        opened, high, low, closed = bars.open.item(at), bars.high.item(at), bars.low.item(at), bars.close.item(at)
        return (opened, low, high, closed) if closed >= opened else (opened, high, low, closed)

    def ask_of(self, bid: float) -> float:
        """The ask that goes with a bid in the current bar."""
        return round(bid + self.spread(), self.spec.digits + _GUARD_DIGITS)

    def is_closed(self, now: int) -> bool:
        """Whether trading is closed: a pause in the bars of half an hour or more holds `now`, UTC milliseconds."""
        if self.position < 0:
            return True
        ended, following = (int(self.time.item(self.position)) + self.seconds) * 1000, self.next_open
        return not self.forming and ended <= now and (following is None or following - ended >= _CLOSED_GAP * 1000)

    def stamp(self, stage: int) -> int:
        """Server milliseconds at which the newest bar shows a stage."""
        return self._server.item(self.position) * 1000 + self._offsets[stage]

    def series(self, timeframe: int) -> Series:
        """Rates of a timeframe; made once.

        Raises:
            CallFailed: for no timeframe at all, or one that these bars cannot make up.
        """
        made = self._series.get(timeframe)
        if made is None:
            made = self._series[timeframe] = self._aggregate(timeframe)
        return made

    def visible(self, timeframe: int) -> int:
        """Bars of a timeframe that exist now, the forming one included."""
        return self.series(timeframe).visible(self.position)

    def window(self, timeframe: int, start: int, stop: int) -> Rates:
        """A copy of bars `start:stop` of a timeframe as they stand now."""
        return self.series(timeframe).read(start, stop, self.position, self._young())

    def ticks(self, first_msc: int, last_msc: int) -> NDArray[np.void]:
        """Quotes with `first_msc <= time_msc <= last_msc`: open, both extremes, close of every bar.

        The extreme against the bar's direction comes first. Of the forming bar only what has been shown exists.
        """
        stamps = self._server
        low = max(0, int(np.searchsorted(stamps, first_msc // 1000 - self.seconds, side="left")))
        high = min(self.position + 1, int(np.searchsorted(stamps, last_msc // 1000, side="right")))
        made = self._ticks_of(low, max(low, high))
        inside = (made["time_msc"] >= first_msc) & (made["time_msc"] <= min(last_msc, self.tick.time_msc))
        return made[inside]

    def _ticks_of(self, low: int, high: int) -> NDArray[np.void]:
        rows = self.rates[low:high]
        up = rows["close"] >= rows["open"]
        bids = (rows["open"], np.where(up, rows["low"], rows["high"]), np.where(up, rows["high"], rows["low"]), rows["close"])
        ticks = np.zeros(4 * len(rows), np.dtype(TICK_DTYPE))
        ticks["time"] = (rows["time"][:, None] + np.array(_offsets(self.seconds))).ravel()
        ticks["time_msc"] = ticks["time"] * 1000
        ticks["bid"] = np.stack(bids, axis=1).ravel()
        digits = self.spec.digits + _GUARD_DIGITS
        ticks["ask"] = np.round(ticks["bid"] + np.repeat(self.points[low:high] * self.spec.point, 4), digits)
        ticks["flags"] = _FLAGS
        return ticks

    def _aggregate(self, timeframe: int) -> Series:
        seconds = TIMEFRAME_SECONDS.get(timeframe)
        if seconds is None:
            raise invalid("Terminal: Invalid params")
        if seconds < self.seconds or seconds % self.seconds:
            raise CallFailed(mt5.RES_E_FAIL, "Terminal: Call failed")
        return Series.aggregate(self.rates, timeframe)

    def _young(self) -> Young | None:
        """What the newest bar has shown; None where that is all."""
        if self.stage == LAST:
            return None
        row = self.rates[self.position]
        volume, shown = int(row["tick_volume"]), self.path()[: self.stage + 1]
        ticks = min(volume, max(1, volume * self.stage // LAST))
        return shown[0], max(shown), min(shown), shown[-1], ticks, int(row["spread"])

    def _quote(self) -> None:
        at, stage = self.position, self.stage
        bid: float = self.bars.open.item(at) if stage == 0 else self.bars.close.item(at) if stage == LAST else self.path()[stage]
        self.tick = Tick(self.stamp(stage), bid, self.ask_of(bid))


def _offsets(seconds: int) -> tuple[int, int, int, int]:
    """When a bar shows its open, its extremes and its close, seconds after it opens."""
    return 0, seconds // 3, 2 * seconds // 3, seconds - 1


def _rates(bars: Bars, broker_time: BrokerTime) -> Rates:
    """Complete bars as the terminal returns them; what the source does not know is 0."""
    rows = np.zeros(len(bars), RATES_DTYPE)
    rows["time"] = broker_time.to_server(bars.time)
    for name in ("open", "high", "low", "close"):
        rows[name] = getattr(bars, name)
    if bars.tick_volume is not None:
        rows["tick_volume"] = np.nan_to_num(bars.tick_volume).astype(np.uint64)
    if bars.spread is not None:
        rows["spread"] = np.rint(np.nan_to_num(bars.spread)).astype(np.int32)
    return rows


def _masked(bars: Bars, keep: NDArray[np.bool_]) -> Bars:
    """The bars to keep, columns that the source lacks staying absent."""
    kept: dict[str, Any] = {name: None if (column := getattr(bars, name)) is None else column[keep] for name in _COLUMNS}
    return replace(bars, **kept)


def _check(bars: Bars, spec: SymbolSpec) -> None:
    faults = list(spec.problems())
    if len(bars) == 0:
        faults.append("no bars")
    elif not (np.diff(bars.time) > 0).all():
        faults.append("bars are not in ascending order of time")
    if faults:
        raise DataError(f"{spec.name}: cannot be simulated: {'; '.join(faults)}")
