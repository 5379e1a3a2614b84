"""`train`: training jobs now, in the running daemon or in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from utils.cli.control import wait_until
from utils.cli.models import gate_lines
from utils.cli.options import (
    HomeOption,
    JsonOption,
    SourceOption,
    SymbolOption,
    SymbolsOption,
    TerminalOption,
    home_folder,
    settings_with,
)
from utils.cli.output import say, say_json, tell
from utils.cli.retraining import queue, withdraw
from utils.cli.status import last_status

if TYPE_CHECKING:
    from config.home import Home
    from config.settings import Settings
    from utils.journal_queries import JournalReader
    from utils.shared_state import SharedState

DONE = ("promoted", "published", "waiting", "shadow", "rejected")
_PREFIX = "train:"
_LOOK_BACK = 200

Model = Literal["scalper", "xgboost", "lstm"]
Row = Mapping[str, Any]


def train(
    model: Annotated[Model | None, typer.Option(help="only this kind")] = None,
    symbol: SymbolOption = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="do not wait for a running daemon's verdict")] = False,
    wait: Annotated[float, typer.Option("--wait", min=1, metavar="SECONDS", help="how long to wait for it")] = 1_800.0,
    terminal: TerminalOption = None,
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trains now, through the same gate.

    A running daemon does the work itself, with the settings that it was started with;
    --terminal, --source and --symbols are for the case that none runs.
    Exit code 0 whether the gate promoted or rejected; 1 where a job did not come to a verdict.
    """
    from config.home import Home, is_held

    settings = settings_with({"terminal": terminal, "symbols": symbols})
    wanted = _Wanted(settings, model, symbol)
    found = Home(home_folder(home, settings).expanduser().resolve())
    newest = _newest_job(found)
    if is_held(found):
        asked = _ask_daemon(found, wanted, newest, None if no_wait else wait)
        if no_wait:
            say_json({"requested": asked}) if as_json else say(f"requested: {', '.join(asked)}")
            return
    else:
        asked = _train_here(settings, found, wanted, source)
    _report(found, asked, newest, as_json)


class _Wanted:
    """Which jobs the options mean."""

    def __init__(self, settings: Settings, model: Model | None, symbol: str | None) -> None:
        if symbol is not None and model in ("scalper", "xgboost"):
            raise typer.BadParameter(f"{model} learns from all symbols together; --symbol goes with --model lstm")
        self._names = settings.models
        self._model = model if symbol is None else "lstm"
        self._symbol = symbol

    def slots(self, slots: Sequence[str]) -> list[str]:
        """Those of `slots` that are meant.

        Raises:
            typer.BadParameter: none is.
        """
        chosen = [slot for slot in slots if self._fits(slot)]
        if not chosen:
            raise typer.BadParameter(f"no such model is trained here; there are: {', '.join(slots) or 'none'}")
        return chosen

    def _fits(self, slot: str) -> bool:
        lstm = f"{self._names.lstm_model_path}_"
        names = {"scalper": slot == self._names.model_path, "xgboost": slot == self._names.xgb_model_path, "lstm": slot.startswith(lstm)}
        return (self._model is None or names[self._model]) and (self._symbol is None or slot == f"{lstm}{self._symbol}")


# --- a daemon runs --------------------------------------------------------------------------


def _ask_daemon(home: Home, wanted: _Wanted, newest: int, wait: float | None) -> list[str]:
    """Leaves the request and waits for the jobs' rows; the slots asked for."""
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    due = last_status(home)[0].get("due", {})
    slots = wanted.slots([job.removeprefix(_PREFIX) for job in due if job.startswith(_PREFIX)])
    with closing(SharedState(home.shared_state, SystemClock())) as state:
        queue(state, slots)
        if wait is not None:
            tell(f"a daemon runs: it trains {', '.join(slots)} as soon as it is free; waiting up to {wait:g} s")
            _wait_for_daemon(home, slots, newest, wait, state)
    return slots


