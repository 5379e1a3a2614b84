"""The registry as commands open it, and what they ask of it before they act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import StorageBusy, StorageError
from utils.cli.options import existing_home, one_of, settings_with

if TYPE_CHECKING:
    from config.home import Home
    from market_data.clock import Clock
    from strategy.learning.artifact import Manifest, VerifiedArtifact
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
    from market_data.clock import SystemClock

    return SystemClock() if origin.startswith("mt5") else _MarketClock(home)


@dataclass(frozen=True, slots=True)
class _MarketClock:
    """The newest instant that a home knows of its simulated market; the machine's where it knows none.

    No source is enough: the heartbeat keeps the machine's minutes, in which a replay plays hours, and a change
    or a decision may lie on either side of it. What cannot be read tells nothing.
    """

    home: Home

    def now(self) -> datetime:
        """The newest of what is known."""
        from market_data.clock import SystemClock

        return max((at for source in (_beat, _decided, _changed) for at in source(self.home)), default=SystemClock().now())

    def monotonic(self) -> float:
        """The same instant as epoch seconds."""
        return self.now().timestamp()


def _beat(home: Home) -> list[datetime]:
    """The market's time in the daemon's last heartbeat."""
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    if not home.shared_state.is_file():
        return []
    with suppress(StorageError, StorageBusy), closing(SharedState(home.shared_state, SystemClock())) as state:
        return _instants(state.get("status", {}).get("at"))
    return []


def _decided(home: Home) -> list[datetime]:
    """When the newest bar that was decided had closed."""
    from market_data.bars import Timeframe
    from utils.journal_queries import JournalReader, journal_scopes

    found: list[datetime] = []
    if not home.journal.is_file():
        return found
    with suppress(StorageError, StorageBusy):
        bar = timedelta(seconds=Timeframe[settings_with({}).symbols.timeframe].seconds)
        for account, mode in journal_scopes(home.journal):
            with closing(JournalReader(home.journal, account=account, mode=mode)) as journal:
                found += [at + bar for row in journal.decisions(1) for at in _instants(row["bar_time"])]
    return found


def _changed(home: Home) -> list[datetime]:
    """The newest changes of what serves."""
    from market_data.files import pause
    from strategy.learning.active import EMPTY_STATE, ActiveFile

    state = ActiveFile(home.models, lambda: EMPTY_STATE, wait=pause, fault=lambda step: None).read().state
    return [at for slot in state.slots.values() for change in slot.history[-1:] for at in _instants(change.at)]


def _instants(text: str | None) -> list[datetime]:
    with suppress(TypeError, ValueError):  # text that anyone may edit
        return [datetime.fromisoformat(text).astimezone(UTC)] if text is not None else []
    return []


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
    """The manifest of a version; see `verified_files`."""
    return verified_files(registry, slot, version).manifest


def verified_files(registry: Registry, slot: str, version: int) -> VerifiedArtifact:
    """A version, to be loaded.

    Raises:
        CheckFailed: a file of it is missing, altered or foreign.
    """
    from config.errors import ArtifactError, CheckFailed

    try:
        return registry.open(slot, version)
    except ArtifactError as error:
        raise CheckFailed(f"refused: {error}") from error
