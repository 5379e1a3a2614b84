"""What the journal knows beyond single records: closed trades and figures over them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from strategy.decision import TradeEntry, TradeExit

MONEY_NOISE = 1e-6
"""Account currency; a profit smaller than this is the rounding of a sum, so it is zero."""


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """A trade from entry to exit; `r_multiple` is None where the risk was not known."""

    entry: TradeEntry
    exit: TradeExit
    r_multiple: float | None


@dataclass(frozen=True, slots=True)
class DailyStats:
    """The trades that closed on one UTC day; open trades are in none of the figures.

    Attributes:
        trades: closed trades; wins, losses and breakeven add up to it.
        wins, losses, breakeven: by net profit; zero is neither a win nor a loss.
        win_rate: wins / (wins + losses); None where there is neither.
        net, gross, commission, swap: sums in account currency.
        sum_r: of the trades whose risk was known.
    """

    day: date
    trades: int
    wins: int
    losses: int
    breakeven: int
    win_rate: float | None
    net: float
    gross: float
    commission: float
    swap: float
    sum_r: float


def daily_stats(day: date, closed: Iterable[ClosedTrade]) -> DailyStats:
    """Figures over trades that are known to have closed on `day`."""
    trades = tuple(closed)
    nets = [trade.exit.net for trade in trades]
    wins = sum(net > MONEY_NOISE for net in nets)
    losses = sum(net < -MONEY_NOISE for net in nets)
    return DailyStats(
        day,
        len(trades),
        wins,
        losses,
        len(trades) - wins - losses,
        wins / (wins + losses) if wins + losses else None,
        math.fsum(nets),
        math.fsum(trade.exit.gross for trade in trades),
        math.fsum(trade.exit.commission for trade in trades),
        math.fsum(trade.exit.swap for trade in trades),
        math.fsum(trade.r_multiple for trade in trades if trade.r_multiple is not None),
    )


def r_multiple(net: float, risk_money: float) -> float | None:
    """Net profit in units of the money at risk; None where that is not known.

    >>> r_multiple(-5.0, 10.0)
    -0.5
    """
    return net / risk_money if risk_money > 0 else None
