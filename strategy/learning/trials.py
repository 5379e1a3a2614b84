"""Runs a trial on the closed bars: both versions forecast every bar, and the blocks are remembered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from config.errors import ArtifactError, InsufficientHistory
from market_data.bars import Bars, Timeframe
from strategy.learning.bundles import load_bundle
from strategy.learning.dataset import Dataset
from strategy.learning.forecasting import forecasts_on
from strategy.learning.jobs import Workshop
from strategy.learning.probation import BLOCK_LABELS, NO_BLOCKS, Blocks, block_seconds, blocks_of_trial, net_r
from strategy.predictor import Predictor

SILENT_SECONDS = 86_400
"""A symbol that has been without a bar for so long while others have some does not hold them up."""


@dataclass(frozen=True, slots=True)
class Versus:
    """Who is compared, and from when.

    Attributes:
        older: the version to compare with; None: staying out.
        since: UTC epoch seconds.
    """

    slot: str
    newer: int
    older: int | None
    since: int


class Trials:
    """Blocks of every trial; a restart works them out again, to the same figures.

    Args:
        workshop: bars, labels, costs and versions.
        labels: label lengths in a block.
    """

    def __init__(self, workshop: Workshop, labels: int = BLOCK_LABELS) -> None:
        self._workshop = workshop
        self._bar_seconds = Timeframe[workshop.settings.symbols.timeframe].seconds
        self.length = block_seconds(workshop.policy.horizon, self._bar_seconds, labels)
        self._done: dict[Versus, Blocks] = {}
        self._opened: dict[tuple[str, int], Predictor] = {}

    def blocks(self, versus: Versus, now: datetime) -> Blocks:
        """The whole blocks since the trial began.

        Raises:
            SlotError: a version cannot be opened or asked.
            RetryError: the terminal has no answer now.
        """
        done = self._done.get(versus, NO_BLOCKS)
        begin = versus.since + done.next * self.length
        if now.timestamp() >= begin + self.length:
            done = done.then(self._later(versus, done.next, begin, now))
        self._done = {known: blocks for known, blocks in self._done.items() if known.slot != versus.slot} | {versus: done}
        tried = {(known.slot, version) for known in self._done for version in (known.newer, known.older)}
        self._opened = {key: predictor for key, predictor in self._opened.items() if key in tried}
        return done

    def _later(self, versus: Versus, first: int, begin: int, now: datetime) -> Blocks:
        newer = self._predictor(versus.slot, versus.newer)
        older = self._predictor(versus.slot, versus.older) if versus.older is not None else None
        both = [newer] if older is None else [newer, older]
        symbols = sorted({symbol for predictor in both for symbol in predictor.info.symbols})
        window = max(predictor.info.rows for predictor in both)
        count = int(now.timestamp() - begin) // self._bar_seconds + 1 + self._workshop.spare_bars(window)
        histories = {symbol: self._workshop.history(symbol, count) for symbol in symbols}
        try:
            data = self._workshop.labelled(histories, window, count * len(symbols))
        except InsufficientHistory:  # closed hours, or hours without entries: no row since then has its label
            return NO_BLOCKS
        mine = _result(newer, data)
        theirs = np.full(len(data), np.nan) if older is None else _result(older, data)
        known = _known_until(histories)
        return blocks_of_trial(data.time, data.end, mine, theirs, since=versus.since, known_until=known, length=self.length, first=first)

    def _predictor(self, slot: str, version: int) -> Predictor:
        """A version, opened once for as long as it is tried: a forest takes as long to read as to ask."""
        if (slot, version) not in self._opened:
            self._opened[slot, version] = self._fitting(slot, version)
        return self._opened[slot, version]

    def _fitting(self, slot: str, version: int) -> Predictor:
        predictor = load_bundle(self._workshop.registry.open(slot, version))
        exits = predictor.info.exit_hash, self._workshop.policy.hash
        if exits[0] != exits[1]:
            raise ArtifactError(f"{slot} v{version}: made for exit policy {exits[0]}, not {exits[1]}: nothing to compare")
        return predictor


def _result(predictor: Predictor, data: Dataset) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return net_r(data, forecasts_on(predictor, data), predictor.inference.threshold)


def _known_until(histories: dict[str, Bars]) -> int:
    """Opening time of the newest bar that every symbol with bars has reached."""
    newest = [int(bars.time[-1]) for bars in histories.values()]
    return min(time for time in newest if time >= max(newest) - SILENT_SECONDS)
