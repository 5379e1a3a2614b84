"""The histories behind `--source`: one or more files for each symbol, joined in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from loguru import logger

from config.errors import DataFileError
from market_data.bars import Bars, FloatArray
from market_data.costs import base_symbol
from market_data.importers.content import read_content
from market_data.importers.files import import_file
from market_data.importers.names import symbol_in
from market_data.importers.records import ImportReport
from market_data.quotes import Quotes, quotes_from_ticks


def read_source(specs: Sequence[str], symbols: Sequence[str]) -> dict[str, Bars]:
    """Bars of each symbol from the values of `--source`.

    Args:
        specs: `PATH` or `SYMBOL=PATH`; several files of one symbol are joined. A bare path belongs to the
            symbol that its name tells, or to the only symbol asked for where it tells none.
        symbols: those asked for, in any order; suffixes may differ from the file's (`EURUSDm`). Empty: all
            that the files hold. Files of other symbols are left unread.

    Returns:
        By symbol, in the order of `symbols`. Joined bars know volume or spread only where every file does.

    Raises:
        DataFileError: for a file that cannot be used, a symbol without a file, overlapping files, or files
            of different timeframes.
    """
    return {symbol: _joined([_with_bars(_read(path, symbol)) for path in paths]) for symbol, paths in _paths(specs, symbols).items()}


def read_market(specs: Sequence[str], symbols: Sequence[str]) -> dict[str, Bars | Quotes]:
    """As `read_source`, for a simulated market: files of ticks give Quotes, in order of their first one.

    Raises:
        DataFileError: as `read_source`; and for a symbol with files of both kinds.
    """
    return {symbol: _market([_read(path, symbol) for path in paths]) for symbol, paths in _paths(specs, symbols).items()}


def _paths(specs: Sequence[str], symbols: Sequence[str]) -> dict[str, list[Path]]:
    """The files of each symbol."""
    paths: dict[str, list[Path]] = {}
    for spec in specs:
        owner, path = _owner(spec, symbols)
        paths.setdefault(owner, []).append(path)
    for symbol in symbols:
        if symbol not in paths:
            raise DataFileError(f"{symbol}: no file given; add --source {symbol}=PATH or leave it out of --symbols")
    return {symbol: paths[symbol] for symbol in (symbols or paths)}


def _market(reports: Sequence[ImportReport]) -> Bars | Quotes:
    ticks = [report for report in reports if report.ticks is not None]
    if not ticks:
        return _joined(reports)
    if len(ticks) != len(reports):
        raise DataFileError(f"{reports[0].symbol}: files of ticks and of bars together; give only one kind")
    return _one_stream(ticks)


def _one_stream(reports: Sequence[ImportReport]) -> Quotes:
    """The quotes of files that follow each other."""
    parts = [(report.path, quotes_from_ticks(report.symbol, report.ticks)) for report in reports if report.ticks is not None]
    if empty := [path for path, quotes in parts if not len(quotes)]:
        raise DataFileError(f"{empty[0]}: every quote has its bid above its ask; check which column is which")
    parts.sort(key=lambda part: int(part[1].time_msc[0]))
    for (before, earlier), (after, later) in pairwise(parts):
        if later.time_msc[0] < earlier.time_msc[-1]:
            raise DataFileError(f"{before} and {after} overlap; give only one of them for {later.symbol}")
    columns = (np.concatenate([getattr(quotes, name) for _, quotes in parts]) for name in ("time_msc", "bid", "ask"))
    return Quotes(parts[0][1].symbol, *columns)


def _owner(spec: str, symbols: Sequence[str]) -> tuple[str, Path]:
    """Whose file a spec names."""
    left, equals, right = spec.partition("=")
    if equals and not Path(spec).exists() and not set(left) & set("/\\:"):
        return left.strip(), Path(right)
    path = Path(spec)
    told = _told(path)
    if told is None:
        if len(symbols) == 1:
            return symbols[0], path
        raise DataFileError(f"{path}: its name tells no symbol; say which it is with --source SYMBOL={path}")
    same = [symbol for symbol in symbols if symbol == told] or [symbol for symbol in symbols if _alike(symbol, told)]
    if len(symbols) == 1 and not same:
        raise DataFileError(f"{path}: its name says {told}, {symbols[0]} is asked for; if it is right, use --source {symbols[0]}={path}")
    return (same[0] if same else told), path


def _told(path: Path) -> str | None:
    """Symbol by the name; a zip is opened only where its own name says nothing."""
    return symbol_in(path.name) or (symbol_in(read_content(path).name) if path.suffix.lower() == ".zip" else None)


def _alike(one: str, other: str) -> bool:
    base = base_symbol(one)
    return base is not None and base == base_symbol(other)


def _read(path: Path, symbol: str) -> ImportReport:
    report = import_file(path, symbol=symbol)
    if report.damaged:
        worst = report.damaged[0]
        logger.warning("{}: {} of {} rows left out; line {}: {}", path, len(report.damaged), report.rows_read, worst.line, worst.reason)
    for note in report.notes:
        logger.warning("{}: {}", path, note)
    return report


def _with_bars(report: ImportReport) -> ImportReport:
    if report.bars is None:
        raise DataFileError(f"{report.path}: holds ticks; this needs bars")
    return report


def _joined(reports: Sequence[ImportReport]) -> Bars:
    """One history of files that follow each other."""
    parts = sorted(((report.bars, report.path) for report in reports if report.bars is not None), key=lambda part: int(part[0].time[0]))
    for (earlier, before), (later, after) in pairwise(parts):
        if later.timeframe is not earlier.timeframe:
            raise DataFileError(
                f"{before} has {earlier.timeframe.name} bars, {after} {later.timeframe.name}; use one timeframe for {later.symbol}"
            )
        if later.time[0] <= earlier.time[-1]:
            raise DataFileError(
                f"{before} and {after} overlap at {later.opened_at(0):%Y-%m-%d %H:%M} UTC; give only one of them for {later.symbol}"
            )
    return _concatenated([bars for bars, _ in parts])


def _concatenated(parts: Sequence[Bars]) -> Bars:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Bars(
        first.symbol,
        first.timeframe,
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.open for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.close for part in parts]),
        _where_all_know([part.tick_volume for part in parts]),
        _where_all_know([part.spread for part in parts]),
    )


def _where_all_know(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
