"""Terminals that other processes make: what a spawned child can import by name."""

from __future__ import annotations

import ctypes
import os
from functools import partial
from pathlib import Path
from typing import Any

from config.errors import HomeError
from tests.fakes_simulated import flat, make_bars, make_terminal


def small_terminal(book: str | None = None, bars: int = 60, connect: bool = True):
    """A quiet EURUSD market of which half has been played."""
    market = make_bars(flat(1.1, bars), volume=12)
    return make_terminal(market, history=bars // 2, book=None if book is None else Path(book), connect=connect)


def refuse_to_start():
    raise HomeError("the book belongs to another market; choose another --home")


def hold_the_interpreter(seconds: float) -> None:
    """A C call that keeps the GIL, as the official module does while it waits for the terminal."""
    if os.name == "nt":
        ctypes.PyDLL("kernel32").Sleep(int(seconds * 1000))
    else:
        ctypes.PyDLL(None).sleep(int(seconds))


class HangingModule:
    """A module that hangs once where a file says so: `FUNCTION before` or `FUNCTION after`.

    The file is removed when the hang begins, so whoever waits for that knows.
    """

    def __init__(self, module: Any, order: Path, seconds: float) -> None:
        self._module, self._order, self._seconds = module, order, seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return partial(self._call, found, name) if callable(found) and not name.startswith("_") else found

    def _call(self, function: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        when = self._taken(name)
        if when == "before":
            hold_the_interpreter(self._seconds)
        value = function(*args, **kwargs)
        if when == "after":
            hold_the_interpreter(self._seconds)
        return value

    def _taken(self, name: str) -> str:
        if not self._order.exists():
            return ""
        function, when = self._order.read_text(encoding="utf-8").split()
        if function != name:
            return ""
        self._order.unlink()
        return when


def hanging_terminal(folder: str, seconds: float = 600.0) -> HangingModule:
    """The small terminal with its book in a folder, hanging where `hang` in that folder says so."""
    home = Path(folder)
    return HangingModule(small_terminal(str(home / "broker.db"), connect=False), home / "hang", seconds)
