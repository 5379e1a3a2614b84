from __future__ import annotations

import numpy as np
import pytest
import torch

from config.errors import ArtifactError
from strategy.lstm_model import BiLSTMWithAttention, network_from, state_bytes, torch_scorer
from tests.fakes_models import rows


def _network(features: int = 6, hidden: int = 4, layers: int = 1, dropout: float = 0.0) -> BiLSTMWithAttention:
    """A network whose head says something: a new one's is zero."""
    torch.manual_seed(1)
    network = BiLSTMWithAttention(features, hidden, layers, dropout)
    torch.nn.init.normal_(network.head.weight)
    return network


def _windows(batch: int = 3, length: int = 5, features: int = 6) -> np.ndarray:
    return rows(batch * length, seed=2, columns=features).reshape(batch, length, features)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_one_value_per_window(batch):
    assert _network()(torch.tensor(_windows(batch))).shape == (batch,)


@pytest.mark.parametrize("sizes", [(6, 4, 1), (3, 8, 2), (40, 5, 3)])
def test_sizes_are_recovered_from_the_weights(sizes):
    again = network_from("x v1", state_bytes(_network(*sizes)))
    assert (again.lstm.input_size, again.lstm.hidden_size, again.lstm.num_layers) == sizes


def test_bytes_round_trip_gives_equal_outputs_without_dropout():
    network = _network(layers=2, dropout=0.5)
    again = network_from("x v1", state_bytes(network))
    assert not again.training
    np.testing.assert_array_equal(torch_scorer(again)(_windows()), network.eval()(torch.tensor(_windows())).detach().numpy())


def test_a_network_that_has_learned_nothing_predicts_nothing():
    assert torch_scorer(BiLSTMWithAttention(6, 4, 1).eval())(_windows()).tolist() == [0.0, 0.0, 0.0]


def test_attention_reads_every_row():
    network = _network().eval()
    base = _windows(1)
    for t in range(base.shape[1]):
        changed = base.copy()
        changed[0, t] += 1.0
        assert torch_scorer(network)(changed)[0] != torch_scorer(network)(base)[0]


def test_windows_of_a_batch_do_not_touch_each_other():
    network = _network().eval()
    together = torch_scorer(network)(_windows(4))
    alone = [torch_scorer(network)(w[None])[0] for w in _windows(4)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_it_can_learn():
    network = _network(hidden=8)
    x = torch.tensor(_windows(64))
    y = x[:, -1, 0]
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(network(x), y)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_scoring_leaves_no_gradient_and_a_read_only_input_alone():
    windows = _windows()
    windows.flags.writeable = False
    result = torch_scorer(_network().eval())(windows)
    assert isinstance(result, np.ndarray)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"junk", lambda data: data[:-40], lambda data: data[:50]])
def test_bytes_that_are_no_network_are_an_artifact_error(damage):
    with pytest.raises(ArtifactError, match=r"x v1: file \*\.pth holds no BiLSTM"):
        network_from("x v1", damage(state_bytes(_network())))


def test_a_state_of_another_network_is_an_artifact_error():
    with pytest.raises(ArtifactError, match="holds no BiLSTM"):
        network_from("x v1", state_bytes(torch.nn.Linear(3, 2)))


def test_pickled_objects_are_never_opened():
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    from io import BytesIO

    buffer = BytesIO()
    torch.save({"lstm.weight_ih_l0": Trap()}, buffer)
    with pytest.raises(ArtifactError):
        network_from("x v1", buffer.getvalue())
