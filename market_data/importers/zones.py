"""Which clock a vendor writes, each rule with the evidence that it was measured on."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfoNotFoundError

from config.errors import DataFileError
from market_data.clock import BrokerTime

SERVER_ZONE = "America/New_York+7"
"""Clock of most MetaTrader servers: the trading day ends at 17:00 New York."""

_LEAN_MARKETS = {"oanda": "UTC", "fxcm": "UTC-5"}
_HOURS_BACK = re.compile(r"(?!Etc/)(.+)-(\d{1,2})")


def histdata_zone(year: int) -> str:
    """Clock of a HistData file by the year of its rows.

    The vendor says "EST without daylight saving"; the files do not hold that. In those of 2017
    US releases stand at 08:30 in winter, in summer and in the weeks when only one side of the
    Atlantic has changed its clocks: New York wall time. From 2019 to 2025 London's noon stands
    at 07:00 all year, and US releases move to 07:30 in just those weeks: London wall time less
    five hours. 2018 was not measured and is taken with the years before it.
    """
    return "America/New_York" if year <= 2018 else "Europe/London-5"


def lean_zone(place: str) -> str | None:
    """Clock of LEAN data by its market, which stands in the path: OANDA UTC, FXCM UTC-5; None for others.

    Both agree on the release of 2014-05-02 12:30 UTC and with each other at lag 0.
    """
    return next((zone for market, zone in _LEAN_MARKETS.items() if market in place.lower()), None)


def clock_of(zone: str) -> BrokerTime:
    """The rule that converts stamps of `zone`.

    Raises:
        DataFileError: for a name that is no zone.
    """
    back = _HOURS_BACK.fullmatch(zone)
    try:
        return BrokerTime(f"{back[1]}+-{back[2]}" if back else zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise DataFileError(
            f"time zone {zone!r} is unknown; name an IANA zone such as 'UTC', 'Europe/Athens' or {SERVER_ZONE!r}"
        ) from error
