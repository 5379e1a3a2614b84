"""Which version of a library can be trusted with what another version of it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

EQUAL_PARTS: Mapping[str, int] = MappingProxyType(
    {
        "scikit-learn": 2,  # pickles its estimators; promises nothing from one minor version to the next
        "xgboost": 2,  # likewise: a pickle is a memory snapshot of one version
        "TA-Lib": 2,  # computes features; its minor versions may change values
        "numpy": 1,  # inside every pickle; moved its modules between major versions
        "torch": 1,  # a state dict is plain tensors by name
    }
)
"""How many leading parts of a library's version must be those that a model was made with.

A library that is not named may be any version: `onnxruntime` runs a compiled model only after it
agreed with the native one on the golden rows.
"""


def mismatch(recorded: Mapping[str, str]) -> str | None:
    """Why a model made with these libraries is not opened by the installed ones; None where it may be.

    Args:
        recorded: library -> version, as the manifest says.
    """
    for name, parts in EQUAL_PARTS.items():
        if name in recorded and _head(recorded[name], parts) != _head(installed(name), parts):
            return f"made with {name} {recorded[name]}, installed is {installed(name) or 'none'}; retrain this slot"
    return None


def differs(recorded: Mapping[str, str]) -> bool:
    """Whether any library is another than the one a model was made with, be it by a patch alone."""
    return any(made_with != installed(name) for name, made_with in recorded.items())


@cache
def installed(name: str) -> str:
    """Version of an installed library; empty where there is none. It cannot change while a process lives."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _head(text: str, parts: int) -> tuple[str, ...]:
    """The leading parts of a version, without the build's own suffix (`2.8.0+cpu`)."""
    return tuple(text.partition("+")[0].split(".")[:parts])
