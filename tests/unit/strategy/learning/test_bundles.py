"""Between the manifest and the predictor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.errors import ArtifactError, SchemaMismatch
from strategy.bundle import GOLDEN
from strategy.learning.artifact import VerifiedArtifact
from strategy.learning.bundles import (
    check_bundle,
    inference_json,
    inference_of,
    info_of,
    load_bundle,
    origin_kind,
    recipe_of,
    skill_of,
    train_end_of,
)
from strategy.predictor import Inference, Payoff
from tests.fakes_learning import publish_model
from tests.fakes_models import SCHEMA, TREE_INFERENCE, window
from tests.fakes_registry import make_registry

KINDS = ("random_forest", "xgboost", "lstm")


def artifact(root, kind="random_forest", **changes) -> VerifiedArtifact:
    registry = make_registry(root)
    return registry.open("scalper", publish_model(registry, kind=kind, **changes))


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_manifest_says_is_what_serves(tmp_path, kind):
    found = artifact(tmp_path, kind)
    predictor = load_bundle(found)
    assert predictor.info == info_of(found.manifest)
    assert (predictor.info.slot, predictor.info.version, predictor.info.kind) == ("scalper", 1, kind)
    assert predictor.info.schema == SCHEMA
    assert predictor.inference == inference_of(found.manifest)
    assert predictor.predict(window()).p_long > 0
    check_bundle(found)


def test_the_inference_section_survives_the_manifest(tmp_path):
    weights = ((1 / 3, 0.1, 0.0), (0.0, -2.5e-17, 0.0), (1e9, 0.2, 0.0))
    odd = Inference(weights, (0.1, -0.2, 1 / 7), Payoff(1.1, -0.9, 1.3, -1.0), 0.0421)
    found = artifact(tmp_path, inference=inference_json(odd, train_end=1, recipe=""))
    assert inference_of(found.manifest) == odd


def test_training_end_and_recipe_travel_along(tmp_path):
    found = artifact(tmp_path, inference=inference_json(TREE_INFERENCE, train_end=77, recipe="abc"))
    assert (train_end_of(found.manifest), recipe_of(found.manifest)) == (77, "abc")
    assert inference_of(found.manifest) == TREE_INFERENCE
    bare = replace(found.manifest, inference={})
    assert (train_end_of(bare), recipe_of(bare)) == (0, "")


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"weights": [[1, 0, 0]] * 3, "bias": [0.0, 0.0], "payoff": {}, "threshold": 0.0},
        {"weights": [[1, 0, 0]] * 3, "bias": [0.0] * 3, "payoff": {"win": 1.0}, "threshold": 0.0},
        {"weights": 7, "bias": [0.0] * 3, "payoff": {}, "threshold": 0.0},
        {"weights": [["a"]], "bias": [0.0] * 3, "payoff": {}, "threshold": 0.0},
    ],
)
def test_an_unusable_section_is_named(tmp_path, section):
    with pytest.raises(ArtifactError, match=r"scalper_v1\.json: unusable inference section"):
        load_bundle(artifact(tmp_path, inference=section))


def test_an_unknown_kind_is_refused(tmp_path):
    found = artifact(tmp_path)
    with pytest.raises(ArtifactError, match="model kind 'oracle' is unknown to this version"):
        load_bundle(replace(found, manifest=replace(found.manifest, kind="oracle")))


def test_files_that_hold_no_model_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"\*\.pkl cannot be read"):
        load_bundle(artifact(tmp_path, broken=True))


def test_columns_of_another_order_are_refused(tmp_path):
    with pytest.raises(SchemaMismatch):
        load_bundle(artifact(tmp_path, features=SCHEMA.names[::-1]))


def test_other_answers_than_the_golden_ones_are_refused(tmp_path):
    found = artifact(tmp_path, inference=inference_json(replace(TREE_INFERENCE, bias=(0.5, 0.0, 0.0)), train_end=0, recipe=""))
    load_bundle(found)
    with pytest.raises(ArtifactError, match="differs from the golden rows"):
        check_bundle(found)
    assert GOLDEN in found.files


@pytest.mark.parametrize(("origin", "kind"), [("synthetic", "synthetic"), ("file", "file"), ("mt5:Demo-Server/12345", "mt5")])
def test_the_kind_of_an_origin(origin, kind):
    assert origin_kind(origin) == kind


def test_skill_needs_both_figures():
    assert skill_of({"expectancy_r": 0.25, "expectancy_error_r": 0.0625}) == 0.1875
    assert skill_of({"expectancy_r": 0.25}) == skill_of({}) == 0.0
