"""The synthetic market: sound bars, seeded, the FX week, and a martingale where its edge is zero."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from execution.simulated import default_spec
from market_data.clock import BrokerTime
from market_data.quality import findings
from market_data.synthetic import synthetic_bars
from tests.fakes_learning import START, market

COUNT = 20_000


@pytest.fixture(scope="module")
def martingale():
    return market(COUNT, seed=5, edge=0.0)


@pytest.fixture(scope="module")
def predictable():
    return market(COUNT, seed=5, edge=1.0)


def test_bars_are_sound(martingale):
    assert len(martingale) == COUNT
    assert (np.diff(martingale.time) > 0).all()
    assert (martingale.high >= np.maximum(martingale.open, martingale.close)).all()
    assert (martingale.low <= np.minimum(martingale.open, martingale.close)).all()
    assert (martingale.low > 0).all()
    assert (martingale.open[1:] == martingale.close[:-1]).all()
    assert (martingale.tick_volume >= 1).all()
    assert (martingale.spread >= 0).all()
    assert martingale.tick_volume.dtype == martingale.spread.dtype == martingale.close.dtype == np.float64


def test_prices_lie_on_the_symbols_grid():
    yen = synthetic_bars(default_spec("USDJPY"), start=datetime(2024, 1, 8, tzinfo=UTC), count=500, seed=1, edge=1.0, price=150.0)
    for column in (yen.open, yen.high, yen.low, yen.close):
        np.testing.assert_array_equal(column, np.round(column, 3))


def test_equal_seeds_give_equal_bars_and_symbols_are_unrelated():
    first, again, other = market(2_000, seed=3), market(2_000, seed=3), market(2_000, seed=4)
    pound = market(2_000, seed=3, symbol="GBPUSD")
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("time", "open", "high", "low", "close", "spread"))
    assert not np.array_equal(first.close, other.close)
    assert abs(np.corrcoef(np.diff(np.log(first.close)), np.diff(np.log(pound.close)))[0, 1]) < 0.1


def test_the_market_keeps_the_week_of_new_york_all_year():
    bars = market(60_000, start=datetime(2024, 2, 20, tzinfo=UTC))
    local = BrokerTime("America/New_York").to_server(bars.time)
    monday = (local + 3 * 86_400) % (7 * 86_400)
    assert not ((monday >= (4 * 24 + 17) * 3_600) & (monday < (6 * 24 + 17) * 3_600)).any()
    opens = local[1:][np.diff(bars.time) > 3_600] % 86_400
    assert len(opens) >= 6
    assert (opens == 17 * 3_600).all()


def test_spreads_widen_at_the_rollover(martingale):
    hour = BrokerTime("America/New_York").to_server(martingale.time) // 3_600 % 24
    assert martingale.spread[hour == 17].mean() > 3 * martingale.spread[(hour > 2) & (hour < 16)].mean()


def _variance_ratio(bars, lag):
    log = np.log(bars.close)
    step = np.diff(log)
    return np.var(log[lag:] - log[:-lag]) / (lag * np.var(step))


def test_without_an_edge_returns_are_uncorrelated(martingale):
    """Autocorrelations beyond four standard errors of volatile, independent returns would be an edge."""
    step = np.diff(np.log(martingale.close))
    for lag in range(1, 31):
        product = step[lag:] * step[:-lag]
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(len(product))
    assert _variance_ratio(martingale, 15) == pytest.approx(1.0, abs=0.15)


def test_without_an_edge_a_surge_says_nothing(martingale):
    surge = martingale.tick_volume > 3 * np.median(martingale.tick_volume)
    direction = np.sign(martingale.close - martingale.open)
    rows = np.flatnonzero(surge[:-13] & (direction[:-13] != 0))
    after = (martingale.close[rows + 12] - martingale.close[rows]) * direction[rows]
    assert len(rows) > 300
    assert abs(after.mean()) < 4 * after.std() / np.sqrt(len(rows))


def test_with_an_edge_price_follows_a_surge(predictable):
    surge = predictable.tick_volume > 3 * np.median(predictable.tick_volume)
    direction = np.sign(predictable.close - predictable.open)
    rows = np.flatnonzero(surge[:-13] & (direction[:-13] != 0))
    after = (predictable.close[rows + 12] - predictable.close[rows]) * direction[rows]
    assert after.mean() > 6 * after.std() / np.sqrt(len(rows))


def test_the_edge_is_the_only_difference(martingale, predictable):
    np.testing.assert_array_equal(martingale.time, predictable.time)
    np.testing.assert_array_equal(martingale.tick_volume, predictable.tick_volume)
    assert not np.array_equal(martingale.close, predictable.close)


def test_the_quality_checks_find_nothing_wrong(martingale):
    assert [finding for finding in findings(martingale) if finding.kind != "spike"] == []


# --- mechanisms -------------------------------------------------------------------------------


def _closes(count=40_000, edge=1.0, **options):
    return synthetic_bars(default_spec("EURUSD"), start=START, count=count, seed=5, edge=edge, price=1.1, **options).close


def test_the_default_market_is_that_of_its_three_mechanisms():
    np.testing.assert_array_equal(_closes(3_000), _closes(3_000, mechanisms=("trend", "reversion", "flow")))
    np.testing.assert_array_equal(_closes(3_000, edge=0.0), _closes(3_000, edge=0.0, mechanisms=("hours",)))
    one_each = {name: _closes(3_000, mechanisms=(name,)).tobytes() for name in ("trend", "reversion", "flow", "hours")}
    assert len(set(one_each.values())) == 4


def test_the_hour_alone_and_the_move_alone_tell_nothing_and_both_together_do():
    bars = synthetic_bars(default_spec("EURUSD"), start=START, count=60_000, seed=5, edge=1.0, price=1.1, mechanisms=("hours",))
    close = np.log(bars.close)
    moved, comes = close[20:-15] - close[:-35], close[35:] - close[20:-15]
    goes_on = BrokerTime("America/New_York").to_server(bars.time[20:-15]) % 86_400 // 21_600 % 2 == 0
    sign = np.where(goes_on, 1.0, -1.0)

    def correlation(values):
        return float(np.corrcoef(values, comes)[0, 1])

    together = correlation(sign * moved)
    assert together > 0.2
    assert abs(correlation(moved)) < together / 4
    assert abs(correlation(sign)) < together / 4
