"""`backtest` and `walkforward`: history played through the daemon itself, and a report on what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from utils.cli.options import HomeOption, JsonOption, SourceOption, SymbolsOption, existing_home, settings_with, starting_at
from utils.cli.output import say, say_json, tell
from utils.cli.registry import check_known, registry_of, verified_files
from utils.cli.tester_report import Told, as_json, as_markdown, lines

if TYPE_CHECKING:
    from config.settings import Settings
    from strategy.learning.artifact import VerifiedArtifact
    from strategy.predictor import Predictor
    from utils.report import RunReport, TradeFigures

ACCOUNT, MODE = "simulated/1", "simulated"

COMMIT_BARS = 1_000
"""A run that is killed goes on from the last of these commits."""

StartOption = Annotated[datetime | None, typer.Option(help="simulated start, UTC; after HISTORY_BARS otherwise")]
BarsOption = Annotated[int | None, typer.Option(min=1, help="decided bars of each symbol; to the end of the data otherwise")]
ReportOption = Annotated[Path | None, typer.Option(metavar="FILE", help="write the report as Markdown as well")]


def backtest(
    slot: Annotated[list[str] | None, typer.Option(metavar="SLOT=VERSION", help="repeat for more; the active versions otherwise")] = None,
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    start: StartOption = None,
    bars: BarsOption = None,
    home: HomeOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trades given model versions over given bars.

    The daemon's own code decides, sizes, and fills on a fresh simulated account; nothing is trained, and the
    home that the versions come from stays as it is.
    """
    settings = settings_with({"terminal": "simulated", "symbols": symbols})
    asked = tuple(source or ("synthetic",))
    _check_writable(report)
    chosen = _chosen(settings, home, _named(slot or ()), asked)
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        code = _play(settings, asked, start, _limit(settings, bars), Path(scratch), _loaded(chosen))
        found = _report(settings, Path(scratch))
        votes_on = frozenset(symbol for artifact in chosen.values() for symbol in artifact.manifest.symbols)
        told = Told("backtest", asked, found, _span(chosen), _unseen(settings, Path(scratch), chosen), votes_on)
    _tell(told, report, as_json)
    raise typer.Exit(code)


