"""Calls that need nothing of each other, made by two threads: the models of one decision."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")


class Maker(Protocol):
    """Makes calls that need nothing of each other."""

    def __call__(self, calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """What the calls return, in their order; the longest is best given last."""
        ...


def one_by_one(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """What the calls return, made one after the other."""
    return [call() for call in calls]


class SideBySide:
    """A second thread that makes a part of some calls, where there is a core for it.

    The caller begins with the last call, the thread with the first, and each of them is made by whoever comes to
    it first. So the caller never waits for a thread that gets no core: it makes the calls itself. What it does
    wait for is a single call that the thread has begun.

    Args:
        cores: of the machine; with one of them the calls are made one after the other.
    """

    def __init__(self, cores: int | None = None) -> None:
        several = (cores or os.cpu_count() or 1) > 1
        self._second = ThreadPoolExecutor(1, thread_name_prefix="second") if several else None

    def __call__(self, calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """See `Maker`.

        Raises:
            BaseException: what a call raised; of several the one nearest to the end.
        """
        if self._second is None or len(calls) < 2:
            return one_by_one(calls)
        *others, own = calls
        begun: list[Future[Answer]] = []
        try:
            begun += [self._second.submit(call) for call in others]
            found = [own()]
            for call, future in zip(reversed(others), reversed(begun), strict=True):
                found.append(call() if future.cancel() else future.result())
        finally:
            for future in begun:
                future.cancel()  # where one call has failed nobody asks for the others
        return found[::-1]
