"""Writing the daemon's own file format: gzip csv, UTC, the column order of `copy_rates`."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from config.errors import DataFileError
from market_data.bars import Bars, FloatArray
from market_data.importers.records import ImportReport, Ticks

_MAX_DIGITS = 8


def write_canonical(report: ImportReport, path: Path) -> None:
    """Writes a report's bars or ticks; the same history gives the same bytes.

    Bars: `time,open,high,low,close,tick_volume[,spread],real_volume`, time in UTC seconds of the open,
    an unknown tick volume as 0, an unknown spread without its column. Ticks: `time_msc,bid,ask`.
    The file is whole or not there: it is written beside its place and then moved.

    Args:
        report: what `import_file` returned.
        path: gzip unless the name ends otherwise than in `.gz`.

    Raises:
        DataFileError: where the file cannot be written.
    """
    frame = _ticks_frame(report.ticks) if report.ticks is not None else _bars_frame(report)
    raw = frame.to_csv(index=False, lineterminator="\n").encode()
    packed = gzip.compress(raw, compresslevel=6, mtime=0) if path.suffix == ".gz" else raw
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(packed)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise DataFileError(f"{path}: cannot be written ({error}); is the folder there, and the file closed in other programs?") from error


def _bars_frame(report: ImportReport) -> pd.DataFrame:
    bars: Bars | None = report.bars
    if bars is None:
        raise DataFileError(f"{report.path}: the report holds neither bars nor ticks")
    unknown = np.zeros(len(bars), dtype=np.int64)
    columns: dict[str, object] = {"time": bars.time}
    columns.update(_as_text({"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}))
    columns["tick_volume"] = unknown if bars.tick_volume is None else bars.tick_volume.astype(np.int64)
    if bars.spread is not None:
        columns["spread"] = np.round(bars.spread).astype(np.int64)
    columns["real_volume"] = unknown
    return pd.DataFrame(columns)


def _ticks_frame(ticks: Ticks) -> pd.DataFrame:
    return pd.DataFrame({"time_msc": ticks["time_msc"], **_as_text({"bid": ticks["bid"], "ask": ticks["ask"]})})


def _as_text(prices: dict[str, FloatArray]) -> dict[str, list[str]]:
    """Prices with the fewest decimals that lose nothing, the same for all columns."""
    digits = max(_digits(column) for column in prices.values())
    return {name: [f"{price:.{digits}f}" for price in column.tolist()] for name, column in prices.items()}


def _digits(prices: FloatArray) -> int:
    return next((digits for digits in range(_MAX_DIGITS) if np.abs(np.round(prices, digits) - prices).max(initial=0.0) < 1e-9), _MAX_DIGITS)
