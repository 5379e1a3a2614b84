"""A terminal with faults on demand, in front of any other: the in-process one or a broker's connection.

Whatever strikes is honest: what was committed is in the broker's books, and what the daemon is
told may be nothing, late or wrong, in the ways that terminals are known to have.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from execution.simulated import constants as mt5
from execution.simulated.fault_effects import Effect, changed, refusal, refused, snapshot, with_fields
from execution.simulated.fault_plan import STEPS, Fault, FaultPlan, Kind, Step
from execution.terminal import LAST_ERRORS, Reply, Request, Terminal

__all__ = ["STEPS", "Fault", "FaultPlan", "FaultyTerminal", "Kind", "Step"]

_BREAKS = (mt5.RES_E_INTERNAL_FAIL_SEND, mt5.RES_E_INTERNAL_FAIL_RECEIVE)
_NOT_OF_THE_MODULE = frozenset({"advance"})
_FALSE_ON_FAILURE = frozenset({"initialize", "login", "symbol_select", "market_book_add", "market_book_release"})
_STEPS_PER_LOT = 100


@dataclass(frozen=True, slots=True)
class _Held:
    """An order that the broker will execute at a later call."""

    due: int
    request: Request


class FaultyTerminal:
    """Answers like the terminal behind it, except where its plan says otherwise.

    Safe to call from any thread; one call at a time. `advance` of the simulated market passes
    untouched and is counted only for orders that wait to be executed late.

    Args:
        inner: the sound terminal.
        plan: what goes wrong.
        wait: how a hang takes its seconds; a test lets the market run instead.

    Attributes:
        fired: every fault that struck, in order.
    """

    def __init__(self, inner: Terminal, plan: FaultPlan, wait: Callable[[float], object] | None = None) -> None:
        self._inner = inner
        self._plan = plan
        self._wait = threading.Event().wait if wait is None else wait
        self._rng = np.random.default_rng(plan.seed)
        self._lock = threading.RLock()
        self._calls = 0
        self._counts: Counter[str] = Counter()
        self._broken = False
        self._held: list[_Held] = []
        self._effects: tuple[Effect, ...] = ()
        self.fired: list[Fault] = []

    def call(self, request: Request) -> Reply:
        """Answers one request.

        Raises:
            OSError, EOFError: where the plan has the wire fail.
        """
        with self._lock:
            self._calls += 1
            self._execute_held(self._calls)
            if request.function in _NOT_OF_THE_MODULE:
                return self._inner.call(request)
            self._broken = self._broken and request.function != "initialize"
            if self._broken:
                return _failed(request, mt5.RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
            fault = self._due(request)
            return self._through(request) if fault is None else self._struck(fault, request)

    def mend(self) -> None:
        """Ends every fault: nothing new strikes, what lasts is over, late orders are executed, the pipe is whole."""
        with self._lock:
            self._plan, self._effects, self._broken = FaultPlan(), (), False
            self._execute_held(None)

    def _due(self, request: Request) -> Fault | None:
        """The first fault of the plan that this call meets; every draw is made, so that draws do not depend on it."""
        self._counts[request.function] += 1
        here = [fault for fault in self._plan.faults if fault.function == request.function]
        drawn = [fault.nth == self._counts[request.function] if fault.nth else self._rng.random() < fault.probability for fault in here]
        return next((fault for fault, strikes in zip(here, drawn, strict=True) if strikes), None)

    def _through(self, request: Request) -> Reply:
        """The inner terminal's answer under the faults that last."""
        self._effects = tuple(effect for effect in self._effects if effect.until >= self._calls)
        for effect in self._effects:
            reply = refusal(effect, request)
            if reply is not None:
                return reply
        reply = self._inner.call(request)
        for effect in self._effects:
            reply = changed(effect, request, reply)
        return reply

    # --- what strikes -----------------------------------------------------------------------

    def _struck(self, fault: Fault, request: Request) -> Reply:
        self.fired.append(fault)
        if fault.kind in _ACTIONS:
            return _ACTIONS[fault.kind](self, fault, request)
        if fault.step is Step.AFTER:
            self._through(request)
        return self._lost(fault, request)

    def _lost(self, fault: Fault, request: Request) -> Reply:
        """The answer is lost; what the daemon is told instead."""
        if fault.kind is Kind.RETCODE:
            return refused(request, int(fault.value))
        if fault.kind is not Kind.ERROR:
            self._broken = True
            raise (OSError if fault.kind is Kind.OS_ERROR else EOFError)("the wire is broken")
        code = int(fault.value)
        self._broken = self._broken or code in _BREAKS
        return _failed(request, code, LAST_ERRORS.get(code, "fault"))

    def _hang(self, fault: Fault, request: Request) -> Reply:
        if fault.step is Step.BEFORE:
            self._wait(fault.value)
            return self._through(request)
        reply = self._through(request)
        self._wait(fault.value)
        return reply

    def _late(self, fault: Fault, request: Request) -> Reply:
        self._held.append(_Held(self._calls + fault.lasts, request))
        code = int(fault.value)
        return refused(request, code) if code > 0 else _failed(request, code, LAST_ERRORS.get(code, "fault"))

    def _execute_held(self, now: int | None) -> None:
        """Executes what is due by a call's number, or all of it."""
        due = [held for held in self._held if now is None or held.due <= now]
        self._held = [held for held in self._held if held not in due]
        for held in due:
            self._inner.call(held.request)

    def _partial(self, fault: Fault, request: Request) -> Reply:
        wanted = float(_order(request).get("volume", 0.0))
        steps = max(1, int(wanted * fault.value * _STEPS_PER_LOT))
        given = min(steps / _STEPS_PER_LOT, wanted)
        reply = self._through(_altered(request, volume=given))
        if fault.step is Step.AFTER:
            return _timed_out(request)
        whole = reply.value is None or reply.value.retcode != mt5.TRADE_RETCODE_DONE or given == wanted
        return reply if whole else replace(reply, value=with_fields(reply.value, retcode=mt5.TRADE_RETCODE_DONE_PARTIAL))

    def _without(self, fault: Fault, request: Request) -> Reply:
        """The broker takes the order without a part of what it says."""
        without: dict[str, Any] = {"sl": 0.0, "tp": 0.0} if fault.kind is Kind.STOPS_DROPPED else {"comment": ""}
        reply = self._through(_altered(request, **without))
        return _timed_out(request) if fault.step is Step.AFTER else reply

    def _lasting(self, fault: Fault, request: Request) -> Reply:
        effect = Effect(fault.kind, self._calls + fault.lasts, fault.value, snapshot(self._inner.call))
        reply = self._through(request) if fault.step is Step.ANSWER else None
        self._effects = (*self._effects, effect)
        return self._through(request) if reply is None else reply


