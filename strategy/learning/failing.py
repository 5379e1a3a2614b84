"""Does the version that serves still pay? What it would have made since it took over, as evidence of a fall.

A pure function of history. Every bar whose label is known counts once, with the net R of the side that
the version takes there, costs included. Blocks are FALL_LABELS label lengths long and share no price
move. Those before it took over, which neither taught it nor were traded, only say what is typical.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market_data.clock import from_epoch, utc_text
from strategy.learning.probation import Blocks
from strategy.learning.sequential import evidence_of_fall, fallen

FALL_LABELS = 2
"""Label lengths in a block: short ones find a fall sooner, though a half of their rows is lost to the cut between blocks."""

WARM_BLOCKS = 20
"""Blocks before the watch that say what is typical, so that it need not begin blind."""

WATCH_SECONDS, STEP_SECONDS = 30 * 86_400, 15 * 86_400
"""Longest watch, and by how much its begin moves on then: a restart has to look at no more bars."""

LEAST_SIDES = 30
"""Rows with a side on which a former version must have made money to come back."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The stretch over which a version is judged.

    Attributes:
        begin: of its first block, UTC epoch seconds.
        first: number of the first block that counts as evidence.
    """

    begin: int
    first: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a version is doing.

    Attributes:
        evidence: that its mean has fallen to zero or below; once that is enough, what it was then.
        sides: rows with a side since the fall; without one, since the watch began.
        mean: their mean net R.
        fell: when the fall began, UTC epoch seconds, as far as can be told; None: there is none.
    """

    evidence: float
    sides: int
    mean: float
    fell: int | None = None

    def __str__(self) -> str:
        since = f" since {utc_text(from_epoch(self.fell))}" if self.fell is not None else ""
        return f"{self.mean:+.3f} R a trade over {self.sides} rows{since}; evidence of a fall {self.evidence:.1f}"


def watch_of(took_over: int, taught_until: int, now: int, length: int) -> Watch:
    """The stretch to look at; it depends on nothing but these instants, UTC epoch seconds.

    Args:
        took_over: when the version began to serve.
        taught_until: when the last label that taught it was known.
        now: the instant.
        length: of a block, seconds.
    """
    late = max(0, now - took_over - WATCH_SECONDS)
    watched = took_over + -(-late // STEP_SECONDS) * STEP_SECONDS
    warm = min(WARM_BLOCKS, max(0, (watched - taught_until) // length))
    return Watch(watched - warm * length, warm)


def standing_of(blocks: Blocks, alpha: float, watch: Watch, length: int) -> Standing:
    """What the blocks say, by the first time at which the evidence reached `1 / alpha`.

    Args:
        blocks: of the version alone, from the begin of the watch.
        alpha: see `strategy.learning.sequential.fallen`.
        watch: the stretch.
        length: of a block, seconds.
    """
    first = int(np.searchsorted(blocks.number, watch.first))
    evidence = evidence_of_fall(blocks.newer, first)
    change = fallen(blocks.newer, alpha, first)
    if change is None:
        return Standing(float(evidence[-1]) if len(evidence) else 0.0, *_made(blocks, first, len(blocks.number)))
    began = watch.begin + int(blocks.number[change.begin]) * length
    return Standing(float(evidence[change.found - first]), *_made(blocks, change.begin, change.found + 1), began)


def pays(blocks: Blocks) -> bool:
    """Whether a former version has made money over these blocks, on enough rows to say so."""
    sides, mean = _made(blocks, 0, len(blocks.number))
    return sides >= LEAST_SIDES and mean > 0.0


def _made(blocks: Blocks, start: int, stop: int) -> tuple[int, float]:
    """Rows with a side, and their mean net R."""
    sides = int(blocks.newer_trades[start:stop].sum())
    return sides, float(blocks.newer[start:stop].sum()) / max(sides, 1)
