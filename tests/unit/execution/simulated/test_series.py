import numpy as np
import pytest

from execution.simulated import constants as mt5
from execution.simulated.series import Series, bar_starts
from market_data.bars import RATES_DTYPE
from tests.fakes_simulated import MONDAY


def opened(row):
    """What a bar shows while only its open is known."""
    return (*(float(row["open"]),) * 4, 1, int(row["spread"]))


def base_rates(count=200):
    rng = np.random.default_rng(5)
    rows = np.zeros(count, RATES_DTYPE)
    minutes = np.sort(rng.choice(count * 2, count, replace=False))
    rows["time"] = MONDAY + minutes * 60
    rows["open"], rows["close"] = rng.uniform(1.0, 1.1, count), rng.uniform(1.0, 1.1, count)
    rows["high"] = np.maximum(rows["open"], rows["close"]) + 0.01
    rows["low"] = np.minimum(rows["open"], rows["close"]) - 0.01
    rows["tick_volume"], rows["spread"] = rng.integers(1, 90, count), rng.integers(0, 9, count)
    return rows


@pytest.mark.parametrize("position", [0, 1, 57, 199])
@pytest.mark.parametrize("forming", [True, False])
@pytest.mark.parametrize("timeframe", [mt5.TIMEFRAME_M5, mt5.TIMEFRAME_H1, mt5.TIMEFRAME_D1])
def test_longer_bars_are_made_of_what_has_been_seen(position, forming, timeframe):
    base = base_rates()
    young = opened(base[position]) if forming else None
    seen = Series.native(base).read(0, position + 1, position, young)
    series = Series.aggregate(base, timeframe)
    made = series.read(0, series.visible(position), position, young)
    starts = bar_starts(seen["time"], timeframe)
    assert made["time"].tolist() == sorted(set(starts.tolist()))
    for row in made:
        part = seen[starts == row["time"]]
        assert (row["open"], row["close"]) == (part["open"][0], part["close"][-1])
        assert (row["high"], row["low"]) == (part["high"].max(), part["low"].min())
        assert (row["tick_volume"], row["spread"]) == (part["tick_volume"].sum(), part["spread"].min())
    newest = made[-1]
    assert series.extremes(position, young) == (newest["open"], newest["high"], newest["low"])
    assert series.visible_at(np.array([0, position])).tolist() == [1, len(made)]


def test_reading_gives_a_copy_that_may_be_written():
    base = base_rates(5)
    window = Series.native(base).read(0, 5, 4, None)
    window["close"] = 0.0
    assert (base["close"] > 0).all()
    assert window.flags.c_contiguous


def test_weeks_begin_on_sunday_and_months_on_the_first():
    stamps = np.array([MONDAY], dtype=np.int64)
    assert bar_starts(stamps, mt5.TIMEFRAME_W1).astype("datetime64[s]").astype(str).tolist() == ["2024-01-07T00:00:00"]
    assert bar_starts(stamps, mt5.TIMEFRAME_MN1).astype("datetime64[s]").astype(str).tolist() == ["2024-01-01T00:00:00"]
