"""Rules of the source that no linter states."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.tree import ROOT, Module, dotted, faults, shipped

MOST_LINES = 400
DRAWERS = {"helpers", "common", "misc", "util"}


# The console's own conventions (NO_COLOR, TERM) belong to the command line; the stand-in lives in other people's programs.
ALLOWED = ("config/loading.py", "utils/cli", "execution/simulated/stand_in/MetaTrader5")


def test_nothing_prints() -> None:
    assert faults(lambda module: [f"{call.lineno}" for call in _calls(module) if dotted(call.func) in ("print", "pprint.pprint")]) == []


def _calls(module: Module) -> list[ast.Call]:
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]


def test_no_module_is_too_long() -> None:
    lengths = {module.path: len(module.text.splitlines()) for module in shipped()}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_imports_are_absolute() -> None:
    assert (
        faults(lambda module: [f"{node.lineno}" for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) and node.level]) == []
    )


def test_only_the_settings_read_the_environment() -> None:
    assert [fault for fault in faults(_reads_of_the_environment) if not fault.startswith(ALLOWED)] == []


def _reads_of_the_environment(module: Module) -> list[str]:
    """Uses of the environment, but for the setting of a variable by name."""
    written = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)}
    uses = (node for node in ast.walk(module.tree) if dotted(node) in ("os.environ", "os.getenv") and id(node) not in written)
    return [f"{node.lineno}: {dotted(node)}" for node in uses]


def test_there_is_no_drawer_of_helpers() -> None:
    assert [module.path for module in shipped() if module.name.rpartition(".")[2] in DRAWERS] == []


def test_main_is_thin() -> None:
    main = ROOT / "main.py"
    if not main.exists():
        pytest.skip("main.py is not written yet")
    assert len(main.read_text(encoding="utf-8").splitlines()) <= 15
