"""What a run over history came to, in a strategy tester's words, read from its journal.

Figures are of closed trades, in account currency or in R, one R being the money at risk of each trade.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from typing import Any

import numpy as np

from market_data.clock import utc_text
from strategy.learning.validation import block_mean
from utils.journal_queries import JournalReader
from utils.journal_records import MONEY_NOISE, ClosedTrade

ALL_ROWS = 2**62
ALPHA = 0.05
JOBS = "train:"
REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """Figures of some closed trades.

    Attributes:
        trades, wins, losses: counts; a net profit of zero is neither.
        win_rate: wins / (wins + losses); None where there is neither.
        net, gross_profit, gross_loss: sums of net results: of all, of wins, of losses.
        profit_factor: gross_profit / -gross_loss; None without a loss.
        expectancy_r: mean net R; None without a trade of known risk.
        lower_r: its one-sided 95 % lower bound, trades of a day counted as one block; None where days are too few.
        costs: commission and swap paid; the spread is in the prices.
        costs_r: the same in R a trade; None without a trade of known risk.
        drawdown: deepest fall of the balance below its peak, which is at least the deposit.
        drawdown_percent: deepest such fall as a share of its peak.
    """

    trades: int
    wins: int
    losses: int
    win_rate: float | None
    net: float
    gross_profit: float
    gross_loss: float
    profit_factor: float | None
    expectancy_r: float | None
    lower_r: float | None
    costs: float
    costs_r: float | None
    drawdown: float
    drawdown_percent: float


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run over history.

    Attributes:
        bars: decided bars by symbol.
        first, last: open times of the first and the last of them; None where there are none.
        actions: decisions by what came of them.
        still_open: trades that were not closed; they are in no figure.
        total: all closed trades; `by_symbol`, `by_exit`, `by_month` (of the close) are parts of them.
        timeline: what happened to model slots, oldest first: `at`, `slot`, `event`, `version`, `detail`.
        tries: training jobs by outcome.
        failed_rules: how often each rule of the gate turned a candidate down; one may fail several.
        candidates: by slot, what the gate measured on final windows: `judged`, and `median_r` and `best_r`, net R a trade.
    """

    bars: Mapping[str, int]
    first: datetime | None
    last: datetime | None
    actions: Mapping[str, int]
    still_open: int
    total: TradeFigures
    by_symbol: Mapping[str, TradeFigures]
    by_exit: Mapping[str, TradeFigures]
    by_month: Mapping[str, TradeFigures]
    timeline: tuple[Mapping[str, Any], ...]
    tries: Mapping[str, int]
    failed_rules: Mapping[str, int]
    candidates: Mapping[str, Mapping[str, float]]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        span = {name: None if at is None else utc_text(at) for name, at in (("first", self.first), ("last", self.last))}
        return {**asdict(self), **span}


def report_of(reader: JournalReader, deposit: float) -> RunReport:
    """Everything that a journal tells of its account's run.

    Args:
        reader: the journal.
        deposit: opening balance, account currency.
    """
    tally = reader.tally()
    closed = closed_trades(reader)
    events = reader.model_events(ALL_ROWS)[::-1]
    return RunReport(
        bars=_summed(tally, "symbol"),
        first=min((row["first"] for row in tally), default=None),
        last=max((row["last"] for row in tally), default=None),
        actions=_summed(tally, "action"),
        still_open=len(reader.open_trades()),
        total=figures(closed, deposit),
        by_symbol=_grouped(closed, deposit, lambda trade: trade.entry.symbol),
        by_exit=_grouped(closed, deposit, lambda trade: trade.exit.reason),
        by_month=_grouped(closed, deposit, lambda trade: f"{trade.exit.closed:%Y-%m}"),
        timeline=tuple(_told(event) for event in events if event["event"] != REJECTED),
        tries=_counted(row["outcome"] for row in reader.jobs(ALL_ROWS) if row["job"].startswith(JOBS)),
        failed_rules=_counted(rule for event in events if event["event"] == REJECTED for rule in _failed(event["report"])),
        candidates=_candidates(events),
    )


def closed_trades(reader: JournalReader) -> tuple[ClosedTrade, ...]:
    """Closed trades, in the order in which they closed."""
    return reader.recent_closed(ALL_ROWS)[::-1]


