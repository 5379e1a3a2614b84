"""Six ways to fool oneself, each planted and each caught; without the protection named, it would stand.

1. a feature that peeks one bar ahead
2. a scaler fitted before the split
3. an unpurged split
4. a shuffled split
5. pooled rows split across an instant
6. a champion that memorised the comparison rows
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from config.settings import LstmSettings
from strategy import features
from strategy.features import schema_for, sequence_schema
from strategy.learning import lstm_recipe, recipes, tree_recipe
from strategy.learning.forecasting import project
from strategy.learning.gate import judge, with_causality
from strategy.learning.lookahead import SAMPLED_CUTS, Subject, examine
from strategy.learning.lstm_recipe import LstmRecipe
from strategy.learning.recipes import Fit, develop
from strategy.learning.tree_recipe import TreeRecipe
from strategy.learning.validation import Split, walk_forward
from tests.fakes_commands import commands
from tests.fakes_learning import ALL, POLICY, costs_of, dataset, market, one_bar_ahead
from tests.unit.strategy.learning.test_gate import HORIZON, START, N, candidate, case, forecasts, peer, verdict, window
from tests.unit.strategy.learning.test_validation import leak

EMBARGO = (POLICY.horizon + 1) * 60
NEVER = threading.Event()


# --- 1. a feature that peeks one bar ahead ----------------------------------------------------


def _report(bars):
    """The gate's word on a good candidate whose rows were made of these bars."""
    subject = Subject(schema_for(ALL), costs_of, POLICY, 2.0)
    return with_causality(judge(case()), [examine(bars, subject, SAMPLED_CUTS, whole=False)])


def test_a_feature_that_peeks_is_caught_by_the_gate(monkeypatch):
    bars = market(2_000)
    assert _report(bars).passed
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    report = _report(bars)
    assert not report.passed
    assert [reason.partition(":")[0] for reason in report.reasons] == ["causal"]


def test_a_feature_that_peeks_is_caught_by_the_analysis(monkeypatch, tmp_path):
    command = commands(monkeypatch, tmp_path)
    monkeypatch.setenv("HISTORY_BARS", "3000")
    asked = ("lookahead-analysis", "--cuts", "5", "--features", "slope_30,move_5")
    assert command(*asked).exit_code == 0
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    result = command(*asked)
    assert result.exit_code == 5
    assert "feature slope_30 of EURUSD reads the future" in result.stdout
    assert "move_5" not in result.stdout


# --- 2. a scaler fitted before the split ------------------------------------------------------

WINDOW = 10


@pytest.fixture(scope="module")
def sequences():
    return project(dataset(1_700, window=WINDOW), sequence_schema(ALL))


def scaled_by_what_it_should_not_see(fit, data):
    """Which scalers of a fit change when only the rows that judge it do."""
    split = walk_forward(data.time, data.end, 4, EMBARGO)[-1]
    first = data.row[split.test[0]] - WINDOW
    table, forward = data.table.copy(), data.forward.copy()
    table[first:] *= 50.0
    forward[split.test] *= 50.0
    wild = fit(replace(data, table=table, forward=forward)).model
    tame = fit(data).model
    # The target scaler's factor may follow the held rows (it shrinks); its sign and centre may not.
    return {
        name
        for name, one, other in (
            ("scaler", tame.scaler.mean_, wild.scaler.mean_),
            ("scaler", tame.scaler.scale_, wild.scaler.scale_),
            ("target scaler", tame.target_scaler.mean_, wild.target_scaler.mean_),
            ("target scaler", tame.target_scaler.var_, wild.target_scaler.var_),
        )
        if not np.array_equal(one, other)
    }


def _fit_lstm(data):
    settings = LstmSettings(lstm_seq_length=WINDOW, lstm_hidden=4, lstm_epochs=1, lstm_device="cpu")
    return LstmRecipe(settings, 3, 1).fit(data, EMBARGO, NEVER)


@pytest.mark.slow
def test_a_scaler_fitted_before_the_split_is_caught(sequences, monkeypatch):
    assert scaled_by_what_it_should_not_see(_fit_lstm, sequences) == set()

    def planted(data):
        """The same fit with scalers that are shown every row, as `fit_transform` on the whole table would."""

        class Before(StandardScaler):
            def fit(self, values, y=None):
                return super().fit(data.forward[:, None] if values.shape[1] == 1 else data.values)

        monkeypatch.setattr(lstm_recipe, "StandardScaler", Before)
        return _fit_lstm(data)

    assert scaled_by_what_it_should_not_see(planted, sequences) == {"scaler", "target scaler"}


# --- 3, 4, 5. splits that leak ----------------------------------------------------------------


@dataclass
class Spy:
    """A recipe that learns nothing and remembers what it was shown."""

    shown: list = field(default_factory=list)
    kind: str = "random_forest"
    window: int = 1

    def fit(self, data, embargo, cancel):
        self.shown.append(data)
        held = walk_forward(data.time, data.end, 2, embargo)[-1].test
        return Fit(_Coin(), held, _Coin().scores(data.take(held)), np.zeros(len(held), np.int64), 1.0)


