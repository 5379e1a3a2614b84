"""Checks of single values that a range cannot express."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_ZONE = re.compile(r"(?P<name>[A-Za-z_]+(?:[/-][A-Za-z_-]+)*)(?:\+(?P<hours>\d{1,2}))?")


def split_list(value: object) -> object:
    """Splits text at commas; anything that is not text passes unchanged.

    >>> split_list("EURUSD, GBPUSD")
    ('EURUSD', 'GBPUSD')
    """
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are.

    Raises:
        ValueError: if one stands there twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return names


def broker_zone(text: str) -> str:
    """The zone as it is: an IANA name, optionally followed by whole hours to add.

    `Etc/GMT+2` is refused: by that name's own rule it means two hours behind UTC, and by
    ours two hours ahead.

    Raises:
        ValueError: if it is not such a zone.
    """
    match = _ZONE.fullmatch(text)
    if match is None or text.startswith("Etc/") or int(match["hours"] or 0) > 14:
        raise ValueError("not a zone such as Europe/Athens, America/New_York+7 or UTC+2")
    try:
        ZoneInfo(match["name"])
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"there is no time zone {match['name']}; write one such as Europe/Athens, America/New_York+7 or UTC+2") from error
    return text


def plain_path(path: Path) -> Path:
    r"""The path as it is.

    Raises:
        ValueError: if it holds control characters. Between double quotes in `.env` the
            ``\t`` of ``C:\MetaTrader 5\terminal64.exe`` is read as a tab.
    """
    if any(ord(character) < 32 for character in str(path)):
        raise ValueError("holds control characters; write the path without double quotes")
    return path
