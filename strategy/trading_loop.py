"""The trading loop: one pass per market event, one decision per closed bar and symbol."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from loguru import logger

from config.errors import DataError, RetryError, StopError
from execution.risk import TradingState
from market_data.bars import Bars, Capabilities
from market_data.clock import Clock, epoch_msc, from_epoch
from strategy.decision import Decision, DecisionOutcome, Lull, TradeEntry
from strategy.quiet import Quiet
from strategy.scalping_strategy import ScalpingStrategy
from strategy.trade_desk import TradeDesk

FAULTS_PER_HOUR = 3
"""Unexpected errors in an hour after which the daemon halts."""


class Market(Protocol):
    """What makes time pass."""

    def advance(self, stop: threading.Event) -> bool:
        """Waits for, or plays to, the next market event; False when there will be none."""
        ...


class BarSource(Protocol):
    """Closed bars."""

    def window(self, symbol: str, count: int) -> Bars:
        """The newest closed bars, oldest first."""
        ...

    def declare(self, symbol: str) -> Capabilities:
        """What the source records beside prices."""
        ...


class Recorder(Protocol):
    """Where decisions go."""

    def record_decision(self, outcome: DecisionOutcome) -> bool:
        """Writes what was decided on a bar; False where that bar has its decision."""
        ...

    def record_lulls(self, lulls: Sequence[Lull]) -> None:
        """Writes what was decided on many bars together, in the order of the passes."""
        ...

    def last_decision(self, symbol: str) -> datetime | None:
        """Open time of the newest decided bar."""
        ...


class Tutor(Protocol):
    """Whoever teaches and serves the models; asked before every decision."""

    def before_decisions(self, now: datetime) -> None:
        """Brings the models in service up to date."""
        ...


class Watcher(Protocol):
    """Whoever wants to know how the loop is doing, and may steer it."""

    def after_pass(self, now: datetime, last: Decision | None) -> None:
        """Called after every pass, also one that failed."""
        ...


@dataclass(slots=True)
class LoopSummary:
    """What a run came to.

    Attributes:
        reason: why it ended: `stopped`, `end of data`, `bars decided` or `halted: ...`.
        bars: decided bars by symbol.
        actions: outcomes by action.
        open_trades: trades that are still open.
    """

    reason: str = ""
    bars: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)
    open_trades: tuple[TradeEntry, ...] = ()


class TradingLoop:
    """Runs on the main thread until it is stopped, the data ends, or something is badly wrong.

    Args:
        window: bars that a decision reads.
        limit: decided bars, all symbols together, after which the loop ends; None: no limit.
        quiet: finds passes in which nothing is done, to make them together; None: each is made by itself.
    """

    def __init__(
        self,
        *,
        market: Market,
        source: BarSource,
        strategy: ScalpingStrategy,
        desk: TradeDesk,
        recorder: Recorder,
        tutor: Tutor,
        watcher: Watcher,
        clock: Clock,
        symbols: Sequence[str],
        window: int,
        limit: int | None = None,
        quiet: Quiet | None = None,
    ) -> None:
        self._market = market
        self._source = source
        self._strategy = strategy
        self._desk = desk
        self._recorder = recorder
        self._tutor = tutor
        self._watcher = watcher
        self._clock = clock
        self._symbols = tuple(symbols)
        self._window = window
        self._limit = limit
        self._quiet = quiet
        self._last: dict[str, int] = {}
        self._newest: Decision | None = None
        self._faults: deque[datetime] = deque(maxlen=FAULTS_PER_HOUR)
        self._managing = False
        self._told = ""
        self.summary = LoopSummary(bars=dict.fromkeys(self._symbols, 0))

    def run(self, stop: threading.Event) -> LoopSummary:
        """Passes until the end; returns what it came to."""
        self._start()
        while not stop.is_set():
            self._guarded(self._pass)
            self._guarded(self._watch)
            if self._quiet is not None and not stop.is_set():
                self._guarded(partial(self._pass_over, self._quiet))
            if self._desk.state is TradingState.HALTED:
                return self._ended("halted: see the journal and the log")
            if self._enough:
                return self._ended("bars decided")
            if stop.is_set() or not self._market.advance(stop):
                break
        return self._ended("stopped" if stop.is_set() else "end of data")

    @property
    def _enough(self) -> bool:
        return self._limit is not None and self._decided >= self._limit

    @property
    def _decided(self) -> int:
        return sum(self.summary.bars.values())

    def _start(self) -> None:
        self._desk.start(self._clock.now())
        for symbol in self._symbols:
            known = self._recorder.last_decision(symbol)
            if known is not None:
                self._last[symbol] = int(known.timestamp())

    def _ended(self, reason: str) -> LoopSummary:
        self.summary.reason = reason
        self.summary.open_trades = self._desk.open_trades
        return self.summary

    def _guarded(self, step: Callable[[], None]) -> None:
        """The outermost boundary of the loop: an unexpected error must not leave positions alone."""
        try:
            step()
        except StopError:
            raise
        except RetryError as error:
            self._cut_short(str(error))
        except Exception as error:  # noqa: BLE001  # the loop's one boundary, DESIGN 4.8: entries stop, positions are still managed
            self._degrade(error)
        finally:
            self._managing = False

    def _cut_short(self, reason: str) -> None:
        """Said once: a lost terminal fails every pass for the same reason."""
        logger.log("DEBUG" if reason == self._told else "WARNING", "pass cut short: {}", reason)
        self._told = reason

    def _degrade(self, error: Exception) -> None:
        now = self._clock.now()
        self._faults.append(now)
        logger.opt(exception=error).error(
            "unexpected {} in the trading loop: entries stop, open positions are managed", type(error).__name__
        )
        often = len(self._faults) == FAULTS_PER_HOUR and now - self._faults[0] <= timedelta(hours=1)
        self._desk.state = TradingState.HALTED if often or self._managing else TradingState.REDUCING

    def _pass(self) -> None:
        now = self._clock.now()
        self._settle(now)
        self._told = ""
        self._tutor.before_decisions(now)
        started = time.perf_counter_ns()
        closed = self._closed(now)
        if closed:
            decisions = self._strategy.decide_all(closed, now)
            latency = (time.perf_counter_ns() - started) // 1000
            for (bars, _), decision in zip(closed, decisions, strict=True):
                with self._apart(bars.symbol):
                    self._act(decision, bars, now, latency)
                    self._last[bars.symbol] = int(bars.time[-1])

    def _settle(self, now: datetime) -> None:
        self._managing = True
        self._desk.settle(now)
        self._managing = False

    def _watch(self) -> None:
        """Apart from the pass: where the terminal is lost every pass fails, and `stop` must still be heard."""
        self._watcher.after_pass(self._clock.now(), self._newest)

    def _pass_over(self, quiet: Quiet) -> None:
        """Makes quiet passes to come together; settles and watches in those in which there may be something to do."""
        now = self._clock.now()
        room = None if self._limit is None else self._limit - self._decided
        halted = self._desk.state is TradingState.HALTED
        stretch = None if halted else quiet.stretch(now, self._last, room, self._untended)
        if stretch is None:
            return
        for leg in quiet.legs(stretch, now):
            self._write_lulls(leg.before)
            instant = quiet.leap(leg)
            self._settle(instant)
            for decision in leg.last:  # behind what was settled, as in any pass: one that fails leaves no decision
                self._write(DecisionOutcome(decision, "none"))
                self._last[decision.symbol] = epoch_msc(decision.bar_time) // 1000
            self._watcher.after_pass(instant, self._newest)
        self._newest = stretch.newest

    def _write_lulls(self, lulls: Sequence[Lull]) -> None:
        if lulls:
            self._recorder.record_lulls(lulls)
        for lull in lulls:
            self._last[lull.symbol] = lull.times[-1]
            self.summary.bars[lull.symbol] += len(lull)
            self.summary.actions["none"] = self.summary.actions.get("none", 0) + len(lull)

    def _untended(self, symbol: str) -> int | None:
        return self._desk.untended(symbol, partial(self._source.window, symbol, self._window))

    @contextmanager
    def _apart(self, symbol: str) -> Iterator[None]:
        """One symbol's trouble leaves the others alone; its bar is tried again at the next pass."""
        try:
            yield
        except (DataError, RetryError) as error:
            self._managing = False
            logger.warning("{}: no decision: {}", symbol, error)

    def _closed(self, now: datetime) -> list[tuple[Bars, Capabilities]]:
        """Windows that end with a bar not yet decided, as far as the limit reaches.

        The positions of all of them are managed first: whatever becomes of the decisions, no position is left alone.
        """
        found: list[tuple[Bars, Capabilities]] = []
        for symbol in self._symbols:
            if self._limit is not None and self._decided + len(found) >= self._limit:
                break
            with self._apart(symbol):
                bars = self._source.window(symbol, self._window)
                last = self._last.get(symbol)
                if last is None or int(bars.time[-1]) > last:
                    self._managing = True
                    self._desk.manage(symbol, bars, now)
                    self._managing = False
                    self._note_missed(bars, last)
                    found.append((bars, self._source.declare(symbol)))
        return found

    def _note_missed(self, bars: Bars, last: int | None) -> None:
        """Bars that closed since the last pass without a decision get a row that says so."""
        if last is None or (len(bars) > 1 and bars.time.item(-2) <= last):
            return
        for opened in bars.time[(bars.time > last)][:-1]:
            missed = Decision(bars.symbol, from_epoch(int(opened)), None, "missed: a newer bar had closed before this one could be decided")
            self._write(DecisionOutcome(missed, "none"))

    def _act(self, decision: Decision, bars: Bars, now: datetime, latency_us: int) -> None:
        self._newest = decision
        if decision.side is None:
            action = "vetoed" if decision.reason.startswith("veto") else "none"
            self._write(DecisionOutcome(decision, action, latency_us=latency_us))
            return
        outcome = self._desk.enter(decision, bars, now)
        self._write(DecisionOutcome(decision, outcome.action, outcome.detail, outcome.order_key, latency_us))

    def _write(self, outcome: DecisionOutcome) -> None:
        if self._recorder.record_decision(outcome):
            self.summary.bars[outcome.decision.symbol] += 1
            self.summary.actions[outcome.action] = self.summary.actions.get(outcome.action, 0) + 1
