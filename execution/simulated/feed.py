"""The market of one symbol: what every feed is, and the one of bars, each played as four quotes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from execution.simulated import constants as mt5
from execution.simulated.calls import CallFailed, invalid
from execution.simulated.feed_checks import refuse_bars
from execution.simulated.series import TIMEFRAME_SECONDS, Rates, Series, Young, single_increasing
from execution.simulated.structs import TICK_DTYPE
from execution.simulated.terms import BrokerTerms
from market_data.bars import RATES_DTYPE, Bars, FloatArray, IntArray
from market_data.clock import BrokerTime, new_york_hour
from market_data.costs import spread_of
from market_data.instruments import SymbolSpec

FLAGS = 0x80 | mt5.TICK_FLAG_BID | mt5.TICK_FLAG_ASK  # the high bit is what official samples show
_COLUMNS = ("time", "open", "high", "low", "close", "tick_volume", "spread")
_CLOSED_GAP = 1_800
GUARD_DIGITS = 3  # keeps a spread of 2.5 points, drops the dust of adding floats
LAST = 3
"""The stage of a bar that has shown its open (0), its extremes (1, 2) and its close."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A quote; `time_msc` in server milliseconds."""

    time_msc: int
    bid: float
    ask: float


class Feed(ABC):
    """Bars of one symbol and how far they have been played.

    Args:
        bars: BID bars, UTC, ascending; where the server's clock repeats an hour, without the repetition.
        spec: the symbol; its point is the unit of the bars' spread.
        broker_time: the server's clock.
        terms: what the broker alone decides.

    Attributes:
        position: index of the newest bar; -1 before the first.
        tick: the current quote.
        seconds: length of a bar.
    """

    def __init__(self, bars: Bars, spec: SymbolSpec, broker_time: BrokerTime, terms: BrokerTerms) -> None:
        self.bars, self.spec, self.terms, self.seconds = bars, spec, terms, bars.timeframe.seconds
        self.time, self.rates = bars.time, _rates(bars, broker_time)
        self._series = {bars.timeframe.constant: Series.native(self.rates)}
        self._server: IntArray = np.ascontiguousarray(self.rates["time"])
        self._ends = len(self.time)
        self.position = -1
        self.tick = Tick(0, 0.0, 0.0)

    @property
    @abstractmethod
    def next_open(self) -> int | None:
        """When the next bar opens, UTC epoch milliseconds; None at the end."""

    @property
    @abstractmethod
    def forming(self) -> bool:
        """Whether the newest bar may still change."""

    @abstractmethod
    def seek(self, now: int) -> None:
        """Goes to the state that playing up to `now` (UTC epoch milliseconds) leaves."""

    @abstractmethod
    def ask_of(self, bid: float) -> float:
        """The ask that goes with a bid in the current bar."""

    @abstractmethod
    def ticks(self, first_msc: int, last_msc: int) -> NDArray[np.void]:
        """Quotes that have been shown with `first_msc <= time_msc <= last_msc`, server milliseconds."""

    @abstractmethod
    def _young(self) -> Young | None:
        """What the newest bar has shown; None where that is all."""

    @abstractmethod
    def opened_msc(self, index: int) -> int:
        """When a bar opens, UTC epoch milliseconds."""

    @abstractmethod
    def in_session(self) -> bool:
        """Whether the sessions let the current quote trade."""

    def is_closed(self, now: int) -> bool:
        """Whether trading is closed at `now` (UTC milliseconds): by the sessions, or in a pause of the data of half an hour or more."""
        if self.position < 0 or not self.terms.in_session(now):
            return True
        ended, following = (int(self.time.item(self.position)) + self.seconds) * 1000, self.next_open
        return not self.forming and ended <= now and (following is None or following - ended >= _CLOSED_GAP * 1000)

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

    def visible_at(self, timeframe: int, instants: IntArray) -> IntArray:
        """How many bars of a timeframe will exist at instants to come, UTC epoch milliseconds, where every bar opens at one of them."""
        opens = self.time[self.position + 1 : self.position + 1 + len(instants)] * 1000
        return self.series(timeframe).visible_at(self.position + np.searchsorted(opens, instants, side="right"))

    def window(self, timeframe: int, start: int, stop: int) -> Rates:
        """A copy of bars `start:stop` of a timeframe as they stand now."""
        series = self.series(timeframe)
        young = self._young() if stop == series.visible(self.position) else None
        return series.read(start, stop, self.position, young)

    def day(self) -> tuple[float, float, float]:
        """Open, high and low of the server's day so far."""
        return self.series(mt5.TIMEFRAME_D1).extremes(self.position, self._young())

    def _aggregate(self, timeframe: int) -> Series:
        seconds = TIMEFRAME_SECONDS.get(timeframe)
        if seconds is None:
            raise invalid("Terminal: Invalid params")
        if seconds < self.seconds or seconds % self.seconds:
            raise CallFailed(mt5.RES_E_FAIL, "Terminal: Call failed")
        return Series.aggregate(self.rates, timeframe)


