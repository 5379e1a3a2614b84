"""ONNX Runtime behind one small callable; its errors are translated here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import ArtifactError, PredictionFailed
from strategy.predictor import Matrix

Scorer = Callable[[Matrix], NDArray[np.floating[Any]]]

_SEVERITY_ERROR = 3


@dataclass(frozen=True, slots=True, eq=False)
class OnnxScorer:
    """One output of a compiled model; safe to call from many threads.

    Attributes:
        session: what `run` is asked of: an `onnxruntime.InferenceSession`, or the compiled one inside it.
        input_name, output_name: of the graph.
        failures: what the runtime raises, known only once it is imported.
    """

    session: Any
    input_name: str
    output_name: str
    failures: tuple[type[Exception], ...]

    def __call__(self, values: Matrix) -> NDArray[np.floating[Any]]:
        """The output for a float32 batch; the first axis is the batch.

        Raises:
            PredictionFailed: if the runtime refuses the batch.
        """
        try:
            result: NDArray[np.floating[Any]] = self.session.run((self.output_name,), {self.input_name: values}, None)[0]
        except self.failures as e:
            raise PredictionFailed(f"onnx: batch of shape {values.shape} was refused: {e}") from e
        return result


def open_session(data: bytes, output: int = 0) -> OnnxScorer:
    """A scorer over compiled bytes: one thread, sequential, so a decision never waits for a pool.

    Args:
        data: the ONNX file.
        output: which of the graph's outputs to return; classifiers put probabilities second.

    Raises:
        ArtifactError: if the bytes are no model that this runtime can run.
    """
    import onnxruntime  # in the function: commands that serve no model start without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _SEVERITY_ERROR
    failures = _failures()
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        # The Python class around the compiled session checks names at every call, which for one row costs a quarter of a forest's time.
        inner = getattr(session, "_sess", session)
        return OnnxScorer(inner, session.get_inputs()[0].name, session.get_outputs()[output].name, failures)
    except failures as e:
        raise ArtifactError(f"onnx: the compiled model cannot be opened: {e}") from e


def _failures() -> tuple[type[Exception], ...]:
    """Every exception class of the runtime; some derive from Exception alone."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError, IndexError)
