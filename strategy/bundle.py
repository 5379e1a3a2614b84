"""What the predictors share: files of a version turned into objects, and rows checked before use.

A version's files arrive as a mapping from suffix (`.pkl`, `_features.pkl`) to bytes. The registry
has checked their signature and hashes before it hands them over, so a pickle read here is one that
this home wrote itself. Nothing here checks that again: never call it with bytes of another source.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, cast

import joblib
import numpy as np

from config.errors import ArtifactError, PredictionFailed
from strategy.predictor import BundleInfo, FeatureSchema, FeatureWindow, Matrix, newest_rows, require_schema

ONNX = ".onnx"
GOLDEN = "_golden.npz"

# What an unreadable pickle raises, by where its bytes end or turn to nonsense.
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    ImportError,
    TypeError,
    OverflowError,
)


def owner(info: BundleInfo) -> str:
    """How errors and logs call a bundle: `xgboost v3`."""
    return f"{info.slot} v{info.version}"


def pickled(value: object) -> bytes:
    """Joblib pickle of a value; not compressed, as joblib reads compressed bytes with a damaged end without end."""
    buffer = BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


def file_bytes(name: str, files: Mapping[str, bytes], suffix: str) -> bytes:
    """The bytes of one file.

    Raises:
        ArtifactError: if the version has no such file.
    """
    try:
        return files[suffix]
    except KeyError:
        raise ArtifactError(f"{name}: file *{suffix} is missing; roll back or retrain this slot") from None


def unpickled(name: str, files: Mapping[str, bytes], suffix: str) -> Any:
    """The value of one pickled file; bytes must come from the registry, which has verified them.

    Raises:
        ArtifactError: if the file is missing or cannot be read.
    """
    data = file_bytes(name, files, suffix)
    try:
        return joblib.load(BytesIO(data))
    except _UNREADABLE as e:
        raise ArtifactError(f"{name}: file *{suffix} cannot be read ({type(e).__name__}: {e}); roll back or retrain this slot") from e


def require_columns(info: BundleInfo, columns: object) -> None:
    """Raises SchemaMismatch unless the stored columns are those of the manifest, in order."""
    if not isinstance(columns, list | tuple):
        raise ArtifactError(f"{owner(info)}: stored columns are a {type(columns).__name__}, a list is needed; retrain this slot")
    require_schema(owner(info), info.schema, FeatureSchema(tuple(str(name) for name in columns)))


def window_rows(info: BundleInfo, window: FeatureWindow) -> Matrix:
    """The newest `info.rows` rows of a window, (rows, F), float32 and contiguous.

    Raises:
        SchemaMismatch: columns differ from those of the bundle.
        PredictionFailed: too few rows, a missing value, or a matrix that does not fit its columns.
    """
    require_schema(owner(info), info.schema, window.schema)
    _require_width(info, window.values)
    return np.ascontiguousarray(newest_rows(owner(info), window, info.rows), dtype=np.float32)


def all_rows(info: BundleInfo, values: Matrix) -> Matrix:
    """Every row of a matrix whose columns are the bundle's, (n, F), float32 and contiguous.

    Raises:
        PredictionFailed: fewer than `info.rows` rows, a missing value, or another number of columns.
    """
    _require_width(info, values)
    whole = FeatureWindow(info.schema, values)
    return np.ascontiguousarray(newest_rows(owner(info), whole, max(len(values), info.rows)), dtype=np.float32)


def _require_width(info: BundleInfo, values: Matrix) -> None:
    shape = cast("tuple[int, ...]", values.shape)
    if len(shape) != 2 or shape[1] != len(info.schema.names):
        raise PredictionFailed(f"{owner(info)}: feature matrix of shape {shape}, (rows, {len(info.schema.names)}) needed")