def _wait_for_daemon(home: Home, slots: Sequence[str], newest: int, wait: float, state: SharedState) -> None:
    from config.home import is_held

    def done() -> bool:
        return len(_verdicts(home, slots, newest)) == len(slots) or not is_held(home)

    if wait_until(done, wait):
        return
    withdrawn = withdraw(state, slots)
    tell(f"no verdict in {wait:g} s; " + ("the daemon never took the request, so it was withdrawn" if withdrawn else "the daemon goes on"))


# --- no daemon runs -------------------------------------------------------------------------


def _train_here(settings: Settings, home: Home, wanted: _Wanted, source: list[str] | None) -> list[str]:
    """Runs the jobs in this process; the slots that were meant."""
    from strategy.learning.jobs import JobSpec
    from utils import bootstrap
    from utils.terminals import RunOptions

    _require_source(home, settings, source)
    meant: list[str] = []

    def pick(specs: Sequence[JobSpec]) -> Sequence[JobSpec]:
        meant.extend(wanted.slots([spec.slot for spec in specs]))
        return [spec for spec in specs if spec.slot in meant]

    # Training sends nothing, so that a live configuration needs no --live for it.
    paper = settings.model_copy(update={"terminal": settings.terminal.model_copy(update={"trade_mode": "paper"})})
    bootstrap.train(paper, RunOptions(tuple(source or ("synthetic",))), home.path, pick)
    return meant


def _require_source(home: Home, settings: Settings, source: list[str] | None) -> None:
    """A home of file prices does not know which files they were."""
    from config.home import bound_home

    if source or settings.uses_mt5 or not home.origin_file.is_file():
        return
    if bound_home(home.path)[1] == "file":
        raise typer.BadParameter(f"home {home.path} has its prices from files: name them with --source, as for `run`")


# --- what came of it ------------------------------------------------------------------------


def _report(home: Home, slots: Sequence[str], newest: int, as_json: bool) -> None:
    """Says the verdicts; exit code 1 where one is missing or none was reached."""
    verdicts = _verdicts(home, slots, newest)
    reports = {slot: _gate_report(home, slot, row) for slot, row in verdicts.items()}
    if as_json:
        say_json([{"slot": slot, **row, "report": reports[slot]} for slot, row in verdicts.items()])
    for slot, row in () if as_json else verdicts.items():
        say(f"{slot}: {row['outcome']}: {row['reason']} ({row['rows']} rows, {row['seconds_wall']:.1f} s)")
        for line in gate_lines(reports[slot]):
            say(f"  {line}")
    missing = [slot for slot in slots if slot not in verdicts]
    if missing:
        tell(f"no verdict on {', '.join(missing)}")
    if missing or any(row["outcome"] not in DONE for row in verdicts.values()):
        raise typer.Exit(130 if any(row["outcome"] == "cancelled" for row in verdicts.values()) else 1)


def _newest_job(home: Home) -> int:
    with _journal(home) as journal:
        rows = journal.jobs(1) if journal is not None else []
    return int(rows[0]["id"]) if rows else 0


def _verdicts(home: Home, slots: Sequence[str], newest: int) -> dict[str, Row]:
    """Row of the manual job after `newest`, by slot."""
    with _journal(home) as journal:
        rows = journal.jobs(_LOOK_BACK) if journal is not None else []
    found = {row["job"].removeprefix(_PREFIX): row for row in rows if row["id"] > newest and row["trigger"] == "manual"}
    return {slot: found[slot] for slot in slots if slot in found}


def _gate_report(home: Home, slot: str, row: Row) -> object:
    """The gate's report on a job that came to a verdict."""
    if row["outcome"] not in DONE:
        return {}
    with _journal(home) as journal:
        events = journal.model_events(10, slot) if journal is not None else []
    return next((event["report"] for event in events if event["event"] == row["outcome"] and event["version"] == row["version"]), {})


@contextmanager
def _journal(home: Home) -> Iterator[JournalReader | None]:
    """The home's journal, if it has one; jobs and model events belong to the whole home."""
    from utils.journal_queries import JournalReader

    if not home.journal.is_file():
        yield None
        return
    with closing(JournalReader(home.journal, account="", mode="")) as reader:
        yield reader
