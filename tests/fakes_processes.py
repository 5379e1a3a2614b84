"""Terminals that other processes make: what a spawned child can import by name."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from config.errors import HomeError
from config.settings import Settings
from market_data.clock import SystemClock
from tests.fakes_simulated import flat, make_bars, make_terminal
from utils.simulation import simulated_module


def small_terminal(book: str | None = None, bars: int = 60, connect: bool = True):
    """A quiet EURUSD market of which half has been played."""
    market = make_bars(flat(1.1, bars), volume=12)
    return make_terminal(market, history=bars // 2, book=None if book is None else Path(book), connect=connect)


def refuse_to_start():
    raise HomeError("the book belongs to another market; choose another --home")


def hold_the_interpreter(seconds: float) -> None:
    """A C call that keeps the GIL, as the official module does while it waits for the terminal."""
    if seconds <= 0:
        return
    if os.name == "nt":
        ctypes.PyDLL("kernel32").Sleep(int(seconds * 1000))
    else:
        ctypes.PyDLL(None).sleep(math.ceil(seconds))


class HangingModule:
    """A module that hangs where a file says so.

    `FUNCTION before` and `FUNCTION after` hang once, before or after the work is done; the file is
    removed when the hang begins, so whoever waits for that knows. `all EPOCH` lets every call hang
    until that second, in every process.
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
        if function == "all" and name != "last_error":
            hold_the_interpreter(max(0.0, float(when) - SystemClock().now().timestamp()))
        if function != name:
            return ""
        self._order.unlink()
        return when


def hanging_terminal(folder: str, seconds: float = 600.0) -> HangingModule:
    """The small terminal with its book in a folder, hanging where `hang` in that folder says so."""
    home = Path(folder)
    return HangingModule(small_terminal(str(home / "broker.db"), connect=False), home / "hang", seconds)


def hanging_simulation(settings: Settings, source: Sequence[str], start: datetime | None, book: Path) -> HangingModule:
    """The simulated terminal that the settings mean, hanging where `hang` in its home says so."""
    return HangingModule(simulated_module(settings, source, start, book), book.parent / "hang", 3_600.0)


def order_hang(home: Path, text: str) -> None:
    """Writes the file whole: a worker may read it at any moment."""
    new = home / "hang.new"
    new.write_text(text, encoding="utf-8")
    new.replace(home / "hang")


def brokers_of_this_process() -> Iterator[psutil.Process]:
    """Living processes of simulated brokers that were started from here."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE and "broker_house" in " ".join(child.cmdline()):
                yield child


if __name__ == "__main__":
    from tests.fakes_processes import hanging_simulation as by_its_name
    from utils import simulated_terminal
    from utils.cli import start as start_daemon

    simulated_terminal.simulated_module = by_its_name
    start_daemon()