class BarFeed(Feed):
    """Bars, each played as four quotes: open, the extreme against its direction, the other one, close.

    Raises:
        DataError: for bars that cannot be a market.

    Attributes:
        stage: how much of the newest bar has been shown: 0 its open only, LAST all of it.
        points: spread of each bar.
    """

    def __init__(self, bars: Bars, spec: SymbolSpec, broker_time: BrokerTime, terms: BrokerTerms) -> None:
        refuse_bars(bars, spec, terms)
        keep = single_increasing(broker_time.to_server(bars.time))
        super().__init__(bars if keep.all() else _masked(bars, keep), spec, broker_time, terms)
        self.points: FloatArray = _spreads(self.bars, spec, terms)
        self._volume, self._recorded = (np.ascontiguousarray(self.rates[name]) for name in ("tick_volume", "spread"))
        self._offsets = tuple(seconds * 1000 for seconds in _offsets(self.seconds))
        self._guard = spec.digits + GUARD_DIGITS
        self.stage = LAST

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
        passed = now - self.time.item(self.position) * 1000
        if passed >= self._offsets[LAST] or self.next_open == now:
            return LAST
        return bisect_right(self._offsets, passed) - 1

    def show(self, stage: int) -> None:
        """Plays the newest bar up to a stage, whose price is the quote."""
        self.stage = stage
        self._quote()

    def opened_msc(self, index: int) -> int:
        """When a bar opens, UTC epoch milliseconds."""
        return self.time.item(index) * 1000

    def in_session(self) -> bool:
        """Whether the sessions let the newest bar trade, judged at its open."""
        return not self.terms.sessions or self.terms.in_session(self.time.item(self.position) * 1000)

    def open_next(self) -> None:
        """Opens the next bar; the quote is its open."""
        self.position += 1
        self.show(0)

    def path(self) -> tuple[float, float, float, float]:
        """BID at each stage of the newest bar, known to the broker alone; the extreme against its direction comes first."""
        at, bars = self.position, self.bars
        opened, high, low, closed = bars.open.item(at), bars.high.item(at), bars.low.item(at), bars.close.item(at)
        return (opened, low, high, closed) if closed >= opened else (opened, high, low, closed)

    def ask_of(self, bid: float) -> float:
        """The ask that goes with a bid in the current bar."""
        return round(bid + self.points.item(self.position) * self.spec.point, self._guard)

    def stamp(self, stage: int) -> int:
        """Server milliseconds at which the newest bar shows a stage."""
        return self._server.item(self.position) * 1000 + self._offsets[stage]

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
        digits = self.spec.digits + GUARD_DIGITS
        ticks["ask"] = np.round(ticks["bid"] + np.repeat(self.points[low:high] * self.spec.point, 4), digits)
        ticks["flags"] = FLAGS
        return ticks

    def _young(self) -> Young | None:
        """What the newest bar has shown; None where that is all."""
        if self.stage == LAST:
            return None
        volume, spread = self._volume.item(self.position), self._recorded.item(self.position)
        if self.stage == 0:
            opened = self.tick.bid
            return opened, opened, opened, opened, min(1, volume), spread
        shown = self.path()[: self.stage + 1]
        return shown[0], max(shown), min(shown), shown[-1], min(volume, max(1, volume * self.stage // LAST)), spread

    def _quote(self) -> None:
        at, stage = self.position, self.stage
        bid: float = self.bars.open.item(at) if stage == 0 else self.bars.close.item(at) if stage == LAST else self.path()[stage]
        ask = round(bid + self.points.item(at) * self.spec.point, self._guard)
        self.tick = Tick(self._server.item(at) * 1000 + self._offsets[stage], bid, ask)


def _offsets(seconds: int) -> tuple[int, int, int, int]:
    """When a bar shows its open, its extremes and its close, seconds after it opens."""
    return 0, seconds // 3, 2 * seconds // 3, seconds - 1


def _spreads(bars: Bars, spec: SymbolSpec, terms: BrokerTerms) -> FloatArray:
    """Points of each bar: recorded, else by the broker's hours, else the usual ones."""
    if bars.spread is not None or not terms.spread_by_hour:
        return spread_of(bars, spec.point)
    return np.array(terms.spread_by_hour, dtype=np.float64)[new_york_hour(bars.time)]


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
