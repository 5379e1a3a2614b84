from __future__ import annotations

import os
import sys
import threading

import pytest
from threadpoolctl import threadpool_info

from strategy.learning.background import NICE, SWITCH_SECONDS, lower_thread, step_back


def _in_a_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own to read on Linux alone")
def test_one_thread_is_lowered_and_those_that_it_starts_and_no_other():
    def own():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def lowered():
        lower_thread()
        return own(), _in_a_thread(own)

    before = own()
    assert _in_a_thread(lowered) == (NICE, NICE)
    assert own() == before


def test_a_system_that_does_not_allow_it_is_left_alone(monkeypatch):
    def refuse(*args):
        raise PermissionError("no")

    monkeypatch.setattr(os, "setpriority", refuse, raising=False)
    lower_thread()


def test_linear_algebra_is_capped_and_the_lock_changes_hands_soon():
    switch = sys.getswitchinterval()
    try:
        _in_a_thread(lambda: step_back(1))
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {1}
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    finally:
        sys.setswitchinterval(switch)
