from __future__ import annotations

import numpy as np
import pytest

from strategy.onnx_session import open_session
from strategy.onnx_trees import booster_file, forest_file, rounded_down
from tests.fakes_models import COLUMNS, fitted_tree, rows

FILES = {"random_forest": forest_file, "xgboost": booster_file}


@pytest.mark.parametrize("kind", FILES)
def test_the_file_answers_as_the_library_does(kind):
    model = fitted_tree(kind)
    scorer, x = open_session(FILES[kind](model, COLUMNS), 1), rows(500, seed=9)
    np.testing.assert_allclose(scorer(x), model.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("kind", FILES)
def test_a_row_on_the_very_edge_of_a_test_goes_the_librarys_way(kind):
    """Rows made of the thresholds themselves, and of their neighbours on both sides."""
    model = fitted_tree(kind)
    if kind == "random_forest":
        trees = [estimator.tree_ for estimator in model.estimators_]
        edges = np.concatenate([tree.threshold[tree.children_left >= 0] for tree in trees])
    else:
        table = model.get_booster().trees_to_dataframe()
        edges = table["Split"].dropna().to_numpy()
    near = edges.astype(np.float32)
    edges = np.concatenate([near, np.nextafter(near, np.float32(-9)), np.nextafter(near, np.float32(9))])
    x = np.random.default_rng(1).choice(edges, (400, COLUMNS))
    scorer = open_session(FILES[kind](model, COLUMNS), 1)
    np.testing.assert_allclose(scorer(x), model.predict_proba(x), atol=1e-6)


def test_a_forest_of_single_leaves_answers_with_its_shares():
    from sklearn.ensemble import RandomForestClassifier

    x, y = rows(60), np.arange(60) % 3
    stump = RandomForestClassifier(3, min_samples_leaf=60, random_state=0, n_jobs=1).fit(x, y)
    np.testing.assert_allclose(open_session(forest_file(stump, COLUMNS), 1)(x[:5]), stump.predict_proba(x[:5]), atol=1e-6)


def test_thresholds_are_rounded_towards_the_rows_that_pass_them():
    values = np.array([0.1, -0.1, 1.0, 1.0 + 2.0**-30, -1.0 - 2.0**-30])
    near = rounded_down(values)
    assert near.dtype == np.float32
    assert (near <= values).all()
    assert (np.nextafter(near, np.float32(np.inf)).astype(np.float64) > values).all()
