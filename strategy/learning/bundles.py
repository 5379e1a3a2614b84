"""From a verified artifact to a predictor, and the part of the manifest that serving needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from config.errors import ArtifactError
from strategy.bundle import GOLDEN, file_bytes
from strategy.golden import check_golden
from strategy.learning.artifact import Manifest, VerifiedArtifact
from strategy.learning.libraries import differs
from strategy.predictor import BundleInfo, FeatureSchema, Inference, Payoff, Predictor

Loader = Callable[[BundleInfo, Inference, Mapping[str, bytes]], Predictor]


def load_bundle(artifact: VerifiedArtifact) -> Predictor:
    """The predictor of an artifact whose signature and hashes have been checked.

    Raises:
        ArtifactError: the files do not fit the manifest or each other, or other libraries than
            those that it was made with (by a patch: more is refused before) give other answers.
        SchemaMismatch: the columns do not fit the manifest.
    """
    manifest = artifact.manifest
    predictor = _loader(manifest.kind)(info_of(manifest), inference_of(manifest), artifact.files)
    if differs(manifest.libraries):
        check_golden(predictor, file_bytes(manifest.stem, artifact.files, GOLDEN))
    return predictor


def check_bundle(artifact: VerifiedArtifact) -> None:
    """Loads an artifact and compares its golden rows: what will be served is what was judged.

    Raises:
        ArtifactError: it does not load, or answers differently.
    """
    check_golden(load_bundle(artifact), artifact.files["_golden.npz"])


def _loader(kind: str) -> Loader:
    if kind == "lstm":
        from strategy.lstm_predictor import LSTMPredictor

        return LSTMPredictor.load_artifacts
    if kind in ("random_forest", "xgboost"):
        from strategy.tree_predictor import load_tree

        return load_tree
    raise ArtifactError(f"model kind {kind!r} is unknown to this version; roll back or retrain")


def info_of(manifest: Manifest) -> BundleInfo:
    """Identity and scope, as the manifest states them."""
    return BundleInfo(
        slot=manifest.slot,
        version=manifest.version,
        kind=manifest.kind,
        origin=origin_kind(manifest.origin),
        symbols=tuple(manifest.symbols),
        timeframe=manifest.timeframe,
        exit_hash=manifest.exit_hash,
        rows=manifest.input_rows,
        schema=FeatureSchema(tuple(manifest.features)),
        made=int(datetime.fromisoformat(manifest.created).timestamp()),
        skill=skill_of(manifest.metrics),
    )


def skill_of(metrics: Mapping[str, float]) -> float:
    """Net R a trade of the final window, less one standard error; 0.0 where the gate had no such figures."""
    mean, error = metrics.get("expectancy_r"), metrics.get("expectancy_error_r")
    return 0.0 if mean is None or error is None else mean - error


def origin_kind(origin: str) -> str:
    """`mt5:<server>/<login>` -> `mt5`; the others are their own kind."""
    return origin.partition(":")[0]


def inference_json(inference: Inference, *, train_end: int, recipe: str) -> dict[str, Any]:
    """The manifest's `inference` section."""
    return {**asdict(inference), "train_end": train_end, "recipe": recipe}


def inference_of(manifest: Manifest) -> Inference:
    """Calibration, payoff and threshold from the manifest.

    Raises:
        ArtifactError: the section does not hold them.
    """
    section = manifest.inference
    try:
        flat, long, short = (float(value) for value in section["bias"])
        weights = tuple(tuple(float(w) for w in row) for row in section["weights"])
        return Inference(weights, (flat, long, short), Payoff(**section["payoff"]), float(section["threshold"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{manifest.stem}.json: unusable inference section ({error}); roll back or retrain") from error


def train_end_of(manifest: Manifest) -> int:
    """When the last label that taught this version was known, epoch seconds; 0 where unstated."""
    return int(manifest.inference.get("train_end", 0))


def recipe_of(manifest: Manifest) -> str:
    """Hash of the recipe that made this version; empty where unstated."""
    return str(manifest.inference.get("recipe", ""))
