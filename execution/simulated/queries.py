"""Filters over records: by ticket, then symbol, then group; by time, order or position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from execution.simulated.calls import expect, integer, invalid, matches, stamp, text
from execution.simulated.history import History
from execution.simulated.structs import Struct


def filtered(records: Iterable[Struct], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Callable[[], tuple[Struct, ...]]:
    """The filter of `positions_get` and `orders_get`; arguments are checked now, records read later.

    Raises:
        CallFailed: for positional arguments, which the module does not take here.
    """
    if args:
        raise invalid("Unnamed arguments not allowed")
    wanted = keep(keywords)
    return lambda: tuple(record for record in records if wanted(record))


def keep(keywords: Mapping[str, Any]) -> Callable[[Struct], bool]:
    """A test for one record; ticket wins over symbol, symbol over group."""
    if "ticket" in keywords:
        ticket = integer(keywords["ticket"])
        return lambda record: bool(record.ticket == ticket)
    if "symbol" in keywords:
        symbol = text(keywords["symbol"])
        return lambda record: bool(record.symbol == symbol)
    return by_group(keywords)


def by_group(keywords: Mapping[str, Any]) -> Callable[[Struct], bool]:
    """A test by group mask; everything passes without one."""
    if "group" not in keywords:
        return lambda _: True
    group = keywords["group"]
    if not isinstance(group, str):
        raise invalid('Invalid "group" argument')
    return lambda record: matches(record.symbol, group)


def window(args: tuple[Any, ...]) -> tuple[int, int]:
    """Two dates, positional, server epoch seconds."""
    expect(args, 2)
    return stamp(args[0]), stamp(args[1])


def in_history(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Callable[[History], tuple[Struct, ...]]:
    """What `history_*_get` finds: by a window of dates with an optional group, or a ticket, or a position.

    Args:
        args: positional arguments.
        keywords: the others; `date_from` and `date_to` are not among those that the module knows.

    Raises:
        CallFailed: for anything else.
    """
    if args:
        first, last = window(args)
        if not set(keywords) <= {"group"}:
            raise invalid()
        fits = by_group(keywords)
        return lambda history: tuple(record for record in history.between(first, last) if fits(record))
    known = {"ticket": History.of_ticket, "position": History.of_position}
    if len(keywords) != 1 or not set(keywords) <= set(known):
        raise invalid()
    ((name, value),) = keywords.items()
    number = integer(value)
    return lambda history: known[name](history, number)
