"""The whole examination, in the order in which things depend on each other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from config.errors import SettingsError
from config.home import Home
from config.loading import load_settings
from config.settings import Settings
from market_data.clock import SystemClock
from utils.doctor import machine, terminal
from utils.doctor.findings import Finding, failed, guarded, passed
from utils.doctor.homes import home
from utils.doctor.machine import news
from utils.terminals import RunOptions, connected_client, open_terminal, origin_of

_BITS = 64 if sys.maxsize > 2**32 else 32


def examine(project: Path, overrides: Mapping[str, Any], source: tuple[str, ...], folder: Callable[[Settings], Path]) -> Iterator[Finding]:
    """Every check, one after the other; a fault ends only what depends on it.

    Nothing is written into the home, and no order is sent.

    Args:
        project: folder of `.env` and requirements.txt.
        overrides: settings of the command line.
        source: as for `run`.
        folder: the home that the settings mean.
    """
    yield machine.python((sys.version_info.major, sys.version_info.minor), _BITS)
    yield from machine.packages((project / "requirements.txt").read_text(encoding="utf-8"))
    try:
        settings = load_settings(project / ".env", overrides)
    except SettingsError as error:
        for line in str(error).splitlines()[1:]:
            yield failed("settings", line.strip(), "correct .env or the environment; `config show` lists what is allowed")
        return
    yield passed("settings", f"sound, TRADE_MODE={settings.terminal.trade_mode}, GATE_PROFILE={settings.gate.gate_profile}")
    path = folder(settings).expanduser().resolve()
    options = RunOptions(source)
    yield machine.zones(settings.terminal.broker_time_zone.partition("+")[0])
    yield machine.disk(path)
    yield from guarded("home", lambda: home(path, origin_of(settings, options), settings))
    yield from news(settings, SystemClock().now())
    yield from guarded("terminal", lambda: _terminal(settings, options))


def _terminal(settings: Settings, options: RunOptions) -> Iterator[Finding]:
    """Connects as the daemon would, and only looks; a simulated broker is made in a folder that is deleted."""
    with ExitStack() as undo:
        if settings.uses_mt5:
            client, clock = connected_client(settings, undo), SystemClock().now()
            yield passed("terminal", "it answers")
        else:
            scratch = undo.enter_context(TemporaryDirectory(prefix="doctor-", ignore_cleanup_errors=True))
            opened = open_terminal(settings, options, Home(Path(scratch)))
            undo.callback(opened.close)
            client, clock = opened.client, opened.clock.now()
            yield passed("terminal", opened.banner)
        yield from terminal.permissions(client.state(), settings)
        yield from terminal.account(client.account(), settings)
        yield from terminal.symbols(client, settings, clock)
