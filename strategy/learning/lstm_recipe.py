"""The BiLSTM: one purged split into rows that teach and rows that stop the fit early."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from config.errors import FitCancelled
from config.settings import LstmSettings, TrainingSettings
from market_data.bars import FloatArray, IntArray
from strategy.learning.dataset import Dataset
from strategy.learning.recipes import Fit
from strategy.learning.validation import walk_forward
from strategy.lstm_model import BiLSTMWithAttention
from strategy.lstm_predictor import Standardiser, lstm_files
from strategy.mirror import mirror
from strategy.predictor import Matrix

TARGET_CLIP = 6.0
"""Targets beyond this many standard deviations teach no more than at it: returns have fat tails."""


@dataclass(frozen=True, slots=True)
class FittedLstm:
    """A network with the scalers that saw training rows only."""

    model: BiLSTMWithAttention
    scaler: StandardScaler
    target_scaler: StandardScaler
    window: int
    epochs: int
    hyper_parameters: Mapping[str, object]

    def scores(self, data: Dataset) -> FloatArray:
        """Predicted forward return in ATR and its size, shape (n, 2)."""
        windows = views(scaled(data.table, self.scaler), self.window)
        self.model.eval()
        with torch.inference_mode():
            out = [self.model(_batch(windows, rows)).numpy() for rows in np.array_split(data.row, max(1, len(data) // 512))]
        moved = np.concatenate(out).astype(np.float64)
        back = self.target_scaler.inverse_transform(moved[:, None])[:, 0]
        return np.column_stack([back, np.abs(back)])

    def files(self, data: Dataset) -> dict[str, bytes]:
        """State dict, scalers and columns."""
        return lstm_files(self.model, self.scaler, self.target_scaler, data.schema)


@dataclass(frozen=True, slots=True)
class LstmRecipe:
    """How the BiLSTM of one symbol is fitted."""

    lstm: LstmSettings
    seed: int
    threads: int
    kind: str = "lstm"

    @classmethod
    def from_settings(cls, lstm: LstmSettings, training: TrainingSettings) -> LstmRecipe:
        """The recipe that the settings describe."""
        return cls(lstm, training.train_seed, training.train_threads)

    @property
    def window(self) -> int:
        """Feature rows of one window."""
        return self.lstm.lstm_seq_length

    def fit(self, data: Dataset, embargo: int, cancel: threading.Event) -> Fit:
        """Teaches on the older rows, stops early on the newer fifth, keeps the best epoch."""
        split = walk_forward(data.time, data.end, 4, embargo)[-1]
        train, held = data.take(split.train), data.take(split.test)
        torch.set_num_threads(self.threads)
        scaler = StandardScaler().fit(np.concatenate([train.values, mirror(train.values, train.schema)]))
        target_scaler = StandardScaler().fit(train.forward[:, None])
        # Zero stays zero: no drift of the training days is promised to later ones.
        target_scaler.mean_ = np.zeros(1)
        model, epochs = self._train(train, held, scaler, target_scaler, cancel)
        fitted = FittedLstm(model, scaler, target_scaler, self.window, epochs, self._hyper_parameters(len(train), epochs))
        shrunk, ratio = _shrink(fitted, held)
        return Fit(shrunk, split.test, shrunk.scores(held), np.zeros(len(held), dtype=np.int64), ratio)

    def _train(
        self, train: Dataset, held: Dataset, scaler: StandardScaler, target_scaler: StandardScaler, cancel: threading.Event
    ) -> tuple[BiLSTMWithAttention, int]:
        device = _device(self.lstm.lstm_device)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = BiLSTMWithAttention(len(train.schema.names), self.lstm.lstm_hidden, self.lstm.lstm_layers, self.lstm.lstm_dropout).to(
                device
            )
            epochs = _descend(
                self,
                model,
                _Rows(train, scaler, target_scaler, self.window),
                _Rows(held, scaler, target_scaler, self.window),
                generator,
                cancel,
            )
        return model.to("cpu"), epochs

    def _hyper_parameters(self, rows: int, epochs: int) -> dict[str, object]:
        chosen = self.lstm.model_dump(exclude={"lstm_train_rows"})
        return {**chosen, "rows": rows, "epochs": epochs}


def _shrink(fitted: FittedLstm, held: Dataset) -> tuple[FittedLstm, float]:
    """Scales the network's output to what the held rows support, by least squares through zero.

    A network that follows noise predicts too boldly; the factor, between 0.05 and 1, goes into the
    target scaler, so it travels with the artifact. Judged by the rows that chose it, almost any
    factor would beat zero; so each half of the held rows is judged with the other half's.

    Returns:
        The shrunk model, and the loss on the held rows over the loss of predicting zero.
    """
    predicted = fitted.scores(held)[:, 0]
    scaler = copy.deepcopy(fitted.target_scaler)
    scaler.scale_ = scaler.scale_ * _support(predicted, held.forward)
    older, newer = np.array_split(np.arange(len(held)), 2)
    judged = np.empty(len(held))
    for rows, others in ((older, newer), (newer, older)):
        judged[rows] = predicted[rows] * _support(predicted[others], held.forward[others])
    ratio = float(((judged - held.forward) ** 2).mean() / (held.forward**2).mean())
    return replace(fitted, target_scaler=scaler), ratio


def _support(predicted: FloatArray, came: FloatArray) -> float:
    """The share of a prediction that what came supports, between 0.05 and 1."""
    return float(np.clip(float(predicted @ came) / max(float(predicted @ predicted), 1e-12), 0.05, 1.0))


class _Rows:
    """Windows and scaled targets of a dataset; windows are laid out a batch at a time.

    Attributes:
        images: windows of the market, and of the market turned upside down.
    """

    def __init__(self, data: Dataset, scaler: StandardScaler, target_scaler: StandardScaler, window: int) -> None:
        self.images = tuple(views(scaled(table, scaler), window) for table in (data.table, mirror(data.table, data.schema)))
        self.row = data.row
        target = target_scaler.transform(data.forward[:, None])[:, 0]
        self.target = torch.from_numpy(np.clip(target, -TARGET_CLIP, TARGET_CLIP).astype(np.float32))

    def batches(self, size: int, order: IntArray, image: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of (B, T, F) and (B,) in the given order; image 1 is the mirrored market."""
        sign = -1.0 if image else 1.0
        for at in range(0, len(order), size):
            rows = order[at : at + size]
            yield _batch(self.images[image], self.row[rows]), sign * self.target[rows]

    def shuffled(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every row once, in random order, half of them mirrored."""
        order = torch.randperm(len(self.row), generator=generator).numpy()
        half = len(order) // 2
        images = (self.batches(size // 2, order[:half]), self.batches(size // 2, order[half:], image=1))
        for parts in zip_longest(*images):  # of an odd number of rows the mirrored half has one more
            x, y = zip(*filter(None, parts), strict=True)
            yield torch.cat(x), torch.cat(y)


def _descend(
    recipe: LstmRecipe, model: BiLSTMWithAttention, train: _Rows, held: _Rows, generator: torch.Generator, cancel: threading.Event
) -> int:
    """Trains with early stopping, leaves the best epoch's weights in `model`, returns the epochs run."""
    lstm = recipe.lstm
    optimiser = torch.optim.AdamW(model.parameters(), lr=lstm.lstm_learning_rate, weight_decay=0.01)
    best, best_state, since = float("inf"), copy.deepcopy(model.state_dict()), 0
    epochs = 0
    while epochs < lstm.lstm_epochs and since < lstm.lstm_patience:
        epochs += 1
        _epoch(model, optimiser, train.shuffled(lstm.lstm_batch, generator), cancel)
        loss = _held_loss(model, held)
        since = 0 if loss < best else since + 1
        if since == 0:
            best, best_state = loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return epochs


def _epoch(
    model: BiLSTMWithAttention, optimiser: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor]], cancel: threading.Event
) -> None:
    model.train()
    device = next(model.parameters()).device
    for x, y in batches:
        if cancel.is_set():
            raise FitCancelled("the fit was told to stop")
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(model(x.to(device)), y.to(device))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves this method untyped
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def _held_loss(model: BiLSTMWithAttention, held: _Rows) -> float:
    model.eval()
    device = next(model.parameters()).device
    total = 0.0
    with torch.inference_mode():
        for x, y in held.batches(512, np.arange(len(held.row))):
            total += float(nn.functional.mse_loss(model(x.to(device)), y.to(device), reduction="sum"))
    return total / len(held.row)


def warm_up() -> None:
    """Has torch import what its first optimiser needs: seconds that hold the interpreter lock and hear no cancel."""
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def scaled(table: Matrix, scaler: StandardScaler) -> Matrix:
    """Feature rows as serving scales them; rows outside every window may hold NaN, which become 0."""
    return np.nan_to_num(Standardiser.of("recipe", scaler, table.shape[1]).apply(table))


def views(table: Matrix, window: int) -> Matrix:
    """Every window of a table, (N - T + 1, T, F), as a view: each row is in memory once."""
    return sliding_window_view(table, window, axis=0).transpose(0, 2, 1)


def _batch(windows: Matrix, rows: IntArray) -> Tensor:
    """Copies of the windows that end at the given rows, (B, T, F)."""
    return torch.from_numpy(np.ascontiguousarray(windows[rows + 1 - windows.shape[1]]))


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
