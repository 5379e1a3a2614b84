"""From a file's lines to columns of numbers, each row with its line."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from config.errors import DataFileError
from market_data.bars import FloatArray, IntArray
from market_data.importers.content import Content
from market_data.importers.records import DamagedRow, Format

NO_TIME = np.iinfo(np.int64).min
"""A stamp that cannot be read."""

_EARLIEST = 0
_LATEST = 4_102_444_800_000  # the year 2100
_DATE_COLUMNS = ("date", "time")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as they stand in the file.

    Attributes:
        line: shape (n,), 1-based.
        stamp: shape (n,), milliseconds on the file's own clock; NO_TIME where unreadable.
        values: by field, shape (n,); NaN where unreadable.
        broken: rows with the wrong number of columns; they stand in no array.
    """

    line: IntArray
    stamp: IntArray
    values: dict[str, FloatArray]
    broken: tuple[DamagedRow, ...]


def read_rows(content: Content, form: Format) -> Rows:
    """All rows of a file.

    Raises:
        DataFileError: where not one row has the columns that the format asks for.
    """
    broken: tuple[DamagedRow, ...] = ()
    if content.frame is not None:
        frame = content.frame.set_axis([*form.fields], axis=1)
        line = np.arange(1, len(frame) + 1, dtype=np.int64)
    else:
        frame, line, broken = _parse(content, form)
    if not len(line):
        raise DataFileError(f"{content.path}: no row could be read as {form.name}; its first row is {content.text(1)!r}")
    names = [name for name in form.fields if name not in ("", "date", "time", "time_msc")]
    return Rows(line, _stamps(frame, form, content.name), _values(frame, form, names), broken)


def _parse(content: Content, form: Format) -> tuple[pd.DataFrame, IntArray, tuple[DamagedRow, ...]]:
    """Rows that have the right number of columns, as a table; the others as damaged."""
    wanted = len(form.fields) - 1
    body = content.lines[form.header_lines :]
    counts = np.array([row.count(form.separator) for row in body], dtype=np.int64)
    filled = counts == wanted
    line = np.flatnonzero(filled) + 1 + form.header_lines
    odd = [index for index in np.flatnonzero(~filled).tolist() if body[index].strip()]
    first = 1 + form.header_lines
    broken = tuple(
        DamagedRow(index + first, content.text(index + first), f"{counts[index] + 1} columns, {wanted + 1} expected") for index in odd
    )
    rows = body if filled.all() else [body[index] for index in np.flatnonzero(filled)]
    return (_frame("\n".join(rows), form) if rows else pd.DataFrame()), line, broken


def _frame(text: str, form: Format) -> pd.DataFrame:
    columns = [index for index, name in enumerate(form.fields) if name]
    as_text = (
        {}
        if form.stamp.startswith(("epoch", "midnight"))
        else {form.fields.index(name): str for name in _DATE_COLUMNS if name in form.fields}
    )
    frame = pd.read_csv(
        io.StringIO(text),
        sep=form.separator,
        header=None,
        usecols=columns,
        dtype=as_text,
        quoting=csv.QUOTE_NONE,
        skip_blank_lines=False,
        low_memory=False,
    )
    return frame.set_axis([form.fields[index] for index in columns], axis=1)


def _values(frame: pd.DataFrame, form: Format, names: list[str]) -> dict[str, FloatArray]:
    if form.name != "mt5-export-ticks":
        return {name: _decimals(frame[name]) for name in names}
    # This export leaves a side empty where it did not change.
    return {name: np.where(frame[name].isna(), _decimals(frame[name].ffill()), _decimals(frame[name])) for name in names}


def _numbers(column: pd.Series[Any]) -> FloatArray:
    numbers: FloatArray = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _decimals(column: pd.Series[Any]) -> FloatArray:
    """Numbers as they were written, to the last bit.

    Readers miss that bit now and then, and dumps carry such misses. Rounding to eight decimals mends
    both, as long as the number with its decimals still fits into 53 bits.
    """
    numbers = _numbers(column)
    return np.where(np.abs(numbers) < 1e7, np.round(numbers, 8), numbers)


def _stamps(frame: pd.DataFrame, form: Format, name: str) -> IntArray:
    if form.stamp == "midnight_ms":
        return _whole(_numbers(frame["time"]) + _midnight(name))
    if form.stamp.startswith("epoch"):
        key = "time_msc" if "time_msc" in frame else "time"
        return _whole(_numbers(frame[key]) * (1000.0 if key == "time" else 1.0))
    return _bounded(_milliseconds(_parsed(frame, form)))


def _parsed(frame: pd.DataFrame, form: Format) -> pd.Series[Any]:
    if form.stamp == "date":
        texts = _iso(frame["date"]) + "T" + frame["time"].str.strip()
        return pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    if form.stamp == "iso":
        texts = frame["time"] if frame["time"].dtype.kind == "M" else _iso(frame["time"])
        return pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    return pd.to_datetime(frame["time"], format=form.stamp, errors="coerce", utc=True)


def _iso(texts: pd.Series[Any]) -> pd.Series[Any]:
    """MetaTrader's `2019.07.30` as `2019-07-30`; the dot of a fraction stays."""
    return texts.str.strip().str.replace(r"^(\d{4})\.(\d\d)\.(\d\d)", r"\1-\2-\3", regex=True)


def _milliseconds(stamps: pd.Series[Any]) -> IntArray:
    # Not-a-time becomes the least integer, which is NO_TIME.
    times: IntArray = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ms]").view(np.int64)
    return times


def _whole(milliseconds: FloatArray) -> IntArray:
    sound = np.isfinite(milliseconds) & (milliseconds == np.floor(milliseconds)) & (np.abs(milliseconds) < 2**53)
    return _bounded(np.where(sound, milliseconds, -1.0).astype(np.int64))


def _bounded(stamps: IntArray) -> IntArray:
    """Stamps outside 1970 to 2100 are mistakes, whatever wrote them."""
    return np.where((stamps >= _EARLIEST) & (stamps < _LATEST), stamps, NO_TIME)


def _midnight(name: str) -> int:
    found = re.match(r"(\d{4})(\d{2})(\d{2})", name)
    if found is None:
        raise DataFileError(f"{name}: the name must begin with the day (20140502_...), its rows only count milliseconds")
    try:
        return int(np.datetime64(f"{found[1]}-{found[2]}-{found[3]}", "ms").astype(np.int64))
    except ValueError as error:
        raise DataFileError(f"{name}: begins with {found[0]}, which is no day") from error
