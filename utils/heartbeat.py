"""The heartbeat: a line that shows the daemon is not only alive but deciding, and the ear for commands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import psutil
from loguru import logger

from config.errors import RetryError
from execution.risk import TradingState
from market_data.clock import Clock, utc_text
from strategy.active_models import ActiveModels
from strategy.decision import Decision
from strategy.trade_desk import TradeDesk
from utils.auto_trainer import AutoTrainer

DEAD = "nothing: its thread has died"
LISTEN_SECONDS = 1.0
PAUSED = "trading.paused"
"""Shared-state key that keeps a pause over restarts."""


class State(Protocol):
    """What the heartbeat needs of the shared state."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    def set(self, key: str, value: object) -> None:
        """Stores a value."""
        ...

    def take(self, key: str, default: Any = None) -> Any:
        """Reads and removes a key in one step."""
        ...


class Watch(Protocol):
    """What the heartbeat needs of the risk watch."""

    @property
    def tripped(self) -> str:
        """Why the drawdown switch has stopped entries; empty while it has not."""
        ...

    def after_pass(self, now: datetime) -> None:
        """Looks around."""
        ...

    def reset(self) -> None:
        """Lifts the drawdown switch."""
        ...

    def report(self, now: datetime) -> dict[str, Any]:
        """The risk state, for `status`."""
        ...


class Heartbeat:
    """Called after every pass; acts by the machine's clock, and never on the way to a decision.

    Args:
        wall: the machine's clock.
        seconds: between heartbeat lines.
        watch: looks around after every pass; while its switch has tripped there are no entries.
        idle: called with every heartbeat for housekeeping.
    """

    def __init__(
        self,
        *,
        wall: Clock,
        seconds: float,
        state: State,
        desk: TradeDesk,
        watch: Watch,
        trainer: AutoTrainer,
        models: ActiveModels,
        stop: threading.Event,
        idle: Callable[[], None],
    ) -> None:
        self._wall = wall
        self._seconds = seconds
        self._state = state
        self._desk = desk
        self._watch = watch
        self._trainer = trainer
        self._models = models
        self._stop = stop
        self._idle = idle
        self._next_beat = 0.0
        self._next_ear = 0.0
        self._seen: tuple[datetime, Decision | None] | None = None
        self._process = psutil.Process()
        self._paused = bool(state.get(PAUSED, False))
        self._hold()
        if self._paused:
            logger.warning("trading is paused since before this start: no entries until `resume`")

    def after_pass(self, now: datetime, last: Decision | None) -> None:
        """Looks around, listens once a second, beats every `seconds`."""
        self._watch.after_pass(now)
        self._hold()
        self._seen = now, last
        moment = self._wall.monotonic()
        if moment >= self._next_ear:
            self._next_ear = moment + LISTEN_SECONDS
            self._listen(now, last)
        if moment >= self._next_beat:
            self._next_beat = moment + self._seconds
            self._beat(now, last)

    def end(self) -> None:
        """What the last pass left: a replay plays hours of its market between two beats."""
        if self._seen is None:
            return
        try:
            self._state.set("status", self.snapshot(*self._seen))
        except RetryError as error:  # the run has ended well all the same
            logger.warning("the last state was not written down for `status`: {}", error)

    def _listen(self, now: datetime, last: Decision | None) -> None:
        command = self._state.take("control.command")
        if command is None:
            return
        if command in ("pause", "resume"):
            self._pause(command == "pause")
        elif command == "resume-drawdown":
            self._lift()
        elif command in ("stop", "flatten"):
            self._flatten(now, command)
        else:
            logger.warning("control.command {!r} is unknown; known are pause, resume, resume-drawdown, stop, flatten", command)
            return
        logger.info("command {}: trading is {}", command, self._desk.trading.value)
        self._state.set("status", self.snapshot(now, last))  # whoever asks for it now sees the effect

    def _hold(self) -> None:
        """No entries while somebody paused them, or the drawdown switch has tripped."""
        self._desk.paused = self._paused or bool(self._watch.tripped)

    def _pause(self, paused: bool) -> None:
        """Kept over restarts; a resume lifts a pause, not what an error or the drawdown switch has set."""
        self._state.set(PAUSED, paused)
        self._paused = paused
        self._hold()
        if not paused and self._desk.state is not TradingState.ACTIVE:
            logger.warning("an error had stopped entries: look at the log, then restart to allow them again")
        if not paused and self._watch.tripped:
            logger.warning("the drawdown switch still stops entries: {}; lift it with `resume --drawdown`", self._watch.tripped)

    def _lift(self) -> None:
        """A pause stays."""
        try:
            self._watch.reset()
        except RetryError as error:
            logger.error("the drawdown switch was not lifted: {}; try again", error)
        self._hold()

    def _flatten(self, now: datetime, command: str) -> None:
        """Stops in any case: what could not be closed keeps its stop at the broker and is listed at the end."""
        self._stop.set()
        for trade in self._desk.open_trades if command == "flatten" else ():
            try:
                self._desk.close(trade, "command", now)
            except RetryError as error:
                logger.error("{}: ticket {} was not closed: {}", trade.symbol, trade.ticket, error)

    def _beat(self, now: datetime, last: Decision | None) -> None:
        status = self.snapshot(now, last)
        self._state.set("status", status)
        self._idle()
        if status["training"] == DEAD:
            logger.error("the trainer's thread has died: models are no longer trained; see the log above, then restart")
        logger.info(
            "heartbeat: bar {}, decision {}, models {}, {} open, {} MB, {}",
            status["last_bar"],
            status["last_decision"],
            " ".join(f"{slot}:{version}" for slot, version in status["models"].items()) or "none",
            status["open_trades"],
            status["memory_mb"],
            f"training {status['training']}" if status["training"] else status["trading"],
        )

    def snapshot(self, now: datetime, last: Decision | None) -> dict[str, Any]:
        """What `status` shows."""
        trainer, models = self._trainer.get_status(), sorted(self._models.snapshot().items())
        return {
            "at": utc_text(now),
            "last_bar": utc_text(last.bar_time) if last else None,
            "last_decision": f"{last.symbol} {last.side.name.lower() if last.side else 'none'}: {last.reason}" if last else None,
            "models": {slot: model.info.version for slot, model in models},
            "not_compiled": [slot for slot, model in models if model.backend != "onnx"],
            "trading": self._desk.trading.value,
            "risk": self._watch.report(now),
            "open_trades": len(self._desk.open_trades),
            "training": trainer.running if trainer.alive else DEAD,
            "due": {job: utc_text(due) for job, due in sorted(trainer.due.items())},
            "jobs": dict(sorted(trainer.last.items())),
            "memory_mb": self._process.memory_info().rss // 2**20,
            "pid": self._process.pid,
        }
