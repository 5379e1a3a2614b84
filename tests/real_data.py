"""Where recorded market data lie, for the tests that want some; they are not part of the repository.

REAL_DATA names the folder; without it `shared/data/dev` beside the repository is looked at.
"""

import os
from functools import lru_cache
from pathlib import Path

import pytest

from market_data.importers import import_file

_BESIDE = Path(__file__).resolve().parents[2]


def found_folder() -> Path | None:
    """The folder of recorded data, where there is one."""
    candidates = [os.environ.get("REAL_DATA", ""), str(_BESIDE / "shared/data/dev"), str(_BESIDE.parent / "shared/data/dev")]
    return next((Path(place) for place in candidates if place and Path(place).is_dir()), None)


def folder():
    """The folder of recorded data, or a skip where there is none."""
    found = found_folder()
    if found is None:
        pytest.skip("no recorded data: set REAL_DATA to a folder of price files")
    return found


@lru_cache(maxsize=4)
def recorded(name):
    """The import report of one file."""
    path = folder() / name
    if not path.exists():
        pytest.skip(f"no {name} among the recorded data")
    return import_file(path)
