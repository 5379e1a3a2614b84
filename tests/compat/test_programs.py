"""Programs that others wrote for the `MetaTrader5` module, unmodified, on the simulated terminal.

They live in an environment of their own: set COMPAT_PYTHON to its interpreter, as docs/COMPATIBILITY.md says.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

HERE = Path(__file__).parent
PYTHON = os.environ.get("COMPAT_PYTHON", "")
PROGRAMS = {"pdmt5": "pdmt5", "aiomql": "aiomql", "metatrader_mcp": "metatrader_client", "mqpy": "mqpy"}

pytestmark = pytest.mark.campaign


@pytest.fixture
def report(request, tmp_path):
    """What the driver of a program told, as its last line."""
    name = request.param
    if not PYTHON:
        pytest.skip("COMPAT_PYTHON does not name the interpreter of an environment with other people's programs")
    there = subprocess.run(
        [PYTHON, "-c", f"import importlib.util as u; raise SystemExit(u.find_spec({PROGRAMS[name]!r}) is None)"], check=False
    )
    if there.returncode:
        pytest.skip(f"{name} is not installed beside {PYTHON}")
    command = [sys.executable, "main.py", "with-terminal", "--login", "5001", "--server", "Demo", "--speed", "60", "--"]
    driver = [PYTHON, str(HERE / f"drive_{name}.py"), str(tmp_path)]
    done = subprocess.run([*command, *driver], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("report", list(PROGRAMS), indirect=True)
def test_it_reads_trades_and_finds_its_deals(report):
    assert report["rates"] >= 500
    assert report["ticks"] > 0
    assert report["held"] == 1
    assert [deal[0] for deal in report["deals"]] == [0, 1]  # in and out
    assert all(deal[1] > 0 for deal in report["deals"])
    assert {report.get("sent", 10009), report.get("closed", 10009)} == {10009}
