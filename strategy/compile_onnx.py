"""Compiles a version's model to ONNX.

The general converters walk a model node by node in Python: seconds under the interpreter's lock
for every version, and more for the imports. Ours are three models of known shape, whose files are
written from whole arrays in milliseconds (docs/decisions/0012-own-onnx-writer.md).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

from loguru import logger

from config.errors import ArtifactError
from strategy.bundle import unpickled
from strategy.onnx_network import network_file
from strategy.onnx_trees import booster_file, forest_file

MODEL_FILES: Mapping[str, str] = MappingProxyType({"random_forest": ".pkl", "xgboost": ".pkl", "lstm": ".pth"})

_STRANGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error, ArtifactError)
"""How a model shows that it is not of the shape that we write."""


def compile_onnx(kind: str, files: Mapping[str, bytes], n_features: int, rows: int) -> bytes | None:
    """The model compiled to ONNX, or None where that fails: the native model then serves.

    Args:
        kind: `random_forest`, `xgboost` or `lstm`.
        files: suffix to bytes, as `tree_files` or `lstm_files` made them.
        n_features: columns of one row.
        rows: rows of one window; 1 for trees.

    Raises:
        ValueError: if the kind is unknown or its model file is not among the files.
    """
    if MODEL_FILES.get(kind) not in files:
        raise ValueError(f"cannot compile a {kind!r} from {sorted(files)}; kinds and their files: {dict(MODEL_FILES)}")
    try:
        return convert(kind, files, n_features, rows)
    except _STRANGE as error:
        logger.warning("{}: not compiled to ONNX, {}: {}; the native model serves", kind, type(error).__name__, error)
        return None


def convert(kind: str, files: Mapping[str, bytes], n_features: int, rows: int) -> bytes:
    """As `compile_onnx`, but errors are raised."""
    converters: dict[str, Callable[[Mapping[str, bytes], int, int], bytes]] = {
        "random_forest": lambda files, columns, _: forest_file(unpickled(kind, files, ".pkl"), columns),
        "xgboost": lambda files, columns, _: booster_file(unpickled(kind, files, ".pkl"), columns),
        "lstm": _network,
    }
    return converters[kind](files, n_features, rows)


def _network(files: Mapping[str, bytes], columns: int, rows: int) -> bytes:
    from strategy.lstm_model import network_from

    state = network_from("lstm", files[".pth"]).state_dict()
    return network_file({name: weights.numpy() for name, weights in state.items()}, rows)
