"""`trades` and `decisions`: the journal read beside the daemon, or without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli.options import AccountOption, HomeOption, JsonOption, LimitOption, SymbolOption, existing_home, one_of
from utils.cli.output import fixed, minute, models_text, say_json, say_table, shortened

if TYPE_CHECKING:
    from utils.journal_queries import JournalReader


def trades(
    limit: LimitOption = 20,
    symbol: SymbolOption = None,
    only_open: Annotated[bool, typer.Option("--open", help="only those still open")] = False,
    account: AccountOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trades, newest first."""
    with journal_of(home, account) as reader:
        rows = reader.trades(limit, symbol, only_open)
    if as_json:
        say_json(rows)
        return
    columns = ("opened", "symbol", "side", "lots", "price", "closed", "by", "close", "net", "R", "models", "ticket")
    say_table(columns, [_trade(row) for row in rows], empty="no trades")


def decisions(
    limit: LimitOption = 20,
    symbol: SymbolOption = None,
    account: AccountOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decisions, newest first."""
    with journal_of(home, account) as reader:
        rows = reader.decisions(limit, symbol)
    if as_json:
        say_json(rows)
        return
    say_table(("bar", "symbol", "side", "action", "models", "why"), [_decision(row) for row in rows], empty="no decisions")


@contextmanager
def journal_of(home: Path | None, account: str | None) -> Iterator[JournalReader]:
    """The journal of a home, read-only; of the account used last where none is given.

    Raises:
        HomeError: there is no such home.
        StorageError: it has no journal, or a damaged one.
        typer.BadParameter: the journal knows no such account.
    """
    from utils.journal_queries import JournalReader, journal_scopes

    path = existing_home(home)[0].journal
    scopes = journal_scopes(path)
    if account is not None:
        one_of(account, dict(scopes), "account")
    name, mode = next(((name, mode) for name, mode in scopes if account in (None, name)), ("", ""))
    reader = JournalReader(path, account=name, mode=mode)
    try:
        yield reader
    finally:
        reader.close()


def _trade(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        minute(row["opened"]),
        row["symbol"],
        row["side"],
        row["volume"],
        row["price"],
        minute(row["closed"]),
        row["close_reason"],
        row["close_price"],
        fixed(row["net"], 2, "+"),
        fixed(row["r_multiple"], 2, "+"),
        models_text(row["versions"]),
        row["ticket"],
    )


def _decision(row: Mapping[str, Any]) -> tuple[object, ...]:
    why = f"{row['reason']}: {row['detail']}" if row["detail"] else row["reason"]
    return minute(row["bar_time"]), row["symbol"], row["side"], row["action"], models_text(row["versions"]), shortened(why)
