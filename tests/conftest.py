"""What every test shares: the same drawn examples in every CI run, and what was logged."""

import os

import pytest
from hypothesis import settings
from loguru import logger

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

collect_ignore_glob = ["compat/drive_*.py"]  # programs that run with other people's packages, in other interpreters


@pytest.fixture
def said():
    """Lines that are logged during a test, each behind its level."""
    lines = []
    number = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(number)
