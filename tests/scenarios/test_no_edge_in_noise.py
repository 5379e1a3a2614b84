"""On a random walk nothing predicts: not one feature, not one model. A look ahead of any kind would.

Every feature and every model's out-of-sample score is asked to tell rows after which price rose
from rows after which it fell. On a martingale the area under the curve is one half; the bound is
four standard errors, taken by blocks because labels overlap.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from config.settings import LstmSettings
from strategy.features import WARMUP, compute, schema_for, sequence_schema
from strategy.learning.dataset import Labelling, build
from strategy.learning.forecasting import project
from strategy.learning.tree_recipe import TreeRecipe
from strategy.learning.validation import blocks_of
from strategy.predictor import FeatureSchema
from tests.fakes_learning import ALL, POLICY, block_auc, costs_of, market, with_gaps

COUNT, BOUND = 100_000, 4.0
BLOCK_SECONDS = 240 * 60
SCHEMA = schema_for(ALL)
NEVER = threading.Event()


@pytest.fixture(scope="module")
def walk():
    return with_gaps(market(COUNT, seed=2024, edge=0.0))


@pytest.fixture(scope="module")
def rows(walk):
    """Training rows of the whole walk."""
    how = Labelling(POLICY, 2.0, (16, 17), 30)
    return build({"EURUSD": walk}, {"EURUSD": costs_of(walk)}, SCHEMA, how, COUNT)


def found_edges(columns, forward, time):
    """Distance from one half, in standard errors, of every column that is beyond the bound."""
    moved = np.isfinite(forward) & (forward != 0)
    up, block = forward[moved] > 0, blocks_of(time[moved], BLOCK_SECONDS)
    distances = {name: block_auc(values[moved], up, block).distance for name, values in columns.items()}
    return {name: round(distance, 1) for name, distance in distances.items() if not distance < BOUND}


def forward_of(bars):
    """Move from the next open over the horizon, as labels have it."""
    forward = np.full(len(bars), np.nan)
    horizon = POLICY.horizon
    forward[: -horizon - 1] = bars.open[horizon + 1 :] - bars.open[1:-horizon]
    return forward


def columns_of(bars):
    values = compute(bars, SCHEMA).values[WARMUP:]
    return {name: values[:, index] for index, name in enumerate(SCHEMA.names)}


def centred_window(bars, reach=10):
    """The planted fault: a rolling mean with as many bars after the row as before it."""
    return (np.convolve(bars.close, np.ones(2 * reach + 1) / (2 * reach + 1), "same") - bars.close)[WARMUP:]


def test_no_feature_predicts_a_random_walk(walk):
    columns = columns_of(walk)
    assert found_edges(columns, forward_of(walk)[WARMUP:], walk.time[WARMUP:]) == {}
    assert all(np.ptp(values) > 0 for values in columns.values())  # a constant would pass unasked


def test_the_same_test_finds_a_centred_window(walk):
    planted = {"honest": columns_of(walk)["move_5"], "centred": centred_window(walk)}
    assert set(found_edges(planted, forward_of(walk)[WARMUP:], walk.time[WARMUP:])) == {"centred"}


def test_the_same_test_finds_a_window_that_looks_one_bar_ahead(walk):
    one_ahead = np.append(walk.close[1:] - walk.close[:-1], 0.0)[WARMUP:]
    late = np.append(walk.close[2:] - walk.close[1:-1], [0.0, 0.0])[WARMUP:]
    # The close of the next bar lies after its open, at which the trade enters.
    assert set(found_edges({"one": one_ahead, "two": late}, forward_of(walk)[WARMUP:], walk.time[WARMUP:])) == {"one", "two"}


def test_a_market_with_an_edge_is_told_from_one_without():
    bars = market(30_000, seed=2024, edge=1.0)
    assert len(found_edges(columns_of(bars), forward_of(bars)[WARMUP:], bars.time[WARMUP:])) > 3


# --- models -----------------------------------------------------------------------------------


def _halves(rows, teach, judge):
    """Every k-th row of the first half, purged, and of the second half, so that models stay small."""
    middle = int(rows.time[len(rows) // 2])
    first = np.flatnonzero(rows.end < middle - 960)
    second = np.flatnonzero(rows.time >= middle)
    return rows.take(first[:: max(1, len(first) // teach)]), rows.take(second[:: max(1, len(second) // judge)])


def _lean(scores):
    """One number for "up": the difference of the log-probabilities, or the predicted return."""
    return scores[:, 1] - scores[:, 2] if scores.shape[1] == 3 else scores[:, 0]


def _model_edges(recipe, rows, teach, judge):
    taught, judged = _halves(rows, teach, judge)
    scores = recipe.fit(taught, 960, NEVER).model.scores(judged)
    return found_edges({recipe.kind: _lean(scores)}, judged.forward, judged.time)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random_forest", "xgboost"])
def test_no_tree_model_predicts_a_random_walk(rows, kind):
    assert _model_edges(TreeRecipe(kind, 2, 30, 7, 1), rows, 8_000, 50_000) == {}


@pytest.mark.slow
def test_the_bilstm_does_not_predict_a_random_walk(rows):
    from strategy.learning.lstm_recipe import LstmRecipe

    lstm = LstmSettings(lstm_seq_length=30, lstm_hidden=8, lstm_epochs=2, lstm_device="cpu")
    assert _model_edges(LstmRecipe(lstm, 7, 1), project(rows, sequence_schema(ALL)), 5_000, 20_000) == {}


@pytest.mark.slow
def test_a_model_that_is_given_a_centred_window_is_found(walk, rows):
    """The planted column changes sign in the mirrored market, as every column that is not named even does."""
    planted = np.zeros(len(walk), np.float32)
    planted[WARMUP:] = centred_window(walk) * 1e4
    table = np.column_stack([rows.table, planted]).astype(np.float32)
    leaky = replace(rows, table=table, schema=FeatureSchema((*SCHEMA.names, "centred")))
    assert set(_model_edges(TreeRecipe("xgboost", 2, 30, 7, 1), leaky, 8_000, 50_000)) == {"xgboost"}


# --- the statistic itself ---------------------------------------------------------------------


def test_the_area_is_the_librarys():
    rng = np.random.default_rng(0)
    up = rng.random(3_000) < 0.4
    scores = np.round(rng.standard_normal(3_000) + 0.3 * up, 1)  # with ties
    assert block_auc(scores, up, np.arange(3_000)).value == pytest.approx(roc_auc_score(up, scores))


def test_the_standard_error_is_right_where_it_is_known():
    """Independent rows: sqrt((1/n + 1/m) / 12) under the null."""
    rng = np.random.default_rng(1)
    up = rng.random(20_000) < 0.5
    found = block_auc(rng.standard_normal(20_000), up, np.arange(20_000))
    assert found.error == pytest.approx(np.sqrt((1 / up.sum() + 1 / (~up).sum()) / 12), rel=0.03)


def test_blocks_see_the_dependence_that_rows_do_not():
    """Overlapping labels and slow scores: blocks of one row promise far too much."""
    rng = np.random.default_rng(2)
    distances = []
    for _ in range(60):
        walk = np.cumsum(rng.standard_normal(4_000))
        up = walk[30:] > walk[:-30]
        slow = np.convolve(rng.standard_normal(len(up) + 59), np.ones(60), "valid")
        rows_alone, blocks = (block_auc(slow, up, np.arange(len(up)) // size) for size in (1, 240))
        distances.append((rows_alone.distance, blocks.distance))
    alone, blocked = np.array(distances).T
    assert np.mean(alone > 2) > 0.4
    assert np.mean(blocked > 2) < 0.2
    assert blocked.max() < BOUND
