"""Forecasts from scores, and windows that fit a model or say why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import PredictionFailed, SchemaMismatch
from execution.orders import Side
from strategy.predictor import (
    FeatureSchema,
    FeatureWindow,
    Forecast,
    Inference,
    Payoff,
    forecasts_from_probabilities,
    newest_rows,
    require_schema,
    select,
)

PAYOFF = Payoff(win_long=1.2, loss_long=-1.0, win_short=1.1, loss_short=-0.9)
SCHEMA = FeatureSchema(("a", "b", "c"))


def window(rows=4):
    return FeatureWindow(SCHEMA, np.arange(3 * rows, dtype=np.float32).reshape(rows, 3))


def test_expected_r_is_that_of_the_better_side():
    found = forecasts_from_probabilities(np.array([0.6, 0.1, 0.5]), np.array([0.1, 0.7, 0.3]), PAYOFF)
    assert found.side.tolist() == [1, -1, 1]
    assert found.expected_r == pytest.approx([0.6 * 1.2 - 0.4, 0.7 * 1.1 - 0.3 * 0.9, 0.1])
    assert found.at(1) == Forecast(0.1, 0.7, Side.SHORT, pytest.approx(0.5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_probability_that_is_no_number_is_no_forecast(bad):
    with pytest.raises(PredictionFailed, match="not finite"):
        forecasts_from_probabilities(np.array([0.5, bad]), np.array([0.1, 0.1]), PAYOFF)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-700, 700)] * 3), min_size=1, max_size=8), st.floats(-3, 3))
def test_any_finite_score_gives_a_distribution(scores, bias):
    layer = Inference(((1.0, 0.2, 0.0), (0.0, 1.0, -0.4), (0.3, 0.0, 1.0)), (0.0, bias, -bias), PAYOFF, 0.0)
    found = layer.forecasts(np.array(scores))
    assert (found.p_long >= 0).all()
    assert (found.p_short >= 0).all()
    assert (found.p_long + found.p_short <= 1).all()
    assert np.isfinite(found.expected_r).all()


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats(-700, 700)] * 3), st.floats(-3, 3))
def test_one_row_is_forecast_as_many_are(scores, bias):
    layer = Inference(((1.0, 0.2, 0.0), (0.0, 1.0, -0.4), (0.3, 0.0, 1.0)), (0.0, bias, -bias), PAYOFF, 0.0)
    one, many = layer.forecast(scores), layer.forecasts(np.array([scores])).at(0)
    assert one.p_long + one.p_short <= 1.0
    assert (one.p_long, one.p_short, one.expected_r) == pytest.approx((many.p_long, many.p_short, many.expected_r), rel=1e-9, abs=1e-12)
    assert one.side == many.side or abs(layer.payoff.expected(one.p_long, one.p_short)[0] - one.expected_r) < 1e-9


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_row_without_a_number_is_no_forecast(bad):
    layer = Inference(((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0), PAYOFF, 0.0)
    with pytest.raises(PredictionFailed, match="not finite"):
        layer.forecast((0.0, bad, 0.0))


def test_probabilities_never_sum_to_a_hair_more_than_one():
    layer = Inference(((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0), PAYOFF, 0.0)
    found = layer.forecasts(np.random.default_rng(0).normal(0.0, 20.0, (20_000, 3)) - np.array([60.0, 0.0, 0.0]))
    assert (found.p_long + found.p_short).max() == 1.0


def test_log_probabilities_through_the_identity_are_the_probabilities():
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    identity = Inference(((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0), PAYOFF, 0.0)
    found = identity.forecasts(np.log(p))
    np.testing.assert_allclose(np.column_stack([found.p_long, found.p_short]), p[:, 1:])


def test_a_layer_over_two_scores_gives_three_probabilities():
    layer = Inference(((0.0, -1.0), (2.0, 0.5), (-2.0, 0.5)), (0.5, 0.0, 0.0), PAYOFF, 0.0)
    up, down = layer.forecasts(np.array([[1.0, 1.0], [-1.0, 1.0]])).at(0), layer.forecasts(np.array([[-1.0, 1.0]])).at(0)
    assert (up.p_long, up.p_short) == pytest.approx((down.p_short, down.p_long))
    assert (up.side, down.side) == (Side.LONG, Side.SHORT)


def test_scores_are_left_as_they_are():
    scores = np.array([[0.1, 0.2, 0.3]])
    before = scores.copy()
    Inference(((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0), PAYOFF, 0.0).forecasts(scores)
    np.testing.assert_array_equal(scores, before)


def test_columns_are_picked_by_name():
    picked = select("scalper", window(), FeatureSchema(("c", "a")))
    assert picked.schema.names == ("c", "a")
    assert picked.values[0].tolist() == [2.0, 0.0]
    assert select("scalper", window(), SCHEMA).values[0].tolist() == [0.0, 1.0, 2.0]


def test_only_the_newest_rows_are_picked_where_a_number_is_given():
    assert select("lstm", window(4), FeatureSchema(("c", "a")), 2).values.tolist() == [[8.0, 6.0], [11.0, 9.0]]
    assert select("lstm", window(4), SCHEMA, 1).values.tolist() == [[9.0, 10.0, 11.0]]
    assert len(select("lstm", window(4), SCHEMA, 9).values) == 4


def test_missing_columns_are_named():
    with pytest.raises(SchemaMismatch, match=r"scalper: missing columns \['d', 'e'\]") as caught:
        select("scalper", window(), FeatureSchema(("e", "a", "d")))
    assert (caught.value.missing, caught.value.unexpected) == (("d", "e"), ())


def test_another_order_is_another_schema():
    require_schema("scalper", SCHEMA, FeatureSchema(("a", "b", "c")))
    with pytest.raises(SchemaMismatch):
        require_schema("scalper", SCHEMA, FeatureSchema(("b", "a", "c")))
    with pytest.raises(SchemaMismatch, match=r"unexpected columns \['d'\]"):
        require_schema("scalper", SCHEMA, FeatureSchema(("a", "b", "c", "d")))


def test_the_newest_rows_must_be_there_and_whole():
    assert newest_rows("lstm", window(4), 2).tolist() == [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]
    with pytest.raises(PredictionFailed, match="4 feature rows, 5 needed"):
        newest_rows("lstm", window(4), 5)
    holed = window(4)
    holed.values[2, 1] = np.nan
    with pytest.raises(PredictionFailed, match=r"missing values in \['b'\]"):
        newest_rows("lstm", holed, 2)
    assert len(newest_rows("lstm", holed, 1)) == 1  # the hole is not among them


def test_forecasts_are_frozen():
    with pytest.raises(AttributeError):
        Forecast(0.5, 0.2, Side.LONG, 0.1).p_long = 0.9
    assert replace(Forecast(0.5, 0.2, Side.LONG, 0.1), p_long=0.4).p_long == 0.4