def walkforward(
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    start: StartOption = None,
    bars: BarsOption = None,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="keep the run here, or go on with one; discarded otherwise")
    ] = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole self-learning loop over history.

    It trains, judges, promotes and trades. A model only ever trades bars that came after its training and
    its gate. With --home a run that was cut short goes on, and one that is complete is only reported.
    """
    settings = settings_with({"terminal": "simulated", "symbols": symbols})
    asked = tuple(source or ("synthetic",))
    _check_writable(report)
    with _scratch(home) as folder:
        code = _walk(settings, asked, start, _limit(settings, bars), folder)
        told = Told("walkforward", asked, _report(settings, folder))
    _tell(told, report, as_json)
    raise typer.Exit(code)


# --- playing --------------------------------------------------------------------------------


def _walk(settings: Settings, source: tuple[str, ...], start: datetime | None, limit: int | None, folder: Path) -> int:
    """Plays what is left of the bars asked for."""
    if limit is None:
        return _play(settings, source, start, None, folder)
    left = limit - _decided(folder)
    return _play(settings, source, start, left, folder) if left > 0 else 0


def _play(
    settings: Settings,
    source: tuple[str, ...],
    start: datetime | None,
    limit: int | None,
    folder: Path,
    fixed: Mapping[str, Predictor] | None = None,
) -> int:
    from utils import bootstrap
    from utils.logs import configure
    from utils.terminals import RunOptions

    try:
        with starting_at(start) as began:
            options = RunOptions(source, replay=True, start=began, bars=limit, commit_bars=COMMIT_BARS)
            return bootstrap.run(settings, options, folder, fixed).exit_code
    finally:
        configure(settings.logs.log_level, None)  # lets go of the log file: the folder may be discarded


def _limit(settings: Settings, bars: int | None) -> int | None:
    return None if bars is None else bars * len(settings.symbols.symbols)


@contextmanager
def _scratch(home: Path | None) -> Iterator[Path]:
    if home is not None:
        yield home
        return
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _decided(folder: Path) -> int:
    """Bars that a home has decided."""
    from config.home import Home
    from utils.journal_queries import JournalReader

    journal = Home(folder).journal
    if not journal.is_file():
        return 0
    with closing(JournalReader(journal, account=ACCOUNT, mode=MODE)) as reader:
        return reader.counts()["decisions"]


def _report(settings: Settings, folder: Path) -> RunReport:
    from config.home import Home
    from utils.journal_queries import JournalReader
    from utils.report import report_of

    with closing(JournalReader(Home(folder).journal, account=ACCOUNT, mode=MODE)) as reader:
        return report_of(reader, settings.simulation.sim_balance)


# --- given versions -------------------------------------------------------------------------


def _named(slots: Sequence[str]) -> dict[str, int]:
    """Slots and versions of the command line.

    >>> _named(["scalper=12"])
    {'scalper': 12}
    """
    named = {}
    for text in slots:
        name, sign, number = text.partition("=")
        if not sign or not name or not number.isdecimal():
            raise typer.BadParameter(f"--slot {text}: write SLOT=VERSION, such as scalper=12; see `models list`")
        named[name] = int(number)
    return named


def _chosen(settings: Settings, home: Path | None, named: Mapping[str, int], source: tuple[str, ...]) -> dict[str, VerifiedArtifact]:
    """The versions asked for, or those that serve, each of them verified."""
    from strategy.learning.bundles import origin_kind
    from utils.terminals import RunOptions, origin_of

    found, origin = existing_home(home)
    prices = origin_of(settings, RunOptions(source))
    if origin_kind(origin) != prices:
        raise typer.BadParameter(
            f"the models of {found.path} learned from {origin} prices, these are {prices}: they would not vote on them"
        )
    registry = registry_of(found, origin)
    active, refusals = ({}, ()) if named else registry.open_active()
    for refusal in refusals:
        tell(f"refused: {refusal}")
    for slot, version in named.items():
        check_known(registry, slot, version)
    chosen = {slot: verified_files(registry, slot, version) for slot, version in named.items()} or active
    if not chosen:
        raise typer.BadParameter(f"no version serves in {found.path}: name some with --slot SLOT=VERSION; see `models list`")
    return chosen


def _loaded(chosen: Mapping[str, VerifiedArtifact]) -> dict[str, Predictor]:
    from strategy.learning.bundles import load_bundle

    return {slot: load_bundle(artifact) for slot, artifact in chosen.items()}


def _span(chosen: Mapping[str, VerifiedArtifact]) -> dict[str, dict[str, object]]:
    """What each version has learned from, and when it was made: until then the gate looked at bars too."""
    told = {}
    for slot, artifact in sorted(chosen.items()):
        made = artifact.manifest
        told[slot] = {"version": made.version, "first_bar": made.first_bar, "last_bar": made.last_bar, "created": made.created}
    return told


def _unseen(settings: Settings, folder: Path, chosen: Mapping[str, VerifiedArtifact]) -> TradeFigures:
    """Figures of the trades opened after every version was made."""
    from config.home import Home
    from utils.journal_queries import JournalReader
    from utils.report import closed_trades, figures

    made = max(datetime.fromisoformat(artifact.manifest.created) for artifact in chosen.values())
    with closing(JournalReader(Home(folder).journal, account=ACCOUNT, mode=MODE)) as reader:
        later = [trade for trade in closed_trades(reader) if trade.entry.opened > made]
    return figures(later, settings.simulation.sim_balance)


# --- telling --------------------------------------------------------------------------------


def _check_writable(file: Path | None) -> None:
    """Before hours of play, not after: a report that cannot be written is a slip of the command line."""
    if file is None:
        return
    new = not file.exists()
    try:
        file.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(f"--report {file}: cannot be written ({error.strerror}); name a file in a folder that exists") from error
    if new:
        file.unlink()


def _tell(told: Told, file: Path | None, json_wanted: bool) -> None:
    """Printed first: what became of the file's folder meanwhile costs nobody the report."""
    if json_wanted:
        say_json(as_json(told))
    else:
        say("\n".join(lines(told)))
    if file is not None:
        _write(told, file)


def _write(told: Told, file: Path) -> None:
    from config.errors import FileUnavailable

    try:
        file.write_text(as_markdown(told), encoding="utf-8")
    except OSError as error:
        remedy = "the report is printed above; a run that was kept with --home is told again by the same command"
        raise FileUnavailable(str(file), f"cannot be written ({error.strerror}); {remedy}") from error
