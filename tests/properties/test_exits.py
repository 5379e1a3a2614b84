"""A stop that follows the price is never loosened, whatever the price does and however often it is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from execution.exits import ClosedBar, ExitPolicy, Held, new_stop
from execution.orders import Side

ENTRY, RISK = 1.1, 0.0010
RULES = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])
POLICIES = st.builds(
    ExitPolicy, *map(st.just, (1.5, 1.5, 5.0, 15)), break_even_r=RULES, break_even_offset=RULES, trail_atr=RULES, trail_start_r=RULES
)
BARS = st.builds(
    ClosedBar,
    st.floats(ENTRY - 4 * RISK, ENTRY + 4 * RISK),
    st.one_of(st.just(float("nan")), st.floats(0.0, 0.0020)),
    st.floats(0.0, 0.0003),
)
SIDES = st.sampled_from(list(Side))


def tighter(side: Side, new: float, old: float) -> bool:
    return (new - old) * side > 0


@given(POLICIES, SIDES, st.lists(BARS, max_size=30))
def test_a_stop_only_ever_comes_nearer(policy, side, bars):
    held = Held(side, ENTRY, RISK, ENTRY - side * RISK)
    for bar in bars:
        found = new_stop(policy, held, bar)
        assert found is None or (np.isfinite(found) and tighter(side, found, held.stop))
        held = replace(held, stop=held.stop if found is None else found)


@given(POLICIES, SIDES, BARS)
def test_asked_again_after_it_was_moved_it_stays(policy, side, bar):
    """What a restart does: the same bar, the broker's stop as it stands now."""
    held = Held(side, ENTRY, RISK, ENTRY - side * RISK)
    found = new_stop(policy, held, bar)
    if found is not None:
        again = new_stop(policy, replace(held, stop=found), bar)
        assert again is None or abs(again - found) < 1e-12


@given(POLICIES, SIDES, BARS, st.floats(ENTRY - 4 * RISK, ENTRY + 4 * RISK))
def test_a_stop_that_somebody_moved_nearer_is_left_there(policy, side, bar, stop):
    found = new_stop(policy, Held(side, ENTRY, RISK, stop), bar)
    assert found is None or tighter(side, found, stop)


@given(POLICIES, BARS, st.floats(ENTRY - 4 * RISK, ENTRY + 4 * RISK))
def test_both_sides_are_one_rule(policy, bar, stop):
    """A short on mirrored prices moves its stop to the mirrored price."""
    long = new_stop(policy, Held(Side.LONG, ENTRY, RISK, stop), bar)
    short = new_stop(policy, Held(Side.SHORT, -ENTRY, RISK, -stop), replace(bar, exit_price=-bar.exit_price))
    assert short == (None if long is None else -long)
