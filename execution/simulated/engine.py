"""The course of the market: stops and targets inside bars, gaps at opens, stop-out.

Rules, pessimistic because a bar does not tell the order of its ticks:

- A long position is closed on BID, a short one on ASK.
- At the open of a bar a stop that was jumped over fills at the open, and so does a target.
- Inside a bar the stop is looked at before the target, and each fills at its own level.
- A position opened at a bar's open lives through the rest of that bar.
- Where time stops inside a bar, only what has been quoted so far moves stops and targets; but a
  target that is met there gives way to a stop that the rest of the bar meets, so a replay with
  stops inside bars makes the deals of one without.
- Stop-out is looked at on the open and close quotes.
"""

from __future__ import annotations

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.dealer import Dealer, Fill
from execution.simulated.feed import LAST, Feed
from execution.simulated.ledger import OpenPosition


class Engine:
    """Moves the market and lets the broker act on it."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer, self._market, self._ledger = dealer, dealer.market, dealer.ledger

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
            self._play(now)
            self._market.tell(now)

    def _reach(self, instant: int) -> None:
        """Plays up to an instant at which bars open, then opens them."""
        self._play(instant)
        for feed in self._market.open_at(instant):
            self._gap(feed)
        self._stop_out()

    def _play(self, instant: int) -> None:
        """Shows of every forming bar what an instant has seen of it."""
        forming = [feed for feed in self._market.feeds.values() if feed.stage < LAST]
        moving = [(feed, stage) for feed in forming if (stage := feed.stage_at(instant)) > feed.stage]
        for feed, stage in moving:
            self._exits(feed, stage)
        for feed, stage in moving:
            feed.show(stage)
        if moving:
            self._stop_out()

    def _exits(self, feed: Feed, stage: int) -> None:
        """The stops and targets that a bar meets on its way to a stage."""
        positions = self._positions(feed)
        if not positions:
            return
        rest = feed.path()[feed.stage :]
        seen = rest[: stage - feed.stage + 1]
        for position in positions:
            reason = self._met(feed, position, seen, rest)
            if reason is not None:
                level = position.sl if reason == mt5.DEAL_REASON_SL else position.tp
                self._fill_level(position, level, reason, feed.stamp(stage))

    def _met(self, feed: Feed, position: OpenPosition, seen: tuple[float, ...], rest: tuple[float, ...]) -> int | None:
        """Which barrier the quotes `seen` reach; a stop that the `rest` of the bar reaches as well comes before the target."""
        if self._reaches(feed, position, position.sl, seen, stop=True):
            return mt5.DEAL_REASON_SL
        if not self._reaches(feed, position, position.tp, seen, stop=False):
            return None
        return mt5.DEAL_REASON_SL if self._reaches(feed, position, position.sl, rest, stop=True) else mt5.DEAL_REASON_TP

    def _reaches(self, feed: Feed, position: OpenPosition, level: float, bids: tuple[float, ...], *, stop: bool) -> bool:
        """Whether one of the quotes is at the level or beyond it."""
        if not level:
            return False
        falling = stop is (position.side is Side.LONG)
        bid = min(bids) if falling else max(bids)
        price = bid if position.side is Side.LONG else feed.ask_of(bid)
        return price <= level if falling else price >= level

    def _gap(self, feed: Feed) -> None:
        """The open of a bar, for every position that was open before it."""
        for position in self._positions(feed):
            price, sign = self._dealer.exit_price(position), position.side.value
            if position.sl and (price - position.sl) * sign <= 0:
                self._fill_level(position, price, mt5.DEAL_REASON_SL, feed.tick.time_msc)
            elif position.tp and (price - position.tp) * sign >= 0:
                self._fill_level(position, price, mt5.DEAL_REASON_TP, feed.tick.time_msc)

    def _positions(self, feed: Feed) -> list[OpenPosition]:
        return [position for position in self._ledger.positions.values() if position.symbol == feed.spec.name]

    def _fill_level(self, position: OpenPosition, price: float, reason: int, time_msc: int) -> None:
        stopped = reason == mt5.DEAL_REASON_SL
        digits = self._market.feeds[position.symbol].spec.digits
        comment = f"[{'sl' if stopped else 'tp'} {position.sl if stopped else position.tp:.{digits}f}]"
        self._close(position, price, reason, comment, time_msc)

    def _stop_out(self) -> None:
        """Closes the worst position while the margin level is below the account's limit."""
        while self._ledger.positions:
            margin, equity = self._dealer.margin(), self._dealer.equity()
            level = self._dealer.level(equity, margin)
            if margin <= 0 or level >= self._dealer.account.stop_out:
                return
            worst = min(self._ledger.positions.values(), key=lambda position: (self._dealer.floating(position), position.ticket))
            price = self._dealer.exit_price(worst)
            self._close(worst, price, mt5.DEAL_REASON_SO, f"so {level:.2f}%", self._market.server_msc())

    def _close(self, position: OpenPosition, price: float, reason: int, comment: str, time_msc: int) -> None:
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
