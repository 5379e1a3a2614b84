"""What has ended: orders or deals as they were booked, found by ticket, position or time without a look at the others."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import overload

from execution.simulated.structs import Struct


class History(Sequence[Struct]):
    """Records in the order in which they were booked; more come, none goes.

    Args:
        time: field by which a window of dates finds a record, server epoch seconds.
        ticket: field by which `ticket=` finds it.
        records: to begin with.
    """

    def __init__(self, time: str, ticket: str, records: Iterable[Struct] = ()) -> None:
        self._time, self._ticket = time, ticket
        self._records: list[Struct] = []
        self._times: list[tuple[int, int]] = []  # time and place, ascending: an order is set up long before it ends
        self._by_ticket: dict[int, list[int]] = {}
        self._by_position: dict[int, list[int]] = {}
        self.extend(records)

    def append(self, record: Struct) -> None:
        """Books one more."""
        place = len(self._records)
        self._records.append(record)
        insort(self._times, (getattr(record, self._time), place))
        self._by_ticket.setdefault(getattr(record, self._ticket), []).append(place)
        self._by_position.setdefault(record.position_id, []).append(place)

    def extend(self, records: Iterable[Struct]) -> None:
        """Books some more."""
        for record in records:
            self.append(record)

    @overload
    def __getitem__(self, index: int) -> Struct: ...

    @overload
    def __getitem__(self, index: slice) -> list[Struct]: ...

    def __getitem__(self, index: int | slice) -> Struct | list[Struct]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def of_ticket(self, ticket: int) -> tuple[Struct, ...]:
        """The records that `ticket=` means."""
        return self._at(self._by_ticket.get(ticket, ()))

    def of_position(self, position: int) -> tuple[Struct, ...]:
        """The records of a position."""
        return self._at(self._by_position.get(position, ()))

    def between(self, first: int, last: int) -> tuple[Struct, ...]:
        """Those with `first <= time <= last`, server epoch seconds, in the order in which they were booked."""
        return self._at(sorted(place for _, place in self._times[self._span(first, last)]))

    def total(self, first: int, last: int) -> int:
        """How many `between` would find."""
        return len(range(len(self._times))[self._span(first, last)])

    def _span(self, first: int, last: int) -> slice:
        return slice(bisect_left(self._times, (first,)), bisect_left(self._times, (last + 1,)))

    def _at(self, places: Iterable[int]) -> tuple[Struct, ...]:
        return tuple(self._records[place] for place in places)


def past_orders(records: Iterable[Struct] = ()) -> History:
    """A history of finished orders, found by the time at which they were set up."""
    return History("time_setup", "ticket", records)


def past_deals(records: Iterable[Struct] = ()) -> History:
    """A history of deals, found by their ORDER, as the module's `ticket=` means it."""
    return History("time", "order", records)
