"""Every file of real versions damaged or forged; nothing of it may reach a library that opens files."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import numpy as np
import torch

from config.errors import ArtifactError
from strategy import onnx_session
from strategy.active_models import ActiveModels
from strategy.learning.artifact import Manifest
from strategy.learning.registry import Registry
from strategy.learning.serving import ModelServer
from tests.fakes_learning import publish_model
from tests.fakes_models import KINDS, compiled_files, info_of
from tests.fakes_registry import KEY, make_registry

Damage = Callable[[bytes, np.random.Generator, Path], bytes]


class Bomb:
    """A pickle that leaves a mark where somebody opens it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def flipped(data: bytes, rng: np.random.Generator, mark: Path) -> bytes:
    """One bit turned round."""
    changed = bytearray(data)
    changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncated(data: bytes, rng: np.random.Generator, mark: Path) -> bytes:
    """The end cut off, up to everything."""
    return data[: int(rng.integers(len(data)))]


def extended(data: bytes, rng: np.random.Generator, mark: Path) -> bytes:
    """Some bytes more."""
    return data + rng.bytes(int(rng.integers(1, 64)))


def bomb(data: bytes, rng: np.random.Generator, mark: Path) -> bytes:
    """Another pickle, which runs code when it is opened."""
    return pickle.dumps(Bomb(mark))


DAMAGES: Mapping[str, Damage] = {"bit flip": flipped, "truncation": truncated, "extension": extended, "code in a pickle": bomb}
RESEAL = ("left", "hashes rewritten", "signed with another key")


@dataclass
class ByteReport:
    """How often each damage was done and refused; what was not, in words."""

    done: Counter[str] = field(default_factory=Counter)
    same: int = 0
    opened: int = 0
    problems: list[str] = field(default_factory=list)


class Museum:
    """A registry with two versions of every kind; the newer is damaged, the older must serve.

    Args:
        root: an empty folder.
        files: of a kind's versions, golden rows included.
    """

    def __init__(self, root: Path, files: Callable[[str], Mapping[str, bytes]] = compiled_files) -> None:
        self.root, self.mark = root / "models", root / "mark"
        registry = make_registry(self.root)
        with mock.patch("tests.fakes_learning.native_files", files):
            self.slots = {kind: info_of(kind).slot for kind in KINDS}
            for kind, slot in self.slots.items():
                for _ in range(2):
                    publish_model(registry, slot, kind=kind)
        shutil.copytree(self.root, root / "whole")
        self.whole = root / "whole"

    def files(self) -> list[tuple[str, str]]:
        """Slot and suffix of every file of the newer versions."""
        names = [(slot, path.name.removeprefix(f"{slot}_v2")) for slot in self.slots.values() for path in self.whole.glob(f"{slot}_v2*")]
        return sorted(names)

    def attack(self, slot: str, suffix: str, damage: str, seal: str, seed: int, report: ByteReport) -> None:
        """Damages one file in one way, lets a daemon load what serves, and puts the file back."""
        rng = np.random.default_rng([seed, *hashlib.sha256(f"{slot}{suffix}{damage}{seal}".encode()).digest()[:4]])
        name = f"{slot}_v2{suffix}"
        original = (self.whole / name).read_bytes()
        data = DAMAGES[damage](original, rng, self.mark)
        if suffix == ".json" and _says_the_same(data, original):
            report.same += 1
            return
        (self.root / name).write_bytes(data)
        if suffix != ".json":
            self._reseal(slot, suffix, data, seal)
        label = f"{slot}{suffix}: {damage}, {seal}, seed {seed}"
        report.done[f"{'manifest' if suffix == '.json' else 'file'}, {damage}, {seal}"] += 1
        report.problems += [f"{label}: {problem}" for problem in self._loaded(slot, data, report)]
        for restored in (name, f"{slot}_v2.json"):
            shutil.copyfile(self.whole / restored, self.root / restored)

    def _reseal(self, slot: str, suffix: str, data: bytes, seal: str) -> None:
        """What somebody does who wants the damage to pass, and has not got the key."""
        if seal == "left":
            return
        path = self.root / f"{slot}_v2.json"
        said = json.loads(path.read_text(encoding="utf-8"))
        said["files"][suffix] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        text = json.dumps(said, indent=2).encode()
        path.write_bytes(Manifest.from_json(text).signed(b"x" * len(KEY)).to_json() if seal == "signed with another key" else text)

    def _loaded(self, slot: str, data: bytes, report: ByteReport) -> Iterator[str]:
        registry, models = make_registry(self.root), ActiveModels()
        with eavesdropping() as heard:
            changes = ModelServer(registry, models).refresh()
            try:
                registry.open(slot, 2)
                yield "was opened by the registry"
            except ArtifactError:
                pass
        report.opened += len(heard)
        served = {name: model.info.version for name, model in models.snapshot().items()}
        if served != {name: 1 if name == slot else 2 for name in self.slots.values()}:
            yield f"{served} serve"
        if not any(change.problem for change in changes if change.slot == slot):
            yield "nobody was told"
        if hashlib.sha256(data).hexdigest() in heard:
            yield "reached a library that opens files"
        if self.mark.exists():
            self.mark.unlink()
            yield "ran code"


def _says_the_same(data: bytes, original: bytes) -> bool:
    """Whether a manifest's text differs in layout alone (`e` for `E` in a figure, the last line's end)."""
    try:
        return bool(json.loads(data) == json.loads(original))
    except (ValueError, RecursionError):
        return False


@contextmanager
def eavesdropping() -> Iterator[set[str]]:
    """SHA-256 of everything that reaches joblib, torch or the ONNX runtime."""
    heard: set[str] = set()

    def told(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, *rest: Any, **named: Any) -> Any:
            data = source.getvalue() if isinstance(source, BytesIO) else source
            heard.add(hashlib.sha256(data).hexdigest())
            return function(source, *rest, **named)

        return call

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(joblib, "load", told(joblib.load)))
        patches.enter_context(mock.patch.object(torch, "load", told(torch.load)))
        for module in ("strategy.tree_predictor", "strategy.lstm_predictor"):
            patches.enter_context(mock.patch(f"{module}.open_session", told(onnx_session.open_session)))
        yield heard


def attack_all(museum: Museum, seeds: range, report: ByteReport) -> None:
    """Every file, in every way, once for each seed."""
    for seed in seeds:
        for slot, suffix in museum.files():
            for damage in DAMAGES:
                for seal in RESEAL if suffix != ".json" else RESEAL[:1]:
                    museum.attack(slot, suffix, damage, seal, seed, report)


def sweep_manifests(museum: Museum, seed: int, report: ByteReport) -> None:
    """One bit of every byte of every newer manifest, which only the registry is asked about."""
    rng = np.random.default_rng([seed, 7])
    registry = make_registry(museum.root)
    for slot, suffix in museum.files():
        path = museum.root / f"{slot}_v2{suffix}"
        if suffix != ".json":
            continue
        original = path.read_bytes()
        for position in range(len(original)):
            data = bytearray(original)
            data[position] ^= 1 << int(rng.integers(8))
            report.problems += _refused(registry, slot, path, bytes(data), original, report)
        path.write_bytes(original)


def _refused(registry: Registry, slot: str, path: Path, data: bytes, original: bytes, report: ByteReport) -> list[str]:
    if _says_the_same(data, original):
        report.same += 1
        return []
    path.write_bytes(data)
    report.done["manifest, every byte, left"] += 1
    try:
        registry.open(slot, 2)
    except ArtifactError:
        return []
    return [f"{path.name}: a changed byte was not seen"]
