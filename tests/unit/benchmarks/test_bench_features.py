from __future__ import annotations

import numpy as np

from strategy.features import atr
from strategy.learning.labels import label
from tests.benchmarks.bench_features import plain_labels
from tests.benchmarks.naive import frame_of
from tests.fakes_learning import POLICY, costs_of, market


def test_the_plain_loop_comes_to_the_same_labels():
    """Or its time would be that of another task; where two labels of one row are dust apart, it may round the other way."""
    bars = market(900, seed=5)
    plain = plain_labels(frame_of(bars), atr(bars), costs_of(bars), POLICY)
    ours = label(bars, atr(bars), costs_of(bars), POLICY, 2.0)
    rows = np.flatnonzero(ours.known)
    assert len(rows) > 800
    plain = plain.loc[rows]
    assert (plain["kind"] == ours.kind[rows]).mean() > 0.998
    assert np.isclose(plain["long"], ours.r_long[rows], atol=1e-9).mean() > 0.998
    assert np.isclose(plain["short"], ours.r_short[rows], atol=1e-9).mean() > 0.998
