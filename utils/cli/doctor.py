"""`doctor`: checks everything before money is at stake."""

from __future__ import annotations

from dataclasses import asdict

import typer

from utils.cli.options import HomeOption, JsonOption, SourceOption, SymbolsOption, TerminalOption, env_file, home_folder
from utils.cli.output import say, say_json


def doctor(
    terminal: TerminalOption = None,
    source: SourceOption = None,
    symbols: SymbolsOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Checks all that must be right; 5 if anything fails."""
    from utils.doctor import Finding, Grade, examine

    found: list[Finding] = []
    for finding in examine(
        env_file().parent,
        {"terminal": terminal, "symbols": symbols},
        source=tuple(source or ("synthetic",)),
        folder=lambda settings: home_folder(home, settings),
    ):
        found.append(finding)
        if not as_json:
            say(f"{finding.grade.value}  {finding.check}: {finding.detail}")
            if finding.remedy:
                say(f"      remedy: {finding.remedy}")
    count = {grade: sum(finding.grade is grade for finding in found) for grade in Grade}
    if as_json:
        rows = [{**asdict(finding), "grade": finding.grade.value} for finding in found]
        say_json({"ok": not count[Grade.FAIL], "findings": rows})
    else:
        say(f"{count[Grade.PASS]} passed, {count[Grade.WARN]} warnings, {count[Grade.FAIL]} failed")
    if count[Grade.FAIL]:
        raise typer.Exit(5)
