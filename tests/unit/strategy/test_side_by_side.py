"""Calls on two threads: each is made once, answers keep their order, nobody waits for a thread that does not come."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from strategy.side_by_side import Maker, SideBySide, one_by_one

PATIENCE_S = 20.0
"""After which a test that hangs fails; reached by none that passes."""


@pytest.mark.parametrize("maker", [one_by_one, SideBySide(1), SideBySide(2)])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_call_is_made_once_and_answers_in_its_order(maker: Maker, count: int) -> None:
    made: list[int] = []

    def call(number: int) -> int:
        made.append(number)
        return number

    assert maker([partial(call, number) for number in range(count)]) == list(range(count))
    assert sorted(made) == list(range(count))


def test_two_calls_are_made_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)

    first, last = SideBySide(2)([both.wait, both.wait])  # one thread alone would stand before the barrier for good

    assert {first, last} == {0, 1}


def test_the_caller_makes_what_the_thread_has_not_come_to() -> None:
    begun, came = threading.Event(), threading.Event()

    def held() -> int:
        begun.set()
        assert came.wait(PATIENCE_S), "the second call was left to the thread, which is busy with the first"
        return threading.get_ident()

    def second() -> int:
        came.set()
        return threading.get_ident()

    def own() -> int:
        assert begun.wait(PATIENCE_S), "the thread began nothing"
        return threading.get_ident()

    first_by, second_by, own_by = SideBySide(2)([held, second, own])

    assert second_by == own_by == threading.get_ident()
    assert first_by != own_by


def test_with_one_core_everything_is_made_by_the_caller() -> None:
    assert set(SideBySide(1)([threading.get_ident] * 5)) == {threading.get_ident()}


@pytest.mark.parametrize("failing", range(3))
def test_an_error_reaches_the_caller_and_the_next_calls_are_made(failing: int) -> None:
    maker = SideBySide(2)

    def call(number: int) -> int:
        if number == failing:
            raise KeyError(number)
        return number

    with pytest.raises(KeyError, match=str(failing)):
        maker([partial(call, number) for number in range(3)])

    assert maker([lambda: 1, lambda: 2]) == [1, 2]


def test_after_an_error_nobody_makes_the_calls_that_are_left() -> None:
    maker, begun, let_go, made = SideBySide(2), threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert let_go.wait(PATIENCE_S)

    def fail() -> None:
        assert begun.wait(PATIENCE_S)
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        maker([hold, made.set, fail])
    let_go.set()

    both = threading.Barrier(2, timeout=PATIENCE_S)
    maker([both.wait, both.wait])  # the thread has come through what was left to it
    assert not made.is_set()
