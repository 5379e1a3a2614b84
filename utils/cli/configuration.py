"""`config`: the settings in force, and whether a file of settings is sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from utils.cli.options import HomeOption, JsonOption, env_file, home_folder, settings_with
from utils.cli.output import say, say_json, say_table

app = typer.Typer(rich_markup_mode=None, help="Settings in force, and checks of them.")


@app.command()
def show(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every setting with its value and source; secrets are masked."""
    from config.loading import effective

    settings = settings_with({})
    rows = effective(settings, env_file())
    folder = home_folder(home, settings).expanduser().resolve()
    if as_json:
        say_json({"home": str(folder), "settings": [asdict(row) for row in rows]})
        return
    say(f"home: {folder}")
    say_table(
        ("setting", "value", "from", "allowed"), [(row.name, row.value, row.origin, row.allowed) for row in rows], empty="no settings"
    )


@app.command()
def validate(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="a file like .env, which is the default")] = None,
    as_json: JsonOption = False,
) -> None:
    """Says ok, or lists every problem and ends with exit code 3; the environment counts too."""
    from config.errors import SettingsError
    from config.loading import load_settings

    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: no such file")
    try:
        load_settings(file if file is not None else env_file())
    except SettingsError as error:
        if not as_json:
            raise
        say_json({"ok": False, "problems": [line.strip() for line in str(error).splitlines()[1:]]})
        raise typer.Exit(error.exit_code) from error
    say_json({"ok": True, "problems": []}) if as_json else say("ok")
