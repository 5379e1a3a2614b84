"""What the importers hand out: how a file is written, what was read, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from market_data.bars import Bars

TICK_DTYPE = np.dtype([("time_msc", "<i8"), ("bid", "<f8"), ("ask", "<f8")])
"""Quotes: UTC epoch milliseconds, prices."""

ZoneFrom = Literal["format", "file", "caller"]
Ticks = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Format:
    """How one file is written.

    Attributes:
        name: short name, as reports show it.
        separator: between the columns; empty for parquet.
        fields: what each column holds, left to right; empty text = a column that is not read.
        header_lines: lines before the first row.
        stamp: how times are written: `epoch`, `epoch_ms`, `iso`, `midnight_ms` or a strptime pattern.
        zone: the clock of the stamps (an IANA zone, whole hours may follow: `Europe/London-5`).
            None where neither format nor file tells.
        zone_from: whether the vendor's rule or the file itself gave `zone`.
        assumed: the zone is the usual one of such files, but nothing in them proves it.
    """

    name: str
    separator: str
    fields: tuple[str, ...]
    header_lines: int
    stamp: str
    zone: str | None
    zone_from: ZoneFrom = "format"
    assumed: bool = False

    @property
    def holds_ticks(self) -> bool:
        """Quotes instead of bars."""
        return "bid" in self.fields


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that was left out: 1-based `line` (row of a parquet file), what stands there, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What came of one file.

    Attributes:
        path: the file.
        format: name of the recognised format.
        symbol: as the caller or the file name has it, suffix included.
        zone, zone_from: the clock of the file's stamps and who said so.
        bars: UTC, ascending, clean; None for a file of ticks.
        ticks: TICK_DTYPE, ascending by time, crossed quotes kept; None for a file of bars.
        rows_read: rows of data in the file, damaged ones included.
        rows_kept: rows that came through.
        damaged: what was left out, by line.
        notes: what was repaired or should be known, in plain sentences.
    """

    path: Path
    format: str
    symbol: str
    zone: str
    zone_from: ZoneFrom
    bars: Bars | None
    ticks: Ticks | None
    rows_read: int
    rows_kept: int
    damaged: tuple[DamagedRow, ...]
    notes: tuple[str, ...]