def figures(closed: Sequence[ClosedTrade], deposit: float) -> TradeFigures:
    """Figures over trades.

    Args:
        closed: in the order in which they closed.
        deposit: balance before the first, account currency.
    """
    nets = [trade.exit.net for trade in closed]
    gains, falls = [net for net in nets if net > MONEY_NOISE], [net for net in nets if net < -MONEY_NOISE]
    costs = [-trade.exit.commission - trade.exit.swap for trade in closed]
    charged = [cost / trade.entry.risk_money for cost, trade in zip(costs, closed, strict=True) if trade.entry.risk_money > 0]
    expectancy, lower = _expectancy(closed)
    drawdown, percent = _drawdown(nets, deposit)
    return TradeFigures(
        trades=len(nets),
        wins=len(gains),
        losses=len(falls),
        win_rate=_ratio(len(gains), len(gains) + len(falls)),
        net=math.fsum(nets),
        gross_profit=math.fsum(gains),
        gross_loss=math.fsum(falls),
        profit_factor=_ratio(math.fsum(gains), -math.fsum(falls)),
        expectancy_r=expectancy,
        lower_r=lower,
        costs=math.fsum(costs),
        costs_r=_ratio(math.fsum(charged), len(charged)),
        drawdown=drawdown,
        drawdown_percent=percent,
    )


def untraded(found: RunReport, votes_on: Collection[str] | None = None) -> str:
    """Why a run has no closed trade, in one sentence.

    Args:
        found: the run.
        votes_on: symbols on which its versions vote; None: it trained its own.
    """
    played = sorted(found.bars)
    if votes_on is not None and played and not set(votes_on) & set(played):
        return f"Nothing was traded: no version votes on {', '.join(played)}; they vote on {', '.join(sorted(votes_on)) or 'nothing'}."
    sent, denied = found.actions.get("sent", 0), found.actions.get("denied", 0)
    if sent or found.still_open:
        return f"No trade was closed: {sent} sent, {found.still_open} still open at the end; more bars are needed to tell anything."
    if denied:
        return f"Nothing was traded: the risk rules denied every entry, {denied} in all."
    return verdict(found.total)


def verdict(found: TradeFigures) -> str:
    """What the figures say about an edge after costs, in one sentence.

    >>> verdict(figures((), 10_000.0))
    'Nothing was traded: no edge after costs was found.'
    """
    if not found.trades:
        return "Nothing was traded: no edge after costs was found."
    if found.expectancy_r is None or found.lower_r is None:
        return f"No edge is shown: {found.trades} trades on too few days tell nothing from luck."
    told = f"{found.expectancy_r:+.3f} R a trade over {found.trades} trades, 95 % lower bound {found.lower_r:+.3f} R"
    return f"An edge after costs is shown on these bars: {told}." if found.lower_r > 0 else f"No edge after costs is shown: {told}."


def _expectancy(closed: Sequence[ClosedTrade]) -> tuple[float | None, float | None]:
    """Mean net R and its lower bound."""
    known = [(trade.exit.closed.date().toordinal(), trade.r_multiple) for trade in closed if trade.r_multiple is not None]
    if not known:
        return None, None
    day, results = np.array([day for day, _ in known], dtype=np.int64), np.array([r for _, r in known], dtype=np.float64)
    mean = block_mean(results, day - day.min())
    lower = mean.lower(ALPHA)
    return mean.value, lower if math.isfinite(lower) else None


def _drawdown(nets: Sequence[float], deposit: float) -> tuple[float, float]:
    """Deepest fall of the balance below its peak: in money, and in percent of the peak."""
    balance = deposit + np.concatenate(([0.0], np.cumsum(nets)))
    peak = np.maximum.accumulate(balance)
    return float((peak - balance).max()), float(100.0 * ((peak - balance) / peak).max())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _grouped(closed: Sequence[ClosedTrade], deposit: float, key: Callable[[ClosedTrade], str]) -> dict[str, TradeFigures]:
    names = sorted({key(trade) for trade in closed})
    return {name: figures([trade for trade in closed if key(trade) == name], deposit) for name in names}


def _summed(tally: Iterable[Mapping[str, Any]], key: str) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for row in tally:
        sums[row[key]] += row["count"]
    return dict(sorted(sums.items()))


def _counted(words: Iterable[str]) -> dict[str, int]:
    """How often each word comes, the most frequent first."""
    return dict(Counter(sorted(words)).most_common())


def _failed(report: Mapping[str, Any]) -> list[str]:
    return [finding["rule"] for finding in report.get("findings", ()) if not finding["passed"]]


def _candidates(events: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    measured: dict[str, list[float]] = {}
    for event in events:
        result = event["report"].get("metrics", {}).get("expectancy_r")
        if result is not None:
            measured.setdefault(event["slot"], []).append(float(result))
    return {slot: {"judged": len(of), "median_r": median(of), "best_r": max(of)} for slot, of in sorted(measured.items())}


def _told(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("at", "slot", "event", "version", "detail")}
