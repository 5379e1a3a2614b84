"""The plain features that ours are timed against are the same features."""

from __future__ import annotations

import numpy as np
import pytest

from strategy.features import WARMUP, compute, schema_for
from tests.benchmarks.naive import features, frame_of
from tests.fakes_learning import ALL, market

SCHEMA = schema_for(ALL)


@pytest.fixture(scope="module")
def both():
    bars = market(1_500, seed=5)
    return features(frame_of(bars)), compute(bars, SCHEMA).values


def test_the_plain_features_are_all_of_ours(both):
    assert set(both[0].columns) == set(SCHEMA.names)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_plain_feature_has_our_values(both, column):
    plain, ours = both
    late = slice(WARMUP + 1, None)
    np.testing.assert_allclose(plain[column].to_numpy()[late], ours[late, SCHEMA.names.index(column)], rtol=1e-3, atol=2e-4)
