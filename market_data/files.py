"""Files that are replaced whole: a reader meets the old content or the new, never a part of either."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from config.errors import FileUnavailable

T = TypeVar("T")
Wait = Callable[[float], object]
"""Waits some seconds; tests hand in one that only counts."""

pause: Wait = threading.Event().wait
_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)


def replace_file(path: Path, data: bytes, *, wait: Wait = pause) -> None:
    """Replaces the content of `path`, or creates it, in one step that also survives a power cut.

    Args:
        path: the file; its folder must exist.
        data: the whole new content.
        wait: how to wait between tries while another program holds the file (Windows).

    Raises:
        FileUnavailable: it cannot be written, or another program holds it open for longer
            than about a second. The old content then stands.
    """
    move_into_place(write_temporary(path, data), path, wait=wait)


def write_temporary(path: Path, data: bytes) -> Path:
    """Writes `data` through to the disk under a hidden name beside `path`, and returns that name.

    Raises:
        FileUnavailable: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    with _naming(path):
        try:
            write_through(temporary, data)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    return temporary


def write_through(path: Path, data: bytes) -> None:
    """Creates `path` and returns only when its bytes are on the disk.

    Raises:
        OSError: it exists, or cannot be written.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def move_into_place(source: Path, target: Path, *, wait: Wait = pause) -> None:
    """Renames `source` over `target` on the same disk, with bounded retry on a sharing violation.

    Raises:
        FileUnavailable: the rename failed for good; `source` is removed and `target` is as before.
    """
    with _naming(target):
        try:
            _patiently(lambda: source.replace(target), wait)
        except OSError:
            with suppress(OSError):  # the rename's own error is the one to tell
                source.unlink()
            raise
    sync_folder(target.parent)


def read_file(path: Path, *, wait: Wait = pause) -> bytes:
    """The content of `path`, with bounded retry while a writer is just replacing it (Windows).

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    return _patiently(path.read_bytes, wait)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable where the system can: Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _patiently(action: Callable[[], T], wait: Wait) -> T:
    for seconds in _PAUSES:
        try:
            return action()
        except PermissionError:
            wait(seconds)
    return action()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileUnavailable(str(path), _explained(error)) from error


def _explained(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"cannot be replaced ({error.strerror}); close the program that holds it open, or allow writing to its folder"
    if error.errno == errno.ENOSPC:
        return "cannot be written, the disk is full; free some space"
    return f"cannot be written ({error})"
