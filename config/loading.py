"""Reads the settings once, explains what is wrong with them, and tells where each value came from."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import Binding, Original, parse_stream
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from config.errors import SettingsError
from config.settings import Settings
from config.sources import section_models, sections_by_field
from config.wording import allowed_values, problem_lines, unknown_name, written

_ENCODING = "utf-8-sig"  # Windows editors put a byte-order mark before the first name

# Each reader of the file would log what `unreadable_lines` reports once, with the line's number.
logging.getLogger("dotenv").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as `config show` lists it.

    Attributes:
        name: in capitals, as in `.env`.
        value: as it would stand in `.env`; secrets masked; empty where nothing is set.
        origin: `command line`, `environment`, `.env` or `default`.
        section: name of its section.
        description: meaning and unit.
        allowed: range or choices, in words.
    """

    name: str
    value: str
    origin: str
    section: str
    description: str
    allowed: str


class _AnyNames(Settings):
    """The same settings, deaf to unknown names; finds contradictions behind other faults."""

    model_config = SettingsConfigDict(extra="ignore")


def load_settings(env_file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Reads the settings: command line over environment over file over defaults.

    Args:
        env_file: a `.env` file in UTF-8; None or a missing file means none.
        overrides: field name -> value from the command line; None means not given.

    Raises:
        SettingsError: naming every problem, its value, where it came from and what is allowed.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    lines = unreadable_lines(env_file) + repeated_names(env_file)
    lines += [unknown_name(name, Settings) for name in given if name not in sections_by_field(Settings)]
    try:
        settings = _build(Settings, env_file, given)
    except ValidationError as error:
        # Not chained: pydantic's error object keeps the inputs, secrets among them.
        raise SettingsError(_report(lines + explain(error, env_file, given))) from None
    if lines:
        raise SettingsError(_report(lines))
    return settings


def _build(cls: type[Settings], env_file: Path | None, given: Mapping[str, Any]) -> Settings:
    owners = sections_by_field(Settings)
    sections: dict[str, Any] = {}
    for name in given.keys() & owners.keys():
        sections.setdefault(owners[name], {})[name] = given[name]
    return cls(_env_file=env_file, _env_file_encoding=_ENCODING, **sections)


def _report(lines: list[str]) -> str:
    head = f"{len(lines)} problem{'s' if len(lines) > 1 else ''} in the settings:"
    return "\n  ".join([head, *lines])


def explain(error: ValidationError, env_file: Path | None, overrides: Mapping[str, Any]) -> list[str]:
    """A line for every problem of a set of settings: name, value, origin, what is allowed."""
    lines: list[str] = []
    faulty: dict[str, Any] = {}
    origin = _origins(env_file, overrides)
    for problem in error.errors():
        lines += problem_lines(problem, Settings, origin)
        if len(problem["loc"]) > 1:
            faulty[str(problem["loc"][1])] = _default(str(problem["loc"][1]))
    return lines + _hidden_contradictions(lines, env_file, {**overrides, **faulty}, set(faulty))


def _hidden_contradictions(lines: list[str], env_file: Path | None, given: Mapping[str, Any], faulty: set[str]) -> list[str]:
    """Contradictions that a wrong single value kept from being looked for.

    Each wrong value is replaced by its default; a contradiction that names it is left out.
    """
    try:
        _build(_AnyNames, env_file, given)
    except ValidationError as error:
        found = [line for problem in error.errors() if not problem["loc"] for line in problem_lines(problem, Settings, str)]
        return [line for line in found if line not in lines and not _names(line) & faulty]
    return []


def _names(line: str) -> set[str]:
    """The settings that a line mentions."""
    return {word.lower() for word in re.findall(r"[A-Z0-9_]{3,}", line)}


def _default(name: str) -> Any:
    section = section_models(Settings)[sections_by_field(Settings)[name]]
    return section.model_fields[name].get_default(call_default_factory=True)


def unreadable_lines(env_file: Path | None) -> list[str]:
    """A sentence for every line of a `.env` file that is not `NAME=value`.

    The parser would pass over them, and a risk limit so written would not be in force.
    The text of a line is not repeated: it may hold a secret.

    Raises:
        SettingsError: the file cannot be read, or is not UTF-8.
    """
    if env_file is None or not env_file.is_file():
        return []
    broken = [item.original for item in _statements(env_file) if item.error or (item.key is not None and item.value is None)]
    return [f"{env_file.name} line {_first_line(text)}: not of the form NAME=value" for text in broken]


def repeated_names(env_file: Path | None) -> list[str]:
    """A sentence for every name that a `.env` file sets more than once: only the last would be in force.

    Raises:
        SettingsError: as `unreadable_lines`.
    """
    if env_file is None or not env_file.is_file():
        return []
    counts = Counter(item.key.upper() for item in _statements(env_file) if item.key and item.value)
    return [f"{env_file.name}: {name} stands there {count} times; keep one of the lines" for name, count in counts.items() if count > 1]


def _statements(env_file: Path) -> list[Binding]:
    try:
        with env_file.open(encoding=_ENCODING) as stream:
            return list(parse_stream(stream))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{env_file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{env_file}: cannot be read ({error.strerror}); check its permissions") from error


def _first_line(original: Original) -> int:
    """Number of the line where a statement begins; the parser counts the blank lines before it in."""
    return original.line + len(original.string[: -len(original.string.lstrip()) or None].splitlines())


def origin_of(name: str, env_file: Path | None, overrides: Mapping[str, Any]) -> str:
    """Where a setting's value came from: `command line`, `environment`, the file's name or `default`."""
    return _origins(env_file, overrides)(name)


def _origins(env_file: Path | None, overrides: Mapping[str, Any]) -> Callable[[str], str]:
    """The same for many names; the file is read once."""
    in_file = dotenv_values(env_file, encoding=_ENCODING) if env_file is not None and env_file.is_file() else {}
    file_name = env_file.name if env_file is not None else ""
    from_environment, from_file = _set_names(os.environ), _set_names(in_file)

    def origin(name: str) -> str:
        if overrides.get(name) is not None:
            return "command line"
        if name in from_environment:
            return "environment"
        return file_name if name in from_file else "default"

    return origin


def _set_names(values: Mapping[str, str | None]) -> set[str]:
    return {name.lower() for name, value in values.items() if value}


def effective(settings: Settings, env_file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> tuple[SettingRow, ...]:
    """Every setting in force, in the order of the settings file.

    Args:
        settings: as `load_settings` gave them.
        env_file: the file it was given.
        overrides: the values of the command line it was given.
    """
    origin = _origins(env_file, overrides or {})
    return tuple(
        SettingRow(
            name.upper(),
            written(getattr(getattr(settings, section), name)),
            origin(name),
            section,
            field.description or "",
            allowed_values(field),
        )
        for section, model in section_models(Settings).items()
        for name, field in model.model_fields.items()
    )