@dataclass(frozen=True)
class _Coin:
    epochs: int = 1
    hyper_parameters: dict = field(default_factory=dict)

    def scores(self, data):
        return np.log(np.tile([0.5, 0.25, 0.25], (len(data), 1)))

    def files(self, data):
        return {}


def what_leaks_into_the_final_window(data):
    """What is wrong between the rows that a recipe is really shown and those that really judge it."""
    spy = Spy()
    final = develop(spy, data, horizon_seconds=EMBARGO, final_fraction=0.25, least_sides=10, cancel=NEVER).final
    return what_leaks(spy.shown[0], final)


def what_leaks_into_the_folds(data, monkeypatch):
    """The same of the refits of a tree recipe: each as it was fitted and as it was judged."""
    taught, faults = [], []

    @dataclass(frozen=True)
    class Judged(_Coin):
        def scores(self, judged):
            faults.append(what_leaks(taught[-1], judged))
            return super().scores(judged)

    def fit(self, rows, cancel):
        taught.append(rows)
        return Judged()

    monkeypatch.setattr(TreeRecipe, "_fit", fit)
    TreeRecipe("random_forest", 3, 10, 1, 1).fit(data, EMBARGO, NEVER)
    assert len(faults) == 3
    return next(filter(None, faults), "")


def what_leaks(taught, judged):
    time, end = np.concatenate([taught.time, judged.time]), np.concatenate([taught.end, judged.end])
    rows = np.arange(len(time))
    return leak(Split(rows[: len(taught)], rows[len(taught) :]), time, end, EMBARGO)


@pytest.fixture(scope="module")
def pooled():
    """Rows of two symbols that share their instants."""
    return dataset(1_900, symbols=("EURUSD", "GBPUSD"))


def _unpurged(time, end, start):
    cut = int(np.searchsorted(time, start))
    return Split(np.arange(cut), np.arange(cut, len(time)))


def _shuffled(time, end, start):
    """Whole instants, three of four drawn to teach."""
    instants = np.random.default_rng(0).permutation(np.unique(time))
    teaches = np.isin(time, instants[: int(len(instants) * 0.75)])
    return Split(np.flatnonzero(teaches), np.flatnonzero(~teaches))


def _across_an_instant(time, end, start):
    """Purged by number of rows, but cut between the two symbols of one instant."""
    cut = int(np.searchsorted(time, start))
    cut = next(row for row in range(cut, len(time)) if time[row] == time[row - 1])
    return Split(np.append(np.arange(cut - 200), cut - 1), np.arange(cut, len(time)))


PLANTED = pytest.mark.parametrize(
    ("planted", "found"),
    [
        pytest.param(_unpurged, "a label that teaches ends after", id="an unpurged split"),
        pytest.param(_shuffled, "stand among those that judge", id="a shuffled split"),
        pytest.param(_across_an_instant, "an instant stands on both sides", id="pooled rows split across an instant"),
    ],
)


@PLANTED
def test_a_leaking_final_window_is_caught(pooled, monkeypatch, planted, found):
    assert what_leaks_into_the_final_window(pooled) == ""

    def final(time, end, fraction, embargo):
        return planted(time, end, time[int(len(time) * (1 - fraction))])

    monkeypatch.setattr(recipes, "final_split", final)
    assert found in what_leaks_into_the_final_window(pooled)


@PLANTED
def test_leaking_folds_are_caught(pooled, monkeypatch, planted, found):
    assert what_leaks_into_the_folds(pooled, monkeypatch) == ""

    def folds(time, end, count, embargo):
        return tuple(planted(time, end, time[int(len(time) * part / (count + 1))]) for part in range(1, count + 1))

    monkeypatch.setattr(tree_recipe, "walk_forward", folds)
    assert found in what_leaks_into_the_folds(pooled, monkeypatch)


# --- 6. a champion that memorised the comparison rows -----------------------------------------


def _memoriser(data, learned):
    """Always right on the first `learned` rows, which taught it, and no better than a coin after them."""
    right, coin = forecasts(data, right=1.0), forecasts(data, right=0.5, seed=5)
    seen = np.arange(N) < learned
    return replace(
        coin,
        **{name: np.where(seen, getattr(right, name), getattr(coin, name)) for name in ("p_long", "p_short", "side", "expected_r")},
    )


def _against(said, train_end):
    """What the gate says of an honest candidate that is right in seven of ten rows."""
    honest = candidate(window(), forecasts(window(), right=0.7))
    return verdict(judge(case(honest, champion=peer(said, train_end=train_end))), "champion")


def test_a_champion_that_memorised_the_comparison_rows_is_caught():
    learned = N * 3 // 4
    memoriser = _memoriser(window(), learned)
    assert _against(memoriser, START + 60 * learned + HORIZON).passed
    unprotected = _against(memoriser, START - 10_000)  # as if all rows were clean
    assert not unprotected.passed
    assert "against the champion over" in unprotected.detail


def test_a_champion_that_memorised_all_of_them_is_no_evidence_at_all():
    memoriser = _memoriser(window(), N)
    found = _against(memoriser, START + 60 * N + HORIZON)
    assert "0 clean blocks" in found.detail
