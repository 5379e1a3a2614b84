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


class Heartbeat:
    """Called after every pass; acts by the machine's clock, and never on the way to a decision.

    Args:
        wall: the machine's clock.
        seconds: between heartbeat lines.
        idle: called with every heartbeat for housekeeping.
    """

    def __init__(
        self,
        *,
        wall: Clock,
        seconds: float,
        state: State,
        desk: TradeDesk,
        trainer: AutoTrainer,
        models: ActiveModels,
        stop: threading.Event,
        idle: Callable[[], None],
    ) -> None:
        self._wall = wall
        self._seconds = seconds
        self._state = state
        self._desk = desk
        self._trainer = trainer
        self._models = models
        self._stop = stop
        self._idle = idle
        self._next_beat = 0.0
        self._next_ear = 0.0
        self._process = psutil.Process()
        desk.paused = bool(state.get(PAUSED, False))
        if desk.paused:
            logger.warning("trading is paused since before this start: no entries until `resume`")

    def after_pass(self, now: datetime, last: Decision | None) -> None:
        """Listens once a second, beats every `seconds`."""
        moment = self._wall.monotonic()
        if moment >= self._next_ear:
            self._next_ear = moment + LISTEN_SECONDS
            self._listen(now, last)
        if moment >= self._next_beat:
            self._next_beat = moment + self._seconds
            self._beat(now, last)

    def _listen(self, now: datetime, last: Decision | None) -> None:
        command = self._state.take("control.command")
        if command is None:
            return
        if command in ("pause", "resume"):
            self._pause(command == "pause")
        elif command in ("stop", "flatten"):
            self._flatten(now, command)
        else:
            logger.warning("control.command {!r} is unknown; known are pause, resume, stop, flatten", command)
            return
        logger.info("command {}: trading is {}", command, self._desk.trading.value)
        self._state.set("status", self.snapshot(now, last))  # whoever asks for it now sees the effect

    def _pause(self, paused: bool) -> None:
        """Kept over restarts; a resume lifts a pause, not what an error has set."""
        self._state.set(PAUSED, paused)
        self._desk.paused = paused
        if not paused and self._desk.trading is not TradingState.ACTIVE:
            logger.warning("an error had stopped entries: look at the log, then restart to allow them again")

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
        trainer = self._trainer.get_status()
        return {
            "at": utc_text(now),
            "last_bar": utc_text(last.bar_time) if last else None,
            "last_decision": f"{last.symbol} {last.side.name.lower() if last.side else 'none'}: {last.reason}" if last else None,
            "models": {slot: model.info.version for slot, model in sorted(self._models.snapshot().items())},
            "trading": self._desk.trading.value,
            "open_trades": len(self._desk.open_trades),
            "training": trainer.running if trainer.alive else DEAD,
            "due": {job: utc_text(due) for job, due in sorted(trainer.due.items())},
            "jobs": dict(sorted(trainer.last.items())),
            "memory_mb": self._process.memory_info().rss // 2**20,
            "pid": self._process.pid,
        }
