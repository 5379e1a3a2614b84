"""A short stretch of the send-once campaign, and the proof that it would find a re-send."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from tests.campaigns.killed import Killer, ResendingClient
from tests.campaigns.plans import ORDER_CASES, READ_CASES, label
from tests.campaigns.send_once import run_once

RUNS = 40
KILLED_RUNS = 2


def test_no_order_is_doubled_or_lost(tmp_path):
    reports = [run_once(seed, tmp_path) for seed in range(RUNS)]
    assert {report.seed: report.problems for report in reports if report.problems} == {}
    assert min(report.orders for report in reports) >= 10
    assert sum(report.deaths for report in reports) >= 10
    assert len(sum((report.faults for report in reports), Counter())) == len({label(case) for case in (*ORDER_CASES, *READ_CASES)})


def test_a_planted_re_send_is_found(tmp_path):
    found = (run_once(seed, tmp_path, ResendingClient).problems for seed in range(200))
    problems = next((problems for problems in found if problems), [])
    assert any(problem.startswith("DUPLICATE") for problem in problems)


def test_kills_of_the_real_process_lose_and_double_nothing(tmp_path):
    """The broker lives in a process of its own, with its faults; the daemon in another, which is killed."""
    with closing(Killer(tmp_path)) as killer:
        reports = [killer.run_once(seed) for seed in range(KILLED_RUNS)]
    assert {report.seed: report.problems for report in reports if report.problems} == {}
    assert all(report.deaths for report in reports)


def test_a_planted_re_send_opens_a_second_position(tmp_path):
    """Not only the count of calls tells: the broker's books do."""
    for seed in range(200):
        problems = run_once(seed, tmp_path, ResendingClient).problems
        if any("has orders" in problem for problem in problems):
            return
    pytest.fail("200 runs with a re-send left one order per key")
