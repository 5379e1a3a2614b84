"""A whole job with tiny models: from bars to a published version, or to the reasons why not."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from config.errors import FitCancelled, InsufficientHistory, TooNew
from config.settings import Settings
from execution.exits import ExitPolicy
from market_data.bars import Capabilities
from market_data.clock import from_epoch, utc_text
from strategy import features
from strategy.active_models import ActiveModels
from strategy.features import schema_for, sequence_schema
from strategy.golden import check_golden
from strategy.learning import jobs, lifecycle
from strategy.learning.artifact import Draft
from strategy.learning.budget import START_SHARE, Purse
from strategy.learning.bundles import load_bundle, recipe_of, train_end_of
from strategy.learning.forecasting import forecasts_on, project
from strategy.learning.jobs import JobSpec, specs_of
from strategy.learning.serving import Change, ModelServer
from strategy.lstm_predictor import LSTMPredictor
from tests import fakes_models as fakes
from tests.fakes_learning import (
    ALL,
    BOOSTER,
    FOREST,
    LSTM,
    MemoryState,
    SetAfter,
    dataset,
    fresh_purse,
    market,
    one_bar_ahead,
    publish_model,
    small_settings,
    without,
    workshop,
)
from tests.fakes_registry import accept

NEVER = threading.Event()
LOOSE = {"gate": {"gate_profile": "threshold", "min_accuracy": 0.0, "min_directional_rows": 10}}


@pytest.fixture(scope="module")
def bars():
    return {"EURUSD": market(2_600, edge=1.0, seed=3)}


@pytest.fixture(scope="module")
def published(bars, tmp_path_factory):
    """A forest that its gate let through, compiled and all."""
    shop = workshop(tmp_path_factory.mktemp("models"), small_settings(**LOOSE), bars)
    return shop, shop.run(FOREST, fresh_purse(), NEVER)


@pytest.fixture
def quick(monkeypatch):
    """Without the child process that compiles."""
    monkeypatch.setattr(jobs, "compile_onnx", lambda *args, **options: None)


def hashes(manifest):
    return {suffix: entry.sha256 for suffix, entry in manifest.files.items()}


# --- published --------------------------------------------------------------------------------


def test_a_version_is_published_and_active(published):
    shop, result = published
    assert result.report.passed
    assert result.manifest is not None
    assert (result.manifest.slot, result.manifest.version) == ("scalper", 1)
    assert shop.registry.state().slot("scalper").active == 1
    assert shop.registry.verify() == ()


def test_its_report_says_what_was_examined_for_look_ahead(published):
    finding = next(finding for finding in published[1].report.findings if finding.rule == "causal")
    columns = len(schema_for(ALL).names) + 6
    assert finding.passed
    assert finding.detail == f"unchanged without later bars: {columns} columns of EURUSD at 16 cuts"


def test_its_manifest_says_everything(published, bars):
    shop, result = published
    said = shop.registry.open("scalper", 1).manifest
    policy = ExitPolicy.from_settings(shop.settings.exits)
    assert (said.kind, said.origin, said.timeframe, said.symbols) == ("random_forest", "synthetic", "M1", ("EURUSD",))
    assert (said.features, said.feature_hash) == (schema_for(ALL).names, schema_for(ALL).hash)
    assert said.exit == {"sl_atr": 1.5, "tp_atr": 1.5, "min_stop_costs": 5.0, "horizon": 15}
    assert said.exit_hash == policy.hash
    assert (said.seed, said.input_rows, said.parent) == (42, 1, None)
    assert said.rows == result.rows > 1_000
    assert said.hyper_parameters["trees"] == 20
    assert set(said.libraries) == {"numpy", "scikit-learn", "xgboost", "TA-Lib", "onnxruntime"}
    assert said.metrics == dict(result.report.metrics)
    assert said.gate_report == json.loads(json.dumps(result.report.as_json()))
    assert said.signature
    assert said.first_bar < said.last_bar < said.created
    assert train_end_of(said) < result.final_end <= bars["EURUSD"].time[-1]
    assert len(recipe_of(said)) == 12
    assert set(said.files) == {".pkl", "_features.pkl", "_golden.npz", ".onnx"}


def test_the_compiled_model_serves_and_answers_as_it_was_judged(published):
    shop, _ = published
    artifact = shop.registry.open("scalper", 1)
    predictor = load_bundle(artifact)
    assert predictor.backend == "onnx"
    check_golden(predictor, artifact.files["_golden.npz"])


def test_the_server_takes_it_over(published):
    shop, _ = published
    models = ActiveModels()
    assert ModelServer(shop.registry, models).refresh() == (Change("scalper", 0, 1),)
    assert models.snapshot()["scalper"].info.symbols == ("EURUSD",)


def test_the_same_bars_and_seed_give_the_same_version(published, bars, tmp_path):
    first = published[1].manifest
    again = workshop(tmp_path, small_settings(**LOOSE), bars).run(FOREST, fresh_purse(), NEVER).manifest
    assert hashes(again) == hashes(first)
    assert replace(again, signature="") == replace(first, signature="")


def test_another_seed_gives_another(published, bars, tmp_path, quick):
    other = small_settings(**LOOSE, training={"train_seed": 43})
    again = workshop(tmp_path, other, bars).run(FOREST, fresh_purse(), NEVER).manifest
    assert hashes(again)[".pkl"] != hashes(published[1].manifest)[".pkl"]


def test_a_booster_is_the_same_twice_too(bars, tmp_path, quick):
    first, again = (workshop(tmp_path / name, small_settings(**LOOSE), bars).run(BOOSTER, fresh_purse(), NEVER).manifest for name in "ab")
    assert hashes(first) == hashes(again)
    assert first.inference == again.inference
    assert ".onnx" not in first.files


@pytest.mark.slow
def test_an_lstm_is_the_same_twice_and_reads_the_sequence_columns(bars, tmp_path, quick):
    first, again = (workshop(tmp_path / name, small_settings(**LOOSE), bars).run(LSTM, fresh_purse(), NEVER) for name in "ab")
    assert first.report == again.report
    if first.manifest is None or again.manifest is None:
        pytest.fail(f"the gate refused: {first.report.summary}")
    assert hashes(first.manifest) == hashes(again.manifest)
    assert first.manifest.features == sequence_schema(ALL).names
    assert first.manifest.input_rows == 10
    assert "torch" in first.manifest.libraries


def test_a_pooled_model_learns_from_every_symbol(bars, tmp_path, quick):
    both = {**bars, "GBPUSD": market(2_600, edge=1.0, seed=3, symbol="GBPUSD")}
    spec = replace(FOREST, symbols=("EURUSD", "GBPUSD"))
    result = workshop(tmp_path, small_settings(**LOOSE), both).run(spec, fresh_purse(), NEVER)
    assert result.manifest.symbols == ("EURUSD", "GBPUSD")
    assert result.rows > 2_000


def test_columns_that_one_symbol_lacks_are_left_out_for_all(bars, tmp_path, quick):
    both = {**bars, "GBPUSD": without(market(2_600, seed=3, symbol="GBPUSD"), "tick_volume")}
    spec = replace(FOREST, symbols=("EURUSD", "GBPUSD"))
    result = workshop(tmp_path, small_settings(**LOOSE), both).run(spec, fresh_purse(), NEVER)
    assert result.manifest.features == schema_for(Capabilities(volume=False, spread=True)).names


def test_rows_outside_of_the_trading_sessions_teach_and_judge_nothing(bars, tmp_path, quick):
    end = from_epoch(int(bars["EURUSD"].time[-1]))
    span = f"UTC {end - timedelta(hours=20):%H:%M}-{end - timedelta(minutes=90):%H:%M}"
    inside = workshop(tmp_path, small_settings(**LOOSE, filters={"trading_sessions": span}), bars).run(FOREST, fresh_purse(), NEVER)
    at_all_hours = workshop(tmp_path, small_settings(**LOOSE), bars).run(FOREST, fresh_purse(), NEVER)
    assert 0 < inside.rows < 0.9 * at_all_hours.rows
    assert inside.final_end + 60 < end.timestamp() - 90 * 60 < at_all_hours.final_end


# --- rejected, cancelled, impossible ----------------------------------------------------------


def test_noise_is_rejected_and_nothing_is_published(tmp_path, quick):
    shop = workshop(tmp_path, small_settings(), {"EURUSD": market(2_600, edge=0.0, seed=3)})
    result = shop.run(FOREST, fresh_purse(), NEVER)
    assert not result.report.passed
    assert result.manifest is None
    assert any(reason.startswith("expectancy: net ") for reason in result.report.reasons)
    assert shop.registry.versions() == ()
    assert result.final_end > 0


def test_a_try_on_rows_that_were_judged_before_is_rejected(bars, tmp_path, quick):
    strict = small_settings(gate={"min_accuracy": 0.0})
    shop = workshop(tmp_path, strict, bars)
    purse = fresh_purse()
    first, again = (shop.run(FOREST, purse, NEVER) for _ in range(2))
    assert first.report.metrics["alpha"] == pytest.approx(0.4 * START_SHARE)
    assert again.report.metrics["alpha"] == 0.0
    assert any(reason.startswith("new evidence: 0 final rows") for reason in again.report.reasons)
    assert again.manifest is None


def test_what_a_try_spends_is_written_down_before_it_is_judged(bars, tmp_path, quick, monkeypatch):
    """The planted fault is a crash in between: it gives nothing back."""
    shop, state = workshop(tmp_path, small_settings(gate={"min_accuracy": 0.0}), bars), MemoryState()

    def crash(case):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "judge", crash)
    with pytest.raises(KeyboardInterrupt):
        shop.run(FOREST, Purse(state, "scalper"), NEVER)
    monkeypatch.undo()
    spent = state.get("gate.budget.scalper")["spent"]
    assert sum(spent.values()) == pytest.approx(0.4 * START_SHARE)
    monkeypatch.setattr(jobs, "compile_onnx", lambda *args, **options: None)
    assert shop.run(FOREST, Purse(state, "scalper"), NEVER).report.metrics["alpha"] == 0.0


def test_a_candidate_that_its_older_rows_speak_against_spends_nothing(tmp_path, quick):
    shop, state = workshop(tmp_path, small_settings(), {"EURUSD": market(2_600, edge=0.0, seed=3)}), MemoryState()
    report = shop.run(FOREST, Purse(state, "scalper"), NEVER).report
    assert not next(finding for finding in report.findings if finding.rule == "recipe").passed
    assert report.metrics["alpha"] == 0.0
    assert state.values == {}


def test_too_slow_a_model_is_rejected_after_all(bars, tmp_path, quick):
    slow = {"gate": {**LOOSE["gate"], "max_latency_ms": 1e-6}}
    shop = workshop(tmp_path, small_settings(**slow), bars)
    result = shop.run(FOREST, fresh_purse(), NEVER)
    assert result.report.reasons == ("latency: forecast slower than 1e-06 ms",)
    assert result.manifest is None
    assert shop.registry.versions() == ()


def test_a_feature_that_peeks_is_found_before_the_candidate_is_published(bars, tmp_path, quick, monkeypatch):
    """Under any profile: a look-ahead makes every figure of the gate worthless."""
    monkeypatch.setattr(features, "_slope", one_bar_ahead)
    shop = workshop(tmp_path, small_settings(**LOOSE), bars)
    result = shop.run(FOREST, fresh_purse(), NEVER)
    (reason,) = result.report.reasons
    assert reason.startswith("causal: feature slope_10 of EURUSD reads the future")
    assert result.manifest is None
    assert shop.registry.versions() == ()


@pytest.mark.parametrize("looks", [0, 2, 6])
def test_a_cancel_in_the_middle_publishes_nothing(bars, tmp_path, looks):
    shop = workshop(tmp_path, small_settings(**LOOSE), bars)
    with pytest.raises(FitCancelled):
        shop.run(FOREST, fresh_purse(), SetAfter(looks))
    assert shop.registry.versions() == ()
    assert shop.registry.state().slot("scalper").active is None


def test_a_cancel_while_compiling_publishes_nothing(bars, tmp_path, monkeypatch):
    cancel = threading.Event()

    def compiling(*args, **options):
        cancel.set()

    monkeypatch.setattr(jobs, "compile_onnx", compiling)
    shop = workshop(tmp_path, small_settings(**LOOSE), bars)
    with pytest.raises(FitCancelled, match="before it published"):
        shop.run(FOREST, fresh_purse(), cancel)
    assert shop.registry.versions() == ()


def test_too_little_history_is_named(tmp_path):
    with pytest.raises(InsufficientHistory, match="EURUSD"):
        workshop(tmp_path, small_settings(), {"EURUSD": market(900)}).run(FOREST, fresh_purse(), NEVER)


# --- the company it is judged in --------------------------------------------------------------


def test_a_champion_and_its_peers_are_asked_on_the_same_rows(published, bars):
    """The version that serves is the champion; the parent is named; other slots are peers."""
    shop, first = published
    strict = small_settings(gate={"min_new_rows": 0})
    result = replace(shop, settings=strict).run(FOREST, fresh_purse(), NEVER)
    champion = next(finding for finding in result.report.findings if finding.rule == "champion")
    assert "no champion serves" not in champion.detail
    booster = replace(shop, settings=strict).run(BOOSTER, fresh_purse(), NEVER)
    assert next(f for f in booster.report.findings if f.rule == "ensemble").detail.endswith("by vote of ['scalper', 'xgboost']")
    assert first.manifest.parent is None


def test_a_champion_that_cannot_be_loaded_does_not_keep_its_slot_from_training(bars, tmp_path, quick):
    settings = small_settings(**LOOSE)
    shop = workshop(tmp_path, settings, bars)
    policy = ExitPolicy.from_settings(settings.exits)
    names = schema_for(ALL).names[:6]
    publish_model(shop.registry, broken=True, exit_hash=policy.hash, features=names)
    result = shop.run(FOREST, fresh_purse(), NEVER)
    assert result.manifest is not None
    assert result.manifest.version == 2
    assert result.manifest.parent == 1


def test_a_model_of_another_exit_policy_is_no_peer(published, bars):
    shop, _ = published
    other = replace(shop, settings=small_settings(exits={"horizon_bars": 20}, gate={"min_new_rows": 0}))
    result = other.run(FOREST, fresh_purse(), NEVER)
    assert next(f for f in result.report.findings if f.rule == "champion").detail == "no champion serves"


def test_forecasts_on_rows_are_those_of_the_live_loop(published):
    shop, _ = published
    predictor = load_bundle(shop.registry.open("scalper", 1))
    data = dataset(900, symbols=("EURUSD", "GBPUSD"))
    said = forecasts_on(predictor, data)
    theirs = data.symbol == 1
    assert (said.expected_r[theirs] == -np.inf).all()
    one = predictor.predict_many(data.values)
    np.testing.assert_allclose(said.expected_r[~theirs], one.expected_r[~theirs], atol=1e-6)
    np.testing.assert_array_equal(said.side[~theirs], one.side[~theirs])


def test_a_model_over_windows_is_asked_row_by_row_of_pooled_rows(monkeypatch):
    """Pooled rows of two symbols alternate: each window must be its own symbol's."""
    data = dataset(700, symbols=("EURUSD", "GBPUSD"), window=5)
    names = data.schema.names[: fakes.COLUMNS]
    schema = replace(fakes.SCHEMA, names=names)
    monkeypatch.setattr(fakes, "SCHEMA", schema)
    files = fakes.native_files.__wrapped__("lstm")
    info = replace(fakes.info_of("lstm"), schema=schema, symbols=("EURUSD", "GBPUSD"))
    predictor = LSTMPredictor.load_artifacts(info, fakes.LSTM_INFERENCE, files)
    said = forecasts_on(predictor, data)
    table = project(data, schema).table
    for row in (0, 1, 2, 333, len(data) - 1):
        window = table[data.row[row] - 4 : data.row[row] + 1]
        assert said.expected_r[row] == pytest.approx(float(predictor.predict_many(window).expected_r[0]), abs=1e-6)


