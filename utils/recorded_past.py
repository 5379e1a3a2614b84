"""The bars behind recorded decisions, and the instants at which they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from config.settings import Settings
from market_data.bars import Bars, Capabilities, Timeframe
from market_data.clock import from_epoch
from strategy.decision import Decision
from utils.deciding import decision_bars
from utils.market_view import MarketView

Instants = Mapping[tuple[str, int], datetime]


class RecordedPast:
    """What the loop knew at every recorded decision.

    Args:
        view: of the same source; a simulated one stands where the first of the bars was decided,
            and is played up to the last.
        decisions: those recorded.
        settings: the daemon's.

    Raises:
        InsufficientHistory: the source has no bars.
    """

    def __init__(self, view: MarketView, decisions: Sequence[Decision], settings: Settings) -> None:
        self._view = view
        self._count = decision_bars(settings)
        self._bar = timedelta(seconds=Timeframe[settings.symbols.timeframe].seconds)
        last = {decision.symbol: _epoch(decision) for decision in decisions}
        self._instants: Instants = {} if view.play is None else _played(view, view.play, last)
        first = min((decision.bar_time for decision in decisions), default=view.clock.now())
        reach = int((view.clock.now() - first) / self._bar) + self._count + 2
        self._bars = {symbol: view.loader.history(symbol, reach) for symbol in last}

    def window(self, decision: Decision) -> Bars | str:
        """The bars that the decision read; what is wrong where they are not there."""
        bars = self._bars[decision.symbol]
        end = int(np.searchsorted(bars.time, _epoch(decision), side="right"))
        if end == 0 or bars.time[end - 1] != _epoch(decision):
            return "no such bar in this source"
        if end < self._count:
            return f"{end} bars up to this one in this source, {self._count} needed"
        return bars.slice(end - self._count, end)

    def known(self, decision: Decision) -> Capabilities:
        """What the source records of the symbol beside prices."""
        return self._view.loader.declare(decision.symbol)

    def decided_at(self, decision: Decision) -> datetime:
        """When a played market first showed the bar as closed; on a real one the open of the next bar comes nearest.

        The first pass of a daemon decides on bars that closed before it began; only of those the
        instant may be told too early.
        """
        played = self._instants.get((decision.symbol, _epoch(decision)))
        if played is not None:
            return played
        times = self._bars[decision.symbol].time
        after = times[times > _epoch(decision)]
        return from_epoch(int(after[0])) if len(after) else decision.bar_time + self._bar


def _epoch(decision: Decision) -> int:
    return int(decision.bar_time.timestamp())


def _played(view: MarketView, play: Callable[[], bool], last: Mapping[str, int]) -> Instants:
    """Plays the market as the loop does: for each bar the instant of the first pass that finds it closed."""
    seen: dict[tuple[str, int], datetime] = {}
    newest = dict.fromkeys(last, 0)
    while True:
        for symbol in newest:
            newest[symbol] = int(view.loader.window(symbol, 1).time[-1])
            seen.setdefault((symbol, newest[symbol]), view.clock.now())
        if all(newest[symbol] >= time for symbol, time in last.items()) or not play():
            return seen
