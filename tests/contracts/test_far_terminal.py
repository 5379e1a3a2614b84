"""The simulated terminal keeps the contract of the module over a line, too."""

from __future__ import annotations

from functools import partial
from multiprocessing import Pipe
from threading import Thread

import pytest

from execution.channel import Deadlines, Hosted, answer_all
from execution.far_terminal import FarTerminal
from execution.simulated.constants import CONSTANTS
from execution.simulated.functions import FUNCTIONS
from execution.simulated.structs import STRUCTS
from execution.terminal import Request
from tests.contracts.terminal_contract import FUNCTIONS as OFFICIAL
from tests.contracts.test_simulated_terminal import TestSimulatedTerminal as Simulated


class FarModule:
    """The module's functions over a line; the error is the one that came with the last answer."""

    def __init__(self, terminal):
        self._terminal = terminal
        self._error = (1, "Success")
        for name, value in {**CONSTANTS, **STRUCTS}.items():
            setattr(self, name, value)
        for name in set(FUNCTIONS) - {"last_error"}:
            setattr(self, name, partial(self._call, name))

    def last_error(self):
        return self._error

    def _call(self, name, *args, **kwargs):
        reply = self._terminal.call(Request(name, args, kwargs))
        self._error = (reply.code, reply.message)
        return reply.value


def test_what_can_be_called_is_the_whole_module():
    assert set(OFFICIAL) == set(FUNCTIONS)


class TestFarTerminal(Simulated):
    @pytest.fixture(autouse=True)
    def _hang_up(self):
        self.terminals, self.threads = [], []
        yield
        for terminal in self.terminals:
            terminal.close()
        for thread in self.threads:
            thread.join()

    def make(self):
        ours, theirs = Pipe()
        self.threads.append(Thread(target=answer_all, args=(theirs, Hosted.of(super().make()))))
        self.threads[-1].start()
        self.terminals.append(FarTerminal(lambda given_up: ours, Deadlines()))
        return FarModule(self.terminals[-1])
