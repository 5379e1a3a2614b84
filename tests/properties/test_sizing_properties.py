"""For any money, any loss and any symbol: the loss stays within the budget."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from execution.sizing import lots_for_risk
from tests.fakes_terminal import EURUSD

money = st.floats(1e-6, 1e9)
steps = st.sampled_from([0.001, 0.01, 0.1, 0.5, 1.0, 10.0])


@st.composite
def specs(draw):
    step = draw(steps)
    least = step * draw(st.integers(1, 10))
    return replace(EURUSD, volume_step=step, volume_min=least, volume_max=least * draw(st.integers(1, 10_000)))


@given(money, money, specs())
def test_the_loss_is_within_the_budget(budget, loss, spec):
    assert lots_for_risk(budget, loss, spec) * loss <= budget * (1 + 1e-12)


@given(money, money, specs())
def test_lots_are_nothing_or_within_the_symbols_limits_and_on_its_step(budget, loss, spec):
    lots = lots_for_risk(budget, loss, spec)
    assert lots == 0.0 or spec.volume_min - 1e-9 <= lots <= spec.volume_max + 1e-9
    assert abs(lots / spec.volume_step - round(lots / spec.volume_step)) < 1e-6


@given(money, money, specs())
def test_no_more_than_one_step_is_left_on_the_table(budget, loss, spec):
    lots = lots_for_risk(budget, loss, spec)
    more = max(lots + spec.volume_step, spec.volume_min)
    assert more > spec.volume_max - 1e-9 or more * loss > budget * (1 - 1e-6)


@given(money, money, st.floats(0, 1), specs())
def test_less_money_or_a_wider_stop_never_means_more_lots(budget, loss, share, spec):
    lots = lots_for_risk(budget, loss, spec)
    assert lots_for_risk(budget * share, loss, spec) <= lots
    assert lots_for_risk(budget, loss * (1 + share), spec) <= lots
