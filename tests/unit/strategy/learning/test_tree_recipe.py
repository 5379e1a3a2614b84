"""Forests and boosters: out-of-fold scores, determinism, cancellation, both images of the market."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from config.errors import DataError, FitCancelled
from config.settings import TrainingSettings
from strategy.learning.labels import LONG, SHORT
from strategy.learning.tree_recipe import TreeRecipe
from strategy.learning.validation import walk_forward
from strategy.mirror import mirror
from strategy.predictor import BundleInfo, FeatureSchema
from strategy.tree_predictor import load_tree
from tests.fakes_learning import IDENTITY, POLICY, SetAfter, dataset

EMBARGO = 960
NEVER = threading.Event()
KINDS = ("random_forest", "xgboost")


def recipe(kind, size=20, folds=2, seed=3):
    return TreeRecipe(kind, folds, size, seed, 1)


@pytest.fixture(scope="module")
def data():
    return dataset(2_200)


@pytest.fixture(scope="module", params=KINDS)
def fit(request, data):
    return recipe(request.param).fit(data, EMBARGO, NEVER)


def test_every_judging_row_is_scored_once_by_a_fit_that_did_not_see_it(data, fit):
    folds = walk_forward(data.time, data.end, 2, EMBARGO)
    np.testing.assert_array_equal(fit.held, np.concatenate([split.test for split in folds]))
    np.testing.assert_array_equal(fit.fold, np.repeat([0, 1], [len(split.test) for split in folds]))
    assert fit.scores.shape == (len(fit.held), 3)
    np.testing.assert_allclose(np.exp(fit.scores).sum(axis=1), 1.0, atol=1e-4)


def test_held_scores_do_not_depend_on_what_came_later(data):
    """Rows of the last fold, and labels that end after a fold begins, cannot reach the scores of the first."""
    folds = walk_forward(data.time, data.end, 2, EMBARGO)
    later = np.arange(len(data)) >= folds[0].train[-1] + 1
    other = replace(data, kind=np.where(later, (data.kind + 1) % 3, data.kind))
    first = slice(0, len(folds[0].test))
    for kind in KINDS:
        honest, planted = (recipe(kind, 10).fit(rows, EMBARGO, NEVER) for rows in (data, other))
        np.testing.assert_array_equal(honest.scores[first], planted.scores[first])
        assert not np.array_equal(honest.scores[len(folds[0].test) :], planted.scores[len(folds[0].test) :])


def test_the_artifact_is_what_a_registry_would_serve(data, fit):
    files = fit.model.files(data)
    info = BundleInfo("scalper", 1, "random_forest", "synthetic", ("EURUSD",), "M1", POLICY.hash, 1, data.schema)
    served = load_tree(info, IDENTITY, files).predict_many(data.values[-200:])
    judged = IDENTITY.forecasts(fit.model.scores(data.take(np.arange(len(data) - 200, len(data)))))
    np.testing.assert_allclose(served.expected_r, judged.expected_r, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_model(data, kind):
    first, again, other = (recipe(kind, 10, seed=seed).fit(data, EMBARGO, NEVER) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.model.files(data) == again.model.files(data)
    assert not np.array_equal(first.scores, other.scores)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_takes_effect_inside_a_fit(data, kind):
    cancel = SetAfter(5)
    with pytest.raises(FitCancelled):
        recipe(kind, 400).fit(data, EMBARGO, cancel)
    assert cancel.looks > -10  # it was not asked again and again while the fit went on


def test_the_mirrored_market_gets_the_mirrored_forecast(data):
    """Each fit saw both images, so no drift of the days is left in it; chance is what remains."""
    model = recipe("xgboost", 60).fit(data, EMBARGO, NEVER).model
    turned = replace(data, table=mirror(data.table, data.schema))
    p, mirrored = np.exp(model.scores(data)), np.exp(model.scores(turned))
    assert np.abs(p[:, LONG] - mirrored[:, SHORT]).mean() < 0.03


def test_a_planted_rule_is_learned(data):
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], len(data.table))
    schema = FeatureSchema(("sign", *data.schema.names[1:]))
    table = np.column_stack([sign, data.table[:, 1:]]).astype(np.float32)
    planted = replace(data, schema=schema, table=table, kind=np.where(sign[data.row] > 0, LONG, SHORT) * (rng.random(len(data)) < 0.6))
    for kind in KINDS:
        found = recipe(kind, 40).fit(planted, EMBARGO, NEVER)
        assert found.val_loss_ratio < 0.97
        assert (np.exp(found.scores)[:, LONG] > np.exp(found.scores)[:, SHORT])[sign[planted.row[found.held]] > 0].mean() > 0.95


def test_what_it_was_fitted_with_is_plain_json(fit):
    told = json.loads(json.dumps(dict(fit.model.hyper_parameters)))
    assert told["trees"] == fit.model.epochs == 20
    assert told["folds"] == 2
    assert "max_depth" in told


def test_a_market_without_outcomes_cannot_be_learned(data):
    flat = replace(data, kind=np.zeros(len(data), np.int64))
    with pytest.raises(DataError, match="EURUSD: no fold has flat, long and short outcomes"):
        recipe("random_forest").fit(flat, EMBARGO, NEVER)


def test_the_settings_name_the_recipe():
    settings = TrainingSettings(tree_count=33, boost_rounds=44, tree_folds=3, train_seed=5, train_threads=2)
    assert TreeRecipe.random_forest(settings) == TreeRecipe("random_forest", 3, 33, 5, 2)
    assert TreeRecipe.xgboost(settings) == TreeRecipe("xgboost", 3, 44, 5, 2)
    assert TreeRecipe.xgboost(settings).window == 1
