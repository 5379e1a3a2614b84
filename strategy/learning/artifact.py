"""What a model version is made of: its files as bytes, and the signed manifest that vouches for them."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from config.errors import ArtifactError

_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])")
_SUFFIX = re.compile(r"[._][A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_VERSION_INSIDE = re.compile(r"_v\d+[._]")
_NAME = re.compile(r"(?P<slot>.+)_v(?P<version>[1-9]\d*)(?P<suffix>[._].+)")
_LONGEST_SLOT = 100

Info = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a version: its size in bytes and the hexadecimal SHA-256 of its content."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The entry of some content."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a trainer says about a model, before the registry gives it a number and a signature.

    Attributes:
        slot: which place among the predictors it is for; also the stem of its files.
        kind: how it predicts, as the code that opens it names it.
        created: UTC text of the fit's end.
        origin: where its prices came from; the home's own.
        features, feature_hash: columns in order, and the schema's hash.
        exit, exit_hash: the exit policy its labels assume.
        symbols, timeframe: what it may vote on.
        first_bar, last_bar: UTC text, opening times of the first and last training bar.
        rows: training rows.
        parent: the version that served when it was trained.
        inference: what serving needs beside the files.
        input_rows: bars in one input window.
    """

    slot: str
    kind: str
    created: str
    origin: str
    features: tuple[str, ...]
    feature_hash: str
    exit: Info
    exit_hash: str
    symbols: tuple[str, ...]
    timeframe: str
    first_bar: str
    last_bar: str
    rows: int
    seed: int
    hyper_parameters: Info
    libraries: Mapping[str, str]
    metrics: Info
    gate_report: Info
    parent: int | None
    inference: Info
    input_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Draft):
    """The record of one version, signed over all its other fields.

    Attributes:
        version: its number in the slot, from 1.
        files: by suffix (`.pkl`, `_features.pkl`), what each file must be.
        signature: hexadecimal HMAC-SHA256 of the canonical JSON of the rest.
    """

    # Read by pydantic: nothing is converted on the way in, nothing unknown is let pass.
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    version: Annotated[int, Field(ge=1)]
    files: Mapping[str, FileEntry]
    signature: str = ""

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return stem(self.slot, self.version)

    def signed(self, key: bytes) -> Manifest:
        """The same manifest with the signature that `key` makes."""
        return replace(self, signature=_signature(_plain(self), key))

    def is_signed_with(self, key: bytes) -> bool:
        """Whether its signature is the one that `key` makes for its content."""
        return _same(self.signature, _signature(_plain(self), key))

    def to_json(self) -> bytes:
        """The text of the manifest's file, for people too.

        Raises:
            ArtifactError: a field holds what JSON cannot (NaN, an object).
        """
        return (json.dumps(_plain(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Reads a manifest without judging its signature.

        Raises:
            ArtifactError: not JSON, or a field is unknown, missing or of the wrong type; it is named.
        """
        try:
            return _CODEC.validate_json(data)
        except ValidationError as error:
            raise ArtifactError("manifest: " + "; ".join(_problems(error))) from error

    @classmethod
    def trusted(cls, data: bytes, key: bytes) -> Manifest:
        """Reads a manifest, its signature first.

        Raises:
            ArtifactError: not JSON, unsigned, altered or signed with another key, or malformed.
        """
        try:
            payload = json.loads(data)
            signature = payload["signature"] if isinstance(payload, dict) and "signature" in payload else ""
            expected = _signature(payload, key) if isinstance(signature, str) and signature else ""
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"manifest is not JSON ({error})") from error
        if not expected:
            raise ArtifactError("manifest is unsigned")
        if not _same(signature, expected):
            raise ArtifactError("manifest's signature is wrong: it was altered, or signed with another key")
        return cls.from_json(json.dumps(payload).encode())


@dataclass(frozen=True)
class VerifiedArtifact:
    """A version whose every byte was checked; `files` holds the contents by suffix."""

    manifest: Manifest
    files: Mapping[str, bytes]


def manifest_of(draft: Draft, version: int, files: Mapping[str, bytes]) -> Manifest:
    """The unsigned manifest of a draft's files under a number."""
    said = {field.name: getattr(draft, field.name) for field in fields(Draft)}
    return Manifest(**said, version=version, files={suffix: FileEntry.of(data) for suffix, data in files.items()})


def stem(slot: str, version: int) -> str:
    """What the file names of a version begin with.

    >>> stem("lstm_EURUSD", 12)
    'lstm_EURUSD_v12'
    """
    return f"{slot}_v{version}"


def parse_name(name: str) -> tuple[str, int, str] | None:
    """Slot, version and suffix of a file's name, or None where it is no version's file.

    >>> parse_name("lstm_EURUSD_v12_scaler.pkl")
    ('lstm_EURUSD', 12, '_scaler.pkl')
    >>> parse_name("lstm_EURUSD.pth")
    """
    match = _NAME.fullmatch(name)
    return (match["slot"], int(match["version"]), match["suffix"]) if match else None


def check_draft(draft: Draft, files: Mapping[str, bytes], origin: str) -> None:
    """Raises ArtifactError where names, origin or files of a draft cannot become a version of this home."""
    check_slot(draft.slot)
    if draft.origin != origin:
        raise ArtifactError(f"slot {draft.slot}: model comes from origin {draft.origin}, this home's is {origin}")
    if not files:
        raise ArtifactError(f"slot {draft.slot}: a version needs at least one file")
    for suffix in files:
        check_suffix(suffix)


def check_case(slot: str, known: Collection[str]) -> None:
    """Raises ArtifactError where a known slot differs from this one in case alone."""
    for other in known:
        if other != slot and other.casefold() == slot.casefold():
            raise ArtifactError(f"slot {slot!r} differs from slot {other!r} in case alone: on Windows their files are the same; rename one")


def check_slot(slot: str) -> None:
    """Raises ArtifactError where a slot's name is no safe file name on every system."""
    unsafe = (
        (not slot or len(slot) > _LONGEST_SLOT, f"it needs 1 to {_LONGEST_SLOT} characters"),
        (_FORBIDDEN.search(slot) is not None or not slot.isprintable(), 'control characters and <>:"/\\|?* are not allowed'),
        (slot != slot.strip() or slot.startswith(".") or slot.endswith("."), "no blank or dot may begin or end it"),
        (_DEVICES.fullmatch(slot.partition(".")[0].rstrip()) is not None, "Windows reserves that name"),
    )
    for wrong, why in unsafe:
        if wrong:
            raise ArtifactError(f"slot {slot!r} cannot name files: {why}")


def check_suffix(suffix: str) -> None:
    """Raises ArtifactError where a suffix could not be told from a slot, a version or a path."""
    if not _SUFFIX.fullmatch(suffix) or _VERSION_INSIDE.search(suffix) or suffix == ".json":
        raise ArtifactError(f"file suffix {suffix!r} is not allowed: use one like '.pkl' or '_scaler.pkl'; '.json' is the manifest's")


_CODEC = TypeAdapter(Manifest)


def _problems(error: ValidationError) -> list[str]:
    return [f"field {'.'.join(map(str, item['loc'])) or '(all)'}: {item['msg']}" for item in error.errors(include_url=False)]


def _plain(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON holds it, so that what is signed is what a reader will see."""
    plain: dict[str, Any] = {}
    for field in fields(manifest):
        try:
            plain[field.name] = json.loads(json.dumps(getattr(manifest, field.name), default=_jsonable, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"manifest: field {field.name}: {error}") from error
    return plain


def _jsonable(value: object) -> object:
    if isinstance(value, FileEntry):
        return {"size": value.size, "sha256": value.sha256}
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} does not go into JSON")


def _signature(payload: Info, key: bytes) -> str:
    """HMAC-SHA256 over sorted, compact, ASCII JSON of everything but the signature."""
    signed = {name: value for name, value in payload.items() if name != "signature"}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _same(left: str, right: str) -> bool:
    """Equality whose time says nothing about where the two differ."""
    return hmac.compare_digest(left.encode(errors="replace"), right.encode())
