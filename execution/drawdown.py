"""The drawdown kill switch: the highest equity so far, and whether too much of it was lost.

Money that is paid in or out is neither profit nor loss. It moves the mark in proportion, as a
fund's unit price is kept: the drawdown in percent is the same before and after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from market_data.clock import utc_text


@dataclass(frozen=True, slots=True)
class Watermark:
    """What is kept of an account between two looks, over restarts too.

    Attributes:
        peak: the highest equity, floating profit included, account currency.
        transfer: ticket of the newest transfer that `peak` knows of.
        seen: when the deals were last looked through, UTC ISO text.
        tripped: why entries have stopped; empty while they have not.
    """

    peak: float
    transfer: int
    seen: str
    tripped: str = ""

    def drawdown_percent(self, equity: float) -> float:
        """Percent of the peak that is lost; 0.0 at a new peak.

        >>> Watermark(10_000.0, 0, "").drawdown_percent(9_500.0)
        5.0
        """
        return max(0.0, (self.peak - equity) / self.peak * 100)


def moved(mark: Watermark, equity: float, amount: float) -> Watermark:
    """The mark after money was paid in, or out where `amount` is negative.

    Args:
        mark: as it was before.
        equity: now, the transfer included.
        amount: account currency.

    >>> moved(Watermark(10_000.0, 0, ""), equity=19_000.0, amount=10_000.0).peak  # 9,000 of 10,000 were left
    21111.11111111111
    """
    before = equity - amount
    # An account that was empty, or is now, begins anew.
    peak = mark.peak * equity / before if before > 0 and equity > 0 else equity
    return replace(mark, peak=peak)


def followed(mark: Watermark, equity: float, limit_percent: float, at: datetime) -> Watermark:
    """The mark after a look at equity: higher at a new peak, tripped where the limit is reached.

    Args:
        mark: as it was, transfers counted in.
        equity: now.
        limit_percent: MAX_DRAWDOWN_PERCENT.
        at: when, for the reason.
    """
    lost = mark.drawdown_percent(equity)
    if mark.tripped or lost < limit_percent:
        return replace(mark, peak=equity) if equity > mark.peak else mark
    reason = (
        f"equity {equity:.2f} was {lost:.2f} % below its peak {mark.peak:.2f} at {utc_text(at)}, MAX_DRAWDOWN_PERCENT is {limit_percent:g}"
    )
    return replace(mark, tripped=reason)


def to_json(mark: Watermark) -> dict[str, Any]:
    """Plain values for the shared state."""
    return asdict(mark)


def from_json(values: Mapping[str, Any]) -> Watermark:
    """The mark of plain values.

    Raises:
        ValueError: they are not those of a mark.
    """
    try:
        mark = Watermark(float(values["peak"]), int(values["transfer"]), str(values["seen"]), str(values["tripped"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a watermark: {values!r}") from error
    if not 0 < mark.peak < math.inf:
        raise ValueError(f"not a watermark: {values!r}")
    return mark
