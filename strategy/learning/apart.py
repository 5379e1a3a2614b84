"""Training in a process of its own: `TRAINER_ISOLATION=process`.

The child runs the same `Workshop.run`. What that needs of the daemon, from bars to the registry,
it asks for over a pipe, and the trainer's thread answers; so the child writes no file and holds no
lock, and can be killed at any time. A child makes one model and ends: nothing that a fit leaves
behind in memory outlives it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, cast

from loguru import logger

from config.errors import FitCancelled, RetryError, ScalperError
from config.settings import Settings
from execution.broker_house import deafen
from strategy.learning.artifact import Manifest, VerifiedArtifact
from strategy.learning.background import lower_process, step_back
from strategy.learning.budget import Purse
from strategy.learning.jobs import JobResult, JobSpec, Workshop
from strategy.learning.registry import Registry

SLICE = 0.1
"""Seconds between two looks at the cancel event."""

Ask = Callable[..., Any]


class Line(Protocol):
    """One end of a pipe of `multiprocessing`, which on Windows is of another type."""

    def send(self, obj: Any) -> None:
        """Sends one object."""
        ...

    def recv(self) -> Any:
        """Receives one object."""
        ...

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to receive, or the other end is gone."""
        ...


@dataclass(frozen=True, slots=True)
class WorkshopApart:
    """Runs the jobs of a workshop in a child process each."""

    workshop: Workshop

    def run(self, spec: JobSpec, purse: Purse, cancel: threading.Event) -> JobResult:
        """As `Workshop.run`; a cancel kills the child.

        Raises:
            FitCancelled: `cancel` was set.
            RetryError: the child has died.
            ScalperError: whatever went wrong in the child, or in answering it.
        """
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        task = (self.workshop.settings, self.workshop.origin, spec)
        child = context.Process(target=_work, args=(theirs, *task), name=spec.name, daemon=True)
        child.start()
        theirs.close()
        try:
            return _attended(ours, child, answers(self.workshop, purse), cancel)
        finally:
            ours.close()
            child.kill()  # nothing to do where it has ended
            child.join()
            child.close()


# --- the daemon's end ---------------------------------------------------------------------------


def answers(workshop: Workshop, purse: Purse) -> dict[str, Callable[..., Any]]:
    """What a child may ask, by name."""
    return {
        "history": workshop.history,
        "known": workshop.known,
        "instrument": workshop.instrument,
        "now": workshop.now,
        "serving": workshop.registry.serving,
        "state": workshop.registry.state,
        "open_active": partial(_active, workshop.registry),
        "publish": partial(_published, workshop),
        "unseen": purse.unseen,
        "draw": purse.draw,
    }


def _active(registry: Registry) -> dict[str, VerifiedArtifact]:
    artifacts, _ = registry.open_active()
    # A read-only view of a mapping does not go through a pipe.
    return {slot: replace(artifact, files=dict(artifact.files)) for slot, artifact in artifacts.items()}


def _published(workshop: Workshop, *told: Any, **also: Any) -> Manifest:
    with workshop.publishing():
        return workshop.registry.publish(*told, **also)


def _attended(line: Line, child: BaseProcess, desk: Mapping[str, Callable[..., Any]], cancel: threading.Event) -> JobResult:
    """Answers the child until it is done; an error in answering is the job's error."""
    while not cancel.is_set():
        with _living(child):  # on Windows the poll itself meets the broken pipe
            message = line.recv() if line.poll(SLICE) else None
        match message:
            case ("ask", name, told, also):
                answer = desk[name](*told, **also)
                with _living(child):
                    line.send(answer)
            case ("log", level, text):
                logger.log(level, "{}", text)
            case ("raised", kind, args, said):
                raise _restored(kind, args, said)
            case ("done", JobResult() as result):
                return result
    raise FitCancelled("the fit was told to stop")


@contextmanager
def _living(child: BaseProcess) -> Iterator[None]:
    """A pipe that breaks means that the child is gone."""
    try:
        yield
    except (EOFError, OSError) as error:
        child.join(1.0)
        raise RetryError(f"{child.name}: the process that trains ended with code {child.exitcode}; the job is tried again") from error


def _restored(kind: type[BaseException], args: tuple[Any, ...], said: dict[str, Any]) -> BaseException:
    """An error as it was: its own constructor may want other arguments than it keeps."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(said)
    return error


# --- the child's end ----------------------------------------------------------------------------


def _work(line: Line, settings: Settings, origin: str, spec: JobSpec) -> None:
    """The child, from start to end."""
    deafen()
    lower_process()
    step_back(settings.training.train_threads)
    threading.Thread(target=_end_with_the_daemon, daemon=True).start()
    logger.remove()
    logger.add(lambda message: line.send(("log", message.record["level"].name, message.record["message"])), level="DEBUG")
    ask = partial(_ask, line)
    try:
        line.send(("done", far_workshop(settings, origin, ask).run(spec, cast("Purse", _FarPurse(ask)), threading.Event())))
    except ScalperError as error:
        line.send(("raised", type(error), error.args, vars(error)))
    except Exception as error:  # noqa: BLE001  # the child's one boundary: the trainer, which cannot see this, journals it
        logger.opt(exception=error).error("{}: unexpected {}", spec.name, type(error).__name__)
        line.send(("raised", RuntimeError, (f"{type(error).__name__}: {error}",), {}))


def _end_with_the_daemon() -> None:
    """A daemon that was killed tells nobody; a fit would otherwise go on for minutes."""
    daemon = parent_process()
    if daemon is not None:
        with suppress(OSError):
            daemon.join()
        os._exit(1)


def _ask(line: Line, name: str, *told: Any, **also: Any) -> Any:
    line.send(("ask", name, told, also))
    return line.recv()


def far_workshop(settings: Settings, origin: str, ask: Ask) -> Workshop:
    """A workshop that asks for everything that it has not."""
    return Workshop(
        settings=settings,
        origin=origin,
        history=partial(ask, "history"),
        known=partial(ask, "known"),
        instrument=partial(ask, "instrument"),
        registry=cast("Registry", _FarRegistry(ask)),
        now=partial(ask, "now"),
    )


class _FarPurse:
    """The part of a purse that a job uses."""

    def __init__(self, ask: Ask) -> None:
        self.unseen = partial(ask, "unseen")
        self.draw = partial(ask, "draw")


class _FarRegistry:
    """The part of the registry that a job uses."""

    def __init__(self, ask: Ask) -> None:
        self.serving = partial(ask, "serving")
        self.state = partial(ask, "state")
        self.publish = partial(ask, "publish")
        self._ask = ask

    def open_active(self) -> tuple[dict[str, VerifiedArtifact], tuple[()]]:
        """What serves; who refused what is none of a job's business."""
        return self._ask("open_active"), ()
