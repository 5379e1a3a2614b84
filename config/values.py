"""Checks of single values that a range cannot express."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CITIES = {
    "frankfurt": "Europe/Berlin",
    "london": "Europe/London",
    "new york": "America/New_York",
    "sydney": "Australia/Sydney",
    "tokyo": "Asia/Tokyo",
}
"""Market places by the name that traders use."""

_SESSION = re.compile(r"(?P<zone>[A-Za-z_/+-]+(?: [A-Za-z]+)?) (?P<opens>(?:[01]\d|2[0-3]):[0-5]\d)-(?P<closes>(?:[01]\d|2[0-3]):[0-5]\d)")
_ZONE = re.compile(r"(?P<name>[A-Za-z_]+(?:[/-][A-Za-z_-]+)*)(?:\+(?P<hours>\d{1,2}))?")


_FAULT = re.compile(r"(?P<name>\w+)(?::(?P<share>\d*\.?\d+)|@(?P<nth>[1-9]\d*))")

FAULTS = (
    *("requote", "price_changed", "no_quotes", "reject", "partial", "none", "unsent", "timeout", "late", "lost", "hang"),
    *("no_stops", "no_comment", "algo_off", "api_off", "offline", "other_account", "clock_jump", "late_history", "late_positions"),
)
"""What SIM_FAULTS can let go wrong; docs/FAULTS.md says what each is."""


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


def trading_sessions(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Sessions with their zones written in full.

    >>> trading_sessions(("London 08:00-17:00",))
    ('Europe/London 08:00-17:00',)

    Raises:
        ValueError: if one is not a zone and a span of local time.
    """
    return tuple(_trading_session(text) for text in texts)


def _trading_session(text: str) -> str:
    match = _SESSION.fullmatch(text)
    if match is None or match["opens"] == match["closes"]:
        raise ValueError(f"{text!r} is no session; write a zone and two times, such as London 08:00-17:00 or Asia/Tokyo 22:00-02:00")
    zone = _CITIES.get(match["zone"].lower(), match["zone"])
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise ValueError(f"there is no time zone {zone}; write one such as Europe/London, or one of {', '.join(_CITIES)}") from error
    return f"{zone} {match['opens']}-{match['closes']}"


def sim_faults(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The faults as they are.

    >>> sim_faults(("requote:0.02", "lost@3"))
    ('requote:0.02', 'lost@3')

    Raises:
        ValueError: if one is not a known kind with a share of the orders, or the number of one.
    """
    for text in texts:
        split_fault(text)
    return texts


def split_fault(text: str) -> tuple[str, float, int]:
    """Kind, share of the orders that it strikes, and the one order that it strikes; the latter is 0 where the share counts.

    >>> split_fault("requote:0.02"), split_fault("lost@3")
    (('requote', 0.02, 0), ('lost', 0.0, 3))

    Raises:
        ValueError: if it is not such a fault.
    """
    match = _FAULT.fullmatch(text)
    if match is None or float(match["share"] or 0) > 1:
        raise ValueError(
            f"{text!r} is no fault; write its kind and the share of orders that it strikes, or which one: requote:0.02, lost@3"
        )
    if match["name"] not in FAULTS:
        raise ValueError(f"there is no fault {match['name']!r}; there are {', '.join(FAULTS)}")
    return match["name"], float(match["share"] or 0), int(match["nth"] or 0)


def plain_path(path: Path) -> Path:
    r"""The path as it is.

    Raises:
        ValueError: if it holds control characters. Between double quotes in `.env` the
            ``\t`` of ``C:\MetaTrader 5\terminal64.exe`` is read as a tab.
    """
    if any(ord(character) < 32 for character in str(path)):
        raise ValueError("holds control characters; write the path without double quotes")
    return path
