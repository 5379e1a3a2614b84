"""What happens inside bars: the four quotes of a bar and the way between them."""

from __future__ import annotations

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.feed import BarFeed
from execution.simulated.ledger import OpenPosition
from execution.simulated.triggers import Trigger, Triggers

Bids = tuple[float, ...]


class BarPlay:
    """Plays stops, targets and pending orders through the bars of one symbol at a time."""

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    def gap(self, feed: BarFeed) -> None:
        """The open of a bar, for everything that waited before it."""
        if not feed.in_session():
            return
        if self._triggers.working(feed.spec.name):
            self._triggers.at_quote(feed)
            return
        quote = _Range(feed, (feed.tick.bid,))
        for position in self._triggers.positions(feed.spec.name):
            reason = _met(position, quote, quote)
            if reason is not None:
                price = feed.tick.bid if position.side is Side.LONG else feed.tick.ask
                self._triggers.leave(position, price, reason, feed.tick.time_msc)

    def play(self, feed: BarFeed, stage: int) -> None:
        """The way of the newest bar from the stage it shows to a later one, which is not shown yet."""
        if not feed.in_session():
            return
        if self._triggers.working(feed.spec.name):
            self._walk(feed, stage)
        else:
            self._exits(feed, stage)

    def _exits(self, feed: BarFeed, stage: int) -> None:
        """Stops and targets alone, at once: nothing can be opened on the way."""
        positions = self._triggers.positions(feed.spec.name)
        if not positions:
            return
        way = feed.path()[feed.stage :]
        rest = _Range(feed, way)
        seen = _Range(feed, way[: stage - feed.stage + 1])
        for position in positions:
            reason = _met(position, seen, rest)
            if reason is not None:
                level = position.sl if reason == mt5.DEAL_REASON_SL else position.tp
                self._triggers.leave(position, level, reason, feed.stamp(stage))

    def _walk(self, feed: BarFeed, stage: int) -> None:
        """Stretch by stretch, since an order filled on the way lives through the rest of it."""
        path = feed.path()
        reach = _Range(feed, path[feed.stage : stage + 1])
        if not any(reach.sets_off(one) for one in self._triggers.of(feed.spec.name)):
            return
        for at in range(feed.stage, stage):
            self._stretch(feed, path[at], path[at + 1 :], feed.stamp(at + 1))

    def _stretch(self, feed: BarFeed, here: float, rest: Bids, time_msc: int) -> None:
        """The straight way from a bid to the first of the rest, each trigger in its turn."""
        there = rest[0]
        while (found := self._next(feed, here, there)) is not None:
            reached = _bid_at(feed, found)
            passed = found.met(feed.ask_of(here) if found.on_ask else here)
            here = here if passed else reached
            price = found.level if not passed else feed.ask_of(here) if found.on_ask else here
            self._act(feed, found, price, (here, *rest), time_msc)

    def _act(self, feed: BarFeed, found: Trigger, price: float, rest: Bids, time_msc: int) -> None:
        """Executes; a target gives way to a stop that the rest of the bar meets."""
        owner = found.owner
        if isinstance(owner, OpenPosition) and not found.stop and _stopped(owner, _Range(feed, rest)):
            self._triggers.leave(owner, owner.sl, mt5.DEAL_REASON_SL, time_msc)
        else:
            self._triggers.execute(found, price, time_msc)

    def _next(self, feed: BarFeed, here: float, there: float) -> Trigger | None:
        """The trigger met first between two bids."""
        met = [
            one
            for one in self._triggers.of(feed.spec.name)
            if one.met(feed.ask_of(there) if one.on_ask else there) or one.met(_side(feed, one, here))
        ]
        return min(met, key=lambda one: 0.0 if one.met(_side(feed, one, here)) else abs(_bid_at(feed, one) - here), default=None)


def _side(feed: BarFeed, trigger: Trigger, bid: float) -> float:
    return feed.ask_of(bid) if trigger.on_ask else bid


def _bid_at(feed: BarFeed, trigger: Trigger) -> float:
    """The bid that goes with a trigger's level."""
    return trigger.level - (feed.ask_of(trigger.level) - trigger.level) if trigger.on_ask else trigger.level


class _Range:
    """How far the quotes of a stretch reach, on both sides."""

    __slots__ = ("ask_high", "ask_low", "bid_high", "bid_low")

    def __init__(self, feed: BarFeed, bids: Bids) -> None:
        self.bid_low, self.bid_high = min(bids), max(bids)
        self.ask_low, self.ask_high = feed.ask_of(self.bid_low), feed.ask_of(self.bid_high)

    def sets_off(self, trigger: Trigger) -> bool:
        """Whether one of the quotes meets a trigger."""
        low, high = (self.ask_low, self.ask_high) if trigger.on_ask else (self.bid_low, self.bid_high)
        return trigger.met(high if trigger.rising else low)


def _met(position: OpenPosition, seen: _Range, rest: _Range) -> int | None:
    """Which barrier the quotes `seen` reach; a stop that the `rest` of the bar reaches as well comes before the target."""
    if _stopped(position, seen):
        return mt5.DEAL_REASON_SL
    if not position.tp or not (seen.bid_high >= position.tp if position.side is Side.LONG else seen.ask_low <= position.tp):
        return None
    return mt5.DEAL_REASON_SL if _stopped(position, rest) else mt5.DEAL_REASON_TP


def _stopped(position: OpenPosition, quotes: _Range) -> bool:
    """Whether one of the quotes is at the stop or beyond it."""
    if not position.sl:
        return False
    return quotes.bid_low <= position.sl if position.side is Side.LONG else quotes.ask_high >= position.sl
