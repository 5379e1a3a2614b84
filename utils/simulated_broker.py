"""A simulated broker that outlives the daemon: started at first use, found again by the next daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from config.errors import HomeError, TerminalUnavailable
from execution.broker import BrokerProcess, close_broker, connect_broker, start_broker
from execution.channel import Deadlines
from execution.far_terminal import FarTerminal


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
    living = _living(card, market, deadlines)
    if living is not None:
        return living
    broker = start_broker(make, also=also)
    with ExitStack() as undo:
        undo.callback(broker.kill)
        _write(card, _Card(*broker.address, broker.key.hex(), market))
        terminal = broker.connect(deadlines)
        undo.pop_all()
    return terminal, lambda: _end(terminal, card, broker)


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


def _living(card: Path, market: str, deadlines: Deadlines) -> tuple[FarTerminal, Callable[[], None]] | None:
    found = _read(card)
    if found is None or found.market != market:
        close_leftover(card)
        return None
    try:
        terminal = connect_broker((found.host, found.port), bytes.fromhex(found.key), deadlines)
    except TerminalUnavailable:
        return None  # it is gone
    logger.info("found the simulated broker that an earlier daemon had left behind")
    return terminal, lambda: _end(terminal, card, None)


def _end(terminal: FarTerminal, card: Path, broker: BrokerProcess | None) -> None:
    terminal.close()
    _close(card)
    if broker is not None:
        broker.stop()


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
