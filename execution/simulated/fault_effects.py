"""Faults that last for a while: how they change the answers of calls that are sound in themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from execution.simulated import constants as mt5
from execution.simulated.fault_plan import Kind
from execution.simulated.queries import keep
from execution.simulated.requests import parse_request
from execution.simulated.structs import OrderSendResult, Struct
from execution.terminal import Reply, Request

_LATEST = 2**33
_TEXTS = MappingProxyType(
    {mt5.TRADE_RETCODE_CLIENT_DISABLES_AT: "AutoTrading disabled by client", mt5.TRADE_RETCODE_CONNECTION: "No connection"}
)
_TIMES = ("time", "time_update", "time_setup", "time_done")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the broker's books held when a fault began.

    Attributes:
        order, deal: the newest tickets of the history.
        ticks: filled as quotes are asked for.
    """

    positions: tuple[Any, ...]
    order: int
    deal: int
    ticks: dict[str, Reply] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Effect:
    """A fault at work.

    Attributes:
        until: number of the last call that meets it.
        value: of the Fault.
    """

    kind: Kind
    until: int
    value: float
    before: Snapshot


def snapshot(call: Callable[[Request], Reply]) -> Snapshot:
    """What the books hold now."""
    positions = call(Request("positions_get")).value or ()
    orders = call(Request("history_orders_get", (0, _LATEST))).value or ()
    deals = call(Request("history_deals_get", (0, _LATEST))).value or ()
    return Snapshot(tuple(positions), _newest(orders), _newest(deals))


def _newest(records: Iterable[Any]) -> int:
    return max((int(record.ticket) for record in records), default=0)


def refusal(effect: Effect, request: Request) -> Reply | None:
    """The answer to an order that the fault stops; None where it does not."""
    if request.function != "order_send":
        return None
    if effect.kind is Kind.API_DISABLED:
        return Reply(None, mt5.RES_E_AUTO_TRADING_DISABLED, "Auto-Trading using Python API disabled in Terminal")
    if effect.kind in (Kind.ALGO_OFF, Kind.ACCOUNT_SWAPPED):  # a terminal switches Algo Trading off with a new account
        return refused(request, mt5.TRADE_RETCODE_CLIENT_DISABLES_AT)
    return refused(request, mt5.TRADE_RETCODE_CONNECTION) if effect.kind is Kind.SERVER_LOST else None


def refused(request: Request, retcode: int) -> Reply:
    """An order's answer that is a retcode and nothing else."""
    echo = parse_request(request.args, request.kwargs)
    text = _TEXTS.get(retcode, f"Retcode {retcode}")
    return Reply(OrderSendResult((retcode, 0, 0, 0.0, 0.0, 0.0, 0.0, text, 0, 0, echo)), mt5.RES_S_OK, "Success")


def changed(effect: Effect, request: Request, reply: Reply) -> Reply:
    """The answer as the fault leaves it; a call that failed stays as it is."""
    change = _CHANGES.get(effect.kind)
    return reply if change is None or reply.value is None else change(effect, request, reply)


def with_fields(record: Any, **fields: Any) -> Any:
    """A record of the module with other values in some fields."""
    return type(record)(fields.get(name, value) for name, value in zip(record.__match_args__, record, strict=True))


def _algo_off(effect: Effect, request: Request, reply: Reply) -> Reply:
    return _with(reply, trade_allowed=False) if request.function == "terminal_info" else reply


def _api_disabled(effect: Effect, request: Request, reply: Reply) -> Reply:
    return _with(reply, tradeapi_disabled=True) if request.function == "terminal_info" else reply


def _account_swapped(effect: Effect, request: Request, reply: Reply) -> Reply:
    if request.function == "account_info":
        return _with(reply, login=reply.value.login + 1)
    books = ("positions_get", "orders_get", "history_orders_get", "history_deals_get")
    return replace(reply, value=()) if request.function in books else reply


def _server_lost(effect: Effect, request: Request, reply: Reply) -> Reply:
    if request.function == "terminal_info":
        return _with(reply, connected=False)
    if request.function == "symbol_info_tick":
        return effect.before.ticks.setdefault(request.args[0], reply)
    return _positions_late(effect, request, _history_late(effect, request, reply))


def _positions_late(effect: Effect, request: Request, reply: Reply) -> Reply:
    if request.function != "positions_get":
        return reply
    wanted = keep(request.kwargs)
    return replace(reply, value=tuple(held for held in effect.before.positions if wanted(held)))


def _history_late(effect: Effect, request: Request, reply: Reply) -> Reply:
    newest = {"history_orders_get": effect.before.order, "history_deals_get": effect.before.deal}.get(request.function)
    if newest is None:
        return reply
    return replace(reply, value=tuple(record for record in reply.value if record.ticket <= newest))


def _clock_jump(effect: Effect, request: Request, reply: Reply) -> Reply:
    if request.function in ("symbol_info_tick", "symbol_info"):
        return replace(reply, value=_shifted(reply.value, int(effect.value)))
    if request.function in ("positions_get", "orders_get", "history_orders_get", "history_deals_get"):
        return replace(reply, value=tuple(_shifted(record, int(effect.value)) for record in reply.value))
    return reply


def _shifted(record: Struct, seconds: int) -> Any:
    shifts = {**dict.fromkeys(_TIMES, seconds), **{f"{name}_msc": seconds * 1000 for name in _TIMES}}
    return with_fields(record, **{name: getattr(record, name) + shifts[name] for name in record.__match_args__ if name in shifts})


def _with(reply: Reply, **fields: Any) -> Reply:
    return replace(reply, value=with_fields(reply.value, **fields))


_CHANGES: Mapping[Kind, Callable[[Effect, Request, Reply], Reply]] = MappingProxyType(
    {
        Kind.ALGO_OFF: _algo_off,
        Kind.API_DISABLED: _api_disabled,
        Kind.ACCOUNT_SWAPPED: _account_swapped,
        Kind.SERVER_LOST: _server_lost,
        Kind.CLOCK_JUMP: _clock_jump,
        Kind.HISTORY_LATE: _history_late,
        Kind.POSITIONS_LATE: _positions_late,
    }
)
