"""The course of the market: time, nights, expirations, and the order in which feeds move.

Rules for bars, pessimistic because a bar does not tell the order of its ticks:

- A long position is closed on BID, a short one on ASK.
- At the open of a bar a stop that was jumped over fills at the open, and so does a target.
- Inside a bar the stop is looked at before the target, and each fills at its own level.
- A position opened at a bar's open lives through the rest of that bar.
- Where time stops inside a bar, only what has been quoted so far moves stops and targets; but a
  target that is met there gives way to a stop that the rest of the bar meets, so a replay with
  stops inside bars makes the deals of one without.
- Stop-out is looked at on the quotes that are shown.

Recorded quotes are played one by one, in order of time over all symbols: everything fills at the
first quote that is at its price or beyond it.
"""

from __future__ import annotations

from execution.simulated import constants as mt5
from execution.simulated import pending
from execution.simulated.bar_play import BarPlay
from execution.simulated.dealer import Dealer
from execution.simulated.feed import LAST
from execution.simulated.terms import nights_between
from execution.simulated.tick_play import TickPlay
from execution.simulated.triggers import Triggers


class Engine:
    """Moves the market and lets the broker act on it."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer, self._market, self._ledger = dealer, dealer.market, dealer.ledger
        self._triggers = Triggers(dealer)
        self._bars, self._ticks = BarPlay(self._triggers), TickPlay(self._triggers, dealer)
        self._midnight = self._market.next_midnight(self._market.now)
        self._expiry: tuple[int, int | None] = (-1, None)  # of the first order to end, at a revision of the ledger

    def advance(self) -> bool:
        """Plays to the instant at which the next bar of any symbol opens.

        Returns:
            False, with nothing changed, at the end of the data.
        """
        instant = self._market.next_instant()
        if instant is None:
            return False
        self._reach(instant)
        return True

    def advance_to(self, now: int) -> None:
        """Plays everything up to an instant, UTC epoch milliseconds; nothing for one that has passed."""
        while (instant := self._market.next_instant()) is not None and instant <= now:
            self._reach(instant)
        if now > self._market.now:
            self._settle(now)
            self._play(now)
            self._market.tell(now)

    @property
    def idle(self) -> bool:
        """Whether the market can do nothing to the account; recorded quotes are not looked through for it."""
        return not (self._ledger.positions or self._ledger.working or self._market.tick_feeds)

    def leap(self, instant: int) -> None:
        """Goes to an instant to come as playing to it would."""
        if not self.idle:
            self.advance_to(instant)
            return
        self._market.seek(instant)
        if instant >= self._midnight:
            self._midnight = self._market.next_midnight(instant)

    def _reach(self, instant: int) -> None:
        """Plays up to an instant at which bars open, then opens them."""
        if instant >= self._midnight or self._ledger.working:
            self._settle(instant)
        self._play(instant)
        opened = self._market.open_at(instant)
        if self._ledger.positions or self._ledger.working:
            for feed in opened:
                self._bars.gap(feed)
            self._triggers.stop_out()

    def _play(self, instant: int) -> None:
        """Shows of every feed what an instant has seen of it."""
        moving = [(feed, stage) for feed in self._market.bar_feeds if feed.stage < LAST and (stage := feed.stage_at(instant)) > feed.stage]
        busy = self._ledger.positions or self._ledger.working
        if busy:
            for feed, stage in moving:
                self._bars.play(feed, stage)
        for feed, stage in moving:
            feed.show(stage)
        if busy and moving:
            self._triggers.stop_out()
        if self._market.tick_feeds:
            self._ticks.play(instant)

    def _settle(self, instant: int) -> None:
        """Lets the nights and the expirations up to an instant come, each after what the market did before it."""
        while (due := self._next_deadline()) <= instant:
            self._play(due)
            self._expire(due)
            if due == self._midnight:
                self._charge_night(due)
                self._midnight = self._market.next_midnight(due)

    def _next_deadline(self) -> int:
        """UTC milliseconds of the next midnight of the server or end of an order."""
        if self._expiry[0] != self._ledger.revision:
            ends = [end for order in self._ledger.working.values() if (end := pending.expires(order)) is not None]
            self._expiry = (self._ledger.revision, self._market.utc_of(min(ends)) if ends else None)
        first = self._expiry[1]
        return self._midnight if first is None else min(first, self._midnight)

    def _expire(self, due: int) -> None:
        now = self._market.server_of(due)
        for order in list(self._ledger.working.values()):
            end = pending.expires(order)
            if end is not None and end <= now:
                pending.end(self._dealer, order, mt5.ORDER_STATE_EXPIRED, now)

    def _charge_night(self, midnight: int) -> None:
        """Swap for the day that ends."""
        now = self._market.server_of(midnight)
        for position in list(self._ledger.positions.values()):
            terms = self._market.feeds[position.symbol].terms
            nights = nights_between(terms.swap_nights, now - 1, now)
            if nights and terms.swap_mode != mt5.SYMBOL_SWAP_MODE_DISABLED:
                self._dealer.charge_night(position, nights, now)