def test_rows_on_which_a_peer_lacks_a_value_abstain(published):
    shop, _ = published
    predictor = load_bundle(shop.registry.open("scalper", 1))
    data = dataset(900)
    data.table[data.row[10], 0] = np.nan
    said = forecasts_on(predictor, data)
    assert said.expected_r[10] == -np.inf
    assert np.isfinite(np.delete(said.expected_r, 10)).all()


# --- which jobs there are ---------------------------------------------------------------------


def test_the_settings_call_for_the_jobs():
    everything = specs_of(Settings(), ("EURUSD", "GBPUSD"))
    assert [(job.slot, job.kind, job.symbols) for job in everything] == [
        ("scalper", "random_forest", ("EURUSD", "GBPUSD")),
        ("xgboost", "xgboost", ("EURUSD", "GBPUSD")),
        ("lstm_EURUSD", "lstm", ("EURUSD",)),
        ("lstm_GBPUSD", "lstm", ("GBPUSD",)),
    ]
    assert everything[0].name == "train:scalper"
    assert specs_of(Settings(models={"use_lstm": False, "use_xgboost": False}), ("EURUSD",)) == (
        JobSpec("scalper", "random_forest", ("EURUSD",)),
    )
    assert specs_of(Settings(models={"model_path": "mine"}), ("EURUSD",))[0].slot == "mine"


