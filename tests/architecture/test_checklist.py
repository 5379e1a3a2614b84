"""Every number of the terminal's checklist has a test of its own, which is really collected."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT

CONTRACTS = ROOT / "tests" / "contracts"
NUMBERS = range(1, 76)
"""Module 1-6, life cycle 7-14, records 15-28, rates 29-42, ticks 43-47, symbols 48-52, requests 53-56,
fills 57-58, positions 59-64, pending orders 65, account 66-69, history 70-71, process 72-75."""
_OWN = re.compile(r"::test_(\d+)_(?!\d|to_\d)|\[number (\d+):")
_SHARED = re.compile(r"::test_\d+(?:_to)?_\d+_")


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """What pytest finds in the contract suites, not what their text promises."""
    suites = [str(path) for pattern in ("test_mt5_*.py", "test_module_*.py") for path in sorted(CONTRACTS.glob(pattern))]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *suites]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True, timeout=120)
    return [line for line in done.stdout.splitlines() if "::" in line]


def numbers_of(tests: list[str]) -> set[int]:
    return {int(found[1] or found[2]) for test in tests if (found := _OWN.search(test))}


def test_no_number_is_missing(collected: list[str]) -> None:
    assert sorted(set(NUMBERS) - numbers_of(collected)) == []


def test_no_test_stands_for_several_numbers(collected: list[str]) -> None:
    assert [test for test in collected if _SHARED.search(test)] == []


def test_what_shares_a_test_or_carries_a_number_by_chance_is_not_counted() -> None:
    assert numbers_of(["a.py::test_30_32_bars", "a.py::test_15_to_25_fields", "a.py::test_swap_modes[7-1.0]"]) == set()
    assert numbers_of(["a.py::test_30_bars[3-60]", "a.py::TestModule::test_fields[number 16: Tick]"]) == {30, 16}
    assert _SHARED.search("a.py::test_15_to_25_fields")
