"""The records that a decision, a trade and a model's life leave behind.

Frozen, and free of wall-clock measurements except in fields that end in `_us` or `_wall`: two
replays of the same bars leave the same records.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from execution.orders import OrderIntent, Side
from market_data.clock import from_epoch
from strategy.predictor import Forecast, Forecasts


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on one closed bar of one symbol.

    Attributes:
        bar_time: when the bar opened, UTC.
        side: the side to take; None: stay out.
        reason: why, in words; on a veto the rule and its figures.
        forecasts: slot -> what it said, for every slot that answered.
        absent: slot -> why it has no forecast; a slot that has no version is named as well.
        versions: slot -> version, for every slot in the snapshot that was used.
        expected_r: mean expected R of the slots that agree; 0.0 without a side.
        close, atr: of the decided bar, price units; atr 0.0 where it could not be computed.
        feature_hash: of the feature row, sixteen hex digits; empty where there was none.
    """

    symbol: str
    bar_time: datetime
    side: Side | None
    reason: str
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    expected_r: float = 0.0
    close: float = 0.0
    atr: float = 0.0
    feature_hash: str = ""


def entry_key(decision: Decision) -> str:
    """Unique per symbol and bar: a bar can have one entry. At most 29 ASCII characters.

    >>> from datetime import UTC
    >>> entry_key(Decision("EURUSD", datetime(2024, 1, 2, tzinfo=UTC), Side.LONG, ""))
    'EURUSD-65935200L'
    """
    side = "L" if decision.side is Side.LONG else "S"
    name = decision.symbol.encode("ascii", "ignore").decode()[:18]
    return f"{name}-{int(decision.bar_time.timestamp()):x}{side}"


@dataclass(frozen=True, slots=True)
class DecisionOutcome:
    """A decision and what came of it.

    Attributes:
        action: `none`, `vetoed`, `denied`, `sent`, `rejected`, `unknown` or `recovered`.
        detail: the filter, risk rule or retcode behind the action.
        order_key: of the intent, where one was made.
        latency_us: closed bar to decision, microseconds.
    """

    decision: Decision
    action: str
    detail: str = ""
    order_key: str = ""
    latency_us: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Lull:
    """Decisions on successive bars of a symbol on which no model takes a side: what they share, and an entry for each bar of what they do not.

    Attributes:
        passes: in which of the passes to come each is decided, from 0 on.
        times: when each bar opened, UTC epoch seconds.
        forecasts: slot -> what it said of the bars.
        The rest is named as in `Decision`.
    """

    symbol: str
    absent: Mapping[str, str]
    versions: Mapping[str, int]
    forecasts: Mapping[str, Forecasts]
    passes: Sequence[int]
    times: Sequence[int]
    reasons: Sequence[str]
    closes: Sequence[float]
    ranges: Sequence[float]
    hashes: Sequence[str]

    def __len__(self) -> int:
        return len(self.times)

    def of(self, number: int) -> Decision | None:
        """The decision of one pass; None where no bar of the symbol closes in it."""
        place = bisect_left(self.passes, number)
        return self.at(place) if place < len(self.passes) and self.passes[place] == number else None

    def between(self, first: int, end: int) -> Lull:
        """The decisions of the passes `first` to `end - 1`."""
        part = slice(bisect_left(self.passes, first), bisect_left(self.passes, end))
        return replace(
            self,
            forecasts={slot: told.part(part) for slot, told in self.forecasts.items()},
            passes=self.passes[part],
            times=self.times[part],
            reasons=self.reasons[part],
            closes=self.closes[part],
            ranges=self.ranges[part],
            hashes=self.hashes[part],
        )

    def at(self, place: int) -> Decision:
        """The decision on one of the bars."""
        return Decision(
            symbol=self.symbol,
            bar_time=from_epoch(self.times[place]),
            side=None,
            reason=self.reasons[place],
            forecasts={slot: told.at(place) for slot, told in self.forecasts.items()},
            absent=self.absent,
            versions=self.versions,
            close=self.closes[place],
            atr=self.ranges[place],
            feature_hash=self.hashes[place],
        )


@dataclass(frozen=True, slots=True)
class TradeEntry:
    """An opened trade.

    Attributes:
        ticket: the position's, and the trade's key.
        risk_money: account currency lost if the stop is hit, commission included; one R.
    """

    ticket: int
    order_key: str
    symbol: str
    side: Side
    volume: float
    opened: datetime
    bar_time: datetime
    price: float
    sl: float
    tp: float
    risk_money: float
    versions: Mapping[str, int]
    expected_r: float
    reason: str


def planned_trade(intent: OrderIntent, decision: Decision, risk_money: float) -> TradeEntry:
    """The trade that an entry is to open; ticket, fill and time follow from the broker's books.

    Args:
        intent: the order.
        decision: that it follows.
        risk_money: account currency lost at the stop; one R.
    """
    return TradeEntry(
        ticket=0,
        order_key=intent.key,
        symbol=intent.symbol,
        side=intent.side,
        volume=intent.volume,
        opened=intent.created,
        bar_time=decision.bar_time,
        price=intent.price,
        sl=intent.sl,
        tp=intent.tp,
        risk_money=risk_money,
        versions=decision.versions,
        expected_r=decision.expected_r,
        reason=decision.reason,
    )


@dataclass(frozen=True, slots=True)
class TradeExit:
    """A closed trade; `net` counts every deal of the position, entry commission included.

    Attributes:
        reason: `target`, `stop`, `time`, `stop_out`, `manual` or `command`.
    """

    ticket: int
    closed: datetime
    price: float
    reason: str
    gross: float
    commission: float
    swap: float
    net: float


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """Something that happened to a model slot.

    Attributes:
        event: `trained`, `rejected`, `promoted`, `published` (into a pinned slot), `waiting`, `shadow`, `settled`,
            `dismissed`, `rolled_back`, `stopped`, `refused` or `failed`.
        version: 0 where no version was made.
        report: the gate report or the error, as plain JSON values.
    """

    at: datetime
    slot: str
    event: str
    version: int
    detail: str
    report: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run, or one skip, of a trainer job.

    Attributes:
        job: `train:scalper`, `performance`, ...
        trigger: `schedule`, `start`, `emergency`, `drift`, `failing` or `manual`.
        outcome: `promoted`, `published`, `waiting`, `shadow`, `settled`, `dismissed`, `rolled_back`, `rejected`,
            `skipped`, `failed` or `cancelled`; of a check also what it found: `emergency`, `drift`, `failing` or `alarm`.
        rows, epochs: size of the work; 0 where it does not apply.
        due_next: when it is due again.
        seconds_wall: how long it took on the machine.
    """

    job: str
    trigger: str
    started: datetime
    outcome: str
    reason: str
    due_next: datetime
    rows: int = 0
    epochs: int = 0
    version: int = 0
    seconds_wall: float = 0.0
