"""The folder of versions: staging, placing, checking and removing their files. Nothing here opens a pickle."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from types import MappingProxyType

from config.errors import ArtifactError, FileUnavailable
from market_data.files import Wait, move_into_place, read_file, sync_folder, write_through
from strategy.learning.active import Fault
from strategy.learning.artifact import FileEntry, Manifest, VerifiedArtifact, check_slot, check_suffix, parse_name, stem
from strategy.learning.libraries import mismatch

MODEL_FILES = (".pkl", ".pth", ".npz", ".onnx")
LEGACY_FOLDER = "legacy"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version, or the pointer to it, is not used; `version` is None where no version is meant.

    Attributes:
        outdated: nothing is wrong with its files, but it was made with other libraries than those installed.
        unreadable: nobody knows whether anything is wrong: the file is there and another program keeps it.
    """

    slot: str
    version: int | None
    file: str
    reason: str
    outdated: bool = False
    unreadable: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


class ArtifactStore:
    """Versions as files in one folder; the callers that write hold the registry's lock.

    Args:
        root: the folder.
        origin: the only origin whose versions are opened.
        key: signs and checks manifests.
        wait: how to wait for a file that another program holds.
        fault: is told each step before it is taken.
    """

    def __init__(self, root: Path, *, origin: str, key: bytes, wait: Wait, fault: Fault) -> None:
        self.root, self.staging, self.retired, self.aside = root, root / ".staging", root / ".retired", root / LEGACY_FOLDER
        self._origin, self._key, self._wait, self._fault = origin, key, wait, fault

    def examine(self, slot: str, version: int, folder: Path | None = None) -> VerifiedArtifact | Refusal:
        """Reads a version and checks signature, origin, libraries, and size and hash of every file, in this order."""
        folder = self.root if folder is None else folder
        name = f"{stem(slot, version)}.json"
        try:
            check_slot(slot)
            manifest = Manifest.trusted(read_file(folder / name, wait=self._wait), self._key)
            self._check_identity(manifest, slot, version)
        except FileNotFoundError:
            return Refusal(slot, version, name, "missing")
        except OSError as error:
            return _unreadable(slot, version, name, error)
        except ArtifactError as error:
            return Refusal(slot, version, name, str(error))
        foreign = mismatch(manifest.libraries)
        if foreign is not None:
            return Refusal(slot, version, name, foreign, outdated=True)
        return self._examine_files(manifest, folder)

    def still_has(self, manifest: Manifest) -> bool:
        """Whether a version that was opened before is still this one; nothing that is open to another program is waited for."""
        try:
            return (self.root / f"{manifest.stem}.json").read_bytes() == manifest.to_json()
        except OSError as error:
            return not isinstance(error, FileNotFoundError)

    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Versions that have a manifest, by slot, oldest first."""
        found: dict[str, list[int]] = {}
        for slot, version, suffix in self._parsed():
            if suffix == ".json":
                found.setdefault(slot, []).append(version)
        return {slot: tuple(sorted(versions)) for slot, versions in sorted(found.items())}

    def highest(self, slot: str) -> int:
        """The highest number of which any file is left, set aside or not; 0 where there is none."""
        files = (*_children(self.root), *_children(self.aside))
        return max((parsed[1] for path in files if (parsed := parse_name(path.name)) is not None and parsed[0] == slot), default=0)

    def legacy(self) -> tuple[str, ...]:
        """Names of model files without a manifest: an older installation's, or put here by hand."""
        known = {(slot, version) for slot, versions in self.numbers().items() for version in versions}
        known |= {parsed[:2] for path in _children(self.retired) if (parsed := parse_name(path.name)) is not None}
        names = (path.name for path in _children(self.root) if path.suffix in MODEL_FILES and not path.name.startswith("."))
        return tuple(sorted(name for name in names if (parse_name(name) or ("", 0))[:2] not in known))

    def aside_names(self) -> tuple[str, ...]:
        """Names of the files that were set aside, with their folder."""
        return tuple(f"{LEGACY_FOLDER}/{path.name}" for path in _children(self.aside))

    def set_aside(self, names: Iterable[str]) -> tuple[str, ...]:
        """Moves files into the folder of what is never loaded; one that has the name of an older one gets a number.

        Returns:
            Where each is now, below the root.

        Raises:
            FileUnavailable: a file could not be moved; those before it were.
        """
        moved = []
        for name in names:
            self._fault("set aside")
            try:
                self.aside.mkdir(exist_ok=True)
                target = _free(self.aside / name)
                (self.root / name).rename(target)
            except OSError as error:
                raise FileUnavailable(str(self.root / name), f"cannot be moved to {self.aside} ({error}); close what holds it") from error
            moved.append(f"{LEGACY_FOLDER}/{target.name}")
        return tuple(moved)

    def stage(self, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
        """Writes a version through to the disk in a folder of its own, the manifest first.

        Raises:
            FileUnavailable: it cannot be written.
        """
        folder = self.staging / manifest.stem
        self._fault("make staging")
        try:
            folder.mkdir(parents=True)
            # First, so that `clean` knows at every later moment which files belong to the attempt.
            self._write(folder / f"{manifest.stem}.json", manifest.to_json())
            for suffix, data in files.items():
                self._write(folder / f"{manifest.stem}{suffix}", data)
            sync_folder(folder)
        except OSError as error:
            raise FileUnavailable(str(folder), f"cannot be written ({error}); free some space or check its permissions") from error
        return folder

    def place(self, manifest: Manifest, folder: Path) -> None:
        """Moves a staged version into the root, the manifest last: without it the files are nobody's.

        Raises:
            FileUnavailable: a file could not be moved.
        """
        for suffix in (*manifest.files, ".json"):
            self._fault(f"place {suffix}")
            name = f"{manifest.stem}{suffix}"
            move_into_place(folder / name, self.root / name, wait=self._wait)

    def clean(self) -> None:
        """Takes away what a killed writer left: its staging, files placed without their manifest, half-deleted versions, temporary files."""
        for manifest in _children(self.retired):
            self._bury(manifest)
        for folder in _children(self.staging):
            self._withdraw(folder)
            shutil.rmtree(folder, ignore_errors=True)
        for path in _children(self.root):
            if path.name.startswith(".") and path.suffix == ".tmp":
                _unlink(path)

    def files_of(self, slot: str, version: int) -> tuple[Path, ...]:
        """The files of a version, its manifest last."""
        paths = [path for path in _children(self.root) if (parse_name(path.name) or ("", 0))[:2] == (slot, version)]
        return tuple(sorted((p for p in paths if p.suffix in (*MODEL_FILES, ".json")), key=lambda p: (p.suffix == ".json", p.name)))

    def remove(self, slot: str, version: int) -> tuple[str, ...]:
        """Deletes a version: its manifest leaves the root first, in one step, and with it the version.

        What a kill, or a program that holds a file open (Windows), then leaves over, `clean` takes away.
        """
        manifest = self.retired / f"{stem(slot, version)}.json"
        self._fault("retire .json")
        try:
            self.retired.mkdir(exist_ok=True)
            (self.root / manifest.name).replace(manifest)
        except OSError:  # held open: the next prune comes back to it
            return ()
        return self._bury(manifest)

    def _bury(self, manifest: Path) -> tuple[str, ...]:
        """Deletes the files of a version that has left the root, its manifest last; the names of those deleted."""
        named = parse_name(manifest.name)
        removed = []
        for path in (*(self.files_of(*named[:2]) if named is not None else ()), manifest):
            self._fault(f"remove {path.suffix}")
            if not _unlink(path):
                break
            removed.append(path.name)
        return tuple(removed)

    def _check_identity(self, manifest: Manifest, slot: str, version: int) -> None:
        if (manifest.slot, manifest.version) != (slot, version):
            raise ArtifactError(f"is the manifest of {manifest.stem}, under another name")
        if manifest.origin != self._origin:
            raise ArtifactError(f"comes from origin {manifest.origin}, this home's is {self._origin}")
        if not manifest.files:
            raise ArtifactError("names no file")
        for suffix in manifest.files:
            check_suffix(suffix)

    def _examine_files(self, manifest: Manifest, folder: Path) -> VerifiedArtifact | Refusal:
        contents: dict[str, bytes] = {}
        for suffix, entry in manifest.files.items():
            name = f"{manifest.stem}{suffix}"
            try:
                data = self._content(folder / name, entry)
            except OSError as error:
                return _unreadable(manifest.slot, manifest.version, name, error)
            if isinstance(data, str):
                return Refusal(manifest.slot, manifest.version, name, data)
            contents[suffix] = data
        return VerifiedArtifact(manifest, MappingProxyType(contents))

    def _content(self, path: Path, entry: FileEntry) -> bytes | str:
        """A file's bytes, or what is wrong with it; raises OSError where it cannot be told."""
        try:
            size = path.stat().st_size  # before reading: what replaced a model may be any size
            data = read_file(path, wait=self._wait) if size == entry.size else b""
        except FileNotFoundError:
            return "missing"
        if size != entry.size:
            return f"{size} bytes instead of {entry.size}"
        return data if FileEntry.of(data) == entry else "altered: its SHA-256 is not the manifest's"

    def _write(self, path: Path, data: bytes) -> None:
        self._fault(f"stage {path.suffix}")
        write_through(path, data)

    def _withdraw(self, folder: Path) -> None:
        """Removes what an interrupted `place` had moved, by its own signed word on what that is."""
        staged = folder / f"{folder.name}.json"
        try:
            manifest = Manifest.trusted(staged.read_bytes(), self._key)
        except (OSError, ArtifactError):
            return  # the manifest is moved last: without it nothing was left half-way
        if manifest.stem != folder.name or (self.root / staged.name).exists():
            return
        for suffix in manifest.files:
            if not (folder / f"{manifest.stem}{suffix}").exists():
                _unlink(self.root / f"{manifest.stem}{suffix}")

    def _parsed(self) -> Iterator[tuple[str, int, str]]:
        return (parsed for path in _children(self.root) if (parsed := parse_name(path.name)) is not None)


def _unreadable(slot: str, version: int, name: str, error: OSError) -> Refusal:
    return Refusal(slot, version, name, f"cannot be read ({error})", unreadable=True)


def _children(folder: Path) -> tuple[Path, ...]:
    try:
        return tuple(sorted(folder.iterdir()))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _free(path: Path) -> Path:
    """The path, or the first numbered one that nothing bears: `scalper.pkl`, `scalper.2.pkl`."""
    numbered = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not candidate.exists())


def _unlink(path: Path) -> bool:
    with suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False
