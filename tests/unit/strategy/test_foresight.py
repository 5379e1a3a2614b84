"""Decisions worked out many bars at a time are those of the same strategy that works out one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

import numpy as np
import pytest

from config.errors import PredictionFailed
from config.settings import FilterSettings
from market_data.clock import from_epoch
from strategy.active_models import ActiveModels
from strategy.asking import Scope
from strategy.features import WARMUP, compute, schema_for
from strategy.foreseeing import ForeseeingStrategy
from strategy.foresight import PARITY, AmongMany, Foresight
from strategy.predictor import FeatureSchema, Inference, Payoff
from strategy.scalping_strategy import ScalpingStrategy
from tests.fakes_learning import ALL, POLICY, market, still
from tests.fakes_models import info_of

SIZE, REACH = 32, WARMUP + 12
BARS = market(REACH + 4 * SIZE, seed=5, edge=1.0)
SCOPE = Scope("synthetic", "M1", POLICY.hash)
PAYOFF = Payoff(1.2, -1.05, 1.1, -1.02)


class Linear:
    """Probabilities from two columns of the newest row and the mean of the oldest; `skew` is what many rows at once add."""

    backend = "onnx"

    def __init__(self, kind="random_forest", *, rows=1, threshold=0.0, version=1, skew=0.0, schema=None, slot=None, exact=False):
        self.exact = exact
        info = info_of(kind, version)
        self.info = replace(info, rows=rows, schema=schema or schema_for(ALL), exit_hash=POLICY.hash, slot=slot or info.slot)
        self.inference = Inference(((0.2, 0.0, 0.0), (0.0, 1.5, 0.3), (0.1, 0.3, 1.4)), (0.0, 0.1, 0.1), PAYOFF, threshold)
        self.skew, self.batches = skew, []

    def prepare(self, window):
        values = window.values[-self.info.rows :]
        if len(values) < self.info.rows or not np.isfinite(values).all():
            raise PredictionFailed("a gap")
        return lambda: self.inference.forecast(self._scores(values)[0].tolist())

    def predict(self, window):
        return self.prepare(window)()

    def predict_many(self, values):
        self.batches.append(len(values))
        if not np.isfinite(values).all():
            raise PredictionFailed("a gap")
        return self.inference.forecasts(self._scores(values) + self.skew)

    def _scores(self, values):
        count = len(values) - self.info.rows + 1
        newest, oldest = values[self.info.rows - 1 :].astype(float), values[:count].astype(float)
        return np.stack((oldest[:, 2], newest[:, 0] - oldest[:, 1], newest[:, 3]), axis=1)


class Blocks:
    """A market of which every block is known."""

    def __init__(self, bars):
        self.bars = bars

    def block_of(self, symbol, time):
        return int(np.searchsorted(self.bars.time, time)) // SIZE

    def block(self, symbol, number):
        start = number * SIZE
        first = max(0, start - REACH)
        return self.bars.slice(first, start + SIZE), start - first


@pytest.fixture
def decided():
    """Decisions of both strategies on every bar, oldest first; `swaps` are bar -> models put in service before it."""
    opened = []

    def decide(models, bars=BARS, swaps=None, scope=SCOPE, extra=(), filters=None, lulls=None):
        serving = ActiveModels(models)
        rest = (serving, filters or FilterSettings(), scope, 2.0, lambda symbol: ("scalper", "lstm_EURUSD"), extra)
        opened.append(Foresight(Blocks(bars), extra, workers=2))
        foreseeing, alone = ForeseeingStrategy(opened[-1], *rest), ScalpingStrategy(*rest)
        made = []
        for end in range(REACH, len(bars) + 1):
            if end in (swaps or {}):
                serving.replace(swaps[end])
            window, now = bars.slice(end - REACH, end), from_epoch(int(bars.time[end - 1])) + timedelta(seconds=60)
            made.append((foreseeing.decide(window, ALL, now), alone.decide(window, ALL, now)))
            if lulls is not None:
                time = int(bars.time[end - 1])
                silent = foreseeing.silent("EURUSD", time, now)
                lulls.append(foreseeing.lull("EURUSD", time, range(silent), now) if silent else None)
        return made

    yield decide
    for foresight in opened:
        foresight.close()


def differing(made):
    return [(one, other) for one, other in made if one != other]


def test_every_decision_is_that_of_one_bar_alone(decided):
    models = {"scalper": Linear(threshold=0.1), "lstm_EURUSD": Linear("lstm", rows=5, threshold=0.2)}
    made = decided(models)
    assert differing(made) == []
    assert {one.side for one, _ in made} > {None}
    assert {SIZE, SIZE + 4} <= {size for model in models.values() for size in model.batches}  # they were asked about many


def test_optional_families_are_worked_out_as_well(decided):
    models = {"scalper": Linear(schema=schema_for(ALL, ("order_blocks",)))}
    assert differing(decided(models, BARS.slice(0, REACH + SIZE), extra=("order_blocks",))) == []


def test_a_row_with_a_gap_is_decided_by_itself(decided):
    quiet = still(BARS, REACH - 150, REACH + SIZE + 5)
    made = decided({"scalper": Linear(), "lstm_EURUSD": Linear("lstm", rows=5)}, quiet)
    assert differing(made) == []
    assert any(one.absent.get("scalper") == "a gap" for one, _ in made)
    assert not any("scalper" in one.absent for one, _ in made[-5:])


def test_a_model_that_comes_to_serve_is_asked_from_then_on(decided):
    old, new = Linear(), Linear(version=2, threshold=0.3)
    made = decided({"scalper": old}, swaps={REACH + 7: {"scalper": new}, REACH + SIZE + 9: {"scalper": new, "xgboost": Linear("xgboost")}})
    assert differing(made) == []
    assert [one.versions["scalper"] for one, _ in made[:9]] == [1] * 7 + [2] * 2
    assert made[-1][0].versions == {"scalper": 2, "xgboost": 1}


def test_who_may_not_vote_is_not_asked_and_says_why(decided):
    foreign = Linear("xgboost")
    foreign.info = replace(foreign.info, origin="file")
    made = decided({"scalper": Linear(), "xgboost": foreign}, BARS.slice(0, REACH + 10))
    assert differing(made) == []
    assert made[0][0].absent["xgboost"].startswith("learned from file prices")
    assert foreign.batches == []


def test_a_model_of_columns_that_are_not_there_is_asked_bar_by_bar(decided):
    made = decided({"scalper": Linear(schema=FeatureSchema(("nowhere",)))}, BARS.slice(0, REACH + 5))
    assert differing(made) == []
    assert "nowhere" in made[0][0].absent["scalper"]


def test_one_whose_many_rows_differ_too_much_is_asked_bar_by_bar(decided):
    assert differing(decided({"scalper": Linear(skew=np.array([0.0, 1e-3, 0.0]))}, BARS.slice(0, REACH + 10))) == []


def test_last_digits_never_change_a_side_or_a_reason(decided):
    """Thresholds lie exactly on forecasts, where the least difference counts."""
    skew = np.array([0.0, 1e-7, -1e-7])
    forecasts = [one.forecasts["scalper"] for one, _ in decided({"scalper": Linear()}, BARS)]
    for threshold in [forecasts[place].expected_r for place in (3, 40, 77)]:
        made = decided({"scalper": Linear(threshold=threshold, skew=skew)})
        assert differing(made) != []  # or this shows nothing
        for one, other in made:
            assert (one.side, one.reason, one.versions, one.feature_hash) == (other.side, other.reason, other.versions, other.feature_hash)
            assert abs(one.forecasts["scalper"].p_long - other.forecasts["scalper"].p_long) < PARITY


def asked_alone(monkeypatch, decided, **said):
    """How many bars were decided by themselves beside the one of each block that is compared."""
    asked = []
    prepare = Linear.prepare
    monkeypatch.setattr(Linear, "prepare", lambda self, window: asked.append(1) or prepare(self, window))
    models = {"scalper": Linear(threshold=0.1, **said), "xgboost": Linear("xgboost", threshold=0.1, **said)}
    made = decided(models)
    assert differing(made) == []
    return len(asked) - len(models) * (len(made) + -(-len(made) // SIZE))  # the other strategy asks at every bar


def test_bars_near_a_threshold_are_decided_by_themselves_only_where_rounding_could_matter(decided, monkeypatch):
    assert asked_alone(monkeypatch, decided) > 0  # two models that say the same are equally near to voting
    assert asked_alone(monkeypatch, decided, exact=True) == 0


def test_one_that_says_it_is_exact_and_is_not_is_asked_bar_by_bar(decided, said):
    skew = np.array([0.0, 1e-9, 0.0])  # a model that admits it would be let pass
    made = decided({"scalper": Linear(exact=True, skew=skew)}, BARS.slice(0, REACH + 40))
    assert differing(made) == []
    assert any("asked bar by bar" in line for line in said)
    assert differing(decided({"scalper": Linear(skew=skew)}, BARS.slice(0, REACH + 40))) != []


def test_one_row_among_many_gets_what_many_rows_get():
    model = Linear(rows=5, skew=np.array([0.0, 1e-7, 0.0]))
    window = compute(BARS.slice(0, REACH), model.info.schema)
    many = model.predict_many(window.values[-9:])
    assert AmongMany(model).predict(window) == many.at(-1)
    assert AmongMany(model).predict(window) != model.predict(window)
    with pytest.raises(PredictionFailed):
        AmongMany(model).predict(replace(window, values=window.values[-3:]))


def test_a_bar_that_no_block_knows_is_decided_by_itself():
    foresight = Foresight(Blocks(BARS), workers=1)
    try:
        assert foresight.look("EURUSD", int(BARS.time[-1]) + 60, ALL, {"scalper": Linear()}) is None
        assert foresight.look("EURUSD", int(BARS.time[-1]), ALL, {"scalper": Linear()}) is not None
    finally:
        foresight.close()


def foretold(made, lulls):
    """How many decisions each lull foretold; they are those of their bars alone, to the last bit, and take no side."""
    told = []
    for place, lull in zip(count(1), lulls, strict=False):
        later = [] if lull is None else [alone for _, alone in made[place : place + len(lull)]]
        assert [lull.at(number) for number in range(len(later))] == later
        assert all(one.side is None for one in later)
        told.append(len(later))
    return told


@pytest.mark.parametrize("weights", ["equal", "skill"])
def test_a_lull_foretells_what_every_bar_alone_decides(decided, weights):
    lulls = []
    made = decided(
        {"scalper": Linear(threshold=0.6), "xgboost": Linear("xgboost", threshold=0.5, rows=3)},
        filters=FilterSettings(ensemble_weights=weights),
        lulls=lulls,
    )
    assert differing(made) == []
    assert sum(foretold(made, lulls)) > len(made)
    assert {one.reason.split()[6] for one, _ in made if one.side is None} == {"scalper", "xgboost"}


def test_a_lull_without_models_says_why_there_are_none(decided):
    lulls = []
    made = decided({}, BARS.slice(0, REACH + SIZE), lulls=lulls)
    assert sum(foretold(made, lulls)) > SIZE
    assert lulls[0].reasons[0] == "no model serves: none has passed the gate yet"


def test_a_lull_ends_at_a_gap_at_a_voice_and_at_the_end_of_its_block(decided):
    lulls = []
    quiet = still(BARS, REACH - 150, REACH + 5)
    made = decided({"scalper": Linear(threshold=0.6), "lstm_EURUSD": Linear("lstm", rows=5, threshold=0.6)}, quiet, lulls=lulls)
    told = foretold(made, lulls)
    assert told[0] == 0  # the next row has a gap
    assert max(told) < SIZE
    assert any(not length and later.side is not None for length, (_, later) in zip(told, made[1:], strict=False))


def test_nothing_is_foretold_where_a_model_is_asked_bar_by_bar(decided):
    lulls = []
    decided({"scalper": Linear(schema=FeatureSchema(("nowhere",)))}, BARS.slice(0, REACH + 5), lulls=lulls)
    assert not any(lulls)


def test_a_version_is_due_when_it_expires():
    model = Linear()
    model.info = replace(model.info, made=int(BARS.time[0]))
    strategy = ForeseeingStrategy(None, ActiveModels({"scalper": model}), FilterSettings(), replace(SCOPE, expiry_hours=1.0), 2.0)
    made = from_epoch(int(BARS.time[0]))
    assert strategy.quiet_until(made) == made + timedelta(hours=1)
    assert ForeseeingStrategy(None, ActiveModels({"scalper": model}), FilterSettings(), SCOPE, 2.0).quiet_until(made) is None
