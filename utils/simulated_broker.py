"""A simulated broker that outlives the daemon: started at first use, found again by the next daemon, started again where it died."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger

from config.errors import HomeError, TerminalUnavailable
from execution.broker import BrokerProcess, close_broker, start_broker
from execution.channel import Deadlines
from execution.far_terminal import FarTerminal, GivenUp
from execution.handshake import Line, dial

_SILENT = "says nothing: end the process of the simulated broker, or delete that file if there is no such process"


@dataclass(frozen=True, slots=True)
class _Card:
    """Where a broker listens, its key, and the market that it plays; kept in the home for its user alone."""

    host: str
    port: int
    key: str
    market: str


def open_broker(
    make: Callable[[], Any], market: str, card: Path, deadlines: Deadlines, also: frozenset[str]
) -> tuple[FarTerminal, Callable[[], None]]:
    """A connection to the broker of a home.

    A broker that dies is started again on its book by the next `initialize`, at the latest instant
    that its book knows.

    Args:
        make: makes the simulated terminal, where no broker of this market lives yet.
        market: what `make` depends on, as text; a broker of another market is ended.
        card: file that says where the broker listens.
        deadlines: of calls.
        also: functions beyond the official module's.

    Returns:
        The terminal, and what ends it and the broker; a daemon that dies leaves the broker alive.

    Raises:
        StopError: the broker cannot be started.
    """
    keeper = _Keeper(make, market, card, also)
    with ExitStack() as undo:
        undo.callback(keeper.kill)
        try:
            terminal = FarTerminal(keeper.line, deadlines)
        except OSError as error:
            raise TerminalUnavailable(f"the simulated broker of {card.parent} does not answer: {error}") from error
        undo.pop_all()
    return terminal, partial(_end, terminal, keeper)


class _Keeper:
    """Sees to it that a home has a broker, and never two: a book has one writer. Used under its terminal's lock."""

    def __init__(self, make: Callable[[], Any], market: str, card: Path, also: frozenset[str]) -> None:
        self._make, self._market, self._card, self._also = make, market, card, also
        self._started: BrokerProcess | None = None
        self._met = False
        self.leaving = False

    def line(self, given_up: GivenUp) -> Line:
        """A connection to the broker that lives, or to a new one on its book.

        Raises:
            OSError: there is none, and none is wanted any more.
            StopError: none can be started.
        """
        if self.leaving:
            raise ConnectionError("the simulated broker is being ended")
        line = self._to_living(given_up) or self._to_new(given_up)
        self._met = True
        return line

    def end(self) -> None:
        """Ends the broker."""
        if self._started is None:
            _close(self._card)
            return
        self._card.unlink(missing_ok=True)
        self._started.stop()

    def kill(self) -> None:
        """Ends at once what was started from here."""
        if self._started is not None:
            self._started.kill()

    def _to_living(self, given_up: GivenUp) -> Line | None:
        found = _read(self._card)
        if found is None or found.market != self._market:
            close_leftover(self._card)
            return None
        try:
            line = dial((found.host, found.port), bytes.fromhex(found.key), given_up)
        except TimeoutError as error:
            if self._started is None:
                raise HomeError(f"{found.host}:{found.port}, named by {self._card}, {_SILENT}") from error
            return None  # it hangs; it can be killed, for it was started from here
        except OSError:
            return None  # it is gone
        if not self._met:
            logger.info("found the simulated broker that an earlier daemon had left behind")
        return line

    def _to_new(self, given_up: GivenUp) -> Line:
        if self._met:
            logger.warning("the simulated broker is gone; starting it again on its book")
        self.kill()
        self._started = broker = start_broker(self._make, also=self._also, given_up=given_up)
        _write(self._card, _Card(*broker.address, broker.key.hex(), self._market))
        return dial(broker.address, broker.key, given_up)


def _end(terminal: FarTerminal, keeper: _Keeper) -> None:
    keeper.leaving = True  # a thread that is about to connect again must not start another
    terminal.close()
    keeper.end()


def close_leftover(card: Path) -> None:
    """Ends the broker that a daemon left behind, where there is one: a book has one writer."""
    if _close(card):
        logger.info("ended the simulated broker that an earlier daemon had left behind")


def _close(card: Path) -> bool:
    """Whether there was a broker to end."""
    left = _read(card)
    if left is None:
        return False
    card.unlink(missing_ok=True)
    try:
        close_broker((left.host, left.port), bytes.fromhex(left.key))
    except TerminalUnavailable:
        return False
    return True


def _read(card: Path) -> _Card | None:
    """The card; None where there is none, or none that can be read."""
    try:
        return _Card(**json.loads(card.read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None


def _write(card: Path, content: _Card) -> None:
    try:
        card.unlink(missing_ok=True)
        with os.fdopen(os.open(card, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(content), file)
    except OSError as error:
        raise HomeError(f"{card} cannot be written ({error}); check its permissions, or choose another folder with --home DIR") from error
