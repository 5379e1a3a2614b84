"""The BiLSTM with attention, and everything else of serving that needs torch.

Importing this module imports torch, so the rest of the daemon imports it inside functions.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from config.errors import ArtifactError
from strategy.predictor import Matrix

# What torch raises for bytes that are no torch file, or hold other weights.
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
)


class BiLSTMWithAttention(nn.Module):
    """Bidirectional LSTM, additive attention over time as seen from the newest bar, linear head.

    The newest bar's state asks, every bar's state answers; the head reads the answer and the
    newest state itself. Without that question attention must find the newest bar by its content,
    and on noisy returns it does not. The head starts at zero: an untrained model predicts none.

    Args:
        input_size: F, features per row.
        hidden_size: H, units per direction.
        num_layers: stacked LSTM layers.
        dropout: between layers and before the head; active in training only.

    Source: attention after Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning
    to Align and Translate" (2015).
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0  # torch warns of dropout after a single layer
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, bidirectional=True, dropout=between)
        self.attention = nn.Sequential(nn.Linear(4 * hidden_size, hidden_size), nn.Tanh(), nn.Linear(hidden_size, 1, bias=False))
        self.input_dropout = nn.Dropout(dropout / 2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled returns, (B,), of windows (B, T, F)."""
        hidden, _ = self.lstm(self.input_dropout(x))  # (B, T, F) -> (B, T, 2H)
        newest = hidden[:, -1:]  # (B, 1, 2H)
        question = torch.cat([hidden, newest.expand_as(hidden)], dim=-1)  # (B, T, 4H)
        weights = self.attention(question).softmax(dim=1)  # (B, T, 1), sums to 1 over T
        context = (weights * hidden).sum(dim=1)  # (B, 2H)
        scaled: Tensor = self.head(self.dropout(torch.cat([context, newest[:, 0]], dim=-1))).squeeze(-1)  # (B,)
        return scaled


def state_bytes(model: nn.Module) -> bytes:
    """The model's state dict, on the CPU, as a torch file."""
    buffer = BytesIO()
    torch.save({name: value.detach().cpu() for name, value in model.state_dict().items()}, buffer)
    return buffer.getvalue()


def network_from(name: str, data: bytes) -> BiLSTMWithAttention:
    """The network of a torch file, ready to predict; its sizes are read from the weights' shapes.

    Args:
        name: how errors call its owner.
        data: what `state_bytes` wrote. Only tensors are read, never pickled objects.

    Raises:
        ArtifactError: if the bytes hold no such network.
    """
    try:
        state = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        network = BiLSTMWithAttention(*_sizes(state))
        network.load_state_dict(state)
    except _UNREADABLE as e:
        raise ArtifactError(f"{name}: file *.pth holds no BiLSTM ({type(e).__name__}: {e}); roll back or retrain this slot") from e
    return network.eval()


def _sizes(state: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """Features, hidden units and layers."""
    gates, features = state["lstm.weight_ih_l0"].shape  # (4H, F)
    layers = sum(key.startswith("lstm.weight_hh_l") and not key.endswith("_reverse") for key in state)
    return features, gates // 4, layers


def torch_scorer(network: BiLSTMWithAttention) -> Callable[[Matrix], NDArray[np.floating[Any]]]:
    """Windows (B, T, F) to scaled returns (B,), without gradients.

    Torch keeps one thread count per process. It is set to 1: one window is too small to share,
    and a decision must not wait for a pool that training holds.
    """
    torch.set_num_threads(1)

    def score(windows: Matrix) -> NDArray[np.floating[Any]]:
        with torch.inference_mode():
            # A read-only or strided view is copied: torch warns of tensors over memory it may not write.
            result: NDArray[np.floating[Any]] = network(torch.tensor(windows)).numpy()
        return result

    return score
