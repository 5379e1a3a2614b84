"""Compiles a version's model to ONNX in a child process.

Converters are seconds of pure Python, which would hold the interpreter lock against the trading
loop, and a child can be killed when training is cancelled. The child is this module, started with
`python -m`: it inherits nothing, imports no main module, and works alike on Windows.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

from loguru import logger

MODEL_FILES = {"random_forest": ".pkl", "xgboost": ".pkl", "lstm": ".pth"}

_POLL_S = 0.1
_SKLEARN_OPSET = 17
_XGBOOST_OPSET = 15
_ROOT = Path(__file__).resolve().parents[1]
# Windows only; elsewhere the child lowers its own priority.
_FLAGS = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)


def compile_onnx(
    kind: str, files: Mapping[str, bytes], n_features: int, rows: int, timeout_s: float = 120.0, cancel: threading.Event | None = None
) -> bytes | None:
    """The model compiled to ONNX, or None where that fails: the native model then serves.

    Args:
        kind: `random_forest`, `xgboost` or `lstm`.
        files: suffix to bytes, as `tree_files` or `lstm_files` made them.
        n_features: columns of one row.
        rows: rows of one window; 1 for trees.
        timeout_s: seconds after which the child is killed.
        cancel: set to kill the child; looked at ten times a second.

    Raises:
        ValueError: if the kind is unknown or its model file is not among the files.
    """
    suffix = MODEL_FILES.get(kind)
    if suffix is None or suffix not in files:
        raise ValueError(f"cannot compile a {kind!r} from {sorted(files)}; kinds and their files: {MODEL_FILES}")
    logger.debug("{}: compiling to ONNX", kind)
    request = {"kind": kind, "n_features": n_features, "rows": rows, "model": base64.b64encode(files[suffix]).decode("ascii")}
    reply, reason = _run_child(json.dumps(request).encode("ascii"), timeout_s, cancel or threading.Event())
    if reply is None:
        logger.warning("{}: not compiled to ONNX, {}; the native model serves", kind, reason)
    return reply


def _run_child(request: bytes, timeout_s: float, cancel: threading.Event) -> tuple[bytes | None, str]:
    """The child's reply, or None and why there is none."""
    command = [sys.executable, "-W", "ignore", "-m", "strategy.compile_onnx"]
    # A file, not a pipe: a wait that times out does not go on writing the rest of a pipe's input.
    with TemporaryFile() as source:
        source.write(request)
        source.seek(0)
        try:
            child = subprocess.Popen(  # noqa: S603 -- our own interpreter and module, no input in the command
                command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_ROOT, creationflags=_FLAGS
            )
        except OSError as e:
            return None, f"no child process: {e}"
        with child:
            try:
                return _await_reply(child, timeout_s, cancel)
            finally:
                child.kill()  # nothing to do where it has ended


def _await_reply(child: subprocess.Popen[bytes], timeout_s: float, cancel: threading.Event) -> tuple[bytes | None, str]:
    for _ in range(max(1, math.ceil(timeout_s / _POLL_S))):
        if cancel.is_set():
            return None, "cancelled"
        with suppress(subprocess.TimeoutExpired):  # a later call goes on reading where this one stopped
            output, complaint = child.communicate(timeout=_POLL_S)
            return _decoded(child.returncode, output, complaint)
    return None, f"no answer in {timeout_s:g} s"


def _decoded(code: int, output: bytes, complaint: bytes) -> tuple[bytes | None, str]:
    last = (complaint.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
    if code != 0:
        return None, f"the converter ended with {code}: {last}"
    try:
        return base64.b64decode(output, validate=True) or None, "the converter wrote nothing"
    except binascii.Error as e:
        return None, f"the converter's reply cannot be read: {e}"


def main() -> None:
    """The child: one request on standard input, the compiled model in base64 on standard output."""
    reply = os.dup(1)
    os.dup2(2, 1)  # whatever a converter prints goes to stderr, not into the reply
    os.environ["OMP_NUM_THREADS"] = "1"
    if hasattr(os, "nice"):
        os.nice(5)
    request = json.loads(sys.stdin.buffer.read())
    compiled = convert(request["kind"], base64.b64decode(request["model"]), request["n_features"], request["rows"])
    with os.fdopen(reply, "wb") as out:
        out.write(base64.b64encode(compiled))


def convert(kind: str, model: bytes, n_features: int, rows: int) -> bytes:
    """The compiled model; runs in the calling process and takes seconds of it."""
    converters: dict[str, Callable[[bytes, int, int], bytes]] = {
        "random_forest": _convert_forest,
        "xgboost": _convert_xgboost,
        "lstm": _convert_lstm,
    }
    return converters[kind](model, n_features, rows)


def _convert_forest(data: bytes, n_features: int, rows: int) -> bytes:
    import joblib

    model = joblib.load(BytesIO(data))
    from skl2onnx import convert_sklearn  # after the load: a pickle that cannot be read fails at once
    from skl2onnx.common.data_types import FloatTensorType

    types = [("rows", FloatTensorType([None, n_features]))]
    graph = convert_sklearn(
        model, "random_forest", initial_types=types, options={id(model): {"zipmap": False}}, target_opset=_SKLEARN_OPSET
    )
    return bytes(graph.SerializeToString())


def _convert_xgboost(data: bytes, n_features: int, rows: int) -> bytes:
    import joblib

    model = joblib.load(BytesIO(data))
    model.get_booster().feature_names = None  # the converter reads names as column numbers
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    graph = convert_xgboost(model, "xgboost", initial_types=[("rows", FloatTensorType([None, n_features]))], target_opset=_XGBOOST_OPSET)
    return bytes(graph.SerializeToString())


def _convert_lstm(data: bytes, n_features: int, rows: int) -> bytes:
    from strategy.lstm_model import export_onnx, network_from

    return export_onnx(network_from("lstm", data), rows)


if __name__ == "__main__":
    main()
