"""The heartbeat: a line that shows the daemon is not only alive but deciding, and the ear for commands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import psutil
from loguru import logger

from execution.risk import TradingState
from market_data.clock import Clock, utc_text
from strategy.active_models import ActiveModels
from strategy.decision import Decision
from strategy.trade_desk import TradeDesk
from utils.auto_trainer import AutoTrainer

LISTEN_SECONDS = 1.0


class State(Protocol):
    """What the heartbeat needs of the shared state."""

    def set(self, key: str, value: object) -> None: ...
    def take(self, key: str, default: Any = None) -> Any: ...


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

    def after_pass(self, now: datetime, last: Decision | None) -> None:
        """Listens once a second, beats every `seconds`."""
        moment = self._wall.monotonic()
        if moment >= self._next_ear:
            self._next_ear = moment + LISTEN_SECONDS
            self._listen(now)
        if moment >= self._next_beat:
            self._next_beat = moment + self._seconds
            self._beat(now, last)

    def _listen(self, now: datetime) -> None:
        command = self._state.take("control.command")
        if command == "pause":
            self._desk.state = TradingState.REDUCING
        elif command == "resume" and self._desk.state is TradingState.REDUCING:
            self._desk.state = TradingState.ACTIVE
        elif command in ("stop", "flatten"):
            self._flatten(now, command)
        elif command is not None:
            logger.warning("control.command {!r} is unknown", command)
            return
        if command is not None:
            logger.info("command {}: trading is {}", command, self._desk.state.value)

    def _flatten(self, now: datetime, command: str) -> None:
        for trade in self._desk.open_trades if command == "flatten" else ():
            self._desk.close(trade, "command", now)
        self._stop.set()

    def _beat(self, now: datetime, last: Decision | None) -> None:
        status = self.snapshot(now, last)
        self._state.set("status", status)
        self._idle()
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
            "trading": self._desk.state.value,
            "open_trades": len(self._desk.open_trades),
            "training": trainer.running,
            "due": {job: utc_text(due) for job, due in sorted(trainer.due.items())},
            "jobs": dict(sorted(trainer.last.items())),
            "memory_mb": self._process.memory_info().rss // 2**20,
            "pid": self._process.pid,
        }
