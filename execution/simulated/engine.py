"""The course of the market: stops and targets inside bars, gaps at opens, stop-out.

Rules, pessimistic because a bar does not tell the order of its ticks:

- A long position is closed on BID, a short one on ASK.
- At the open of a bar a stop that was jumped over fills at the open, and so does a target.
- Inside a bar the stop is looked at before the target, and each fills at its own level.
- A position opened at a bar's open lives through the rest of that bar.
- Stop-out is looked at on the open and close quotes.
"""

from __future__ import annotations

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.dealer import Dealer, Fill
from execution.simulated.feed import Feed
from execution.simulated.ledger import OpenPosition


class Engine:
    """Moves the market and lets the broker act on it."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer, self._market, self._ledger = dealer, dealer.market, dealer.ledger

    def advance(self) -> bool:
        """Ends the bars that are due and opens those of the next instant.

        Returns:
            False, with nothing changed, at the end of the data.
        """
        instant = self._market.next_instant()
        if instant is None:
            return False
        ending = self._market.due(instant)
        for feed in ending:
            self._play(feed)
        for feed in ending:
            feed.complete()
        self._stop_out()
        for feed in self._market.open_at(instant):
            self._gap(feed)
        self._stop_out()
        return True

    def _play(self, feed: Feed) -> None:
        """The rest of a bar after its open, for every position of its symbol."""
        for position in self._positions(feed):
            low, high = self._exit_range(feed, position)
            sign = position.side.value
            worst, best = (low, high) if sign > 0 else (high, low)
            if position.sl and (worst - position.sl) * sign <= 0:
                self._fill_level(position, position.sl, mt5.DEAL_REASON_SL, feed.last_second())
            elif position.tp and (best - position.tp) * sign >= 0:
                self._fill_level(position, position.tp, mt5.DEAL_REASON_TP, feed.last_second())

    def _gap(self, feed: Feed) -> None:
        """The open of a bar, for every position that was open before it."""
        for position in self._positions(feed):
            price, sign = self._dealer.exit_price(position), position.side.value
            if position.sl and (price - position.sl) * sign <= 0:
                self._fill_level(position, price, mt5.DEAL_REASON_SL, feed.tick.time_msc // 1000)
            elif position.tp and (price - position.tp) * sign >= 0:
                self._fill_level(position, price, mt5.DEAL_REASON_TP, feed.tick.time_msc // 1000)

    def _positions(self, feed: Feed) -> list[OpenPosition]:
        return [position for position in self._ledger.positions.values() if position.symbol == feed.spec.name]

    def _exit_range(self, feed: Feed, position: OpenPosition) -> tuple[float, float]:
        low, high = feed.range()
        return (low, high) if position.side is Side.LONG else (feed.ask_of(low), feed.ask_of(high))

    def _fill_level(self, position: OpenPosition, price: float, reason: int, second: int) -> None:
        stopped = reason == mt5.DEAL_REASON_SL
        digits = self._market.feeds[position.symbol].spec.digits
        comment = f"[{'sl' if stopped else 'tp'} {position.sl if stopped else position.tp:.{digits}f}]"
        self._close(position, price, reason, comment, second * 1000)

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
