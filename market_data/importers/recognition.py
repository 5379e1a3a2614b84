"""Recognising a format by what stands in the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from config.errors import DataFileError
from market_data.importers.content import Content, read_content
from market_data.importers.records import Format
from market_data.importers.zones import SERVER_ZONE, histdata_zone, lean_zone

CANONICAL_BARS = ("time", "open", "high", "low", "close", "tick_volume", "spread", "real_volume")
CANONICAL_TICKS = ("time_msc", "bid", "ask")

KNOWN = (
    "canonical bars and ticks (csv)",
    "MT5 export of bars or ticks (<DATE> <TIME> ...)",
    "MT5 copy_rates dump (csv, parquet)",
    "MT4 history (2019.07.30;00:00:00;...)",
    "HistData ASCII M1, ASCII ticks and MetaTrader M1",
    "FXCM bid or ask candles and TrueFX quotes with a stamped offset",
    "LEAN minute and tick quotes (zip)",
    "a table with the columns time, open, high, low, close",
)

_SAMPLE = 40
_NUMBER = r"-?\d+(?:\.\d+)?"
_PRICES = ("open", "high", "low", "close")
_QUOTE_BARS = ("time", *_PRICES, "", "ask_open", "ask_high", "ask_low", "ask_close", "")
_ALIASES = {
    "datetime": "time",
    "timestamp": "time",
    "date_time": "time",
    "tickvol": "tick_volume",
    "tickvolume": "tick_volume",
    "tick_volume": "tick_volume",
    "spread": "spread",
    "time_msc": "time_msc",
    "bid": "bid",
    "ask": "ask",
    "date": "date",
    "time": "time",
    **{name: name for name in _PRICES},
}
_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


def recognise(path: Path) -> Format:
    """How a file is written.

    Raises:
        DataFileError: for a file that cannot be read, is a vendor's report, or looks like nothing known;
            names what was seen and the known formats.
    """
    return recognise_content(read_content(path))


def recognise_content(content: Content) -> Format:
    """`recognise` of a file that is already open."""
    if content.frame is not None:
        return _parquet(content, content.frame)
    _refuse_reports(content)
    found = next((form for detect in _DETECTORS if (form := detect(content)) is not None), None)
    if found is None:
        raise _unknown(content, f"its first line is {content.text(1)!r}")
    return found


def _unknown(content: Content, seen: str) -> DataFileError:
    return DataFileError(f"{content.path}: format not recognised; {seen}. Known are: {'; '.join(KNOWN)}")


def _refuse_reports(content: Content) -> None:
    if "HistData.com" in content.lines[0] or any("Status Report" in line for line in content.lines[:3]):
        raise DataFileError(
            f"{content.path}: is HistData's status report, a text about gaps that holds no prices; import the .csv file that came beside it"
        )


def _parquet(content: Content, frame: pd.DataFrame) -> Format:
    """A dump of `copy_rates`: integers are epoch seconds, stamps without a zone show the server's clock."""
    names = tuple(str(name) for name in frame.columns)
    fields = _fields(names)
    if not _complete(fields):
        raise _unknown(content, f"its columns are {', '.join(names)}")
    key = "time_msc" if "time_msc" in fields else "time"
    kind = frame.iloc[:, fields.index(key)].dtype
    if isinstance(kind, pd.DatetimeTZDtype):
        return Format("table-parquet", "", fields, 0, "iso", "UTC", "file")
    if kind.kind == "M":
        return Format("mt5-copy-rates-parquet", "", fields, 0, "iso", SERVER_ZONE, assumed=True)
    return Format("canonical-parquet", "", fields, 0, "epoch_ms" if key == "time_msc" else "epoch", "UTC")


def _canonical(content: Content) -> Format | None:
    names = tuple(content.lines[0].strip().split(","))
    if names == CANONICAL_TICKS:
        return Format("canonical-ticks", ",", names, 1, "epoch_ms", "UTC")
    if names in (CANONICAL_BARS, CANONICAL_BARS[:6] + CANONICAL_BARS[7:]) and _stamp(content, ",", 0) == "epoch":
        return Format("canonical-bars", ",", _fields(names), 1, "epoch", "UTC")
    return None


def _with_header(content: Content) -> Format | None:
    """Any table with named columns: MT5 exports, dumps of copy_rates, FXCM, TrueFX."""
    head = content.lines[0].strip("\n")
    separator = max("\t;,", key=head.count)
    fields = _fields(tuple(head.split(separator)))
    if not _complete(fields):
        return None
    if "date" in fields and _stamp(content, separator, fields.index("time")) == "epoch":
        fields = tuple("" if name == "date" else name for name in fields)
    if "date" in fields:
        ticks = "bid" in fields
        return Format("mt5-export-ticks" if ticks else "mt5-export", separator, fields, 1, "date", SERVER_ZONE, assumed=True)
    if "time_msc" in fields:
        return Format("mt5-copy-ticks", separator, fields, 1, "epoch_ms", SERVER_ZONE, assumed=True)
    stamp = _stamp(content, separator, fields.index("time"))
    if stamp == "epoch":
        return Format("mt5-copy-rates", separator, fields, 1, "epoch", SERVER_ZONE, assumed=True)
    name = "stamped-quotes" if "bid" in fields else "stamped-bars"
    if stamp == "offset":
        return Format(name, separator, fields, 1, "iso", "UTC", "file")
    # Quotes without an offset come from many vendors, bars mostly from a terminal.
    zone = None if "bid" in fields else SERVER_ZONE
    return Format(name, separator, fields, 1, "iso", zone, assumed=zone is not None)


