"""The equity guard: follows an account's equity through deposits and withdrawals, and trips the drawdown switch.

The mark is kept in the shared state, one for each account and mode, so that neither a restart nor
a crash forgets a peak or lifts the switch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from loguru import logger

from execution.drawdown import Watermark, followed, from_json, moved, to_json
from execution.orders import Account, Deal
from market_data.clock import utc_text

SEARCH_EVERY = timedelta(hours=1)
"""Deals are looked through at least so often; a change of balance makes it at once."""

MARKS = "risk.drawdown."
"""Keys of the shared state; mode and account follow."""

_LATE = timedelta(hours=1)
"""A deal may show up so much later than it is dated."""


class Deals(Protocol):
    """What the guard asks of the terminal."""

    def transfers_between(self, start: datetime, end: datetime) -> tuple[Deal, ...]:
        """Deposits, withdrawals and other money that comes or goes without a trade."""
        ...


class Store(Protocol):
    """What the guard asks of the shared state."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    def set(self, key: str, value: object) -> None:
        """Stores a value."""
        ...


class EquityGuard:
    """Peak, drawdown, and money paid in or out.

    Args:
        limit_percent: MAX_DRAWDOWN_PERCENT.
        terminal: where deals are.
        store: keeps the mark.
        scope: account and mode.
        revision: a number that grows with every change of the broker's books; None: it does not say.

    Attributes:
        mark: None before the first look, and where what was kept cannot be read.
        equity: as last seen.
    """

    def __init__(
        self, limit_percent: float, terminal: Deals, store: Store, scope: str, revision: Callable[[], int | None] = lambda: None
    ) -> None:
        self._limit = limit_percent
        self._terminal = terminal
        self._store = store
        self._key = f"{MARKS}{scope}"
        self.mark, self._fault = _kept(store, self._key)
        self.equity: float | None = None
        self._stored = self.mark
        self._transfers: dict[int, Deal] = {}
        self._balance: float | None = None
        self._searched: datetime | None = None
        self._revision = revision
        self._read: int | None = None
        self._followed: Account | None = None
        if self.tripped:
            logger.error("the drawdown switch has tripped: {}; no entries until `resume --drawdown`", self.tripped)

    @property
    def tripped(self) -> str:
        """Why entries have stopped until somebody lifts it; empty while they have not."""
        return self._fault or (self.mark.tripped if self.mark is not None else "")

    def observe(self, account: Account, now: datetime, day_start: datetime) -> None:
        """Follows equity; what looks like a peak or a fall may be money paid in or out.

        Args:
            account: as the terminal reports it now.
            now: the current instant.
            day_start: when the trading day began; transfers are known from there on.

        Raises:
            RetryError: deals cannot be read, or the mark cannot be kept; it is tried again next time.
        """
        if not (math.isfinite(account.equity) and account.equity > 0):
            return
        searching = self._should_search(account, now)
        if account is self._followed and not searching:
            return  # this very record has moved the mark already
        self._followed = None
        self.equity = account.equity
        if searching:
            self._search(now, day_start)
            self._count_transfers(account.equity)
            self._balance = account.balance
        if self._fault:
            return
        mark = self.mark or Watermark(account.equity, max(self._transfers, default=0), utc_text(now))
        self._keep(followed(mark, account.equity, self._limit, now))
        self._followed = account

    def quiet_until(self, account: Account, now: datetime) -> datetime:
        """When `observe` has something to do again, where the account stays as it is; now, where it has at any time."""
        if account is not self._followed or self._searched is None or self._should_search(account, now):
            return now
        return self._searched + SEARCH_EVERY

    def _should_search(self, account: Account, now: datetime) -> bool:
        if self.mark is None or self._searched is None or account.balance != self._balance:
            return True
        striking = account.equity > self.mark.peak or self.mark.drawdown_percent(account.equity) >= self._limit
        return striking or now - self._searched >= SEARCH_EVERY

    def _search(self, now: datetime, day_start: datetime) -> None:
        start = self._searched or (datetime.fromisoformat(self.mark.seen) if self.mark is not None else now)
        since = min(start - _LATE, day_start)
        known = {ticket: deal for ticket, deal in self._transfers.items() if deal.time >= since}
        revision = self._revision()
        if revision is None or revision != self._read:  # else the deals are those that were read last, or fewer of them
            known |= {deal.ticket: deal for deal in self._terminal.transfers_between(since, now + _LATE)}
        self._transfers, self._read, self._searched = known, revision, now

    def _count_transfers(self, equity: float) -> None:
        """Moves the mark by what it does not know of yet."""
        mark = self.mark
        fresh = [] if mark is None else [deal for ticket, deal in self._transfers.items() if ticket > mark.transfer]
        if mark is None or not fresh:
            return
        amount = math.fsum(deal.net for deal in fresh)
        self.mark = replace(moved(mark, equity, amount), transfer=max(deal.ticket for deal in fresh))
        logger.info("{:+.2f} paid in or out: the peak of equity moves from {:.2f} to {:.2f}", amount, mark.peak, self.mark.peak)

    def _keep(self, mark: Watermark) -> None:
        """In memory first: a store that is busy must not hide a fall."""
        if mark.tripped and not self.tripped:
            logger.error("the drawdown switch trips: {}; no entries until `resume --drawdown`", mark.tripped)
        self.mark = mark
        if mark != self._stored:
            self.mark = mark if self._searched is None else replace(mark, seen=utc_text(self._searched))
            self._store.set(self._key, to_json(self.mark))
            self._stored = self.mark

    def reset(self, account: Account, now: datetime, day_start: datetime) -> None:
        """Lifts the switch: equity now is the new peak.

        Raises:
            RetryError: deals cannot be read, or the mark cannot be kept.
        """
        self._search(now, day_start)
        newest = max(self._transfers, default=0)
        known = self.mark.transfer if self.mark is not None else 0
        self._fault = ""
        self._keep(Watermark(account.equity, max(newest, known), utc_text(now)))
        logger.warning("the drawdown switch was lifted; the peak of equity is {:.2f} from now on", account.equity)

    def paid_in_since(self, instant: datetime) -> float | None:
        """Account currency paid in, less paid out, after an instant of this trading day; None before the first look."""
        if self._searched is None:
            return None
        return math.fsum(deal.net for deal in self._transfers.values() if deal.time > instant)

    def drawdown_percent(self) -> float | None:
        """Percent of the peak that was lost when last seen."""
        return None if self.mark is None or self.equity is None else self.mark.drawdown_percent(self.equity)


def _kept(store: Store, key: str) -> tuple[Watermark | None, str]:
    """The mark as it was kept, and what is wrong with it: what cannot be read keeps entries out."""
    values = store.get(key)
    if values is None:
        return None, ""
    try:
        return from_json(values), ""
    except ValueError as error:
        return None, f"the kept mark cannot be read: {error}"
