"""A terminal behind a line: what a caller may rely on whatever the other side does."""

from __future__ import annotations

import threading
from types import MappingProxyType

import pytest

from execution.channel import Deadlines
from execution.far_terminal import FarTerminal
from execution.simulated.structs import STRUCTS
from execution.terminal import Request
from execution.wire import decode_call
from execution.wire import encode as encode_with

INITIALIZE = Request("initialize")


def encode(value):
    return encode_with(value, STRUCTS)


TRUE = encode(("reply", True, 1, "Success", None))


class Line:
    """Answers from a list; an exception is raised, `...` never comes."""

    def __init__(self, *answers):
        self.answers = [TRUE, *answers]  # the first brings the clock
        self.closed = False

    def send_bytes(self, data):
        assert not self.closed
        self.asked = decode_call(data, STRUCTS)

    def poll(self, timeout):
        return self.answers[0] is not ...

    def recv_bytes(self, longest):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed = True


def terminal_of(*lines, **deadlines):
    left = list(lines)
    return FarTerminal(lambda given_up: left.pop(0), Deadlines(**deadlines))


@pytest.mark.parametrize(
    "trouble",
    [..., EOFError(), OSError("reset"), b"no message", encode("neither reply nor error"), encode(("raised", "KeyError", "x"))],
)
def test_after_an_error_the_line_is_dropped_until_initialize_opens_another(trouble):
    first, second = Line(trouble), Line(TRUE, TRUE)
    terminal = terminal_of(first, second, call=0.0)
    with pytest.raises(OSError):
        terminal.call(Request("account_info"))
    assert first.closed
    with pytest.raises(ConnectionError, match="no connection"):
        terminal.call(Request("account_info"))
    assert terminal.call(INITIALIZE).value is True
    assert terminal.call(Request("account_info")).value is True


def test_a_call_arrives_with_its_arguments_and_keywords():
    line = Line(TRUE)
    terminal_of(line).call(Request("orders_get", (1, "x"), MappingProxyType({"ticket": 5})))
    assert line.asked == ("orders_get", (1, "x"), {"ticket": 5})


@pytest.mark.parametrize("name", ["TypeError", "SystemError", "HomeError"])
def test_what_the_module_raises_leaves_the_line_alone(name):
    line = Line(encode(("raised", name, "text")), TRUE)
    terminal = terminal_of(line)
    with pytest.raises(Exception, match="text") as raised:
        terminal.call(Request("account_info"))
    assert type(raised.value).__name__ == name
    assert terminal.call(Request("account_info")).value is True


@pytest.mark.parametrize(
    ("function", "seconds"),
    [
        ("initialize", 4),
        ("login", 4),
        ("order_send", 3),
        ("copy_rates_from_pos", 2),
        ("history_deals_get", 2),
        ("symbols_get", 2),
        ("symbol_info_tick", 1),
        ("positions_get", 1),
        ("shutdown", 1),
    ],
)
def test_each_function_has_the_deadline_of_its_kind(function, seconds):
    assert Deadlines(call=1, history=2, order=3, connect=4).of(function) == seconds


def test_the_clock_follows_the_answers():
    terminal = terminal_of(Line(encode(("reply", None, 1, "", 1_700_000_060.0)), encode(("reply", None, 1, "", 1_700_000_000.0))))
    terminal.call(Request("advance"))
    terminal.call(Request("advance"))
    assert terminal.clock.now().timestamp() == 1_700_000_060.0


def test_while_one_thread_connects_the_others_are_not_kept_waiting():
    opening, go_on = threading.Event(), threading.Event()
    lines = [Line(EOFError()), Line(TRUE)]

    def open_line(given_up):
        if len(lines) == 1:
            opening.set()
            assert go_on.wait(60)
        return lines.pop(0)

    terminal = FarTerminal(open_line, Deadlines())
    with pytest.raises(OSError):
        terminal.call(Request("account_info"))
    connecting = threading.Thread(target=terminal.call, args=(INITIALIZE,))
    connecting.start()
    assert opening.wait(60)
    with pytest.raises(ConnectionError, match="connected again"):
        terminal.call(Request("account_info"))
    go_on.set()
    connecting.join()


def test_once_interrupted_a_hang_ends_and_nothing_is_opened(monkeypatch):
    monkeypatch.setattr("execution.far_terminal.LAST_SECONDS", -1.0)
    terminal = terminal_of(Line(TRUE, ...), call=1e9, connect=1e9)
    terminal.interrupt()
    assert terminal.call(Request("account_info")).value is True  # what answers at once is still served
    with pytest.raises(TimeoutError, match="given up"):
        terminal.call(Request("account_info"))
    with pytest.raises(ConnectionError):
        terminal.call(INITIALIZE)
