from __future__ import annotations

from pathlib import Path

from config.example import example_text, write
from config.loading import load_settings
from config.settings import Settings


def test_the_example_has_no_effect_as_it_stands(tmp_path: Path) -> None:
    write(tmp_path / ".env")
    assert load_settings(tmp_path / ".env") == Settings()


def test_the_example_without_its_comment_signs_gives_the_defaults(tmp_path: Path) -> None:
    lines = [line[1:] for line in example_text().splitlines() if line.startswith("#") and not line.startswith("# ")]
    env_file = tmp_path / ".env"
    env_file.write_text("\n".join(lines), encoding="utf-8")
    assert len(lines) > 50
    assert load_settings(env_file) == Settings()


def test_lines_end_alike_on_every_system(tmp_path: Path) -> None:
    write(tmp_path / ".env")
    assert b"\r" not in (tmp_path / ".env").read_bytes()
