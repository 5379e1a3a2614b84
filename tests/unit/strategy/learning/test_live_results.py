"""What a version's sides would have made: the same rows and results as the gate would see."""

import numpy as np
import pytest

from strategy.features import schema_for
from strategy.learning.dataset import Labelling, build
from strategy.learning.forecasting import forecasts_on
from strategy.learning.live_results import bars_needed, nothing_until, sided_after
from strategy.learning.recipes import side_result
from tests.fakes_learning import ALL, POLICY, RuleModel, costs_of, market

HOW = Labelling(POLICY, 2.0, (16, 17), 1)
MODEL = RuleModel("move_5")


@pytest.fixture(scope="module")
def bars():
    return market(3_000, seed=4)


def test_rows_and_results_are_those_of_the_labels(bars):
    data = build({"EURUSD": bars}, {"EURUSD": costs_of(bars)}, schema_for(ALL), HOW, len(bars))
    said = forecasts_on(MODEL, data)
    taken = (said.expected_r >= MODEL.inference.threshold) & (data.time > bars.time[1_000])
    sided = sided_after(MODEL, bars, costs_of, HOW, int(bars.time[1_000]))
    assert np.array_equal(sided.time, data.time[taken])
    assert np.array_equal(sided.result, side_result(data, said.side)[taken])
    assert sided.judged == data.time[-1]
    assert 0 < taken.sum() < len(data)


def test_piece_by_piece_is_the_same_as_at_once(bars):
    """What a check does that asks for new bars only, and what it does after a restart."""
    begin = int(bars.time[500])
    whole, pieces = sided_after(MODEL, bars, costs_of, HOW, begin), nothing_until(begin)
    for end in (520, 700, 701, 1_900, 3_000):
        now = int(bars.time[end - 1]) + 60
        known = bars.slice(0, end).tail(bars_needed(now - pieces.judged, 60, HOW))
        pieces = pieces.then(sided_after(MODEL, known, costs_of, HOW, pieces.judged))
    assert np.array_equal(pieces.time, whole.time)
    assert np.array_equal(pieces.result, whole.result)
    assert pieces.judged == whole.judged


def test_no_label_is_known_of_the_newest_bars(bars):
    sided = sided_after(MODEL, bars, costs_of, HOW, 0)
    assert sided.judged < bars.time[-POLICY.horizon]


@pytest.mark.parametrize("count", [20, 170])
def test_too_few_bars_give_no_row(bars, count):
    sided = sided_after(MODEL, bars.slice(0, count), costs_of, HOW, 7)
    assert (len(sided.time), sided.judged) == (0, 7)
