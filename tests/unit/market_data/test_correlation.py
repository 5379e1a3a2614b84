"""Correlation of closed-bar returns, and the memory that spares a second call."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.bars import Bars, Capabilities, Timeframe
from market_data.correlation import MIN_RETURNS, BarMemory, return_correlation


def bars(closes, symbol="EURUSD", times=None):
    closes = np.asarray(closes, dtype=float)
    stamps = np.arange(len(closes), dtype=np.int64) * 60 if times is None else np.asarray(times, dtype=np.int64)
    return Bars(symbol, Timeframe.M1, stamps, closes, closes, closes, closes)


def walk(seed, count=200):
    return np.exp(np.random.default_rng(seed).normal(0, 1e-4, count).cumsum())


def test_the_same_market_its_mirror_and_another():
    one = walk(1)
    assert return_correlation(bars(one), bars(one * 2)) == pytest.approx(1.0)
    assert return_correlation(bars(one), bars(1 / one)) == pytest.approx(-1.0)
    assert abs(return_correlation(bars(one), bars(walk(2)))) < 0.3


def test_a_known_mixture_is_found():
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(2, 5_000))
    left = np.exp((common * 1e-4).cumsum())
    right = np.exp(((0.8 * common + 0.6 * own) * 1e-4).cumsum())
    assert return_correlation(bars(left), bars(right)) == pytest.approx(0.8, abs=0.02)


def test_only_bars_that_both_have_count():
    one, minutes = walk(1), np.arange(200) * 60
    kept = np.random.default_rng(4).random(200) > 0.3
    assert return_correlation(bars(one), bars(one[kept], times=minutes[kept])) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [0, 1, MIN_RETURNS])
def test_too_few_common_bars_tell_nothing(count):
    one = walk(1, MIN_RETURNS + 1)
    assert return_correlation(bars(one), bars(one)) == pytest.approx(1.0)
    assert return_correlation(bars(one), bars(one[:count])) is None


@pytest.mark.parametrize("closes", [np.ones(200), np.full(200, np.nan), np.r_[walk(1)[:-1], 0.0]])
def test_prices_that_do_not_move_or_are_none_tell_nothing(closes):
    with np.errstate(divide="ignore", invalid="ignore"):
        assert return_correlation(bars(walk(1)), bars(closes)) is None


@given(st.integers(0, 50), st.integers(0, 50))
def test_it_is_symmetric_and_bounded(one, other):
    left, right = bars(walk(one)), bars(walk(other))
    found = return_correlation(left, right)
    assert found == pytest.approx(return_correlation(right, left))
    assert -1.0 <= found <= 1.0


class Source:
    """Counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def window(self, symbol, count):
        self.asked += 1
        return bars(walk(1 if symbol == "EURUSD" else 2, count), symbol)

    def declare(self, symbol):
        return Capabilities(volume=False, spread=True)


def test_the_memory_passes_everything_on_and_never_asks_by_itself():
    source = Source()
    memory = BarMemory(source)
    assert memory.correlation("EURUSD", "GBPUSD") is None
    assert memory.window("EURUSD", 150).symbol == "EURUSD"
    assert memory.correlation("EURUSD", "GBPUSD") is None
    memory.window("GBPUSD", 150)
    assert memory.correlation("EURUSD", "GBPUSD") == return_correlation(bars(walk(1, 150)), bars(walk(2, 150)))
    assert memory.correlation("AUDUSD", "AUDUSD") == 1.0
    assert memory.declare("EURUSD") == Capabilities(volume=False, spread=True)
    assert source.asked == 2