def test_costs_are_the_brokers_own(bars, tmp_path):
    shop = workshop(tmp_path, small_settings(), bars)
    costs = shop.costs(bars["EURUSD"])
    np.testing.assert_allclose(costs.spread, bars["EURUSD"].spread * 1e-5)
    assert costs.commission == pytest.approx(7e-5)  # 3.50 a lot and side, 100,000 units a lot
    assert costs.least_stop == 0.0


# --- after a change of the market -----------------------------------------------------------------


def changed(shop, row, bars):
    """The slot's version failed, and the market is held to have changed at a row."""
    since = utc_text(from_epoch(int(bars["EURUSD"].time[row])))
    look = shop.registry.state().slot("scalper")
    shop.registry.move("scalper", lambda held: lifecycle.stopped(held, look, lifecycle.Failure(since, "it loses"), shop.now()))
    return since


def test_a_slot_that_failed_learns_from_the_rows_since_then_alone(tmp_path, bars, quick):
    shop = workshop(tmp_path, small_settings(**LOOSE), bars)
    publish_model(shop.registry, features=schema_for(ALL).names, exit_hash=shop.policy.hash)
    row = 450
    since = changed(shop, row, bars)
    result = shop.run(FOREST, fresh_purse(), NEVER)
    assert result.manifest.first_bar >= since
    assert result.rows < len(bars["EURUSD"]) - row
    assert result.manifest.parent is None
    assert (result.active, shop.registry.state().slot("scalper").voting) == (True, 2)


