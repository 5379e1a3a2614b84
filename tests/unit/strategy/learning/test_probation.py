"""Two versions on the same bars: blocks that share nothing, and verdicts that do not depend on when one looks."""

import numpy as np
import pytest

from strategy.learning.probation import NO_BLOCKS, OPEN, OVER, PROVEN, WORSE, Blocks, blocks_of_trial, gains, judged

MINUTE, LABEL = 60, 16 * 60
LENGTH = 8 * LABEL
PER_BLOCK = LENGTH // MINUTE
JUDGED = PER_BLOCK - 15
"""Rows of a block whose label ends inside it."""


def rows(count, seed=1):
    time = MINUTE * np.arange(count)
    rng = np.random.default_rng(seed)
    return time, time + LABEL, rng.choice([-1.0, 1.0, np.nan], count), rng.choice([-1.0, 1.0, np.nan], count)


def blocks(count, *, since=0, known=None, **options):
    time, *rest = rows(count)
    return blocks_of_trial(time, *rest, since=since, known_until=int(time[-1]) if known is None else known, length=LENGTH, **options)


def equal(left, right):
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in Blocks.__slots__)


def test_a_block_counts_the_rows_whose_label_ends_in_it():
    found = blocks(3 * PER_BLOCK + 50)
    assert found.number.tolist() == [0, 1, 2]
    assert set(found.bars.tolist()) <= {JUDGED, JUDGED - 1, JUDGED - 2}
    _, end, newer, older = rows(3 * PER_BLOCK + 50)
    first = end <= LENGTH
    assert found.newer[0] == pytest.approx(np.nansum(newer[first]))
    assert found.older_trades[0] == np.count_nonzero(~np.isnan(older[first]))
    assert found.bars[0] == np.count_nonzero(first)


def test_a_block_is_not_there_before_its_end_is_known():
    assert blocks(3 * PER_BLOCK, known=LENGTH - MINUTE).next == 0
    assert blocks(3 * PER_BLOCK, known=LENGTH).next == 1


def test_bars_from_before_the_trial_do_not_count():
    assert blocks(3 * PER_BLOCK, since=LENGTH + MINUTE).number.tolist() == [0]


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_block_after_block_is_the_same_as_all_at_once(cut):
    whole = blocks(6 * PER_BLOCK)
    early = blocks(6 * PER_BLOCK, known=cut * LENGTH)
    assert early.next == cut
    assert equal(early.then(blocks(6 * PER_BLOCK, first=cut)), whole)


def test_several_symbols_of_an_instant_are_one_bar():
    time, end, newer, older = (np.repeat(column, 2) for column in rows(2 * PER_BLOCK))
    found = blocks_of_trial(time, end, newer, older, since=0, known_until=int(time[-1]), length=LENGTH)
    assert found.bars[0] == JUDGED
    assert found.newer_trades[0] == np.count_nonzero(~np.isnan(newer[end <= LENGTH]))


def made(newer, older, *, trades=20, more=0, bars=100):
    n = len(newer)
    counts = np.full(n, trades)
    return Blocks(np.arange(n), np.full(n, bars), np.asarray(newer) * (trades + more), np.asarray(older) * trades, counts + more, counts)


def series(mean, n=150, seed=5):
    return mean + 0.3 * np.random.default_rng(seed).standard_normal(n)


SETTINGS = {"alpha": 0.05, "margin": 0.04, "most_bars": 10_000}


@pytest.mark.parametrize(("deficit", "outcome"), [(0.4, WORSE), (-0.4, PROVEN)])
def test_a_clear_difference_is_found_before_the_time_is_up(deficit, outcome):
    found = judged(made(series(0.2 - deficit), series(0.2, seed=6)), **SETTINGS)
    assert found.outcome == outcome
    assert 0 < found.bars < 10_000
    assert (found.against if outcome == WORSE else found.speaks_for) >= 20
    assert found.newer - found.older == pytest.approx(-deficit, abs=0.3)


def test_a_difference_within_the_margin_runs_until_the_time_is_up():
    found = judged(made(series(0.16), series(0.2)), **SETTINGS)
    assert (found.outcome, found.bars) == (OVER, 10_000)


def test_the_verdict_is_the_same_however_late_one_looks():
    whole = made(series(-0.2), series(0.2, seed=6))
    verdicts = [judged(Blocks(*(getattr(whole, name)[:n] for name in Blocks.__slots__)), **SETTINGS) for n in range(1, 150)]
    ended = [verdict for verdict in verdicts if verdict.outcome != OPEN]
    assert ended
    assert set(ended) == {ended[0]}
    assert all(verdict.outcome == OPEN for verdict in verdicts[: len(verdicts) - len(ended)])


def test_trading_more_often_at_the_same_rate_is_neither_merit_nor_fault():
    rate = series(0.3)
    assert np.abs(gains(made(rate, rate, more=10), 0.0)[20:].mean()) < 1.0  # of 10 trades at 0.3 R
    assert judged(made(rate, rate, more=10), **SETTINGS).outcome != WORSE
    assert judged(made(rate, rate, more=-10), **SETTINGS).outcome != WORSE


def test_against_staying_out_every_r_counts():
    alone = made(series(-0.3), np.zeros(150))
    alone = Blocks(alone.number, alone.bars, alone.newer, alone.older, alone.newer_trades, np.zeros(150, dtype=np.int64))
    assert judged(alone, **SETTINGS).outcome == WORSE


def test_without_blocks_nothing_is_said():
    assert judged(NO_BLOCKS, **SETTINGS).outcome == OPEN
    assert NO_BLOCKS.next == 0
