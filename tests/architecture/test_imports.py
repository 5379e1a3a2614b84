"""Who may import whom: the contracts of pyproject.toml, and the few doors to foreign libraries."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.architecture.tree import PACKAGES, ROOT, Module, imported_modules, shipped

DOORS = {
    "MetaTrader5": {"execution.official"},
    "torch": {
        "strategy.lstm_model",
        "strategy.lstm_predictor",
        "strategy.learning.recipes",
        "strategy.learning.lstm_recipe",
    },
    "sqlite3": {
        "utils.database",
        "utils.trade_journal",
        "utils.journal_queries",
        "utils.journal_records",
        "utils.journal_rows",
        "utils.journal_schema",
        "utils.shared_state",
        "execution.simulated.book",
        "execution.paper.book",
    },
}


def test_every_import_contract_is_kept() -> None:
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", command], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_layered_exhaustively() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    assert {container for contract in contracts if contract.get("exhaustive") for container in contract["containers"]} == set(PACKAGES)


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_library_is_imported_only_by_its_doors(library: str) -> None:
    users = {module.name for module in shipped() for _, name in imported_modules(module.tree) if name.split(".")[0] == library}
    assert users - DOORS[library] == set()


@pytest.mark.parametrize("library", ["MetaTrader5", "torch"])
def test_heavy_and_optional_libraries_are_imported_inside_functions(library: str) -> None:
    """Or in a module that is itself imported only when needed: `strategy.lstm_model` and its recipe."""
    eager = {module.name for module in shipped() if library in _imports_at_top(module)}
    assert eager <= {"strategy.lstm_model", "strategy.learning.lstm_recipe"}


def _imports_at_top(module: Module) -> set[str]:
    names = {name.split(".")[0] for node in module.tree.body for _, name in imported_modules(node) if node.col_offset == 0}
    inside = {name.split(".")[0] for node in module.tree.body if hasattr(node, "body") for _, name in imported_modules(node)}
    return names - inside


def test_settings_and_errors_load_without_the_heavy_libraries() -> None:
    command = (
        "import sys, config.loading, config.errors; print(sorted({'torch', 'pandas', 'sklearn', 'numpy', 'xgboost'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"
