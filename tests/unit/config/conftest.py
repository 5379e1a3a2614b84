"""An environment without any of our settings, and a writer of `.env` files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from config.sources import sections_by_field

WriteEnv = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    known = sections_by_field(Settings)
    for name in [name for name in os.environ if name.lower() in known]:
        monkeypatch.delenv(name)


@pytest.fixture
def write_env(tmp_path: Path) -> WriteEnv:
    def write(*lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / ".env"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write
