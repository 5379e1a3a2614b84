"""The registry as commands open it, and what they ask of it before they act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from utils.cli.options import existing_home, one_of, settings_with

if TYPE_CHECKING:
    from config.home import Home
    from market_data.clock import Clock
    from strategy.learning.artifact import Manifest
    from strategy.learning.registry import Registry

SlotArgument = Annotated[str, typer.Argument(metavar="SLOT", help="scalper, xgboost, lstm_EURUSD, ...")]


def registry_of(home: Home, origin: str) -> Registry:
    """The registry of a home, with its own origin and key."""
    from config.home import signing_key
    from strategy.learning.registry import Registry

    chosen = settings_with({}).models
    override = chosen.model_signing_key
    key = signing_key(home, override.get_secret_value() if override is not None else None)
    return Registry(home.models, origin=origin, key=key, keep_versions=chosen.keep_versions, clock=clock_of(home, origin))


def clock_of(home: Home, origin: str) -> Clock:
    """What dates a change: the machine's clock, or the time at which a simulated market was last seen.

    A rollback must stand between the daemon's own changes, whose times are the market's.
    """
    from market_data.clock import ManualClock, SystemClock
    from utils.shared_state import SharedState

    machine = SystemClock()
    if origin.startswith("mt5") or not home.shared_state.is_file():
        return machine
    with closing(SharedState(home.shared_state, machine)) as state:
        seen = state.get("status", {}).get("at")
    return machine if seen is None else ManualClock(datetime.fromisoformat(seen))


@contextmanager
def opened(home: Path | None) -> Iterator[tuple[Registry, bool]]:
    """The registry, and whether a daemon holds the home."""
    from config.home import is_held

    found, origin = existing_home(home)
    yield registry_of(found, origin), is_held(found)


def check_known(registry: Registry, slot: str, version: int | None) -> None:
    """A slot or version that nobody made is a slip of the user's, not a damaged file."""
    infos = registry.versions()
    slots = {info.slot for info in infos if info.version is not None} | set(registry.state().slots)
    one_of(slot, tuple(sorted(slots)), "slot")
    if version is not None:
        one_of(str(version), tuple(str(info.version) for info in infos if info.slot == slot), f"version of {slot}")


def verified(registry: Registry, slot: str, version: int) -> Manifest:
    """The manifest of a version.

    Raises:
        CheckFailed: a file of it is missing, altered or foreign.
    """
    from config.errors import ArtifactError, CheckFailed

    try:
        return registry.open(slot, version).manifest
    except ArtifactError as error:
        raise CheckFailed(f"refused: {error}") from error