@pytest.mark.parametrize("fault", ["stopped", "expired"])
def test_a_version_that_does_not_vote_is_no_champion(tmp_path, bars, published, monkeypatch, quick, fault):
    shop = workshop(tmp_path, small_settings(**LOOSE, life={"model_expiry_hours": 1.0}), bars)
    source, result = published
    artifact = source.registry.open("scalper", result.manifest.version)
    said = {name: getattr(artifact.manifest, name) for name in Draft.__dataclass_fields__}
    shop.registry.publish(Draft(**said), artifact.files, accept)
    cases = []
    judge = jobs.judge
    monkeypatch.setattr(jobs, "judge", lambda case: cases.append(case) or judge(case))
    shop.run(FOREST, fresh_purse(), NEVER)
    if fault == "stopped":
        changed(shop, 1_000, bars)
    now = shop.now() + timedelta(hours=1 if fault == "expired" else 0)
    replace(shop, now=lambda: now).run(FOREST, fresh_purse(), NEVER)
    assert [case.champion is None for case in cases] == [False, True]


def test_a_rollback_while_a_job_trains_is_not_overridden_and_the_job_says_so(tmp_path, bars, quick, monkeypatch):
    shop = workshop(tmp_path, small_settings(**LOOSE), bars)
    publish_model(shop.registry), publish_model(shop.registry)
    judge = jobs.judge
    monkeypatch.setattr(jobs, "judge", lambda case: shop.registry.rollback("scalper") and judge(case))
    result = shop.run(FOREST, fresh_purse(), NEVER)
    assert (result.active, result.event, result.why) == (False, "shadow", "it was compared with version 2, and version 1 serves by now")
    assert shop.registry.state().slot("scalper").active == 1


def test_too_few_rows_since_then_are_said_with_both_figures(tmp_path, bars, quick):
    shop = workshop(tmp_path, small_settings(gate={"min_directional_rows": 100}), bars)
    publish_model(shop.registry)
    since = changed(shop, 2_000, bars)
    with pytest.raises(TooNew) as told:
        shop.run(FOREST, fresh_purse(), NEVER)
    assert told.value.need == 2_000  # 100 sides at a fifth of the rows of a final window that is a quarter of all
    assert 0 < told.value.have < 600
    assert (
        str(told.value)
        == f"scalper: {told.value.have} of 2,000 rows since the market changed at {since}; the job runs again when it is due"
    )


def test_the_least_rows_are_never_more_than_a_job_takes(tmp_path, bars, quick):
    shop = workshop(
        tmp_path, small_settings(training={"tree_train_rows": 2_000}, gate={**LOOSE["gate"], "min_directional_rows": 1_000}), bars
    )
    publish_model(shop.registry)
    changed(shop, 150, bars)
    assert shop.run(FOREST, fresh_purse(), NEVER).report is not None
