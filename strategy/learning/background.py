"""Manners of what trains beside the trading loop: it lets the loop go first.

Lower priority decides who gets a core; the cap on threads leaves one free; and a short switch
interval decides how soon the loop gets the interpreter's lock back, which it gives away at every
model that it asks.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import suppress

import psutil
from threadpoolctl import threadpool_limits

NICE = 5
"""Steps below normal on Linux: a third of a busy core, and all of an idle one."""

_BELOW_NORMAL = -1  # THREAD_PRIORITY_BELOW_NORMAL

SWITCH_SECONDS = 2e-5
"""Longest wait for the interpreter's lock behind Python code; Python's own 5 ms would be several decisions."""


def step_back(threads: int) -> None:
    """The calling thread, and those that it starts on Linux, give way to the loop from now on, for good.

    Args:
        threads: most that linear algebra may use in this process; fits are given their own number.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    threadpool_limits(threads, user_api="blas")
    lower_thread()


def lower_thread() -> None:
    """Lowers the calling thread's priority; what does not allow it is left as it is."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentThread.restype = ctypes.c_void_p
        kernel.SetThreadPriority(ctypes.c_void_p(kernel.GetCurrentThread()), _BELOW_NORMAL)
    elif sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # of this one thread, on Linux


def lower_process() -> None:
    """Lowers the priority of the whole calling process."""
    with suppress(OSError, psutil.Error):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else NICE)
