"""Pins and ranges agree, and nothing is imported that is not declared."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.tree import PACKAGES, ROOT, imported_modules, shipped


def lines(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith(("#", "-r"))]


def pins(name: str) -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines(name))}


def ranges() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_exactly_and_once(name: str) -> None:
    found = [Requirement(line) for line in lines(name)]
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") and "+" not in str(pin.specifier) for pin in found)
    assert len({canonicalize_name(pin.name) for pin in found}) == len(found)


@pytest.mark.parametrize("wanted", ranges(), ids=lambda wanted: wanted.name)
def test_a_pin_satisfies_its_range_on_the_same_platforms(wanted: Requirement) -> None:
    pin = pins("requirements.txt")[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(str(pin.specifier).removeprefix("=="))
    assert str(pin.marker) == str(wanted.marker)


def test_the_development_pins_build_on_the_daemon_s() -> None:
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert not pins("requirements-dev.txt").keys() & pins("requirements.txt").keys()


def test_what_is_bound_to_a_platform_says_so() -> None:
    marked = {name: str(pin.marker) for name, pin in pins("requirements.txt").items() if pin.marker}
    windows, linux = 'sys_platform == "win32"', 'sys_platform == "linux"'
    assert marked == {"metatrader5": windows, "colorama": windows, "win32-setctime": windows, "nvidia-nccl-cu12": linux}


def test_every_library_that_is_imported_is_declared() -> None:
    declared = {canonicalize_name(wanted.name) for wanted in ranges()}
    owners = packages_distributions()
    imported = {name.split(".")[0] for module in shipped() for _, name in imported_modules(module.tree)}
    foreign = imported - sys.stdlib_module_names - set(PACKAGES) - {"MetaTrader5"}
    undeclared = {name for name in foreign if not {canonicalize_name(owner) for owner in owners.get(name, [name])} & declared}
    assert undeclared == {"pydantic_core"} & foreign  # the other half of pydantic, released with it
