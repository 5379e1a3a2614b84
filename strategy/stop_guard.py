"""Protective stops are not believed, they are read back: missing ones are set, and where that fails the position goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from execution.orders import OrderResult, Position
from strategy.decision import TradeEntry

MOST_TRIES = 3
"""How often stops are set before the position is closed instead."""
AGAIN = timedelta(seconds=10)
"""Between two tries to set them."""
CLOSE_AGAIN = timedelta(minutes=1)
"""Between two tries to close what cannot be protected."""

_INVALID_STOPS, _MARKET_CLOSED = 10016, 10018
_NEAR = 2e-5  # of the price: about a point


@dataclass(frozen=True, slots=True)
class Mend:
    """Stop and target that a position is to be given."""

    sl: float
    tp: float
    reason: str


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A position whose stops cannot be set: it is to be closed."""


class StopGuard:
    """Confirms the stops of every position once: after it was opened or adopted, and after a restart.

    A stop that was brought nearer since is fine; after a restart any stop is, because the exit
    policy may have moved it. So is any stop of a position that was adopted without one; until it
    shows one, it is owed the stop that `owe` names.
    """

    def __init__(self) -> None:
        self._confirmed: set[int] = set()
        self._taken_over: frozenset[int] = frozenset()
        self._tries: dict[int, int] = {}
        self._due: dict[int, datetime] = {}
        self._owed: dict[int, float] = {}

    def take_over(self, trades: Iterable[TradeEntry]) -> None:
        """Trades that an earlier process opened."""
        self._taken_over = frozenset(entry.ticket for entry in trades)

    def owe(self, ticket: int, level: float) -> None:
        """A position that no entry asked a stop for, and that shows none, is to have one at `level`."""
        self._owed[ticket] = level
        self._confirmed.discard(ticket)

    def verdict(self, entry: TradeEntry, position: Position, now: datetime) -> Mend | Unprotected | None:
        """What is to be done about a position, by what the broker shows; None: nothing, or not yet."""
        if entry.ticket in self._confirmed:
            return None
        wanted = entry if entry.sl else self._stop_owed(entry, position)
        if _protected(wanted, position, exact=entry.ticket not in self._taken_over):
            self._confirmed.add(entry.ticket)
            return None
        if not wanted.sl:
            return None  # where it should be is not known before the next closed bar
        if now < self._due.get(entry.ticket, now):
            return None
        tries = self._tries.get(entry.ticket, 0)
        self._due[entry.ticket] = now + (CLOSE_AGAIN if tries >= MOST_TRIES else AGAIN)
        if tries >= MOST_TRIES:
            return Unprotected()
        self._tries[entry.ticket] = tries + 1
        if not entry.sl:
            return Mend(wanted.sl, wanted.tp, f"adopted without a stop: {wanted.sl:g} is where an entry's would be")
        return _mend(entry, position)

    def _stop_owed(self, entry: TradeEntry, position: Position) -> TradeEntry:
        """A trade that was adopted without a stop, with what its position shows, or else with the stop that it is owed."""
        return replace(entry, sl=position.sl or self._owed.get(entry.ticket, 0.0), tp=position.tp)

    def answered(self, entry: TradeEntry, result: OrderResult) -> None:
        """What the venue said to a Mend.

        Where the price is beyond the stop already, it is not tried again; a market that is closed
        proves nothing, and does not count as a try.
        """
        if result.retcode == _MARKET_CLOSED:
            self._tries[entry.ticket] -= 1
        elif result.retcode == _INVALID_STOPS:
            self._tries[entry.ticket] = MOST_TRIES
            self._due.pop(entry.ticket, None)


def _protected(entry: TradeEntry, position: Position, *, exact: bool) -> bool:
    """Whether a position is protected at least as its entry asked."""
    if not exact:
        return bool(position.sl)
    near = _NEAR * entry.price
    stop = position.sl > 0 and (position.sl - entry.sl) * entry.side > -near
    return stop and (not entry.tp or abs(position.tp - entry.tp) < near)


def _mend(entry: TradeEntry, position: Position) -> Mend:
    nearer = position.sl > 0 and (position.sl - entry.sl) * entry.side > 0
    shown = f"stop {position.sl:g} and target {position.tp:g}"
    return Mend(position.sl if nearer else entry.sl, entry.tp, f"the broker shows {shown} instead of {entry.sl:g} and {entry.tp:g}")