def _fields(names: tuple[str, ...]) -> tuple[str, ...]:
    """What each column holds; a plain `volume` counts ticks unless a tick volume stands beside it."""
    plain = [name.strip(" <>").lower().replace(" ", "_") for name in names]
    found = [_ALIASES.get(name, "") for name in plain]
    if "tick_volume" not in found and "bid" not in found and "volume" in plain:
        found[plain.index("volume")] = "tick_volume"
    if "date" in found and "time" not in found:
        found[found.index("date")] = "time"
    if "time_msc" in found and "time" in found:
        found[found.index("time")] = ""
    return tuple(name if name and name not in found[:column] else "" for column, name in enumerate(found))


def _complete(fields: tuple[str, ...]) -> bool:
    timed = "time" in fields or "time_msc" in fields
    return timed and (set(_PRICES) <= set(fields) or {"bid", "ask"} <= set(fields))


def _stamp(content: Content, separator: str, column: int) -> str:
    """How the time column is written, by most of the first rows: `epoch`, `offset` or `iso`."""
    cells = [line.split(separator)[column] for line in content.lines[1:_SAMPLE] if line.count(separator) >= column]
    half = len(cells) / 2
    if sum(cell.strip().isdigit() for cell in cells) > half:
        return "epoch"
    return "offset" if sum(bool(_OFFSET.search(cell.strip()) and ":" in cell) for cell in cells) > half else "iso"


def _histdata_bars(content: Content) -> Format | None:
    if not _mostly(content, rf"\d{{8}} \d{{6}}(;{_NUMBER}){{5}}"):
        return None
    fields = ("time", *_PRICES, "tick_volume")
    return Format("histdata-ascii-m1", ";", fields, 0, "%Y%m%d %H%M%S", histdata_zone(_year(content)))


def _histdata_ticks(content: Content) -> Format | None:
    if not _mostly(content, rf"\d{{8}} \d{{9}}(,{_NUMBER}){{3}}"):
        return None
    return Format("histdata-ascii-ticks", ",", ("time", "bid", "ask", ""), 0, "%Y%m%d %H%M%S%f", histdata_zone(_year(content)))


def _dotted(content: Content) -> Format | None:
    """MT4's history and HistData's "MetaTrader" files look alike; only HistData's volume is always 0."""
    for separator in ",;\t":
        cells = separator.join([r"\d{4}\.\d\d\.\d\d", r"\d\d:\d\d(?::\d\d)?", *[_NUMBER] * 4, r"\d+"])
        if _mostly(content, cells):
            fields = ("date", "time", *_PRICES, "tick_volume")
            if all(line.endswith(f"{separator}0") for line in _matching(content, cells)):
                return Format("histdata-mt-m1", separator, fields, 0, "date", histdata_zone(_year(content)))
            return Format("mt4-history", separator, fields, 0, "date", SERVER_ZONE, assumed=True)
    return None


def _lean(content: Content) -> Format | None:
    """LEAN: milliseconds since midnight of the date in the file's name."""
    if not re.match(r"\d{8}_", content.name):
        return None
    zone = lean_zone(str(Path(*content.path.parts[-5:])))
    if _mostly(content, rf"\d+(,{_NUMBER}){{10}}"):
        return Format("lean-quote-bars", ",", _QUOTE_BARS, 0, "midnight_ms", zone)
    if _mostly(content, rf"\d+(,{_NUMBER}){{2}}"):
        return Format("lean-quote-ticks", ",", ("time", "bid", "ask"), 0, "midnight_ms", zone)
    if _mostly(content, rf"\d+(,{_NUMBER}){{4}}"):
        return Format("lean-quote-ticks", ",", ("time", "bid", "", "ask", ""), 0, "midnight_ms", zone)
    return None


def _matching(content: Content, pattern: str) -> list[str]:
    whole = re.compile(pattern)
    return [line for line in content.lines[:_SAMPLE] if whole.fullmatch(line.strip())]


def _mostly(content: Content, pattern: str) -> bool:
    """More than half of the first rows: a damaged row must not hide the format."""
    rows = [line for line in content.lines[:_SAMPLE] if line.strip()]
    return len(_matching(content, pattern)) * 2 > len(rows)


def _year(content: Content) -> int:
    """Year of the first row that shows one."""
    return int(next(line[:4] for line in content.lines[:_SAMPLE] if re.match(r"(19|20)\d\d", line)))


_DETECTORS: tuple[Callable[[Content], Format | None], ...] = (
    _canonical,
    _with_header,
    _histdata_bars,
    _histdata_ticks,
    _dotted,
    _lean,
)
