"""Orders whose outcome is not known: looked for at the venue, given up with care, never sent again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from loguru import logger

from config.errors import OutcomeUnknown, RetryError
from execution.orders import OrderIntent, OrderResult, OrderState, Position

GIVE_UP = timedelta(minutes=5)
"""How long an order is looked for without a trace before it is taken as never sent."""

WATCH = timedelta(hours=1)
"""How long an order that was given up may still turn up: no wait proves that it never existed."""

MEMORY = timedelta(days=1)
_LEAST_LOOKS = 2
_DUST = 1e-9


class Venue(Protocol):
    """Where orders leave traces."""

    def terminal_connected(self) -> bool:
        """Whether the terminal reaches its server; without it, its books are old."""
        ...

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        """Our own open positions."""
        ...

    def find(self, intent: OrderIntent, known: frozenset[int] = frozenset()) -> OrderResult | None:
        """What became of an order; None where there is no trace of it."""
        ...


class OrderRecords(Protocol):
    """What the journal knows of orders."""

    def record_order(self, key: str, result: OrderResult) -> bool:
        """Adds a state to an order; False where it is in that state already."""
        ...

    def unresolved_orders(self) -> tuple[OrderIntent, ...]:
        """Orders that may or may not exist at the venue."""
        ...

    def given_up_orders(self, since: datetime) -> tuple[OrderIntent, ...]:
        """Orders made since an instant and taken as never sent."""
        ...

    def tickets_of_others(self, key: str, since: datetime) -> frozenset[int]:
        """Tickets that the venue gave to other orders made since an instant."""
        ...


class OrderSearch:
    """Unresolved orders, which block, and given-up ones, which do not."""

    def __init__(self, venue: Venue, records: OrderRecords) -> None:
        self._venue = venue
        self._records = records
        self._pending: dict[str, OrderIntent] = {}
        self._absent: dict[str, tuple[datetime, int]] = {}  # first of the looks in a row without a trace, and their count
        self._given_up: dict[str, tuple[OrderIntent, datetime]] = {}

    def start(self, now: datetime) -> None:
        """Goes on where the journal stands. The waiting begins anew: a terminal that has just started may still load its history."""
        for intent in self._records.unresolved_orders():
            self.begin(intent)
        for intent in self._records.given_up_orders(now - MEMORY):
            self._given_up[intent.key] = (intent, now + WATCH)

    def begin(self, intent: OrderIntent) -> None:
        """Notes an order before it is sent: until `end` its outcome is unknown."""
        self._pending[intent.key] = intent
        self._absent.pop(intent.key, None)

    def end(self, intent: OrderIntent) -> None:
        """The outcome is known and on record."""
        self._pending.pop(intent.key, None)
        self._absent.pop(intent.key, None)
        self._given_up.pop(intent.key, None)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look for."""
        return not self._pending and not self._given_up

    def unresolved(self, symbol: str) -> int:
        """Orders on a symbol whose outcome is not known."""
        return sum(intent.symbol == symbol for intent in self._pending.values())

    def closing(self, ticket: int) -> bool:
        """Whether an order that closes this position, or a part of it, may be on its way."""
        return any(intent.position == ticket and intent.purpose != "stop" for intent in self._pending.values())

    def changing(self, ticket: int) -> bool:
        """Whether anything that concerns this position may be on its way."""
        return any(intent.position == ticket for intent in self._pending.values())

    def given_up(self, key: str) -> OrderIntent | None:
        """The order of a key that was given up and may still turn up."""
        return self._given_up[key][0] if key in self._given_up else None

    def look(self, now: datetime, claimed: dict[int, str], *, hedging: bool) -> Iterator[tuple[OrderIntent, OrderResult]]:
        """Looks once for every order; yields what was found.

        Args:
            now: the instant.
            claimed: open position -> key of the order that opened it.
            hedging: whether a close names its position, so that a second one cannot open anything.
        """
        self._given_up = {key: (intent, until) for key, (intent, until) in self._given_up.items() if until > now}
        connected = not (self._pending or self._given_up) or self._venue.terminal_connected()
        for intent in tuple(self._pending.values()):
            found = self._find(intent, claimed)
            if isinstance(found, OrderResult):
                yield intent, found
            elif found is None and connected:
                self._missed(intent, now, hedging)
            else:
                self._absent.pop(intent.key, None)
        for intent, _ in tuple(self._given_up.values()):
            found = self._find(intent, claimed)
            if isinstance(found, OrderResult) and found.state in (OrderState.FILLED, OrderState.PARTIAL):
                logger.warning("{}: order {} was given up and was executed after all", intent.symbol, intent.key)
                yield intent, found

    def _find(self, intent: OrderIntent, claimed: dict[int, str]) -> OrderResult | Exception | None:
        """What the venue shows; the error where it could not be asked or does not tell."""
        others = frozenset(ticket for ticket, key in claimed.items() if key != intent.key)
        known = others | self._records.tickets_of_others(intent.key, intent.created - MEMORY)
        try:
            return self._venue.find(intent, known)
        except (RetryError, OutcomeUnknown) as error:
            logger.warning("order {} is still unknown: {}", intent.key, error)
            return error

    def _missed(self, intent: OrderIntent, now: datetime, hedging: bool) -> None:
        """No trace: gives up after enough looks in a row, by a terminal that was connected at each."""
        first, looks = self._absent.get(intent.key, (now, 0))
        self._absent[intent.key] = (first, looks + 1)
        if looks + 1 < _LEAST_LOOKS or now - first < (timedelta(0) if hedging and self._closes_all(intent) else GIVE_UP):
            return
        logger.warning("{}: the venue has no trace of order {}: taken as never sent", intent.symbol, intent.key)
        self._records.record_order(intent.key, OrderResult(OrderState.NOT_SENT, 0, "the venue has no trace of it"))
        self.end(intent)
        self._given_up[intent.key] = (intent, now + WATCH)

    def _closes_all(self, intent: OrderIntent) -> bool:
        """Whether a second close could do no harm: the first to arrive closes the position, the other meets none."""
        if intent.purpose != "exit":
            return False
        try:
            held = self._venue.positions(intent.symbol)
        except RetryError:
            return False
        return all(position.volume <= intent.volume + _DUST for position in held if position.ticket == intent.position)
