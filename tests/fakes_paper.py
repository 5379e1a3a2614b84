"""A paper terminal over a simulated one that plays the real terminal and refuses every trade call."""

from __future__ import annotations

from typing import Any

from execution.paper import PaperTerminal
from execution.simulated import SimulatedMT5
from execution.terminal import ModuleTerminal, Reply, Request
from tests.fakes_simulated import SERVER

TRADES = ("order_send", "order_check", "positions_get", "positions_total", "orders_get", "orders_total")
PAST = ("history_orders_get", "history_deals_get", "history_orders_total", "history_deals_total")


class LookOnly:
    """A real terminal on which any call about trades is a failure of the test."""

    def __init__(self, module: SimulatedMT5) -> None:
        self.module, self._terminal = module, ModuleTerminal(module)
        self.asked: list[str] = []

    def call(self, request: Request) -> Reply:
        self.asked.append(request.function)
        assert request.function not in (*TRADES, *PAST), f"the real terminal was asked for {request}"
        return self._terminal.call(request)


class PaperModule:
    """A paper terminal as a module, so that the tests of modules can be run on it."""

    def __init__(self, module: SimulatedMT5, book: Any, **more: Any) -> None:
        self.real = LookOnly(module)
        self.terminal = PaperTerminal(self.real, book, **{"commission": 0.0, "now_msc": lambda: server_msc(module), **more})
        self._error = (1, "Success")

    def last_error(self) -> tuple[int, str]:
        return self._error

    def __getattr__(self, name: str) -> Any:
        known = getattr(self.real.module, name)
        if not callable(known) or isinstance(known, type):
            return known

        return _Function(self, name)

    def answer(self, request: Request) -> Any:
        reply = self.terminal.call(request)
        self._error = (reply.code, reply.message)
        return reply.value


class _Function:
    """A function of the module; an instance, so that no class makes a method of it."""

    def __init__(self, module: PaperModule, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._module.answer(Request(self._name, args, keywords))


def server_msc(module: SimulatedMT5) -> int:
    """The server's clock, milliseconds."""
    return 1_000 * int(SERVER.to_server(int(module.clock.now().timestamp()))[0])
