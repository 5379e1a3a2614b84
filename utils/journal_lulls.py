"""Rows of decisions that were made together: what `journal_rows` writes of each, at a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import merge
from operator import itemgetter

import numpy as np

from strategy.decision import Lull
from strategy.predictor import Forecasts
from utils.journal_rows import Values, quoted, repeated_text


def lull_values(lulls: Sequence[Lull]) -> Iterable[Values]:
    """What `decision_values` says of every decision, in the order of the passes; within a pass in that of the lulls."""
    if len(lulls) == 1:
        return _lull_rows(lulls[0])
    listed = [zip(lull.passes, _lull_rows(lull), strict=True) for lull in lulls]
    return map(itemgetter(1), merge(*listed, key=itemgetter(0)))


def _lull_rows(lull: Lull) -> Iterable[Values]:
    absent, versions = (repeated_text(tuple(items.items())) for items in (lull.absent, lull.versions))
    stamps = np.array(lull.times).astype("datetime64[s]").astype("datetime64[ms]")
    columns = (
        np.datetime_as_string(stamps, timezone="UTC").tolist(), lull.reasons, lull.closes, lull.ranges, lull.hashes, _lull_forecasts(lull),
    )  # fmt: skip
    symbol = lull.symbol
    return [
        (symbol, at, None, "none", "", reason, 0.0, close, range_, digits, forecasts, absent, versions, "", 0)
        for at, reason, close, range_, digits, forecasts in zip(*columns, strict=True)
    ]


def _lull_forecasts(lull: Lull) -> Iterable[str]:
    """What `_forecasts_text` makes of each bar's."""
    if not lull.forecasts:
        return ["{}"] * len(lull)
    slots = sorted(lull.forecasts)
    pattern = ",".join(f"{quoted(slot).replace('%', '%%')}:%s" for slot in slots)
    told = zip(*(_many_texts(lull.forecasts[slot]) for slot in slots), strict=True)
    return [f"{{{pattern}}}" % texts for texts in told]


def _many_texts(told: Forecasts) -> list[str]:
    """What `_forecast_text` makes of each; the figures of a lull are finite."""
    columns = (told.expected_r.tolist(), told.p_long.tolist(), told.p_short.tolist(), told.side.tolist())
    return [
        f'{{"expected_r":{expected!r},"p_long":{p_long!r},"p_short":{p_short!r},"side":"{"long" if side > 0 else "short"}"}}'
        for expected, p_long, p_short, side in zip(*columns, strict=True)
    ]
