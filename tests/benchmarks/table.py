"""Figures and comparisons as text."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.baseline import Change
from tests.benchmarks.harness import Figure

HEAD = ("figure", "value", "naive", "better", "kernels", "over", "budget", "verdict", "what")


def table(figures: Sequence[Figure]) -> str:
    """One line for each figure, then references and notes."""
    lines = _aligned([HEAD, *(_cells(figure) for figure in figures)])
    return "\n".join([*lines, "", *(line for figure in figures for line in _remarks(figure))]) + "\n"


def _cells(figure: Figure) -> tuple[str, ...]:
    unit = figure.unit
    budget = "" if figure.budget is None else f"{'>=' if figure.at_least else '<='} {_number(figure.budget)} {unit}"
    return (
        figure.key,
        f"{_number(figure.value)} {unit}",
        _number(figure.reference),
        _times(figure.ratio),
        _number(figure.limit),
        _times(figure.over_limit),
        budget,
        figure.verdict,
        figure.what,
    )


def _remarks(figure: Figure) -> list[str]:
    told = [f"naive: {figure.reference_is}"] if figure.reference_is else []
    told += [figure.note] if figure.note else []
    return [f"{figure.key}: {'; '.join(told)}"] if told else []


def comparison(changes: Sequence[Change]) -> str:
    """One line for each figure that was compared."""
    rows = [(change.key, _times(change.times), _times(change.noise), change.verdict, change.why) for change in changes]
    return "\n".join(_aligned([("figure", "worse by", "counts from", "verdict", "because"), *rows])) + "\n"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The last column runs free."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, (*widths[:-1], 0), strict=True)).rstrip() for row in rows]


def _number(value: float | None) -> str:
    """Three digits, without an exponent where a reader has to compare.

    >>> [_number(value) for value in (0.01234, 3.14159, 31.4, 314.15, 31415.9)]
    ['0.0123', '3.14', '31.4', '314', '31,416']
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _times(value: float | None) -> str:
    return "" if value is None or value != value else f"{_number(value)}x"  # not a number
