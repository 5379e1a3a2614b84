"""Which stops, targets and pending orders a quote sets off, and what the broker does then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated import pending
from execution.simulated.dealer import Dealer, Fill
from execution.simulated.feed import Feed
from execution.simulated.ledger import OpenPosition
from execution.simulated.structs import Struct


@dataclass(frozen=True, slots=True)
class Trigger:
    """A price at which the broker must act.

    Attributes:
        level: the price.
        on_ask: whether the ask sets it off, else the bid.
        rising: whether the quote comes from below.
        stop: whether it is a stop loss.
        owner: the position to close, or the order to fill.
    """

    level: float
    on_ask: bool
    rising: bool
    stop: bool
    owner: OpenPosition | Struct

    def met(self, price: float) -> bool:
        """Whether a price of its side is at the level or beyond it."""
        return price >= self.level if self.rising else price <= self.level


class Triggers:
    """Finds and executes them, at prices that the course of the market hands in."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer, self._market, self._ledger = dealer, dealer.market, dealer.ledger
        self._known: dict[str, list[Trigger]] = {}
        self._revision = -1

    def positions(self, symbol: str) -> list[OpenPosition]:
        """Open positions of a symbol."""
        return [position for position in self._ledger.positions.values() if position.symbol == symbol]

    def working(self, symbol: str) -> list[Struct]:
        """Pending orders of a symbol."""
        return [order for order in self._ledger.working.values() if order.symbol == symbol]

    def of(self, symbol: str) -> list[Trigger]:
        """All of a symbol: stops before targets, positions before orders, older before newer."""
        if self._revision != self._ledger.revision:
            self._known, self._revision = {}, self._ledger.revision
        if symbol not in self._known:
            self._known[symbol] = self._list(symbol)
        return self._known[symbol]

    def _list(self, symbol: str) -> list[Trigger]:
        exits = [trigger for position in self.positions(symbol) for trigger in _exits(position)]
        orders = [
            Trigger(order.price_open, pending.buys(order), pending.acts_rising(order), False, order) for order in self.working(symbol)
        ]
        return sorted(exits, key=lambda trigger: not trigger.stop) + orders

    def at_quote(self, feed: Feed) -> None:
        """Executes at the current quote whatever it is at or beyond, until nothing is left."""
        tick = feed.tick
        while (found := next((one for one in self.of(feed.spec.name) if one.met(tick.ask if one.on_ask else tick.bid)), None)) is not None:
            self.execute(found, tick.ask if found.on_ask else tick.bid, tick.time_msc)

    def execute(self, trigger: Trigger, price: float, time_msc: int) -> None:
        """Closes the position or fills the order."""
        if isinstance(trigger.owner, OpenPosition):
            reason = mt5.DEAL_REASON_SL if trigger.stop else mt5.DEAL_REASON_TP
            self.leave(trigger.owner, price, reason, time_msc)
        else:
            pending.activate(self._dealer, trigger.owner, price, time_msc)

    def leave(self, position: OpenPosition, price: float, reason: int, time_msc: int) -> None:
        """Closes a position at its stop or target."""
        stopped = reason == mt5.DEAL_REASON_SL
        digits = self._market.feeds[position.symbol].spec.digits
        comment = f"[{'sl' if stopped else 'tp'} {position.sl if stopped else position.tp:.{digits}f}]"
        self.close(position, price, reason, comment, time_msc)

    def close(self, position: OpenPosition, price: float, reason: int, comment: str, time_msc: int) -> None:
        """Closes a position on the broker's own account of reasons."""
        self._dealer.close(
            position,
            Fill(
                symbol=position.symbol,
                side=position.side.opposite,
                volume=position.volume,
                price=price,
                time_msc=time_msc,
                reason=reason,
                magic=position.magic,
                comment=comment,
            ),
        )

    def stop_out(self) -> None:
        """Closes the worst position while the margin level is below the account's limit."""
        while self._ledger.positions:
            margin, equity = self._dealer.margin(), self._dealer.equity()
            level = self._dealer.level(equity, margin)
            if margin <= 0 or level >= self._dealer.account.stop_out:
                return
            worst = min(self._ledger.positions.values(), key=lambda position: (self._dealer.floating(position), position.ticket))
            self.close(worst, self._dealer.exit_price(worst), mt5.DEAL_REASON_SO, f"so {level:.2f}%", self._market.newest_msc())


def _exits(position: OpenPosition) -> Iterator[Trigger]:
    short = position.side is Side.SHORT
    if position.sl:
        yield Trigger(position.sl, short, short, True, position)
    if position.tp:
        yield Trigger(position.tp, short, not short, False, position)
