"""The text of `.env.example`, made from the settings themselves so that neither can drift."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from config.sources import section_models
from config.wording import allowed_values, written

_HEAD = """\
# Copy this file to .env, take the leading # from the lines you want, and set your own values.
# Every line shows the default. An empty value means the default. Save the file as UTF-8.
# Write paths without quotes: C:\\Program Files\\MetaTrader 5\\terminal64.exe
# A value with # or blanks at its ends goes between single quotes: 'pass #1'. ${NAME} is replaced.
# The environment wins over this file, and the command line over both.
# `python main.py config validate` checks the file; `config show` prints what is in force.
"""


def example_text() -> str:
    """The whole file: a heading per section, and per setting its meaning, range and default."""
    parts = [_HEAD]
    for model in section_models(Settings).values():
        parts.append(f"\n# ---- {(model.__doc__ or '').strip()}\n")
        for name, field in model.model_fields.items():
            parts.append(f"# {field.description} [{allowed_values(field)}]\n")
            parts.append(f"#{name.upper()}={written(field.default)}\n")
    return "".join(parts)


def write(path: Path) -> None:
    """Writes the file anew, after a setting was added or changed."""
    path.write_text(example_text(), encoding="utf-8", newline="\n")
