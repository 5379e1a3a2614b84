"""The hang of ten minutes in one minute; `python -m tests.campaigns.long_hang` takes the whole time."""

from __future__ import annotations

import pytest

from tests.campaigns.long_hang import measure


@pytest.mark.campaign
def test_a_long_hang_costs_no_heartbeat_no_job_and_no_order(tmp_path):
    seen = measure(tmp_path / "home", 1.0)
    assert seen["heartbeats while it hung"] >= seen["heartbeats due"] - 1
    assert seen["jobs that ended while it hung"]
    assert seen["exit codes"] == [130, 0]
    assert seen["deals in journal and broker's book equal"]
