"""Logs: one readable ASCII line per event, to the console and to a rotated file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger
from rich.console import Console

if TYPE_CHECKING:
    from loguru import Record

LINE = "{time:YYYY-MM-DD HH:mm:ss,SSS} - {name} - {level} - {message}"


def configure(level: str, folder: Path | None) -> Console:
    """Sends logs to standard error and, where a folder is given, to `daemon.log` in it.

    Args:
        level: least severity.
        folder: the home's `logs/`; None for commands, which never open the daemon's file.

    Returns:
        The console on standard error, for progress bars that share it with the log lines.
    """
    # A Windows console with a legacy code page must not end the daemon over one character.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    logger.remove()
    logger.configure(patcher=_to_ascii)
    logger.add(lambda line: console.print(line, end=""), level=level, format=LINE, diagnose=False)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        logger.add(
            folder / "daemon.log", level=level, format=LINE, rotation="10 MB", retention=10, encoding="utf-8", diagnose=False
        )  # fmt: skip
    return console


def _to_ascii(record: Record) -> None:
    record["message"] = record["message"].encode("ascii", "backslashreplace").decode("ascii")
