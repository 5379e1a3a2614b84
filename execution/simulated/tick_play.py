"""What happens between recorded quotes: the next quote that matters is searched for, not walked to."""

from __future__ import annotations

from execution.orders import Side
from execution.simulated.dealer import Dealer
from execution.simulated.tick_feed import Levels, TickFeed
from execution.simulated.triggers import Triggers

_SLACK = 1.05
"""Losses that could come are taken so much larger, since the currency of a loss moves too."""


class TickPlay:
    """Plays all symbols that have recorded quotes, in order of time."""

    def __init__(self, triggers: Triggers, dealer: Dealer) -> None:
        self._triggers, self._dealer, self._feeds = triggers, dealer, dealer.market.tick_feeds

    def play(self, instant: int) -> None:
        """Shows every quote up to an instant, UTC milliseconds; the broker acts on those that matter."""
        while (self._dealer.ledger.positions or self._dealer.ledger.working) and (found := self._next(instant)) is not None:
            self._show(*found)
        for feed in self._feeds:
            feed.seek(instant)
        self._triggers.stop_out()

    def _next(self, instant: int) -> tuple[TickFeed, int] | None:
        """The first quote by an instant at which the broker may have to act."""
        close = self._may_stop_out(instant)
        coming = ((feed, feed.shown + 1 if close else self._crossing(feed, instant)) for feed in self._feeds)
        found = [(feed, index) for feed, index in coming if index is not None and index <= feed.reached(instant)]
        return min(found, key=lambda one: one[0].time_of(one[1]), default=None)

    def _show(self, feed: TickFeed, index: int) -> None:
        """Shows a quote, and what the other symbols quoted before it."""
        for other in self._feeds:
            if other is not feed:
                other.seek(feed.time_of(index) - 1)
        feed.show(index)
        if feed.in_session():
            self._triggers.at_quote(feed)
        self._triggers.stop_out()

    def _crossing(self, feed: TickFeed, instant: int) -> int | None:
        triggers = self._triggers.of(feed.spec.name)
        if not triggers:
            return None
        edges: dict[str, list[float]] = {}
        for one in triggers:
            edges.setdefault(f"{'ask' if one.on_ask else 'bid'}_{'high' if one.rising else 'low'}", []).append(one.level)
        nearest = {name: min(levels) if name.endswith("high") else max(levels) for name, levels in edges.items()}
        return feed.first_crossing(Levels(**nearest), feed.reached(instant))

    def _may_stop_out(self, instant: int) -> bool:
        """Whether the worst quotes to come, all at once, could bring the margin level below the limit."""
        dealer = self._dealer
        margin = dealer.margin()
        if margin <= 0:
            return False
        lots = dict.fromkeys(((feed.spec.name, side) for feed in self._feeds for side in Side), 0.0)
        for position in dealer.ledger.positions.values():
            if (position.symbol, position.side) in lots:
                lots[position.symbol, position.side] += position.volume
        loss = sum(self._worst(feed, lots[feed.spec.name, Side.LONG], lots[feed.spec.name, Side.SHORT], instant) for feed in self._feeds)
        return dealer.level(dealer.equity() - loss * _SLACK, margin) < dealer.account.stop_out

    def _worst(self, feed: TickFeed, long: float, short: float, instant: int) -> float:
        """Account currency that the quotes to come could cost so many lots of each side."""
        if not long and not short:
            return 0.0
        low, high = feed.extremes(feed.reached(instant))
        per_lot = self._dealer.money.tick_value(feed.spec, low, receiving=False) / feed.spec.tick_size
        return (long * max(0.0, feed.tick.bid - low) + short * max(0.0, high - feed.tick.ask)) * per_lot
