"""Options that commands share, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from config.home import Home
    from config.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]

HomeOption = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="folder of models, journal and state")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="most rows, newest first")]
AccountOption = Annotated[str | None, typer.Option(help="where the journal holds several; the one used last otherwise")]
SymbolOption = Annotated[str | None, typer.Option(help="only this symbol")]
TerminalOption = Annotated[str | None, typer.Option(help="simulated or mt5; auto: mt5 when MT5_LOGIN is set")]
SourceOption = Annotated[
    list[str] | None, typer.Option(metavar="SOURCE", help="synthetic, PATH or SYMBOL=PATH; repeat for more files; simulated terminal only")
]
SymbolsOption = Annotated[str | None, typer.Option(help="comma-separated")]


def env_file() -> Path:
    """The `.env` file that settings come from."""
    return PROJECT / ".env"


def settings_with(overrides: Mapping[str, Any]) -> Settings:
    """Settings from `.env`, environment and command line.

    Raises:
        SettingsError: naming every problem.
    """
    from config.loading import load_settings

    return load_settings(env_file(), overrides)


def home_folder(home: Path | None, settings: Settings | None = None) -> Path:
    """The folder given, or the default: the project's for a real terminal, `simulated/` below it otherwise."""
    if home is not None:
        return home
    settings = settings or settings_with({})
    return PROJECT if settings.uses_mt5 else PROJECT / "simulated"


def existing_home(home: Path | None) -> tuple[Home, str]:
    """A home with the origin that it is bound to.

    Raises:
        HomeError: there is none.
    """
    from config.home import bound_home

    return bound_home(home_folder(home))


@contextmanager
def starting_at(start: datetime | None) -> Iterator[datetime | None]:
    """The simulated start as it is used: UTC. One that leaves too few bars before it is a slip of the command line.

    Raises:
        typer.BadParameter: naming `--start` and what to do.
    """
    from config.errors import InsufficientHistory

    try:
        yield start.replace(tzinfo=UTC) if start is not None else None
    except InsufficientHistory as error:
        if start is None:
            raise
        text = f"{error.symbol} has {error.have:,} closed bars before it, and HISTORY_BARS asks for {error.need:,}"
        raise typer.BadParameter(
            f"--start {start.isoformat()}: {text}; start later, or leave --start out to start right after them"
        ) from error


def one_of(value: str, allowed: Mapping[str, object] | tuple[str, ...], what: str) -> str:
    """The value, where it is one of those allowed.

    Raises:
        typer.BadParameter: it is not; those allowed are listed.
    """
    if value not in allowed:
        raise typer.BadParameter(f"no {what} {value!r}; there are: {', '.join(allowed) or 'none'}")
    return value
