"""`lookahead-analysis`: cuts the history at many bars and works every feature and label out again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli.options import JsonOption, SourceOption, SymbolsOption, TerminalOption, one_of, settings_with
from utils.cli.output import say, say_json, say_table

if TYPE_CHECKING:
    from config.settings import Settings
    from strategy.learning.lookahead import Examination, Leak
    from strategy.predictor import FeatureSchema
    from utils.market_view import MarketView

ALL = "all"

FEWEST, MOST = 3_000, 1_000_000
"""What HISTORY_BARS allows; a refusal names the option that was given."""


def lookahead_analysis(
    terminal: TerminalOption = None,
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    bars: Annotated[int | None, typer.Option(min=FEWEST, max=MOST, help="closed bars of each symbol; HISTORY_BARS otherwise")] = None,
    cuts: Annotated[int, typer.Option(min=1, max=100_000, help="bars at which each history is cut")] = 50,
    features: Annotated[str, typer.Option(metavar="NAMES", help="comma-separated, or all; labels are always examined")] = ALL,
    as_json: JsonOption = False,
) -> None:
    """Does anything that teaches know what came after it?

    Every feature and label is worked out again without the bars that follow; exit code 5 if any changes.
    """
    from config.errors import CheckFailed
    from utils.market_view import open_view

    settings = settings_with({"terminal": terminal, "symbols": symbols, "history_bars": bars})
    with open_view(settings, tuple(source or ("synthetic",))) as view:
        found = [_examined(settings, view, symbol, features, cuts) for symbol in view.symbols]
    leaks = [leak for examination in found for leak in examination.leaks]
    if as_json:
        say_json({"ok": not leaks, "symbols": [_plain(examination) for examination in found]})
    else:
        _show(found, leaks)
    if leaks:
        raise CheckFailed(f"{len(leaks)} columns change with bars that come later; mend them before any model learns from them")


def _examined(settings: Settings, view: MarketView, symbol: str, wanted: str, cuts: int) -> Examination:
    from strategy.features import schema_for
    from strategy.learning.jobs import subject_of
    from strategy.learning.lookahead import examine

    schema = _chosen(schema_for(view.loader.declare(symbol), settings.models.feature_families), wanted)
    history = view.loader.history(symbol, settings.data.history_bars)
    return examine(history, subject_of(settings, schema, view.client.spec), cuts)


def _chosen(schema: FeatureSchema, wanted: str) -> FeatureSchema:
    """The columns asked for, in the schema's order."""
    from strategy.predictor import FeatureSchema

    if wanted == ALL:
        return schema
    names = {one_of(name.strip(), schema.names, "feature") for name in wanted.split(",")}
    return FeatureSchema(tuple(name for name in schema.names if name in names))


def _show(found: Sequence[Examination], leaks: Sequence[Leak]) -> None:
    rows = [(part.symbol, part.bars, part.cuts, part.columns, len(part.leaks)) for part in found]
    say_table(("symbol", "bars", "cuts", "columns", "leaks"), rows, empty="no symbols")
    for leak in leaks:
        say(f"{leak} (difference {_difference(leak)})")


def _difference(leak: Leak) -> str:
    off = leak.full - leak.early
    return f"{off:.3g}" if math.isfinite(off) else "of a value and none"


def _plain(examination: Examination) -> dict[str, Any]:
    from market_data.clock import utc_text

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    leaks = [
        {
            "kind": leak.kind,
            "column": leak.column,
            "first": utc_text(leak.time),
            "newest_bar": utc_text(leak.newest),
            "with_later_bars": number(leak.full),
            "without": number(leak.early),
            "difference": number(leak.full - leak.early),
            "by_later_bars_alone": leak.whole,
        }
        for leak in examination.leaks
    ]
    counts = {"symbol": examination.symbol, "bars": examination.bars, "cuts": examination.cuts, "columns": examination.columns}
    return {**counts, "leaks": leaks}
