"""The home: one folder per source of prices, with its models, journal, logs and signing key."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from config.errors import HomeError

_ORIGIN = re.compile(r"synthetic|file|mt5:[^/\s][^/]*/\d+")
_KEY = re.compile(r"[0-9a-f]{64}")
_SHORTEST_KEY = 32
_SETUP_SECONDS = 30.0
_HOLD_SECONDS = 1.0
"""`is_held` holds the lock for an instant; a daemon that starts then waits for it."""


@dataclass(frozen=True)
class Home:
    """Where everything of one origin lives; the folders exist once `open_home` returned it."""

    path: Path

    @property
    def models(self) -> Path:
        """Artifacts and `active.json`."""
        return self.path / "models"

    @property
    def journal(self) -> Path:
        """The trade journal's database."""
        return self.path / "journal.db"

    @property
    def shared_state(self) -> Path:
        """The shared-state database."""
        return self.path / "shared_state.db"

    @property
    def logs(self) -> Path:
        """Folder of the rotating logs."""
        return self.path / "logs"

    @property
    def book(self) -> Path:
        """The simulated broker's database."""
        return self.path / "broker.db"

    @property
    def key_file(self) -> Path:
        """The key that signs manifests; hexadecimal text."""
        return self.path / "signing.key"

    @property
    def origin_file(self) -> Path:
        """The origin this home is bound to."""
        return self.path / "origin.json"

    @property
    def lock_file(self) -> Path:
        """Held by the daemon for as long as it runs."""
        return self.path / "home.lock"


def open_home(path: Path, origin: str) -> Home:
    """Opens a home, creates it where it is new, and binds it to its origin at first use.

    Args:
        path: the folder.
        origin: where its prices come from: `synthetic`, `file` or `mt5:<server>/<login>`.

    Raises:
        HomeError: as `prepare_home`.
    """
    home = prepare_home(path, origin)
    text = json.dumps({"origin": origin}, indent=2) + "\n"
    _require_origin(home, origin, _create_once(home, home.origin_file, lambda: text))
    return home


def prepare_home(path: Path, origin: str) -> Home:
    """Creates a home where it is new and binds it to nothing yet: the origin may still prove a slip.

    Args:
        path: the folder.
        origin: where its prices come from: `synthetic`, `file` or `mt5:<server>/<login>`.

    Raises:
        HomeError: the home is bound to another origin, its binding cannot be read, or the
            folder cannot be created or written.
    """
    if not _ORIGIN.fullmatch(origin):
        raise HomeError(f"origin {origin!r} is none of synthetic, file, mt5:<server>/<login>; check MT5_SERVER and MT5_LOGIN")
    home = Home(path.expanduser().resolve())
    with _naming(home.path):
        home.models.mkdir(parents=True, exist_ok=True)
        home.logs.mkdir(exist_ok=True)
        if home.origin_file.is_file():
            _require_origin(home, origin, home.origin_file.read_text(encoding="utf-8", errors="replace"))
    return home


def bound_home(path: Path) -> tuple[Home, str]:
    """Opens a home that exists already, with the origin that it is bound to; makes nothing.

    Raises:
        HomeError: there is no home in this folder, or its binding cannot be read.
    """
    home = Home(path.expanduser().resolve())
    with _naming(home.path):
        if not home.origin_file.is_file():
            raise HomeError(f"no home in {home.path}: start the daemon there once, or give the right one with --home DIR")
        return home, _bound_origin(home, home.origin_file.read_text(encoding="utf-8", errors="replace"))


def is_held(home: Home) -> bool:
    """Whether a process holds the home now, as a running daemon does.

    Raises:
        HomeError: the lock cannot be used.
    """
    if not home.lock_file.exists():
        return False
    try:
        with _naming(home.lock_file), FileLock(home.lock_file, timeout=0):
            return False
    except Timeout:
        return True


def signing_key(home: Home, override: str | None) -> bytes:
    """The key that signs this home's manifests, made at first use.

    The key file is created for its user alone; where the system has no such modes (Windows) it
    has the permissions of the home. A key that exists is never written again.

    Args:
        home: as `open_home` returned it.
        override: MODEL_SIGNING_KEY; the key file is then neither read nor made.

    Raises:
        HomeError: the override is too short, or the key file is malformed or cannot be read.
    """
    if override is not None:
        if len(override) < _SHORTEST_KEY:
            raise HomeError(f"MODEL_SIGNING_KEY has {len(override)} characters; give it {_SHORTEST_KEY} or more")
        return override.encode()
    text = _create_once(home, home.key_file, lambda: secrets.token_bytes(32).hex() + "\n").strip()
    if not _KEY.fullmatch(text):
        raise HomeError(
            f"{home.key_file} is not a signing key (64 hexadecimal digits): put the original back from a backup; "
            "or delete it, and every model of this home must be trained again"
        )
    return bytes.fromhex(text)


@contextmanager
def hold_home(home: Home) -> Iterator[None]:
    """Holds the home for one daemon; the system lets go of it when the process dies, however it dies.

    Raises:
        HomeError: another process holds it.
    """
    lock = FileLock(home.lock_file)
    try:
        with _naming(home.lock_file):
            lock.acquire(timeout=_HOLD_SECONDS)
    except Timeout as error:
        raise HomeError(
            f"{home.lock_file} is held: a daemon already runs in this home; stop it, or choose another with --home DIR"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _require_origin(home: Home, origin: str, text: str) -> None:
    bound = _bound_origin(home, text)
    if bound != origin:
        raise HomeError(f"home {home.path} is bound to {bound}, not to {origin}; choose another folder with --home DIR")


def _bound_origin(home: Home, text: str) -> str:
    try:
        origin = json.loads(text)["origin"]
    except (ValueError, KeyError, TypeError):
        origin = None
    if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
        raise HomeError(f'{home.origin_file} is damaged: restore it to {{"origin": "..."}}, or choose another folder with --home DIR')
    return origin


def _create_once(home: Home, path: Path, make: Callable[[], str]) -> str:
    """The text of `path`, which the first process to come here creates and nobody changes after."""
    try:
        with _naming(path), FileLock(home.models / ".setup.lock", timeout=_SETUP_SECONDS):
            if not path.exists():
                _create(path, make().encode())
            return path.read_text(encoding="utf-8", errors="replace")
    except Timeout as error:
        raise HomeError(f"{home.models / '.setup.lock'} has been held for {_SETUP_SECONDS:.0f} s; end the process that holds it") from error


def _create(path: Path, data: bytes) -> None:
    """Whole or not at all: a kill leaves a temporary file and no half-written key."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise  # a TimeoutError, hence an OSError, which the callers tell apart
    except OSError as error:
        raise HomeError(f"{path} cannot be used ({error}); check its permissions, or choose another folder with --home DIR") from error