_ACTIONS: dict[Kind, Callable[[FaultyTerminal, Fault, Request], Reply]] = {
    Kind.HANG: FaultyTerminal._hang,
    Kind.LATE: FaultyTerminal._late,
    Kind.PARTIAL: FaultyTerminal._partial,
    Kind.STOPS_DROPPED: FaultyTerminal._without,
    Kind.COMMENT_LOST: FaultyTerminal._without,
    **dict.fromkeys(
        (
            Kind.ALGO_OFF,
            Kind.API_DISABLED,
            Kind.ACCOUNT_SWAPPED,
            Kind.SERVER_LOST,
            Kind.CLOCK_JUMP,
            Kind.HISTORY_LATE,
            Kind.POSITIONS_LATE,
        ),
        FaultyTerminal._lasting,
    ),
}


def _failed(request: Request, code: int, message: str) -> Reply:
    """A call without a result."""
    return Reply(False if request.function in _FALSE_ON_FAILURE else None, code, message)


def _timed_out(request: Request) -> Reply:
    return _failed(request, mt5.RES_E_INTERNAL_FAIL_TIMEOUT, "IPC timeout")


def _order(request: Request) -> dict[str, Any]:
    return dict(request.args[0]) if request.args else dict(request.kwargs)


def _altered(request: Request, **fields: Any) -> Request:
    """An order with other values in some fields."""
    return Request(request.function, ({**_order(request), **fields},))
