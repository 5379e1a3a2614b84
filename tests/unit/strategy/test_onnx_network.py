from __future__ import annotations

import numpy as np
import pytest
import torch

from strategy.lstm_model import BiLSTMWithAttention, torch_scorer
from strategy.onnx_network import network_file
from strategy.onnx_session import open_session


@pytest.mark.parametrize(("features", "hidden", "layers", "length"), [(1, 1, 1, 2), (7, 5, 1, 11), (3, 8, 2, 60)])
def test_the_file_answers_as_torch_does(features, hidden, layers, length):
    """Random weights everywhere, so that a gate or a direction in the wrong place shows."""
    torch.manual_seed(features)
    network = BiLSTMWithAttention(features, hidden, layers).eval()
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.7)
    windows = np.random.default_rng(0).normal(size=(17, length, features)).astype(np.float32)
    state = {name: weights.numpy() for name, weights in network.state_dict().items()}
    found = open_session(network_file(state, length))(windows)
    assert found.shape == (17,)
    np.testing.assert_allclose(found, torch_scorer(network)(windows), atol=1e-5)
    assert np.ptp(found) > 0.1
