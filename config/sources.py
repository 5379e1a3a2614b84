"""From the flat names of `.env` and the environment to the sections of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, PydanticBaseSettingsSource


class FlatSource(PydanticBaseSettingsSource):
    """Hands `RISK_PERCENT` to section `risk`, field `risk_percent`.

    Wraps one of pydantic-settings' own sources for the reading. A name that no section knows
    is passed on in capitals, which no section bears, so that it is refused, if it stands in
    the `.env` file. The environment is full of other programs' names, which are left alone.
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
            elif isinstance(self._reader, DotEnvSettingsSource):
                found[name.upper()] = text
        return found

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
