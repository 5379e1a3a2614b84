"""`develop`: calibration, payoff and threshold are frozen before the final window is looked at."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from config.errors import FitCancelled, InsufficientHistory
from strategy.learning.labels import FLAT, LONG, SHORT
from strategy.learning.recipes import Fit, develop, side_result
from strategy.learning.validation import log_loss_rows, walk_forward
from strategy.predictor import FeatureSchema
from tests.fakes_learning import rows_of

HORIZON = 960
START = 1_704_700_000


@dataclass(frozen=True)
class Scoring:
    """A model whose scores are some of the feature columns."""

    columns: int
    epochs: int = 1
    hyper_parameters: dict = field(default_factory=dict)

    def scores(self, data):
        return data.values[:, : self.columns].astype(np.float64)

    def files(self, data):
        return {}


@dataclass(frozen=True)
class ScoringRecipe:
    """Nothing is learned: rows bring their scores along."""

    columns: int = 3
    kind: str = "random_forest"
    window: int = 1

    def fit(self, data, embargo, cancel):
        if cancel.is_set():
            raise FitCancelled("told to")
        folds = walk_forward(data.time, data.end, 3, embargo)
        held = np.concatenate([split.test for split in folds])
        fold = np.concatenate([np.full(len(split.test), i) for i, split in enumerate(folds)])
        model = Scoring(self.columns)
        return Fit(model, held, model.scores(data)[held], fold, 0.97)


def rows(n=6_000, *, seed=1, sharpness=1.0, skill=0.8):
    """Rows whose classes are drawn from known probabilities; scores are `sharpness` times their logs."""
    rng = np.random.default_rng(seed)
    lean = skill * rng.standard_normal(n)
    logits = np.column_stack([np.full(n, 0.6), lean, -lean])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    kind = (p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1)
    time = START + 60 * np.arange(n)
    base = rows_of(time, kind, values=(sharpness * np.log(p)).astype(np.float32), horizon=HORIZON)
    long = np.where(kind == LONG, 1.0, np.where(kind == SHORT, -1.0, -0.1))
    return replace(base, r_long=long, r_short=np.where(kind == FLAT, -0.1, -long))


def run(data, recipe=None, *, fraction=0.25, least=200, cancel=None):
    return develop(
        recipe or ScoringRecipe(),
        data,
        horizon_seconds=HORIZON,
        final_fraction=fraction,
        least_sides=least,
        cancel=cancel or threading.Event(),
    )


def test_the_final_window_decides_nothing():
    """Whatever happened there, calibration, payoff, threshold and the held evidence stay the same."""
    data = rows()
    honest = run(data)
    first = len(data) - len(honest.final)
    turned = np.arange(len(data)) >= first
    other = replace(
        data,
        kind=np.where(turned, np.array([LONG, SHORT, FLAT])[data.kind], data.kind),
        r_long=np.where(turned, 9.0, data.r_long),
        r_short=np.where(turned, -9.0, data.r_short),
        forward=np.where(turned, -data.forward, data.forward),
    )
    planted = run(other)
    assert planted.inference == honest.inference
    np.testing.assert_array_equal(planted.forecasts.expected_r, honest.forecasts.expected_r)
    np.testing.assert_array_equal(planted.held_forecasts.expected_r, honest.held_forecasts.expected_r)
    assert planted.train_end == honest.train_end


def test_rows_that_teach_do_decide():
    data = rows()
    early = np.arange(len(data)) < 3_000
    other = replace(data, r_long=np.where(early, data.r_long * 3, data.r_long))
    assert run(other).inference.payoff != run(data).inference.payoff


def test_no_label_that_taught_ends_near_the_final_window():
    data = rows()
    candidate = run(data)
    assert candidate.train_end < candidate.final.time[0] - HORIZON
    assert candidate.train_rows == int((data.end < candidate.final.time[0] - HORIZON).sum())
    assert len(candidate.final) == 1_500
    assert candidate.final.time[-1] == data.time[-1]
    assert candidate.held.end.max() <= candidate.train_end
    assert candidate.block_seconds == 2 * HORIZON


def test_the_candidate_says_on_the_final_window_what_it_will_say_live():
    candidate = run(rows())
    again = candidate.inference.forecasts(candidate.raw_final)
    np.testing.assert_array_equal(candidate.forecasts.expected_r, again.expected_r)
    np.testing.assert_array_equal(candidate.raw_final, candidate.final.values.astype(np.float64))
    assert len(candidate.fold) == len(candidate.held) == len(candidate.held_forecasts.side)
    assert candidate.priors.sum() == pytest.approx(1.0)


# --- calibration ------------------------------------------------------------------------------

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def _final_loss(candidate, weights=None):
    inference = candidate.inference if weights is None else replace(candidate.inference, weights=weights, bias=(0.0, 0.0, 0.0))
    said = inference.forecasts(candidate.raw_final)
    p = np.column_stack([1 - said.p_long - said.p_short, said.p_long, said.p_short])
    return float(log_loss_rows(p, candidate.final.kind).mean())


def test_probabilities_that_are_right_are_left_alone():
    """A layer over true probabilities can only fit noise; on some draws it wins by luck, never by much."""
    kept = [run(rows(seed=seed)) for seed in range(6)]
    assert sum(candidate.inference.weights == IDENTITY for candidate in kept) >= 2
    assert all(_final_loss(candidate) < _final_loss(candidate, IDENTITY) + 0.005 for candidate in kept)


@pytest.mark.parametrize("sharpness", [0.25, 4.0])
def test_probabilities_that_are_too_bold_or_too_timid_are_corrected(sharpness):
    candidate = run(rows(sharpness=sharpness))
    assert candidate.inference.weights != IDENTITY
    assert _final_loss(candidate) < _final_loss(candidate, IDENTITY) - 0.01


def test_a_predicted_return_becomes_probabilities_through_the_layer():
    data = rows()
    moved = (data.values[:, 1] - data.values[:, 2]) / 2
    two = replace(data, schema=FeatureSchema(("r", "size")), table=np.column_stack([moved, np.abs(moved)]).astype(np.float32))
    candidate = run(two, ScoringRecipe(columns=2, kind="lstm"))
    assert len(candidate.inference.weights) == 3
    assert all(len(row) == 2 for row in candidate.inference.weights)
    agree = np.sign(candidate.raw_final[:, 0]) == candidate.forecasts.side
    assert agree.mean() > 0.95
    priors = -np.log(candidate.priors)[candidate.final.kind].mean()
    assert _final_loss(candidate) < priors - 0.02


def test_without_all_classes_a_predicted_return_says_nothing():
    data = rows()
    no_short = replace(data, kind=np.where(data.kind == SHORT, FLAT, data.kind))
    candidate = run(
        replace(no_short, table=data.table[:, :2].copy(), schema=FeatureSchema(("r", "s"))), ScoringRecipe(columns=2, kind="lstm")
    )
    assert np.ptp(candidate.forecasts.expected_r) == 0.0


# --- payoff and threshold ---------------------------------------------------------------------


def test_the_payoff_is_the_mean_result_of_won_and_lost_trades_that_taught():
    data = rows()
    payoff = run(data).inference.payoff
    part = data.take(np.flatnonzero(data.end < run(data).final.time[0] - HORIZON))
    result = np.r_[part.r_long, part.r_short]
    won = np.r_[part.kind == LONG, part.kind == SHORT]
    assert (payoff.win_long, payoff.win_short) == pytest.approx((result[won].mean(),) * 2)
    assert (payoff.loss_long, payoff.loss_short) == pytest.approx((result[~won].mean(),) * 2)


def test_a_market_that_never_pays_has_a_payoff_all_the_same():
    data = rows()
    flat = replace(data, kind=np.zeros(len(data), np.int64), r_long=np.full(len(data), -0.2), r_short=np.full(len(data), -0.2))
    payoff = run(flat).inference.payoff
    assert (payoff.win_long, payoff.loss_long) == pytest.approx((1.0, -0.2))


def test_the_threshold_leaves_the_final_window_enough_sides():
    for least in (50, 300, 700):
        candidate = run(rows(), least=least)
        share = (candidate.held_forecasts.expected_r >= candidate.inference.threshold).mean()
        assert share >= least / len(candidate.final)


def test_the_threshold_follows_where_the_money_was():
    """Only the boldest tenth earns: the threshold goes there, and not where an even hand would take more."""
    data = rows(12_000)
    lean = np.abs(data.values[:, 1] - data.values[:, 2])
    bold = lean >= np.quantile(lean, 0.9)
    paid = np.where(bold, 1.0, -0.5)
    side = np.where(data.values[:, 1] > data.values[:, 2], 1, -1)
    planted = replace(data, r_long=np.where(side > 0, paid, -1.0), r_short=np.where(side < 0, paid, -1.0))
    candidate = run(planted)
    assert (candidate.held_forecasts.expected_r >= candidate.inference.threshold).mean() == pytest.approx(0.1, abs=0.035)


def test_the_result_of_a_side_is_that_sides():
    data = rows(2_000)
    side = np.where(np.arange(2_000) % 2 == 0, 1, -1)
    found = side_result(data, side)
    np.testing.assert_array_equal(found[::2], data.r_long[::2])
    np.testing.assert_array_equal(found[1::2], data.r_short[1::2])


# --- refusals ---------------------------------------------------------------------------------


def test_too_few_rows_teach_nothing():
    with pytest.raises(InsufficientHistory, match="EURUSD"):
        run(rows(1_300))


def test_a_cancelled_fit_leaves_no_candidate():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(FitCancelled):
        run(rows(), cancel=cancel)
