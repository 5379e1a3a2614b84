"""Whether a version still pays, as a function of its blocks alone."""

import numpy as np
import pytest

from strategy.learning.failing import LEAST_SIDES, STEP_SECONDS, WARM_BLOCKS, WATCH_SECONDS, Watch, pays, standing_of, watch_of
from strategy.learning.probation import Blocks

LENGTH = 1_920
DAY = 86_400
TOOK_OVER = 1_700_000_000


def blocks_of(newer, *, sides=5, number=None):
    count = len(newer)
    number = np.arange(count) if number is None else np.asarray(number)
    none = np.zeros(count, np.int64)
    return Blocks(number, np.full(count, 16), np.asarray(newer, np.float64), np.zeros(count), np.full(count, sides), none)


class TestWatch:
    def test_it_begins_where_the_version_took_over_with_blocks_before_that_did_not_teach(self):
        watch = watch_of(TOOK_OVER, TOOK_OVER - 50 * LENGTH, TOOK_OVER + DAY, LENGTH)
        assert watch == Watch(TOOK_OVER - WARM_BLOCKS * LENGTH, WARM_BLOCKS)

    @pytest.mark.parametrize(("taught", "first"), [(3 * LENGTH + 1, 3), (LENGTH - 1, 0), (-LENGTH, 0)])
    def test_rows_that_taught_are_not_among_them(self, taught, first):
        watch = watch_of(TOOK_OVER, TOOK_OVER - taught, TOOK_OVER + DAY, LENGTH)
        assert (watch.first, watch.begin) == (first, TOOK_OVER - first * LENGTH)
        assert watch.begin >= TOOK_OVER - max(taught, 0)

    def test_it_is_never_longer_than_it_may_be_nor_shorter_than_half_of_that(self):
        for days in np.linspace(0.0, 200.0, 401):
            now = int(TOOK_OVER + days * DAY)
            watch = watch_of(TOOK_OVER, 0, now, LENGTH)
            watched = watch.begin + watch.first * LENGTH
            assert now - watched <= WATCH_SECONDS
            assert watched == TOOK_OVER or now - watched > WATCH_SECONDS - STEP_SECONDS
            assert (watched - TOOK_OVER) % STEP_SECONDS == 0


class TestStanding:
    GOOD = np.tile([3.0, -1.0, 2.0, 0.5], 10)

    def test_a_version_that_pays_has_not_fallen(self):
        found = standing_of(blocks_of(self.GOOD), 0.02, Watch(0, 20), LENGTH)
        assert (found.fell, found.sides, found.mean) == (None, 100, pytest.approx(self.GOOD.mean() / 5))

    def test_one_that_loses_has_with_the_figures_since_then(self):
        results = np.concatenate([self.GOOD, np.full(30, -2.0)])
        found = standing_of(blocks_of(results), 0.02, Watch(1_000, 20), LENGTH)
        assert found.fell == 1_000 + 40 * LENGTH
        assert found.mean == pytest.approx(-0.4)
        assert found.evidence >= 50
        assert f"-0.400 R a trade over {found.sides} rows since 1970-01-01T21:36:40" in str(found)

    def test_blocks_without_rows_have_no_number_and_change_nothing(self):
        results = np.concatenate([self.GOOD, np.full(30, -2.0)])
        gaps = np.arange(70) + 500 * (np.arange(70) >= 30)
        found = standing_of(blocks_of(results, number=gaps), 0.02, Watch(0, 20), LENGTH)
        assert found.fell == (40 + 500) * LENGTH

    def test_what_it_made_before_it_took_over_is_no_evidence(self):
        before = np.concatenate([self.GOOD, np.full(60, -2.0)])
        assert standing_of(blocks_of(before), 0.02, Watch(0, 100), LENGTH).fell is None
        assert standing_of(blocks_of(before), 0.02, Watch(0, 40), LENGTH).fell is not None

    @pytest.mark.parametrize("count", [0, 3])
    def test_without_blocks_nothing_is_said(self, count):
        found = standing_of(blocks_of(np.zeros(count), sides=0), 0.02, Watch(0, 3), LENGTH)
        assert (found.fell, found.sides, found.mean) == (None, 0, 0.0)


@pytest.mark.parametrize(
    ("newer", "sides", "verdict"),
    [([1.0, 0.5], LEAST_SIDES, True), ([1.0, 0.5], LEAST_SIDES // 2 - 1, False), ([-1.0, 1.0], LEAST_SIDES, False), ([], 9, False)],
)
def test_a_former_version_pays_with_a_gain_on_rows_enough(newer, sides, verdict):
    assert pays(blocks_of(newer, sides=sides)) is verdict
