"""The risk watch: what surrounds an entry, kept at hand so that no entry waits for it.

It looks around once a minute after the loop's pass, off the way to a decision; an entry adds the
account as it is then.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
from loguru import logger

from config.errors import RetryError
from config.settings import FilterSettings, RiskSettings
from execution.equity_guard import Deals, EquityGuard
from execution.exposure import by_currency, legs, market_lines
from execution.orders import Account, Position
from execution.risk import trading_day_start
from execution.risk_case import Proposal, RiskState, Scene
from market_data.clock import Clock, new_york_hour
from market_data.correlation import BarMemory
from market_data.instruments import SymbolSpec
from market_data.news import NewsDesk
from market_data.sessions import before_weekend, open_sessions, parse_sessions

LOOK_EVERY = timedelta(minutes=1)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Terminal(Deals, Protocol):
    """What the watch asks of the terminal."""

    def account(self) -> Account:
        """The account now."""
        ...

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        """Our own open positions."""
        ...

    def spec(self, symbol: str) -> SymbolSpec:
        """The symbol as the broker describes it now."""
        ...


class Records(Protocol):
    """What the watch asks of the journal."""

    def day_opening(self, start: datetime) -> tuple[datetime, float] | None:
        """When the first equity at or after an instant was recorded, and what it was."""
        ...

    def entry_before(self, rank: int) -> datetime | None:
        """When the `rank`-th newest entry was intended."""
        ...


class RiskWatch:
    """Knows the surroundings of an entry.

    Args:
        risk: the limits.
        filters: hours and sessions, for the report.
        terminal: account, positions, symbols.
        guard: equity, its peak, money paid in or out.
        records: the journal.
        news: the calendar.
        bars: windows that the loop has read.
        clock: market time.
        revision: a number that grows with every change of the broker's books; None: it does not say.
    """

    def __init__(
        self,
        risk: RiskSettings,
        filters: FilterSettings,
        *,
        terminal: Terminal,
        guard: EquityGuard,
        records: Records,
        news: NewsDesk,
        bars: BarMemory,
        clock: Clock,
        revision: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._risk = risk
        self._filters = filters
        self._terminal = terminal
        self._guard = guard
        self._records = records
        self._news = news
        self._bars = bars
        self._clock = clock
        self._specs: dict[str, SymbolSpec] = {}
        self._positions: tuple[Position, ...] = ()
        self._read: int | None = None
        self._looked: datetime | None = None
        self._revision = revision
        self._flat: tuple[int, Account] | None = None

    @property
    def tripped(self) -> str:
        """Why the drawdown switch has stopped entries; empty while it has not."""
        return self._guard.tripped

    def reset(self) -> None:
        """Lifts the drawdown switch.

        Raises:
            RetryError: the terminal or the shared state did not answer; nothing was lifted.
        """
        now = self._clock.now()
        self._guard.reset(self._terminal.account(), now, trading_day_start(now))

    def after_pass(self, now: datetime) -> None:
        """Looks around, at most once a minute of market time."""
        if self._looked is not None and timedelta(0) <= now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        self._news.refresh(now)
        try:
            self._guard.observe(self._account(), now, trading_day_start(now))
        except RetryError as error:
            logger.warning("the risk watch could not look around: {}", error)

    def quiet_until(self, now: datetime) -> datetime | None:
        """When `after_pass` finds something new, where nothing is opened; now, where it may at any time."""
        if self._flat is None or self._flat[0] != self._revision():
            return now
        ends = (self._guard.quiet_until(self._flat[1], now), self._news.changes_at(now))
        return min(end for end in ends if end is not None)

    def _account(self) -> Account:
        """The account, after a look at positions and symbols; as it was where there is no position and no book has changed."""
        revision = self._revision()
        if self._flat is not None and revision == self._flat[0]:
            return self._flat[1]
        if revision is None or revision != self._read:  # what is asked of a position here changes with the books alone
            self._positions, self._read = self._terminal.positions(), revision
        self._specs = {symbol: self._terminal.spec(symbol) for symbol in sorted({p.symbol for p in self._positions})}
        account = self._terminal.account()
        self._flat = None if self._positions or account.margin or revision is None else (revision, account)
        return account

    def scene(self, proposal: Proposal, state: RiskState) -> Scene:
        """What surrounds an entry now.

        Raises:
            RetryError: the terminal, the journal or the shared state did not answer.
        """
        now, spec = self._clock.now(), proposal.spec
        if state.account is not None:
            self._guard.observe(state.account, now, trading_day_start(now))
        self._news.refresh(now)
        held = sorted({position.symbol for position in state.positions})
        return Scene(
            now=now,
            specs={symbol: self._spec(symbol, spec) for symbol in held},
            correlations={symbol: self._bars.correlation(spec.name, symbol) for symbol in held},
            peak_equity=self._guard.mark.peak if self._guard.mark is not None else None,
            tripped=self.tripped,
            transfers=self._paid_in_today(now),
            oldest_entry=self._records.entry_before(self._risk.max_orders_per_hour) or _LONG_AGO,
            news=self._news.objection({*legs(spec), spec.currency_base, spec.currency_profit}, now) or "",
        )

    def _spec(self, symbol: str, proposed: SymbolSpec) -> SymbolSpec:
        if symbol == proposed.name:
            return proposed
        return self._specs.get(symbol) or self._terminal.spec(symbol)

    def _paid_in_today(self, now: datetime) -> float | None:
        """Account currency paid in, less paid out, since the day's opening equity was noted."""
        opening = self._records.day_opening(trading_day_start(now))
        return None if opening is None else self._guard.paid_in_since(opening[0])

    # --- for those who ask --------------------------------------------------------------------

    def report(self, now: datetime) -> dict[str, Any]:
        """What `status` shows of the risk state: plain values, as last seen."""
        drawdown, coming = self._guard.drawdown_percent(), self._news.upcoming(now)
        return {
            "kill_switch": self.tripped,
            "drawdown_percent": None if drawdown is None else round(drawdown, 2),
            "max_drawdown_percent": self._risk.max_drawdown_percent,
            "day_loss_percent": self._day_loss_percent(now),
            "daily_loss_percent": self._risk.daily_loss_percent,
            "exposure": self._exposure(),
            "session": self._session(now),
            "news_next": str(coming) if coming is not None else None,
            "news_problem": self._news.problem(now),
        }

    def _day_loss_percent(self, now: datetime) -> float | None:
        """Negative where the day has gained."""
        opening, paid, equity = self._records.day_opening(trading_day_start(now)), self._paid_in_today(now), self._guard.equity
        if opening is None or paid is None or equity is None:
            return None
        base = min(opening[1], opening[1] + paid)
        return round((opening[1] + paid - equity) / base * 100, 2) if base > 0 else None

    def _exposure(self) -> dict[str, float]:
        """Net market value by currency, account currency."""
        held = by_currency(market_lines(self._positions, self._specs))
        return {currency: round(exposure.net, 2) for currency, exposure in sorted(held.items())}

    def _session(self, now: datetime) -> str:
        """Whether the clock lets entries through, in words."""
        minutes, sessions = self._filters.weekend_minutes, parse_sessions(self._filters.trading_sessions)
        hour = int(new_york_hour(np.array([int(now.timestamp())]))[0])
        if minutes and before_weekend(now, timedelta(minutes=minutes)) is not None:
            return "closed: weekend"
        if hour in self._filters.blocked_hours:
            return f"closed: {hour}:00 in New York is blocked"
        inside = open_sessions(sessions, now)
        if sessions and not inside:
            return f"closed: outside {', '.join(map(str, sessions))}"
        return f"open: {', '.join(map(str, inside))}" if inside else "open"
