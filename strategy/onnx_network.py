"""The BiLSTM with attention as an ONNX file, written from its weights.

What of the attention's question belongs to the newest bar is the same at every bar: it is worked
out once and added, where the network itself works it out for every bar.

Source: operator LSTM of ONNX, whose gates stand in the order input, output, forget, cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategy.onnx_graph import Kind, node, onnx_file

Weights = Mapping[str, NDArray[Any]]

_TORCH_GATES = (0, 3, 1, 2)  # torch: input, forget, cell, output
_TAKEN_APART = np.array([0, 0, -1], dtype=np.int64)  # (T, B, 2, H) -> (T, B, 2H)


def network_file(state: Weights, rows: int) -> bytes:
    """The network of a state dict: input (B, rows, F), output (B,), any B.

    Args:
        state: weights by torch's names, as NumPy arrays.
        rows: rows of one window.
    """
    layers = sum(1 for _ in takewhile(lambda layer: f"lstm.weight_hh_l{layer}" in state, count()))
    nodes = [node("Transpose", ["windows"], ["sequence0"], perm=np.array([1, 0, 2]))]
    weights: dict[str, NDArray[Any]] = {"apart": _TAKEN_APART}
    for layer in range(layers):
        weights |= _layer_weights(state, layer)
        nodes += _layer(layer, state[f"lstm.weight_hh_l{layer}"].shape[1])
    nodes += _attention(f"sequence{layers}")
    features = state["lstm.weight_ih_l0"].shape[1]
    return onnx_file(
        "lstm", nodes, weights | _attention_weights(state), ("windows", ["n", rows, features]), {"scaled": (Kind.FLOAT, ["n"])}
    )


def _layer_weights(state: Weights, layer: int) -> Weights:
    """Both directions of a layer, stacked: W (2, 4H, F), R (2, 4H, H), B (2, 8H)."""

    def both(kind: str) -> NDArray[Any]:
        return np.stack([_gates(state[f"lstm.{kind}_l{layer}{direction}"]) for direction in ("", "_reverse")])

    return {
        f"W{layer}": both("weight_ih"),
        f"R{layer}": both("weight_hh"),
        f"B{layer}": np.concatenate([both("bias_ih"), both("bias_hh")], axis=1),
    }


def _gates(weights: NDArray[Any]) -> NDArray[Any]:
    """The blocks of four gates, from torch's order to that of ONNX."""
    blocks = np.split(weights, 4)
    return np.concatenate([blocks[gate] for gate in _TORCH_GATES])


def _layer(layer: int, hidden: int) -> Iterator[bytes]:
    """(T, B, F) -> (T, B, 2H)."""
    given = [f"sequence{layer}", f"W{layer}", f"R{layer}", f"B{layer}"]
    yield node("LSTM", given, [f"directions{layer}"], direction="bidirectional", hidden_size=hidden)  # (T, 2, B, H)
    yield node("Transpose", [f"directions{layer}"], [f"side_by_side{layer}"], perm=np.array([0, 2, 1, 3]))
    yield node("Reshape", [f"side_by_side{layer}", "apart"], [f"sequence{layer + 1}"])


def _attention(hidden: str) -> Iterator[bytes]:
    """(T, B, 2H) -> (B,)."""
    yield node("Gather", [hidden, "newest_bar"], ["newest"], axis=0)  # (B, 2H)
    yield node("MatMul", [hidden, "ask_bar"], ["of_bars"])  # (T, B, H)
    yield node("Gemm", ["newest", "ask_newest", "ask_bias"], ["of_newest"])  # (B, H)
    yield node("Add", ["of_bars", "of_newest"], ["question"])
    yield node("Tanh", ["question"], ["asked"])
    yield node("MatMul", ["asked", "answer"], ["scores"])  # (T, B, 1)
    yield node("Softmax", ["scores"], ["shares"], axis=0)
    yield node("Mul", ["shares", hidden], ["weighed"])
    yield node("ReduceSum", ["weighed", "over_bars"], ["context"], keepdims=0)  # (B, 2H)
    yield node("Concat", ["context", "newest"], ["seen"], axis=1)  # (B, 4H)
    yield node("Gemm", ["seen", "head", "head_bias"], ["column"])  # (B, 1)
    yield node("Squeeze", ["column", "last_axis"], ["scaled"])


def _attention_weights(state: Weights) -> dict[str, NDArray[Any]]:
    bars, newest = np.split(state["attention.0.weight"].T, 2)  # (4H, H): of every bar, and of the newest
    return {
        "newest_bar": np.array(-1, dtype=np.int64),
        "ask_bar": bars,
        "ask_newest": newest,
        "ask_bias": state["attention.0.bias"],
        "answer": state["attention.2.weight"].T,
        "over_bars": np.array([0], dtype=np.int64),
        "head": state["head.weight"].T,
        "head_bias": state["head.bias"],
        "last_axis": np.array([-1], dtype=np.int64),
    }
