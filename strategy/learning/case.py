"""What the gate judges: a candidate, the evidence of its final window, and what serves beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import FilterSettings, GateSettings
from market_data.bars import FloatArray, IntArray
from strategy.learning.budget import Grant
from strategy.learning.dataset import Dataset
from strategy.learning.evidence import enterable
from strategy.learning.recipes import Candidate, side_result
from strategy.learning.validation import BlockMean, block_mean, blocks_of
from strategy.predictor import Forecasts


@dataclass(frozen=True, slots=True)
class Peer:
    """A serving model's forecasts on the candidate's final rows.

    Attributes:
        threshold: its operating threshold.
        train_end: when the last label that taught it was known, epoch seconds.
        recipe: hash of the recipe that made it.
        skill: as in BundleInfo.
    """

    forecasts: Forecasts
    threshold: float
    train_end: int
    recipe: str
    skill: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a rule may look at; `prepared` makes one.

    Attributes:
        filters: votes needed, and vetoes of the loop.
        champion: the serving version of the candidate's own slot.
        others: serving versions of the other slots, by slot.
        grant: level at which the candidate is tested, and how much of its final window is new.
        recipe: hash of the candidate's recipe.
        open_rows: shape (n,), final rows on which some model would enter and the loop's filters let it.
    """

    slot: str
    candidate: Candidate
    settings: GateSettings
    filters: FilterSettings
    champion: Peer | None
    others: Mapping[str, Peer]
    grant: Grant
    recipe: str
    open_rows: NDArray[np.bool_]

    @property
    def side(self) -> IntArray:
        """+1 or -1 on the final rows on which the candidate would enter, 0 on the others."""
        takes = self.candidate.forecasts.expected_r >= self.candidate.inference.threshold
        return np.where(takes & self.open_rows, self.candidate.forecasts.side, 0)

    @property
    def taken(self) -> NDArray[np.bool_]:
        """Final rows on which the candidate takes a side."""
        return np.asarray(self.side != 0)

    @property
    def final(self) -> Dataset:
        """The final window."""
        return self.candidate.final

    @property
    def result(self) -> FloatArray:
        """Net R of the candidate's side on every final row."""
        return side_result(self.final, self.candidate.forecasts.side)

    @property
    def block(self) -> IntArray:
        """Block of every final row."""
        return blocks_of(self.final.time, self.candidate.block_seconds)

    @property
    def expectancy(self) -> BlockMean:
        """Net R per row on which the candidate takes a side."""
        return block_mean(self.result[self.taken], self.block[self.taken])


def prepared(
    slot: str,
    candidate: Candidate,
    settings: GateSettings,
    filters: FilterSettings,
    *,
    grant: Grant,
    recipe: str,
    bar_seconds: int,
    peers: Mapping[str, Peer],
) -> Case:
    """The case of a candidate among what serves now; the peer of its own slot is its champion."""
    others = {name: peer for name, peer in peers.items() if name != slot}
    said = [(peer.forecasts, peer.threshold) for peer in peers.values()]
    said.append((candidate.forecasts, candidate.inference.threshold))
    wanted = np.any([forecasts.expected_r >= threshold for forecasts, threshold in said], axis=0)
    open_rows = enterable(candidate.final, wanted, filters, bar_seconds)
    return Case(slot, candidate, settings, filters, peers.get(slot), others, grant, recipe, open_rows)
