from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.errors import FileUnavailable
from market_data.files import read_file, replace_file, write_temporary


def refuse(times: float, error: OSError):
    replace, left = os.replace, [times]

    def wrapped(source, target, **more):
        if left[0] > 0:
            left[0] -= 1
            raise error
        replace(source, target)

    return wrapped


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "state.json"
    file.write_bytes(b"old")
    return file


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir())


def test_content_is_replaced_and_nothing_else_is_left(path):
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path) == ["state.json"]


def test_a_new_file_is_created(tmp_path):
    replace_file(tmp_path / "new.json", b"\x00\r\n")
    assert (tmp_path / "new.json").read_bytes() == b"\x00\r\n"


def test_bytes_are_flushed_before_the_rename(path, monkeypatch):
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: (events.append("fsync"), fsync(handle)))
    monkeypatch.setattr("os.replace", lambda a, b, **k: (events.append("replace"), replace(a, b)))
    replace_file(path, b"new")
    assert events[:2] == ["fsync", "replace"]


def test_two_sharing_violations_are_survived_with_growing_waits(path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("os.replace", refuse(2, PermissionError(13, "in use")))
    replace_file(path, b"new", wait=waits.append)
    assert path.read_bytes() == b"new"
    assert waits == [0.01, 0.02]


def test_a_lasting_violation_leaves_the_old_content_and_says_what_to_do(path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("os.replace", refuse(float("inf"), PermissionError(13, "in use")))
    with pytest.raises(FileUnavailable, match=r"state\.json: cannot be replaced \(in use\); close the program") as caught:
        replace_file(path, b"new", wait=waits.append)
    assert caught.value.path == str(path)
    assert path.read_bytes() == b"old"
    assert names(path) == ["state.json"]
    assert 1 < sum(waits) < 2


def test_another_error_is_not_retried(path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("os.replace", refuse(1, OSError(5, "Input/output error")))
    with pytest.raises(FileUnavailable, match="Input/output error"):
        replace_file(path, b"new", wait=waits.append)
    assert waits == []
    assert path.read_bytes() == b"old"


def test_a_full_disk_leaves_no_part_of_a_file(path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileUnavailable, match="disk is full; free some space"):
        replace_file(path, b"new")
    assert names(path) == ["state.json"]
    assert path.read_bytes() == b"old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileUnavailable, match=r"x\.json: cannot be written"):
        replace_file(tmp_path / "none" / "x.json", b"")


def test_the_temporary_file_is_hidden_and_on_the_same_disk(path):
    temporary = write_temporary(path, b"new")
    assert temporary.parent == path.parent
    assert temporary.name.startswith(".state.json.")
    assert path.read_bytes() == b"old"


def test_a_read_during_a_replacement_is_tried_again(path, monkeypatch):
    waits: list[float] = []
    read, left = Path.read_bytes, [2]

    def busy(self):
        if left[0] > 0:
            left[0] -= 1
            raise PermissionError(13, "in use")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", busy)
    assert read_file(path, wait=waits.append) == b"old"
    assert len(waits) == 2


def test_a_missing_file_is_told_at_once(tmp_path):
    waits: list[float] = []
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", wait=waits.append)
    assert waits == []
