"""Stands in for the official `MetaTrader5` package: a program's calls go to a simulated terminal.

The terminal runs in another process on this machine, with other libraries and maybe another Python;
this package needs Python 3.10 and NumPy alone. It puts nothing of its project on the program's
search path: the six files that it shares are loaded by their place, under names of this package.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = Path(__file__).resolve()
_FAILURES = dict.fromkeys(("initialize", "login", "symbol_select", "market_book_add", "market_book_release"), False) | {"shutdown": True}
"""What a function returns without a terminal, where that is not None."""
_RAISED = {kind.__name__: kind for kind in (OverflowError, SystemError, TypeError, ValueError)}


def _shared(name: str, folder: Path = _HERE.parents[2]) -> ModuleType:
    """A file that stands on its own, by default of the simulated terminal, loaded as a part of this package."""
    full = f"{__name__}._{name}"
    spec = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{name}.py is missing beside the stand-in for MetaTrader5; install the project again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module  # by this name records are found when they are unpickled
    spec.loader.exec_module(module)
    return module


_constants, _structs, _shortcuts, _functions = map(_shared, ("constants", "structs", "shortcuts", "functions"))
_wire, _handshake = (_shared(name, _HERE.parents[3]) for name in ("wire", "handshake"))


def _refuse_to_shadow() -> None:
    """Raises where the official package is installed and nobody has said that it may be hidden."""
    others = [folder for folder in sys.path if Path(folder or ".").resolve() != _HERE.parents[1]]
    official = PathFinder.find_spec(__name__, others)
    if official is not None and official.origin is not None and not os.environ.get(_functions.SHADOW):
        raise ImportError(
            f"the MetaTrader5 package at {official.origin} would be hidden by a simulated one; start with-terminal with --shadow"
        )


class _Function:
    """A function of the module. Not a descriptor: a class that keeps one does not make it a method."""

    def __init__(self, terminal: _Terminal, name: str) -> None:
        self._terminal, self.__name__, self.__qualname__ = terminal, name, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._terminal.ask(self.__name__, args, keywords)

    def __repr__(self) -> str:
        return f"<simulated function {self.__name__}>"


class _Terminal(_shortcuts.Shortcuts):  # type: ignore[name-defined,misc]  # the class comes from a file that is loaded by its place
    """The line to the simulated terminal; one per process, shared by its threads."""

    def __init__(self) -> None:
        self._lock, self._process, self._line = threading.RLock(), 0, None
        self._error = (_constants.RES_S_OK, "Success")
        for name in _functions.FUNCTIONS:
            setattr(self, name, _Function(self, name))

    def ask(self, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The answer of the terminal; without a terminal the function's failure value."""
        if name == "last_error" and not (args or keywords):
            return self._error  # kept here: it is asked for after every call, and after the terminal is gone
        message = _wire.encode((name, args, keywords), _structs.STRUCTS)
        if len(message) > _wire.LONGEST_REQUEST:
            self._error = (_constants.RES_E_INVALID_PARAMS, "Invalid arguments")
            return _FAILURES.get(name)
        with self._lock:
            reply = self._exchange(message, start=name == "initialize")
            if reply is None:
                return _FAILURES.get(name)
            kind, value, self._error = reply
        if kind == "value":
            return value
        raise _RAISED[kind](value)

    def _exchange(self, message: bytes, *, start: bool) -> Any:
        """Sends a message and waits for its answer; None leaves the reason in `last_error`."""
        line = self._open(again=start)
        if line is None:
            self._error = (
                (_constants.RES_E_INTERNAL_FAIL_INIT, "IPC initialize failed, MetaTrader 5 x64 not found")
                if start
                else (_constants.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
            )
            return None
        failure = (_constants.RES_E_INTERNAL_FAIL_SEND, "IPC send failed")
        try:
            line.send_bytes(message)
            failure = (_constants.RES_E_INTERNAL_FAIL_RECEIVE, "IPC recv failed")
            return _wire.decode(line.recv_bytes(_wire.LONGEST_REPLY), _structs.STRUCTS)
        except (OSError, EOFError, ValueError):
            line.close()
            self._line, self._error = None, failure
            return None

    def _open(self, *, again: bool) -> Any:
        """The line, opened at the first call, after a fork and, once it was lost, by `initialize` alone."""
        if self._process != os.getpid() or (again and self._line is None):
            self._process, self._line = os.getpid(), _dial()
        return self._line


def _dial() -> Any:
    """A connection to the terminal that the environment names; None where there is none."""
    host, _, port = os.environ.get(_functions.ADDRESS, "").partition(":")
    if not port:
        return None
    try:
        return _handshake.dial((host, int(port)), bytes.fromhex(os.environ.get(_functions.KEY, "")))
    except OSError:
        return None


if __name__ == "MetaTrader5":
    _refuse_to_shadow()

_terminal = _Terminal()
# Eager, because programs copy functions and types out of this dictionary.
globals().update(_constants.CONSTANTS)
globals().update(_structs.STRUCTS)
globals().update({name: getattr(_terminal, name) for name in (*_functions.FUNCTIONS, "Buy", "Sell", "Close")})

__version__ = "5.0.6231"
__author__ = "Simulated terminal"
