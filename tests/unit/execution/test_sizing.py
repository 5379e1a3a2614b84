"""Lots from money: down, on the step, never a default."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.errors import OrderDenied
from execution.sizing import lots_for_risk
from tests.fakes_terminal import EURUSD


@pytest.mark.parametrize(
    ("budget", "loss", "lots"),
    [
        (50.0, 127.0, 0.39),
        (50.0, 125.0, 0.40),
        (7.0, 100.0, 0.07),  # 0.07 * 100 is 7.000000000000001 in floats: still within 7
        (0.3, 1.0, 0.3),
        (1.27, 127.0, 0.01),
        (1.26, 127.0, 0.0),
        (0.0, 127.0, 0.0),
        (-5.0, 127.0, 0.0),
        (1e9, 1.0, 50.0),
    ],
)
def test_lots_are_rounded_down(budget, loss, lots):
    assert lots_for_risk(budget, loss, EURUSD) == lots


def test_the_least_volume_is_never_taken_in_place_of_too_little():
    assert lots_for_risk(99.0, 1000.0, replace(EURUSD, volume_min=0.1)) == 0.0


def test_a_coarse_step():
    spec = replace(EURUSD, volume_min=1.0, volume_step=1.0, volume_max=100.0)
    assert lots_for_risk(29.9, 10.0, spec) == 2.0


def test_the_allowance_for_float_dust_does_not_exceed_the_budget():
    budget = 3.0 * (1 - 1e-10)  # a hair under three steps
    assert lots_for_risk(budget, 100.0, EURUSD) == 0.02


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_no_volume_from_figures_that_are_none(bad):
    with pytest.raises(OrderDenied, match="EURUSD"):
        lots_for_risk(bad, 100.0, EURUSD)
    with pytest.raises(OrderDenied, match="EURUSD"):
        lots_for_risk(100.0, bad, EURUSD)


@pytest.mark.parametrize("loss", [0.0, -1.0])
def test_a_loss_must_be_a_loss(loss):
    with pytest.raises(OrderDenied):
        lots_for_risk(100.0, loss, EURUSD)
