"""Shows that models are training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from loguru import logger
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class TrainingProgress:
    """Told by the trainer when a job begins and ends; one bar per job in progress."""

    def __init__(self, console: Console) -> None:
        shown = console.is_terminal and not console.no_color
        # ASCII only: a cp1252 console has no box-drawing characters.
        columns = (SpinnerColumn("line"), TextColumn("training {task.description}"), BarColumn(30), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True) if shown else None
        self._running = False

    def __call__(self, job: str, begins: bool) -> None:
        """Shows or hides a job; jobs that train nothing are not worth a bar."""
        if not job.startswith("train:"):
            return
        name = job.removeprefix("train:")
        if begins:
            logger.info("training {} ...", name)
        if self._bar is not None:
            self._show(name) if begins else self._hide()

    def _show(self, name: str) -> None:
        assert self._bar is not None  # noqa: S101  # asked by __call__ only then
        self._bar.start()
        self._bar.add_task(name, total=None)

    def _hide(self) -> None:
        assert self._bar is not None  # noqa: S101  # asked by __call__ only then
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.stop()

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()
