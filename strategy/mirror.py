"""Feature rows of the market turned upside down."""

from __future__ import annotations

import numpy as np

from strategy.predictor import FeatureSchema, Matrix
from strategy.structure import SWAPPED

EVEN_COLUMNS = frozenset(
    {"atr_5_14", "atr_14_120", "range", "range_spread_20", "straight_20", "straight_60", "volume", "spread"}
    | {"day_sin", "day_cos", "half_day_sin", "half_day_cos", "week_sin", "week_cos"}
)
SWAPPED_COLUMNS = (
    ("upper_wick", "lower_wick"),
    ("swing_high_distance", "swing_low_distance"),
    ("swing_high_age", "swing_low_age"),
    *SWAPPED,
)


def mirror(table: Matrix, schema: FeatureSchema) -> Matrix:
    """Feature rows of the market turned upside down, shape (N, F).

    Even columns keep their value, swapped pairs change places, all others change sign. A model
    that learns from both images cannot take the drift of a few days for a law.
    """
    other = {a: b for pair in SWAPPED_COLUMNS for a, b in (pair, pair[::-1])}
    source = [schema.names.index(other.get(name, name)) for name in schema.names]
    sign = [1.0 if name in EVEN_COLUMNS or name in other else -1.0 for name in schema.names]
    return table[:, source] * np.array(sign, dtype=np.float32)
