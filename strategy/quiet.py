"""Bars on which nothing can happen, decided together: a replay spends its time where something may.

While no model is about to change, none takes a side, and no trade has to be managed, all that a pass decides is a row
that says so. A quiet stretch is a number of such passes to come. Their decisions are written together; the market then
leaps, by way of every instant at which somebody has something to do, so that this happens when it would have happened
bar by bar: equity once an hour, a look for transfers, and while a position is open every single bar, whose prices may
end it. The stretch ends before the first pass of which any of that is not sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from market_data.bars import IntArray
from market_data.clock import epoch_msc, from_epoch
from strategy.decision import Decision, Lull

LONGEST = 512
"""Most passes in a stretch: a stop that is asked for is heard within a moment."""

_NONE: IntArray = np.zeros(0, np.int64)

Untended = Callable[[str], int | None]
"""On how many bars of a symbol to come no trade has to be managed, where no order is sent; None: on any number."""

Due = Callable[[datetime], datetime | None]
"""Asked after a pass: the first instant at which somebody may have something to do; now, where that is not known; None: at none."""


class Coming(Protocol):
    """The bars of a market that is played."""

    def newest(self, symbol: str) -> int:
        """When the newest closed bar opened, UTC epoch seconds."""
        ...

    def instants(self, count: int) -> IntArray:
        """When the next passes come, at most `count`, UTC epoch milliseconds; none where that is not known."""
        ...

    def closing(self, symbol: str, instants: IntArray) -> IntArray:
        """How many bars of a symbol will have closed since now, at each of these instants."""
        ...


class Silence(Protocol):
    """Who knows on which bars no model takes a side."""

    def silent(self, symbol: str, time: int, now: datetime) -> int:
        """On how many bars behind one that was decided no model takes a side."""
        ...

    def lull(self, symbol: str, time: int, passes: Sequence[int], now: datetime) -> Lull:
        """The decisions on that many of them, each in its pass."""
        ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """Passes to come in which nobody decides to do anything.

    Attributes:
        instants: of the passes, UTC epoch milliseconds.
        lulls: the decisions, in the order of the symbols.
    """

    instants: IntArray
    lulls: tuple[Lull, ...]

    def at(self, number: int) -> tuple[Decision, ...]:
        """The decisions of one pass."""
        return tuple(decision for lull in self.lulls if (decision := lull.of(number)) is not None)

    def between(self, first: int, end: int) -> tuple[Lull, ...]:
        """The decisions of the passes `first` to `end - 1`."""
        if first == end:
            return ()
        parts = (lull.between(first, end) for lull in self.lulls)
        return tuple(part for part in parts if len(part))

    @property
    def newest(self) -> Decision:
        """The last decision."""
        return max(reversed(self.lulls), key=lambda lull: lull.passes[-1]).at(-1)


@dataclass(frozen=True, slots=True)
class Leg:
    """Passes of a stretch, in the last of which somebody may have something to do.

    Attributes:
        instant: of the last pass, UTC epoch milliseconds.
        before: the decisions of the others; nothing else happens in them.
        last: those of the last one.
    """

    instant: int
    before: tuple[Lull, ...]
    last: tuple[Decision, ...]


class Quiet:
    """Finds the quiet stretch that begins now.

    Args:
        silence: the strategy.
        bars: to come.
        leap: lets the market come to an instant, UTC epoch milliseconds.
        made: told of passes that are over.
        ends: of those who may change what is decided.
        stops: of those who do something by the clock that changes no decision to stay out.
        symbols: on which decisions are made.
    """

    def __init__(
        self,
        silence: Silence,
        bars: Coming,
        leap: Callable[[int], None],
        *,
        made: Callable[[int], None],
        ends: Sequence[Due],
        stops: Sequence[Due],
        symbols: Sequence[str],
    ) -> None:
        self._silence = silence
        self._bars = bars
        self._leap = leap
        self._made = made
        self._ends = tuple(ends)
        self._stops = tuple(stops)
        self._symbols = tuple(symbols)

    def stretch(self, now: datetime, last: Mapping[str, int], room: int | None, untended: Untended) -> Stretch | None:
        """The quiet passes behind that of `now`; None where the next one has to be made by itself.

        Args:
            now: of the pass that was made.
            last: symbol -> when the bar opened that was decided last, UTC epoch seconds.
            room: most decisions; None: no limit.
            untended: says where a trade has to be managed.
        """
        silent = {symbol: self._silence.silent(symbol, last[symbol], now) for symbol in self._symbols if symbol in last}
        if not any(silent.values()) or any(last.get(symbol) != self._bars.newest(symbol) for symbol in self._symbols):
            return None
        still = {symbol: bars if (alone := untended(symbol)) is None else min(bars, alone) for symbol, bars in silent.items()}
        instants = self._before_changes(now) if any(still.values()) else _NONE
        if not len(instants):
            return None
        closing = {symbol: self._bars.closing(symbol, instants) for symbol in self._symbols}
        passes = min(_passes(closed, still[symbol]) for symbol, closed in closing.items())
        if room is not None:
            passes = min(passes, int(np.searchsorted(np.sum(list(closing.values()), axis=0), room, side="right")))
        if not passes:
            return None
        places = {symbol: _places(closed[:passes]) for symbol, closed in closing.items()}
        lulls = tuple(self._silence.lull(symbol, last[symbol], places[symbol], now) for symbol in self._symbols if places[symbol])
        return Stretch(instants[:passes], lulls) if lulls else None

    def legs(self, stretch: Stretch, now: datetime) -> Iterator[Leg]:
        """The way through a stretch: as far as somebody has something to do, who is asked again after every leg, and to the end."""
        start, passes = 0, len(stretch.instants)
        while start < passes:
            due = _first(self._stops, now)
            last = passes - 1 if due is None else min(start + int(np.searchsorted(stretch.instants[start:], due)), passes - 1)
            instant = int(stretch.instants[last])
            yield Leg(instant, stretch.between(start, last), stretch.at(last))
            self._made(last + 1 - start)
            start, now = last + 1, from_epoch(instant / 1000)

    def leap(self, leg: Leg) -> datetime:
        """Brings the market to the last pass of a leg; returns its instant."""
        self._leap(leg.instant)
        return from_epoch(leg.instant / 1000)

    def _before_changes(self, now: datetime) -> IntArray:
        """The instants to come before the first at which what is decided may change."""
        until = _first(self._ends, now)
        if until is not None and until <= epoch_msc(now):
            return _NONE
        instants = self._bars.instants(LONGEST)
        return instants if until is None else instants[: np.searchsorted(instants, until)]


def _passes(closed: IntArray, still: int) -> int:
    """How many passes find no other bar of a symbol than so many, one at a time."""
    passes = int(np.searchsorted(closed, still, side="right"))
    many = np.flatnonzero(np.diff(closed[:passes], prepend=0) > 1)  # the first of two would be a missed one
    return int(many[0]) if len(many) else passes


def _first(dues: Sequence[Due], now: datetime) -> int | None:
    """The first instant at which one of them is due, UTC epoch milliseconds."""
    return min((epoch_msc(due) for ask in dues if (due := ask(now)) is not None), default=None)


def _places(closed: IntArray) -> list[int]:
    """In which pass each bar closes, from how many have closed by each."""
    places: list[int] = np.flatnonzero(np.diff(closed, prepend=0)).tolist()
    return places
