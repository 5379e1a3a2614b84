"""`.env.example` documents every setting, with its default, and nothing else."""

from __future__ import annotations

import re

from config.example import example_text
from config.settings import Settings
from config.sources import section_models
from config.wording import written
from tests.architecture.tree import ROOT

EXAMPLE = ROOT / ".env.example"


def documented() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.M))


def defaults() -> dict[str, str]:
    fields = {name: field for model in section_models(Settings).values() for name, field in model.model_fields.items()}
    return {name.upper(): written(field.default) for name, field in fields.items()}


def test_every_setting_is_documented_and_every_documented_name_is_a_setting() -> None:
    assert documented().keys() == defaults().keys()


def test_every_default_is_the_one_in_force() -> None:
    assert documented() == defaults()


def test_the_file_is_as_the_settings_write_it() -> None:
    remedy = "renew it: python -c \"from pathlib import Path; from config.example import write; write(Path('.env.example'))\""
    assert EXAMPLE.read_text(encoding="utf-8") == example_text(), remedy
