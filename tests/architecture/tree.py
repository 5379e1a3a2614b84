"""The shipped modules, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "market_data", "execution", "strategy", "utils")


@dataclass(frozen=True)
class Module:
    """A shipped module: dotted name, path relative to the root, text, parsed tree."""

    name: str
    path: str
    text: str
    tree: ast.Module


@cache
def shipped() -> tuple[Module, ...]:
    """Every module of the packages, and main.py where it exists."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    main = ROOT / "main.py"
    return tuple(_read(file) for file in [*files, *([main] if main.exists() else [])])


def _read(file: Path) -> Module:
    relative = file.relative_to(ROOT)
    text = file.read_text(encoding="utf-8")
    parts = [part for part in relative.with_suffix("").parts if part != "__init__"]
    return Module(".".join(parts), relative.as_posix(), text, ast.parse(text, relative.as_posix()))


def faults(rule: Callable[[Module], list[str]]) -> list[str]:
    """What a rule finds in all shipped modules: path, line and fault."""
    return [f"{module.path}:{found}" for module in shipped() for found in rule(module)]


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every absolute import, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def dotted(node: ast.AST) -> str:
    """`os.path.join` of such an expression; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""
