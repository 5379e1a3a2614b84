"""Opening files: plain, gzip, zip and parquet, by their first bytes and never by their names."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow
from pyarrow import parquet

from config.errors import DataFileError

_MAX_BYTES = 2 << 30
"""Refuse what unpacks to more than this: a bar file of twenty years of minutes has 0.5 GB."""


@dataclass(frozen=True, slots=True)
class Content:
    """The text lines of a file, or its table where it is parquet.

    Attributes:
        path: the file as the caller named it.
        name: the file that holds the rows; differs from `path` inside a zip.
        lines: without line ends and quotation marks; empty for parquet.
        frame: columns in lower case; None for text.
    """

    path: Path
    name: str
    lines: list[str]
    frame: pd.DataFrame | None = None

    def text(self, line: int) -> str:
        """What stands at a 1-based line, shortened."""
        shown = self.lines[line - 1] if self.frame is None else ", ".join(map(str, self.frame.iloc[line - 1]))
        return shown if len(shown) <= 120 else shown[:117] + "..."


def read_content(path: Path) -> Content:
    """Opens a file and unpacks it.

    Raises:
        DataFileError: where it is missing, unreadable, truncated, or a zip without exactly one data file.
    """
    try:
        raw, name = path.read_bytes(), path.name
        if raw.startswith(b"PK\x03\x04"):
            raw, name = _data_member(path, raw)
        if raw.startswith(b"\x1f\x8b"):
            raw = _gunzip(path, raw)
        if raw.startswith(b"PAR1"):
            return Content(path, name, [], _table(raw))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, pyarrow.ArrowException) as error:
        raise DataFileError(f"{path}: cannot be read ({error}); fetch or export the file again") from error
    return Content(path, name, _lines(path, raw))


def _gunzip(path: Path, raw: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
        unpacked = packed.read(_MAX_BYTES + 1)
    if len(unpacked) > _MAX_BYTES:
        raise DataFileError(f"{path}: unpacks to more than {_MAX_BYTES:,} bytes; split the file")
    return unpacked


def _data_member(path: Path, raw: bytes) -> tuple[bytes, str]:
    """The one data file of a zip; vendors add text reports beside it."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [item for item in archive.infolist() if not item.is_dir()]
        data = [item for item in members if not item.filename.lower().endswith(".txt")] or members
        if len(data) != 1:
            raise DataFileError(f"{path}: {len(data)} data files in the zip ({_few(data)}); unpack it and import them one by one")
        if data[0].file_size > _MAX_BYTES:
            raise DataFileError(f"{path}: unpacks to {data[0].file_size:,} bytes; split the file")
        return archive.read(data[0]), Path(data[0].filename).name


def _few(items: list[zipfile.ZipInfo]) -> str:
    return ", ".join(item.filename for item in items[:3]) + (", ..." if len(items) > 3 else "")


def _table(raw: bytes) -> pd.DataFrame:
    frame: pd.DataFrame = parquet.read_table(io.BytesIO(raw)).to_pandas()
    if frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return frame.rename(columns=lambda name: str(name).strip().lower())


def _lines(path: Path, raw: bytes) -> list[str]:
    """Lines of UTF-8 or, as MetaTrader writes on some machines, UTF-16 text."""
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    if encoding == "utf-8-sig" and b"\0" in raw[:4096]:
        raise DataFileError(f"{path}: holds binary data, not text; known are text, gzip, zip and parquet")
    # A broken byte must not cost the file: its row will not parse and is reported by line.
    text = raw.decode(encoding, errors="replace").replace('"', "").replace("\r", "")
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataFileError(f"{path}: is empty; fetch or export the file again")
    return lines
