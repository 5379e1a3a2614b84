"""What commands write: ASCII text in aligned columns, or one JSON document."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest

Row = Sequence[object]

_FIGURE = re.compile(r"[-+]?[\d,.]+|-")


def say(text: str) -> None:
    """A line of the answer, to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line beside the answer, to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say_json(value: object) -> None:
    """One JSON document, ASCII."""
    say(json.dumps(value, indent=2, default=str))


def say_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one pair a line, the values in a column."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        say(f"{name:<{width}}  {cell(value)}")


def say_table(columns: Sequence[str], rows: Sequence[Row], *, empty: str) -> None:
    """Rows under headings: bold and fitted to the width on a terminal, plain and whole elsewhere.

    Args:
        columns: headings.
        rows: numbers are set to the right; None is shown as `-`.
        empty: what to say where there are no rows.
    """
    if not rows:
        say(empty)
    elif _on_terminal():
        _say_rich(columns, rows)
    else:
        for line in plain_lines(columns, rows):
            say(line)


def plain_lines(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The table as text.

    >>> plain_lines(["slot", "version"], [["scalper", 12], ["xgboost", None]])
    ['slot     version', 'scalper       12', 'xgboost        -']
    """
    texts = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip_longest(*texts, fillvalue="")]
    right = numeric(columns, rows)
    return [
        "  ".join(
            text.rjust(width) if flush else text.ljust(width) for text, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in texts
    ]


def numeric(columns: Sequence[str], rows: Sequence[Row]) -> list[bool]:
    """Which columns hold figures alone, or nothing."""
    return [all(_FIGURE.fullmatch(cell(row[i])) for row in rows) for i in range(len(columns))]


def cell(value: object) -> str:
    """One value as text: figures with what matters of them, nothing as `-`.

    >>> cell(None), cell(1.09389), cell(10076.3200001), cell(True), cell({"scalper": 1}), cell([])
    ('-', '1.09389', '10076.32', 'yes', 'scalper 1', 'none')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{round(value, 5):.10g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value)) or "none"
    return "-" if value is None or value == "" else str(value)


def shortened(text: str, width: int = 100) -> str:
    """Text on one line, cut at a width.

    >>> shortened("one  two three", 10)
    'one two...'
    """
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3].rstrip()}..."


def fixed(value: float | None, digits: int, sign: str = "") -> str | None:
    """A figure with the same number of decimals in every row.

    >>> fixed(-1.0, 2, "+"), fixed(None, 2)
    ('-1.00', None)
    """
    return None if value is None else f"{value:{sign}.{digits}f}"


def minute(stamp: object) -> str:
    """A journal's time stamp to the minute, which is as fine as bars are.

    >>> minute("2024-01-04T02:28:00.000Z"), minute(None)
    ('2024-01-04 02:28', '-')
    """
    return str(stamp)[:16].replace("T", " ") if stamp else "-"


def models_text(versions: Mapping[str, int]) -> str:
    """Slots and versions as people write them.

    >>> models_text({"scalper": 2, "xgboost": 1}), models_text({})
    ('scalper v2, xgboost v1', 'none')
    """
    return ", ".join(f"{slot} v{version}" for slot, version in sorted(versions.items())) or "none"


def _on_terminal() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _say_rich(columns: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    # No box: its lines are not ASCII. Long text is folded: the sign for left-out text is not either.
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, flush in zip(columns, numeric(columns, rows), strict=True):
        table.add_column(name, justify="right" if flush else "left", overflow="fold", no_wrap=flush)
    for row in rows:
        table.add_row(*map(cell, row))
    Console(file=sys.stdout, highlight=False, markup=False, emoji=False).print(table)
