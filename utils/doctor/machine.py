"""The machine and its files: Python, packages, time zones, disk, the news calendar."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.settings import Settings
from market_data.clock import BrokerTime
from market_data.news import NewsDesk
from utils.doctor.findings import Finding, failed, passed, warned

OLDEST, NEWEST = (3, 11), (3, 13)
LEAST_FREE, LITTLE_FREE = 200 * 2**20, 2**30
"""Bytes of disk below which the databases are in danger, and below which somebody should know."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;\s*sys_platform == \"(\w+)\")?\s*$")
_INSTALL = "run `python -m pip install -r requirements.txt`"


def python(found: tuple[int, int], bits: int) -> Finding:
    """The interpreter; MetaTrader5 exists for 64 bits only.

    Args:
        found: its version.
        bits: of its pointers.
    """
    told = f"{found[0]}.{found[1]}, {bits} bits"
    wanted = f"install 64-bit Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    if bits != 64 or found < OLDEST:
        return failed("python", told, wanted)
    return passed("python", told) if found <= NEWEST else warned("python", f"{told}: not tested", wanted)


def packages(requirements: str, platform: str = sys.platform) -> Iterator[Finding]:
    """What is installed against what the release was tested with.

    Args:
        requirements: text of requirements.txt.
        platform: pins of other systems are passed over.
    """
    pins = [pin.groups() for line in requirements.splitlines() if (pin := _PIN.match(line)) and pin[3] in (None, platform)]
    have = {name: _installed(name) for name, _, _ in pins}
    missing = [name for name, found in have.items() if found is None]
    other = [f"{name} {have[name]} for {pin}" for name, pin, _ in pins if have[name] not in (None, pin)]
    if missing:
        yield failed("packages", f"missing: {', '.join(missing)}", _INSTALL)
    if other:
        yield warned("packages", f"other versions than this release was tested with: {', '.join(other)}", _INSTALL)
    if not missing and not other:
        yield passed("packages", f"{len(pins)} as pinned")


def _installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # torch adds its build, as in 2.13.0+cpu
    except PackageNotFoundError:
        return None


def zones(name: str) -> Finding:
    """The time-zone data that broker time and sessions need."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return failed("time zones", f"no data for {name}", "run `python -m pip install tzdata`")
    return passed("time zones", f"{name} is known")


def disk(folder: Path, free: int | None = None) -> Finding:
    """Free space where models, journal and logs grow.

    Args:
        folder: the home; it need not exist yet.
        free: bytes; None asks the disk.
    """
    if free is None:
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    told = f"{free / 2**30:.1f} GiB free for {folder}"
    if free < LEAST_FREE:
        return failed("disk", told, "free some disk space, or choose another folder with --home DIR")
    return passed("disk", told) if free >= LITTLE_FREE else warned("disk", told, "free some disk space: models and logs grow")


def news(settings: Settings, now: datetime) -> Iterator[Finding]:
    """The calendar of releases, where one is named.

    Args:
        settings: NEWS_FILE, and whether entries wait for it.
        now: this machine's clock.
    """
    chosen = settings.news
    if chosen.news_file is None:
        return
    desk = NewsDesk(chosen, BrokerTime(settings.terminal.broker_time_zone))
    desk.refresh(now)
    problem = desk.problem(now)
    remedy = "export the calendar again, see docs/NEWS.md"
    if problem is None:
        yield passed("news", f"{len(desk.calendar.events)} releases in {chosen.news_file}")
    elif chosen.news_required:
        yield failed("news", f"{problem}; NEWS_REQUIRED: no entry", remedy)
    else:
        yield warned("news", problem, remedy)
