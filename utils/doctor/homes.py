"""The home: origin, lock, databases, artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from config.home import Home, bound_home, is_held, signing_key
from config.settings import Settings
from market_data.clock import SystemClock
from strategy.learning.registry import Registry
from utils.database import Database, Migration
from utils.doctor.findings import Finding, failed, guarded, passed, warned
from utils.journal_schema import MIGRATIONS as JOURNAL
from utils.shared_state import MIGRATIONS as STATE


def home(path: Path, origin: str, settings: Settings) -> Iterator[Finding]:
    """A home as it stands; one that does not exist yet only has to be possible. Nothing is made or changed.

    Args:
        path: its folder.
        origin: where prices would come from.
        settings: for the signing key and retention.
    """
    if not (path / "origin.json").is_file():
        yield _possible(path)
        return
    held, bound = bound_home(path)
    if bound != origin:
        yield failed("home", f"{path} is bound to {bound}, these settings mean {origin}", "choose another folder with --home DIR")
        return
    yield passed("home", f"{path}, prices: {origin}")
    yield passed("lock", "a daemon runs in this home" if is_held(held) else "free")
    yield from guarded("journal", lambda: _database("journal", held.journal, JOURNAL))
    yield from guarded("shared state", lambda: _database("shared state", held.shared_state, STATE))
    yield from guarded("models", lambda: _artifacts(held, origin, settings))


def _possible(path: Path) -> Finding:
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return failed("home", f"{path} cannot be made: {nearest} cannot be written", "check its permissions, or give another --home DIR")
    return passed("home", f"{path} will be made at the first start")


def _database(check: str, path: Path, migrations: tuple[Migration, ...]) -> Iterator[Finding]:
    if not path.is_file():
        yield passed(check, f"{path.name} will be made at the first start")
        return
    with closing(Database(path, migrations, readonly=True)) as database:
        faults = database.faults()
    if faults:
        remedy = f"stop the daemon, move {path.name} and its -wal and -shm files aside; `sqlite3 FILE .recover` saves rows"
        yield failed(check, f"{path.name}: {'; '.join(faults[:3])}", remedy)
    else:
        yield passed(check, f"{path.name}, {path.stat().st_size / 2**20:.1f} MiB, sound")


def _artifacts(held: Home, origin: str, settings: Settings) -> Iterator[Finding]:
    override = settings.models.model_signing_key
    if override is None and not held.key_file.is_file():
        yield passed("models", "none yet")
        return
    key = signing_key(held, override.get_secret_value() if override is not None else None)
    registry = Registry(held.models, origin=origin, key=key, keep_versions=settings.models.keep_versions, clock=SystemClock())
    refusals = registry.verify()
    for refusal in refusals:
        yield failed("models", str(refusal), "`models list` shows what serves instead; `train` makes a new version")
    serving, _ = registry.open_active()
    told = ", ".join(f"{slot} v{artifact.manifest.version}" for slot, artifact in sorted(serving.items()))
    if serving and not refusals:
        yield passed("models", f"every file verifies; serving: {told}")
    elif not refusals:
        yield warned("models", "no model serves yet", "start the daemon and wait for the first training, or see `models list`")
