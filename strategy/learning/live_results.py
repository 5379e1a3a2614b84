"""What a version's sides would have made on every bar that did not teach it, as far as labels are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from config.errors import InsufficientHistory
from market_data.bars import Bars, FloatArray, IntArray
from strategy.features import WARMUP, schema_around
from strategy.learning.dataset import Labelling, build
from strategy.learning.forecasting import forecasts_on
from strategy.learning.labels import Costs
from strategy.learning.recipes import side_result
from strategy.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Sided:
    """Rows on which a version takes a side, by time.

    Attributes:
        time: shape (n,), epoch seconds of the decided bar's open.
        result: shape (n,), net R of its side.
        judged: newest row that was looked at, sided or not.
    """

    time: IntArray
    result: FloatArray
    judged: int

    def then(self, later: Sided) -> Sided:
        """Both stretches as one."""
        return Sided(np.concatenate([self.time, later.time]), np.concatenate([self.result, later.result]), later.judged)


def nothing_until(instant: int) -> Sided:
    """No row yet, judged up to an instant."""
    return Sided(np.zeros(0, np.int64), np.zeros(0), instant)


def sided_after(predictor: Predictor, bars: Bars, costs: Callable[[Bars], Costs], how: Labelling, after: int) -> Sided:
    """The sided rows of one symbol after an instant, by the labels and costs that judge candidates.

    Args:
        predictor: any version.
        bars: closed bars, with the warm-up and the longest window before `after`.
        costs: of trading these bars.
        how: exits, entry age, blocked hours and window of the labels.
        after: epoch seconds.
    """
    try:
        data = build(
            {bars.symbol: bars}, {bars.symbol: costs(bars)}, schema_around(bars.capabilities, predictor.info.schema), how, len(bars)
        )
    except InsufficientHistory:  # no row has its label yet
        return nothing_until(after)
    data = data.take(data.time > after)
    if not len(data):
        return nothing_until(after)
    said = forecasts_on(predictor, data)
    taken = said.expected_r >= predictor.inference.threshold
    return Sided(data.time[taken], side_result(data, said.side)[taken], int(data.time[-1]))


def bars_needed(seconds: float, bar_seconds: int, how: Labelling) -> int:
    """Bars to fetch for `sided_after` over so long a stretch; closed hours make it more than there are."""
    return int(seconds) // bar_seconds + WARMUP + how.window + how.policy.horizon + 3
