"""The documents that must be there, and that what they point to is there too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

REQUIRED = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    ".env.example",
    "docs/GLOSSARY.md",
    "docs/decisions/README.md",
    "models/README.md",
    "requirements.txt",
    "requirements-dev.txt",
    ".ci/run",
    "Makefile",
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")) + [ROOT / "models" / "README.md"]
WRITTEN_BY_THE_DAEMON = re.compile(r"\.(db|db-wal|db-shm|log|pkl|pth|onnx|npz|key|parquet)$|(^|/)\.env$|\.csv\.gz$")


def readme() -> str:
    path = ROOT / "README.md"
    if not path.exists():
        pytest.skip("README.md is not written yet")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", REQUIRED)
def test_the_document_is_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    dead = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.name)
def test_a_decision_says_why_and_what_follows(decision: Path) -> None:
    text = decision.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.M) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DECISIONS if f"({path.name})" not in index] == []


def test_the_changelog_names_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_readme_has_its_command_blocks(name: str) -> None:
    assert re.search(rf"<!--\s*{name}\s*-->\s*```[a-z]*\n(.+?)```", readme(), re.S)


def test_the_ci_script_is_sound_bash_with_unix_line_ends() -> None:
    assert b"\r" not in (ROOT / ".ci" / "run").read_bytes()
    bash = shutil.which("bash")
    if bash is None or os.name == "nt":
        pytest.skip("no bash on this machine")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run([bash, "-n", str(ROOT / ".ci" / "run")], check=True)


def test_no_data_key_or_model_is_in_the_repository() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    tracked = subprocess.run([git, "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout.splitlines()
    assert [name for name in tracked if WRITTEN_BY_THE_DAEMON.search(name)] == []
