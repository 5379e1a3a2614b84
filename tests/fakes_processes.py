"""Terminals that other processes make: what a spawned child can import by name."""

from __future__ import annotations

from pathlib import Path

from config.errors import HomeError
from tests.fakes_simulated import flat, make_bars, make_terminal


def small_terminal(book: str | None = None, bars: int = 60, connect: bool = True):
    """A quiet EURUSD market of which half has been played."""
    market = make_bars(flat(1.1, bars), volume=12)
    return make_terminal(market, history=bars // 2, book=None if book is None else Path(book), connect=connect)


def refuse_to_start():
    raise HomeError("the book belongs to another market; choose another --home")
