"""The BiLSTM's fit: scalers see training rows only, early stopping, determinism, cancellation."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from config.errors import FitCancelled
from config.settings import LstmSettings
from strategy.features import sequence_schema
from strategy.learning.forecasting import project
from strategy.learning.lstm_recipe import TARGET_CLIP, LstmRecipe, _batch, _Rows, _shrink, scaled, views
from strategy.learning.validation import walk_forward
from strategy.lstm_predictor import LSTMPredictor
from strategy.mirror import mirror
from strategy.predictor import BundleInfo, FeatureSchema, Inference
from tests.fakes_learning import ALL, EVEN_PAYOFF, POLICY, SetAfter, dataset

EMBARGO, WINDOW = 960, 10
NEVER = threading.Event()


def recipe(seed=3, **changes):
    chosen = {"lstm_seq_length": WINDOW, "lstm_hidden": 4, "lstm_epochs": 2, "lstm_device": "cpu", "lstm_dropout": 0.1, **changes}
    return LstmRecipe(LstmSettings(**chosen), seed, 1)


@pytest.fixture(scope="module")
def data():
    return project(dataset(1_700, window=WINDOW), sequence_schema(ALL))


@pytest.fixture(scope="module")
def split(data):
    return walk_forward(data.time, data.end, 4, EMBARGO)[-1]


@pytest.fixture(scope="module")
def fit(data):
    return recipe().fit(data, EMBARGO, NEVER)


def test_the_newest_fifth_judges_and_is_not_learned_from(data, split, fit):
    np.testing.assert_array_equal(fit.held, split.test)
    assert len(fit.held) == pytest.approx(len(data) / 5, abs=2)
    assert data.end[split.train].max() < data.time[fit.held].min() - EMBARGO
    assert fit.model.hyper_parameters["rows"] == len(split.train)
    np.testing.assert_array_equal(fit.fold, np.zeros(len(fit.held)))


@pytest.mark.parametrize("rows", [7, 8, 9, 16])
def test_an_epoch_shows_every_row_once(data, rows):
    few = data.take(np.arange(rows))
    scaler, target = (StandardScaler().fit(values) for values in (few.values, few.forward[:, None]))
    batches = list(_Rows(few, scaler, target, WINDOW).shuffled(8, torch.Generator().manual_seed(1)))
    seen = torch.cat([y for _, y in batches]).abs().sort().values
    whole = np.clip(target.transform(few.forward[:, None])[:, 0], -TARGET_CLIP, TARGET_CLIP).astype(np.float32)
    assert torch.equal(seen, torch.from_numpy(whole).abs().sort().values)


def test_the_scalers_are_those_of_the_rows_that_taught(data, split, fit):
    train = data.take(split.train)
    both = np.concatenate([train.values, mirror(train.values, train.schema)])
    np.testing.assert_allclose(fit.model.scaler.mean_, both.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(fit.model.scaler.var_, both.var(axis=0, dtype=np.float64), rtol=1e-4, atol=1e-9)
    everything = StandardScaler().fit(np.concatenate([data.values, mirror(data.values, data.schema)]))
    assert not np.allclose(fit.model.scaler.var_, everything.var_, rtol=1e-3)  # what scaling before the split would give


def test_the_target_is_scaled_by_training_returns_alone_and_zero_stays_zero(data, split, fit):
    spread = data.forward[split.train].std()
    factor = float(fit.model.target_scaler.scale_[0]) / spread
    assert 0.05 - 1e-9 <= factor <= 1.0 + 1e-9
    assert fit.model.target_scaler.mean_.tolist() == [0.0]


def test_what_came_after_training_reaches_neither_scaler_nor_weights_of_an_epoch(data, split):
    """With one epoch there is nothing to choose: wild rows in the judging part change nothing but its own scores."""
    late = data.row[split.test[0]] - WINDOW
    table = data.table.copy()
    table[late:] *= 50.0
    once = recipe(lstm_epochs=1)
    honest, planted = once.fit(data, EMBARGO, NEVER).model, once.fit(replace(data, table=table), EMBARGO, NEVER).model
    np.testing.assert_array_equal(honest.scaler.mean_, planted.scaler.mean_)
    for name, weights in honest.model.state_dict().items():
        assert torch.equal(weights, planted.model.state_dict()[name]), name


def test_scores_are_the_return_and_its_size(data, fit):
    scores = fit.model.scores(data.take(fit.held))
    assert scores.shape == (len(fit.held), 2)
    np.testing.assert_array_equal(scores, fit.scores)
    np.testing.assert_array_equal(scores[:, 1], np.abs(scores[:, 0]))
    assert np.isfinite(scores).all()


def test_scores_of_a_row_do_not_depend_on_its_company(data, fit):
    rows = np.array([40, 900, 41])
    alone = np.concatenate([fit.model.scores(data.take(np.array([row]))) for row in rows])
    np.testing.assert_allclose(fit.model.scores(data.take(rows)), alone, atol=1e-6)


def test_the_loss_ratio_is_about_that_of_the_served_scale(data, fit):
    held = data.take(fit.held)
    served = ((fit.scores[:, 0] - held.forward) ** 2).mean() / (held.forward**2).mean()
    assert fit.val_loss_ratio == pytest.approx(served, abs=0.02)


@dataclass(frozen=True)
class Guesses:
    """A model that says the same numbers whatever it is shown."""

    said: np.ndarray
    target_scaler: StandardScaler

    def scores(self, rows):
        return self.said[:, None]


def test_the_shrinking_factor_is_not_judged_by_the_rows_that_chose_it(data):
    """Judged by its own rows the factor makes noise look better than zero; by others it does not."""
    rng = np.random.default_rng(0)
    held, scaler = data.take(np.arange(40)), StandardScaler().fit([[-1.0], [1.0]])
    honest, own = [], []
    for _ in range(300):
        said, came = rng.standard_normal((2, len(held)))
        shrunk, ratio = _shrink(Guesses(said, scaler), replace(held, forward=came))
        factor = shrunk.target_scaler.scale_[0]
        honest.append(ratio)
        own.append(((factor * said - came) ** 2).mean() / (came**2).mean())
    assert np.mean(own) < 1.0 < np.mean(honest)


def test_what_is_served_is_what_was_judged(data, fit):
    info = BundleInfo("lstm_EURUSD", 1, "lstm", "synthetic", ("EURUSD",), "M1", POLICY.hash, WINDOW, data.schema)
    layer = Inference(((0.0, -0.5), (1.5, 0.2), (-1.4, 0.3)), (0.4, 0.0, 0.0), EVEN_PAYOFF, 0.05)
    served = LSTMPredictor.load_artifacts(info, layer, fit.model.files(data))
    last = data.take(np.arange(len(data) - 50, len(data)))
    windows = data.table[last.row[:, None] + np.arange(1 - WINDOW, 1)]
    said = np.concatenate([served.predict_many(window).expected_r for window in windows])
    np.testing.assert_allclose(said, layer.forecasts(fit.model.scores(last)).expected_r, atol=1e-5)


def test_the_same_seed_gives_the_same_files(data):
    once = recipe(lstm_epochs=1)
    first, again = once.fit(data, EMBARGO, NEVER).model, once.fit(data, EMBARGO, NEVER).model
    assert first.files(data) == again.files(data)
    assert recipe(seed=4, lstm_epochs=1).fit(data, EMBARGO, NEVER).model.files(data) != first.files(data)


def test_the_global_random_state_is_left_alone(data):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    recipe(lstm_epochs=1).fit(data, EMBARGO, NEVER)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_cancel_takes_effect_within_a_batch(data):
    cancel = SetAfter(3)
    with pytest.raises(FitCancelled):
        recipe(lstm_epochs=500, lstm_patience=100).fit(data, EMBARGO, cancel)
    assert cancel.looks == -1


def test_a_fit_that_gets_no_better_stops(data):
    shuffled = replace(data, forward=np.random.default_rng(0).permutation(data.forward))
    fit = recipe(lstm_epochs=60, lstm_patience=1, lstm_learning_rate=0.05).fit(shuffled, EMBARGO, NEVER)
    assert fit.model.epochs < 60
    assert fit.model.hyper_parameters["epochs"] == fit.model.epochs


def test_noise_is_not_predicted_boldly(data):
    """Shrinkage: a network fitted to noise says next to nothing on rows it has not seen."""
    shuffled = replace(data, forward=np.random.default_rng(0).permutation(data.forward))
    fit = recipe(lstm_epochs=3).fit(shuffled, EMBARGO, NEVER)
    assert fit.scores[:, 0].std() < 0.3 * data.forward.std()
    assert fit.val_loss_ratio < 1.05


@pytest.mark.slow
def test_a_planted_rule_is_learned(data):
    """The return is the mean of one column over the last five rows, plus noise."""
    rng = np.random.default_rng(0)
    column = rng.standard_normal(len(data.table)).astype(np.float32)
    table = np.column_stack([column, data.table[:, 1:]])
    smooth = np.convolve(column, np.ones(5), "full")[: len(column)] / np.sqrt(5)
    planted = replace(
        data,
        schema=FeatureSchema(("planted", *data.schema.names[1:])),
        table=table,
        forward=smooth[data.row] + 0.5 * rng.standard_normal(len(data)),
    )
    fit = recipe(lstm_hidden=8, lstm_epochs=30, lstm_learning_rate=0.01, lstm_dropout=0.0, lstm_batch=64).fit(planted, EMBARGO, NEVER)
    held = planted.take(fit.held)
    assert np.corrcoef(fit.scores[:, 0], held.forward)[0, 1] > 0.4
    assert fit.val_loss_ratio < 0.9


def test_missing_values_outside_every_window_become_zero(data, fit):
    table = data.table[:20].copy()
    table[3] = np.nan
    done = scaled(table, fit.model.scaler)
    assert np.isfinite(done).all()
    assert (done[3] == 0.0).all()


def test_hyper_parameters_are_plain_json(fit):
    told = json.loads(json.dumps(dict(fit.model.hyper_parameters)))
    assert told["lstm_seq_length"] == WINDOW
    assert told["epochs"] == fit.model.epochs


def test_windows_are_views_that_end_at_their_rows():
    table = np.arange(60, dtype=np.float32).reshape(20, 3)
    windows = views(table, 5)
    assert windows.shape == (16, 5, 3)
    assert np.shares_memory(windows, table)
    batch = _batch(windows, np.array([4, 19, 7]))
    assert batch.is_contiguous()
    np.testing.assert_array_equal(batch.numpy(), np.stack([table[row - 4 : row + 1] for row in (4, 19, 7)]))
