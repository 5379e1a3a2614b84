"""Importing one file, or the bid and ask halves of one history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import DataFileError
from market_data.bars import Bars
from market_data.importers.cleaning import clean_bars, clean_ticks, mean_spread
from market_data.importers.content import Content, read_content
from market_data.importers.names import point_of, symbol_in
from market_data.importers.recognition import recognise_content
from market_data.importers.records import Format, ImportReport, ZoneFrom
from market_data.importers.table import read_rows
from market_data.importers.zones import SERVER_ZONE, clock_of


def import_file(path: Path, *, symbol: str | None = None, zone: str | None = None) -> ImportReport:
    """Reads a file of bars or ticks in any known format, into UTC.

    Args:
        path: text, gzip, zip or parquet.
        symbol: the broker's name; None takes it from the file name.
        zone: clock of the stamps in the file, instead of the format's own: an IANA zone, whole hours
            may follow (`America/New_York+7`, `Europe/London-5`).

    Raises:
        DataFileError: for a file that is not recognised, in which nothing is sound, or whose symbol
            or zone nothing tells.
    """
    content = read_content(path)
    form = recognise_content(content)
    name = symbol or symbol_in(content.name) or symbol_in(path.name)
    if name is None:
        raise DataFileError(f"{path}: neither name nor content tells the symbol; pass it (--symbol, SYMBOL=PATH, or symbol=)")
    clock_name, origin = _zone(content, form, zone)
    rows = read_rows(content, form)
    clock = clock_of(clock_name)
    cleaned = clean_ticks(content, rows, clock) if form.holds_ticks else clean_bars(content, rows, clock, name)
    kept = cleaned.bars if cleaned.bars is not None else cleaned.ticks
    return ImportReport(
        path=path,
        format=form.name,
        symbol=name,
        zone=clock_name,
        zone_from=origin,
        bars=cleaned.bars,
        ticks=cleaned.ticks,
        rows_read=len(rows.line) + len(rows.broken),
        rows_kept=0 if kept is None else len(kept),
        damaged=cleaned.damaged,
        notes=(*_notes(content, form, origin), *cleaned.notes),
    )


def import_pair(bid: Path, ask: Path, *, symbol: str | None = None, zone: str | None = None) -> ImportReport:
    """Bid bars with the spread that the ask bars of the same minutes show.

    Args:
        bid: file of bid bars.
        ask: file of ask bars of the same symbol and timeframe.
        symbol: as for `import_file`, for both.
        zone: as for `import_file`, for both.

    Returns:
        The report of the bid file; its bars are those that both files have. Damaged rows of the ask file
        are counted in a note.

    Raises:
        DataFileError: as `import_file`; and where the files differ in symbol or timeframe, share no bar,
            or stand in the wrong order.
    """
    lower, upper = import_file(bid, symbol=symbol, zone=zone), import_file(ask, symbol=symbol, zone=zone)
    offered, asked = _of_one_kind(lower, upper)
    _, left, right = np.intersect1d(offered.time, asked.time, assume_unique=True, return_indices=True)
    if not len(left):
        raise DataFileError(f"{bid} and {ask} share no bar; import the two sides of one period")
    if np.median(asked.close[right] - offered.close[left]) < 0:
        raise DataFileError(f"{ask} is mostly below {bid}; swap the two files")
    bars = _with_spread(offered, asked, left, right)
    notes = tuple(note for note in lower.notes if note != _ASK_NOTE)
    lonely = len(offered) + len(asked) - 2 * len(left)
    notes += (f"{lonely} bars stand in only one of the two files and were left out",) if lonely else ()
    notes += (f"{len(upper.damaged)} damaged rows in {ask.name}",) if upper.damaged else ()
    return replace(lower, bars=bars, rows_kept=len(bars), notes=notes)


_ASK_NOTE = "the name says these are ask prices; import them together with their bid file"


def _of_one_kind(lower: ImportReport, upper: ImportReport) -> tuple[Bars, Bars]:
    if lower.bars is None or upper.bars is None:
        raise DataFileError(f"{lower.path} and {upper.path}: a pair needs two files of bars, one holds ticks")
    left, right = (lower.symbol, lower.bars.timeframe), (upper.symbol, upper.bars.timeframe)
    if left != right:
        raise DataFileError(
            f"{lower.path} holds {left[0]} {left[1].name}, {upper.path} {right[0]} {right[1].name}; a pair needs one of both"
        )
    return lower.bars, upper.bars


def _with_spread(offered: Bars, asked: Bars, left: NDArray[np.intp], right: NDArray[np.intp]) -> Bars:
    bids = [column[left] for column in (offered.open, offered.high, offered.low, offered.close)]
    asks = [column[right] for column in (asked.open, asked.high, asked.low, asked.close)]
    volume = None if offered.tick_volume is None else offered.tick_volume[left]
    spread = mean_spread(bids, asks, point_of(offered.symbol))
    opens, high, low, close = bids
    return Bars(offered.symbol, offered.timeframe, offered.time[left], opens, high, low, close, volume, spread)


def _zone(content: Content, form: Format, wanted: str | None) -> tuple[str, ZoneFrom]:
    if wanted is not None:
        return wanted, "caller"
    if form.zone is None:
        raise DataFileError(
            f"{content.path}: {form.name} does not tell its time zone; pass it (--zone, or zone=), for instance UTC or {SERVER_ZONE}"
        )
    return form.zone, form.zone_from


def _notes(content: Content, form: Format, origin: ZoneFrom) -> tuple[str, ...]:
    assumed = form.assumed and origin != "caller"
    notes = (
        (f"nothing in the file tells its time zone; {form.zone} was assumed, pass the zone if the clock was another",) if assumed else ()
    )
    asks = "_ask" in content.name.lower() and not form.holds_ticks
    return (*notes, _ASK_NOTE) if asks else notes
