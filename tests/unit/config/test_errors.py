from __future__ import annotations

import inspect
import re

import pytest

from config import errors
from config.errors import (
    InsufficientHistory,
    OrderDenied,
    OrderRejected,
    RetryError,
    ScalperError,
    SchemaMismatch,
    SkipError,
    SlotError,
    StopError,
    TerminalCallFailed,
)

_BRANCH = re.compile(r"^(?P<stem>[ |`-]*?)(?:\|-- |`-- )?(?P<name>[A-Z]\w+)(?: +(?P<text>.*))?$")


def drawn_tree() -> dict[str, str | None]:
    """Class -> parent, as the module's docstring draws them."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines()[1:]:
        match = _BRANCH.match(line)
        if match is None or not line.startswith("    "):
            continue
        column = match.start("name")
        path = [(at, name) for at, name in path if at < column]
        parents[match["name"]] = path[-1][1] if path else None
        path.append((column, match["name"]))
    return parents


def defined_tree() -> dict[str, str | None]:
    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass) if item.__module__ == errors.__name__]
    return {item.__name__: None if item is ScalperError else item.__bases__[0].__name__ for item in classes}


def test_the_drawn_tree_is_the_defined_tree() -> None:
    assert drawn_tree() == defined_tree()


def test_every_error_has_one_root_and_one_parent() -> None:
    for name, item in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(item, ScalperError), name
        assert len(item.__bases__) == 1, name


def test_every_error_has_a_docstring() -> None:
    assert all(item.__doc__ for _, item in inspect.getmembers(errors, inspect.isclass))


def test_drawn_exit_codes_are_those_of_the_classes() -> None:
    drawn = dict(re.findall(r"-- (\w+) +(\d) ", errors.__doc__ or ""))
    stops = {name: item.exit_code for name, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, StopError)}
    assert {name: int(code) for name, code in drawn.items()} == {name: code for name, code in stops.items() if name != "StopError"}


@pytest.mark.parametrize("code", [item.exit_code for item in StopError.__subclasses__()])
def test_exit_codes_are_those_of_the_command_line(code: int) -> None:
    assert code in (1, 3, 4, 5)


def test_the_branches_say_what_to_do_and_do_not_overlap() -> None:
    branches = (StopError, SkipError, RetryError, SlotError)
    for one in branches:
        assert not any(issubclass(one, other) for other in branches if other is not one)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (InsufficientHistory("EURUSD", 12, 300), ["EURUSD", "12", "300", "HISTORY_BARS"]),
        (OrderDenied("max_positions", "3 open"), ["max_positions", "3 open"]),
        (OrderRejected(10030, "XAUUSD", "unsupported filling mode"), ["10030", "XAUUSD", "filling"]),
        (TerminalCallFailed("copy_rates_from_pos", -10004, "No IPC connection"), ["copy_rates_from_pos", "-10004", "No IPC"]),
        (SchemaMismatch("scalper_v3", ("atr_14",), ("rsi_7",)), ["scalper_v3", "atr_14", "rsi_7"]),
    ],
)
def test_an_error_carries_the_facts(error: ScalperError, facts: list[str]) -> None:
    assert all(fact in str(error) for fact in facts)
