"""From flat names in `.env` and the environment to the sections of the settings, and their errors to plain words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from config.errors import SettingsError

if TYPE_CHECKING:
    from config.settings import Settings


def split_list(value: object) -> object:
    """`"A, B"` -> `("A", "B")`; anything that is not text passes unchanged."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class FlatSource(PydanticBaseSettingsSource):
    """Hands `RISK_PERCENT` to section `risk`, field `risk_percent`.

    Wraps one of pydantic-settings' own sources for the reading. A name that no section knows
    is passed on at the top, where it is refused, if it stands in the `.env` file; the
    environment is full of other programs' names, which are left alone.
    """

    def __init__(self, settings_cls: type[BaseSettings], reader: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._reader = reader

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: `__call__` answers for all fields at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Section name -> field name -> text, for the names that are set."""
        found: dict[str, Any] = {}
        owners = sections_by_field(self.settings_cls)
        for name, text in self._flat():
            section = owners.get(name)
            if section is not None:
                found.setdefault(section, {})[name] = text
            elif self._is_file:
                found[name] = text
        return found

    @property
    def _is_file(self) -> bool:
        return hasattr(self._reader, "env_file")

    def _flat(self) -> Iterator[tuple[str, str]]:
        """Lower-case names with non-empty text; an empty value means the default."""
        if not isinstance(self._reader, EnvSettingsSource):
            return
        for name, text in self._reader.env_vars.items():
            if text:
                yield name.lower(), text


def sections_by_field(settings_cls: type[BaseSettings]) -> dict[str, str]:
    """Field name -> name of the section that owns it."""
    return {field: section for section, model in section_models(settings_cls).items() for field in model.model_fields}


def section_models(settings_cls: type[BaseSettings]) -> dict[str, type[BaseModel]]:
    """Section name -> its model, in the order in which they are written."""
    models: dict[str, type[BaseModel]] = {}
    for name, field in settings_cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            models[name] = field.annotation
    return models


def load_settings(env_file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Reads the settings once.

    Args:
        env_file: a `.env` file; None or a missing file means none.
        overrides: field name -> value from the command line; they win over everything.

    Raises:
        SettingsError: naming every problem, its value and what is allowed.
    """
    from config.settings import Settings

    owners = sections_by_field(Settings)
    given: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        given.setdefault(owners[name], {})[name] = value
    try:
        return Settings(_env_file=env_file, _env_file_encoding="utf-8", **given)
    except ValidationError as error:
        raise SettingsError(explain(error, Settings)) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{env_file}: not UTF-8 text ({error}); save it as UTF-8") from error


def explain(error: ValidationError, settings_cls: type[BaseSettings]) -> str:
    """All problems of a set of settings, a line each: name, value, what is allowed."""
    problems = error.errors()
    lines = [f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the settings:"]
    lines += [f"  {_explain_one(dict(problem), settings_cls)}" for problem in problems]
    return "\n".join(lines)


def _explain_one(problem: dict[str, Any], settings_cls: type[BaseSettings]) -> str:
    path = tuple(str(part) for part in problem["loc"])
    if not path:
        return str(problem["msg"]).removeprefix("Value error, ")
    models = section_models(settings_cls)
    if path[0] not in models:
        return _unknown(path[0], list(sections_by_field(settings_cls)))
    name = path[1] if len(path) > 1 else path[0]
    field = models[path[0]].model_fields.get(name)
    shown = "(secret)" if field is not None and "SecretStr" in str(field.annotation) else repr(problem["input"])
    allowed = f"; allowed: {allowed_values(field)}" if field is not None else ""
    return f"{name.upper()} = {shown}: {problem['msg']}{allowed}"


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0].upper()}?" if close else "; .env.example lists every name"
    return f"{name.upper()}: there is no such setting{hint}"


def allowed_values(field: FieldInfo) -> str:
    """The range or the choices of a field, in words."""
    annotation = str(field.annotation)
    if "Literal[" in annotation:
        return annotation.split("Literal[", 1)[1].split("]", 1)[0].replace("'", "").replace(", ", " | ")
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "pattern": "matching"}
    bounds = [f"{sign} {getattr(rule, key)}" for rule in field.metadata for key, sign in signs.items() if getattr(rule, key, None) is not None]
    return f"{_type_name(annotation)} {' and '.join(bounds)}".strip()


def _type_name(annotation: str) -> str:
    names = {"bool": "true or false", "int": "whole number", "float": "number", "Path": "path", "SecretStr": "text", "str": "text"}
    if "tuple" in annotation:
        return "comma-separated list"
    return next((words for key, words in names.items() if key in annotation), "text")


def origin_of(name: str, env_file: Path | None, overrides: Mapping[str, Any]) -> str:
    """Where a setting's value came from: `command line`, `environment`, the file's name or `default`."""
    import os

    if name in overrides:
        return "command line"
    if any(key.lower() == name and value for key, value in os.environ.items()):
        return "environment"
    if env_file is not None and env_file.exists():
        if any(key.lower() == name and value for key, value in dotenv_values(env_file, encoding="utf-8").items()):
            return env_file.name
    return "default"
