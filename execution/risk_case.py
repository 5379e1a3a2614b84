"""What the risk gate is asked and answers, and the figures that its rules read.

A figure that is missing, not finite or impossible raises ValueError where it is read; the gate
turns that into a denial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from config.settings import RiskSettings
from execution.orders import Account, Position, Quote, Side
from market_data.instruments import SymbolSpec


class TradingState(Enum):
    """What the daemon may do: everything, close only, or nothing."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry that somebody would like to make.

    Attributes:
        entry: expected fill, price: the ask for a long, the bid for a short.
        sl, tp: stop loss and take profit, price.
        commission: account currency per lot for the round trip.
    """

    spec: SymbolSpec
    side: Side
    entry: float
    sl: float
    tp: float
    quote: Quote
    commission: float


@dataclass(frozen=True, slots=True)
class RiskState:
    """What the gate knows of the account; None is unknown, and unknown is refused.

    Attributes:
        trading: what the daemon may do.
        account: as the terminal reports it now; its equity counts floating profit.
        day_equity: account currency at the opening of the trading day.
        positions: our own, on all symbols.
        unresolved: orders on the symbol whose outcome is not known.
        bars_since_loss: closed bars since a losing trade ended on the symbol; None: no such trade.
        margin_per_lot: account currency that one lot of the proposal binds.
        profit_per_lot: account currency that one lot makes from entry to stop; negative.
        foreign: positions of others on the symbol; counted where the account nets, for ours would merge into them.
    """

    trading: TradingState
    account: Account | None
    day_equity: float | None
    positions: tuple[Position, ...]
    unresolved: int
    bars_since_loss: int | None
    margin_per_lot: float | None
    profit_per_lot: float | None
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds an entry beside account and proposal; None is unknown, and unknown is refused.

    Attributes:
        specs: of every symbol with a position.
        correlations: of the proposal's symbol with each symbol that has a position.
        peak_equity: the highest equity so far, transfers counted in.
        tripped: why the drawdown switch has stopped entries; empty while it has not.
        transfers: account currency paid in, less paid out, since the day's opening equity was noted.
        oldest_entry: when the oldest of the newest MAX_ORDERS_PER_HOUR entries was made; the
            beginning of time where there are fewer.
        news: why the calendar speaks against an entry now; empty where it does not.
    """

    now: datetime
    specs: Mapping[str, SymbolSpec] | None
    correlations: Mapping[str, float | None] | None
    peak_equity: float | None
    tripped: str | None
    transfers: float | None
    oldest_entry: datetime | None
    news: str | None


@dataclass(frozen=True, slots=True)
class Approved:
    """An entry that may be sent.

    Attributes:
        volume: lots.
        risk_money: account currency lost if the stop is hit, commission included; one R.
        limited_by: the limit that set the volume.
    """

    volume: float
    risk_money: float
    limited_by: str


@dataclass(frozen=True, slots=True)
class Denied:
    """An entry that must not be sent: the rule that refused it, and its figures."""

    rule: str
    detail: str


def finite(name: str, value: float | None) -> float:
    """The value, which must be a number; raises ValueError with its name otherwise."""
    if value is None or not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return value


def positive(name: str, value: float | None) -> float:
    """The value, which must be above zero; raises ValueError otherwise."""
    if finite(name, value) <= 0:
        raise ValueError(f"{name} is {value}")
    return finite(name, value)


def at_least_zero(name: str, value: float | None) -> float:
    """The value, which must not be below zero; raises ValueError otherwise."""
    if finite(name, value) < 0:
        raise ValueError(f"{name} is {value}")
    return finite(name, value)


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule looks at; figures that are missing or not finite raise when they are read."""

    risk: RiskSettings
    proposal: Proposal
    state: RiskState
    surroundings: Scene | None = None

    @property
    def scene(self) -> Scene:
        """The surroundings, which must be known."""
        if self.surroundings is None:
            raise ValueError("the surroundings are unknown")
        return self.surroundings

    @property
    def transfers(self) -> float:
        """Account currency paid in since the day's opening; a gate without a watch knows of none."""
        return 0.0 if self.surroundings is None else finite("money paid in and out", self.scene.transfers)

    @property
    def account(self) -> Account:
        """The account, which must be known."""
        if self.state.account is None:
            raise ValueError("the account is unknown")
        return self.state.account

    @property
    def equity(self) -> float:
        """Account currency, floating profit included."""
        return positive("equity", self.account.equity)

    @property
    def spread(self) -> float:
        """Ask minus bid, price."""
        quote = self.proposal.quote
        spread = positive("ask", quote.ask) - positive("bid", quote.bid)
        if spread < 0:
            raise ValueError(f"the quote is crossed: bid {quote.bid}, ask {quote.ask}")
        return spread

    @property
    def stop_distance(self) -> float:
        """Entry to stop, price; negative where the stop is on the wrong side."""
        return (positive("entry", self.proposal.entry) - positive("stop loss", self.proposal.sl)) * self.proposal.side

    @property
    def loss_per_lot(self) -> float:
        """Account currency that one lot loses at the stop, commission included.

        The broker's own calculation and the symbol's tick value must both be there; the
        larger loss counts, since either can be stale.
        """
        spec = self.proposal.spec
        positive("tick size", spec.tick_size)
        positive("tick value", spec.tick_value_loss)
        broker = positive("loss at the stop", -finite("profit at the stop", self.state.profit_per_lot))
        own = positive("loss by tick value", spec.risk_per_lot(self.stop_distance))
        return max(broker, own) + at_least_zero("commission", self.proposal.commission)
