"""Settings in words: what a field allows, how a value is written, what is wrong with one."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from config.sources import section_models, sections_by_field

MASK = "********"
"""Stands for a secret wherever a value is shown."""

_KINDS = {bool: "true or false", int: "whole number", float: "number", Path: "path"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "pattern": "matching"}


def written(value: object) -> str:
    """A value as it would stand in `.env`; a secret is masked, None is empty.

    >>> written((16, 17)), written(True), written(0.5), written(None)
    ('16,17', 'true', '0.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return ",".join(written(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_secret(field: FieldInfo) -> bool:
    """Whether a field's value is never shown."""
    return _without_none(field.annotation) is SecretStr


def allowed_values(field: FieldInfo) -> str:
    """The range or the choices of a field, in words."""
    return _allowed(_without_none(field.annotation), field.metadata)


def _allowed(annotation: Any, rules: list[Any]) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"comma-separated {_item(get_args(annotation)[0])}"
    bounds = [f"{sign} {getattr(rule, key)}" for rule in rules for key, sign in _SIGNS.items() if getattr(rule, key, None) is not None]
    return f"{_KINDS.get(annotation, 'text')} {' and '.join(bounds)}".strip()


def _item(annotation: Any) -> str:
    """What the items of a list may be; `Annotated[int, Field(ge=0)]` carries its own bounds."""
    if get_origin(annotation) is not Annotated:
        return "names"
    kind, *fields = get_args(annotation)
    return f"values, each a {_allowed(kind, [rule for field in fields for rule in field.metadata])}"


def _without_none(annotation: Any) -> Any:
    """`int | None` -> `int`; `Annotated[X, ...]` -> `X`."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def problem_lines(problem: ErrorDetails, settings_cls: type[BaseSettings], origin: Callable[[str], str]) -> list[str]:
    """One fault of a set of settings in words; contradictions come as several lines.

    Args:
        problem: as pydantic reports it.
        settings_cls: whose sections and fields are meant.
        origin: field name -> where its value came from.
    """
    message = str(problem["msg"]).removeprefix("Value error, ")
    path = tuple(str(part) for part in problem["loc"])
    if not path:
        return message.splitlines()
    model = section_models(settings_cls).get(path[0])
    field = model.model_fields.get(path[1]) if model is not None and len(path) > 1 else None
    if field is None:
        return [unknown_name(path[-1], settings_cls)]
    shown = "(secret)" if is_secret(field) else repr(problem["input"])
    allowed = allowed_values(field)
    remedy = "" if allowed == "text" else f"; allowed: {allowed}"
    return [f"{path[1].upper()} = {shown} ({origin(path[1])}): {message}{remedy}"]


def unknown_name(name: str, settings_cls: type[BaseSettings]) -> str:
    """That a name is no setting, and the nearest that is. Its value is not repeated: it may be a secret."""
    close = difflib.get_close_matches(name.lower(), list(sections_by_field(settings_cls)), n=1)
    hint = f"; did you mean {close[0].upper()}?" if close else "; .env.example lists every name"
    return f"{name.upper()}: there is no such setting{hint}"
