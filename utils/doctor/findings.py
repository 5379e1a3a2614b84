"""What a check says: passed, warned or failed, with its figures and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from config.errors import ScalperError


class Grade(Enum):
    """How a check came out."""

    PASS = "PASS"  # noqa: S105  # a grade, not a password
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Attributes:
        check: what was looked at.
        detail: what was found, with its figures.
        remedy: what to do; empty where nothing need be done.
    """

    check: str
    grade: Grade
    detail: str
    remedy: str = ""


def passed(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check, Grade.PASS, detail)


def warned(check: str, detail: str, remedy: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(check, Grade.WARN, detail, remedy)


def failed(check: str, detail: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(check, Grade.FAIL, detail, remedy)


def guarded(check: str, findings: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a check; an error that it meets is a finding of its own, and the other checks go on."""
    try:
        yield from findings()
    except ScalperError as error:
        problem, _, remedy = str(error).partition("; ")
        yield failed(check, problem, remedy)
