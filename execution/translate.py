"""Pure conversions between the terminal's structs and our records.

Times of a terminal are its server's wall clock written as if it were UTC; they become aware UTC
here and nowhere else. Numbers become exact `int` and `float`: the module refuses an `int` volume
and a NumPy ticket alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from config.errors import DataError
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState, Position, Quote, Side
from execution.retcodes import DONE_PARTIAL, PLACED, Retcode, Verdict, retcode
from execution.terminal import Execution, Reply
from market_data.bars import IntArray
from market_data.clock import BrokerTime, from_epoch
from market_data.instruments import MAX_COMMENT, SymbolSpec

DEAL_ENTRIES: Mapping[int, str] = MappingProxyType({0: "in", 1: "out", 2: "inout", 3: "out_by"})
DEAL_REASONS: Mapping[int, str] = MappingProxyType(
    dict(enumerate(("client", "mobile", "web", "expert", "sl", "tp", "so", "rollover", "vmargin", "split")))
)
SIDES: Mapping[int, Side] = MappingProxyType({Execution.ORDER_TYPE_BUY: Side.LONG, Execution.ORDER_TYPE_SELL: Side.SHORT})
TRANSFERS = frozenset({2, 3, 6})
"""DEAL_TYPE_BALANCE, _CREDIT and _BONUS: money that comes or goes without a trade. Charges and interest are costs."""
ORDER_TYPES: Mapping[Side, int] = MappingProxyType({side: kind for kind, side in SIDES.items()})

_NEVER_SENT = frozenset({-2, -8})
"""`last_error` after `order_send` where the module itself refused: nothing left the machine."""


@dataclass(frozen=True, slots=True)
class OrderCheck:
    """The terminal's own forecast of an order; nothing is sent.

    Attributes:
        ok: whether the order would pass.
        retcode: 0 where it would pass, else a trade retcode.
        margin_free: account currency left free after the order.
    """

    ok: bool
    retcode: int
    message: str
    margin_free: float


@lru_cache(maxsize=1_024)
def utc_of(broker_time: BrokerTime, server_msc: int) -> datetime:
    """Aware UTC instant of a server stamp in milliseconds; the same position is read at every pass."""
    seconds, milliseconds = divmod(int(server_msc), 1000)
    return from_epoch(int(broker_time.to_utc(seconds)[0])) + timedelta(milliseconds=milliseconds)


class RisingStamps:
    """Server stamps of bars to UTC, fast where the clock did not change.

    The stretch around the last bars that is known to have one offset is kept; within it a
    conversion is one subtraction. A clock never changes twice within the stretch's length.
    """

    _MARGIN, _LONGEST = 86_400, 9 * 86_400

    def __init__(self, broker_time: BrokerTime) -> None:
        self._broker_time = broker_time
        self._calm = (0, -1, 0)  # first stamp, last stamp, offset; replaced whole

    def to_utc(self, stamps: IntArray) -> IntArray:
        """UTC epoch seconds of server stamps, shape (n,), rising."""
        if len(stamps) == 0:
            return stamps
        first, last, offset = self._calm
        if first <= stamps[0] and stamps[-1] <= last:
            return stamps - offset
        self._remember(int(stamps[0]) - self._MARGIN, int(stamps[-1]) + self._MARGIN)
        return self._broker_time.to_utc(stamps)

    def _remember(self, first: int, last: int) -> None:
        ends = np.array([first, last], dtype=np.int64)
        before, after = (ends - self._broker_time.to_utc(ends)).tolist()
        if before == after and last - first <= self._LONGEST:
            self._calm = (first, last, before)


def server_date(broker_time: BrokerTime, instant: datetime) -> datetime:
    """The server's wall clock at an instant, written as UTC: how the module wants its dates."""
    return from_epoch(int(broker_time.to_server(int(instant.timestamp()))[0]))


def spec_from(info: Any) -> SymbolSpec:
    """Our specification of the module's `SymbolInfo`."""
    return SymbolSpec(
        name=str(info.name),
        digits=int(info.digits),
        point=float(info.point),
        tick_size=float(info.trade_tick_size),
        tick_value_loss=float(info.trade_tick_value_loss),
        contract_size=float(info.trade_contract_size),
        volume_min=float(info.volume_min),
        volume_max=float(info.volume_max),
        volume_step=float(info.volume_step),
        stops_level=int(info.trade_stops_level),
        freeze_level=int(info.trade_freeze_level),
        filling_mode=int(info.filling_mode),
        exemode=int(info.trade_exemode),
        trade_mode=int(info.trade_mode),
        calc_mode=int(info.trade_calc_mode),
        currency_base=str(info.currency_base),
        currency_profit=str(info.currency_profit),
        currency_margin=str(info.currency_margin),
        volume_limit=float(info.volume_limit),
    )


@dataclass(frozen=True, slots=True)
class TerminalState:
    """What the terminal says of itself.

    Attributes:
        connected: to its server.
        trade_allowed: the Algo Trading button is on.
        tradeapi_disabled: the option against trading from Python is set.
        maxbars: most bars that a chart, and so a history call, may hold.
    """

    connected: bool
    trade_allowed: bool
    tradeapi_disabled: bool
    build: int
    maxbars: int


def terminal_state_from(info: Any) -> TerminalState:
    """Our record of the module's `TerminalInfo`."""
    return TerminalState(
        connected=bool(info.connected),
        trade_allowed=bool(info.trade_allowed),
        tradeapi_disabled=bool(info.tradeapi_disabled),
        build=int(info.build),
        maxbars=int(info.maxbars),
    )


def account_from(info: Any) -> Account:
    """Our record of the module's `AccountInfo`."""
    return Account(
        login=int(info.login),
        server=str(info.server),
        currency=str(info.currency),
        balance=float(info.balance),
        equity=float(info.equity),
        margin=float(info.margin),
        margin_free=float(info.margin_free),
        leverage=int(info.leverage),
        trade_mode=int(info.trade_mode),
        margin_mode=int(info.margin_mode),
        trade_allowed=bool(info.trade_allowed) and bool(info.trade_expert),
    )


def quote_from(symbol: str, tick: Any, broker_time: BrokerTime) -> Quote:
    """Our quote of the module's `Tick`.

    Raises:
        DataError: where bid or ask is missing, as before the first tick of a session.
    """
    bid, ask = float(tick.bid), float(tick.ask)
    if not (bid > 0 and ask > 0):
        raise DataError(f"{symbol}: no quote yet (bid {bid}, ask {ask}); wait for the first tick")
    return Quote(symbol, utc_of(broker_time, tick.time_msc), bid, ask)


def position_from(raw: Any, broker_time: BrokerTime) -> Position:
    """Our record of the module's `TradePosition`."""
    return Position(
        ticket=int(raw.ticket),
        symbol=str(raw.symbol),
        side=SIDES[int(raw.type)],
        volume=float(raw.volume),
        price_open=float(raw.price_open),
        sl=float(raw.sl),
        tp=float(raw.tp),
        opened=utc_of(broker_time, raw.time_msc),
        magic=int(raw.magic),
        profit=float(raw.profit),
        swap=float(raw.swap),
        comment=str(raw.comment),
    )


def deal_from(raw: Any, broker_time: BrokerTime) -> Deal:
    """Our record of the module's `TradeDeal`; a balance operation has no side."""
    return Deal(
        ticket=int(raw.ticket),
        order=int(raw.order),
        position=int(raw.position_id),
        symbol=str(raw.symbol),
        side=SIDES.get(int(raw.type)),
        entry=DEAL_ENTRIES.get(int(raw.entry), f"entry_{raw.entry}"),
        volume=float(raw.volume),
        price=float(raw.price),
        commission=float(raw.commission),
        swap=float(raw.swap),
        profit=float(raw.profit),
        fee=float(raw.fee),
        reason=DEAL_REASONS.get(int(raw.reason), f"reason_{raw.reason}"),
        magic=int(raw.magic),
        time=utc_of(broker_time, raw.time_msc),
        comment=str(raw.comment),
        transfer=int(raw.type) in TRANSFERS,
    )


def filling_modes(spec: SymbolSpec) -> tuple[int, ...]:
    """Filling modes worth trying, best first.

    The symbol's mask and the request's numbers differ: mask 1 is fill-or-kill, which a request
    calls 0. Market execution refuses RETURN; other kinds take fill-or-kill whatever the mask says.
    """
    allowed = [
        mode
        for bit, mode in (
            (Execution.SYMBOL_FILLING_FOK, Execution.ORDER_FILLING_FOK),
            (Execution.SYMBOL_FILLING_IOC, Execution.ORDER_FILLING_IOC),
        )
        if spec.filling_mode & bit
    ]
    market = spec.exemode == Execution.SYMBOL_TRADE_EXECUTION_MARKET
    rest = (Execution.ORDER_FILLING_FOK, Execution.ORDER_FILLING_IOC)
    last = rest if market else (Execution.ORDER_FILLING_RETURN, *rest)
    return tuple(dict.fromkeys((*allowed, *last)))


def deal_request(intent: OrderIntent, spec: SymbolSpec, side: Side, filling: int) -> dict[str, Any]:
    """The request of a market order, with the exact types that the module insists on.

    Args:
        intent: what is meant.
        spec: of its symbol, for rounding.
        side: of the order: for a close the opposite of its position's.
        filling: ORDER_FILLING_*.
    """
    request = {
        "action": Execution.TRADE_ACTION_DEAL,
        "magic": int(intent.magic),
        "symbol": spec.name,
        "volume": float(intent.volume),
        "price": _quotable(spec, intent.price),
        "sl": _quotable(spec, intent.sl),
        "tp": _quotable(spec, intent.tp),
        "deviation": int(intent.deviation),
        "type": ORDER_TYPES[side],
        "type_filling": filling,
        "type_time": Execution.ORDER_TIME_GTC,
        "comment": intent.key[:MAX_COMMENT],
    }
    return request | {"position": int(intent.position)} if intent.position else request


def stops_request(intent: OrderIntent, spec: SymbolSpec) -> dict[str, Any]:
    """The request that moves a position's stop; it carries the target too, or the venue would remove it."""
    return {
        "action": Execution.TRADE_ACTION_SLTP,
        "magic": int(intent.magic),
        "symbol": spec.name,
        "sl": _quotable(spec, intent.sl),
        "tp": _quotable(spec, intent.tp),
        "position": int(intent.position),
    }


def _quotable(spec: SymbolSpec, price: float) -> float:
    # A symbol that is still loading has no tick size; a close must not fail for that.
    return float(spec.round_price(float(price))) if spec.tick_size > 0 else float(price)


def check_from(raw: Any) -> OrderCheck:
    """Our record of the module's `OrderCheckResult`, whose success is retcode 0."""
    code = int(raw.retcode)
    message = str(raw.comment) if code == 0 else f"{retcode(code)} ({raw.comment})"
    return OrderCheck(code == 0, code, message, float(raw.margin_free))


def result_from(reply: Reply) -> OrderResult:
    """What an `order_send` reply proves about the order.

    No result proves nothing, unless the module refused the request before sending it. An order
    that was placed and has no deal yet is unknown too: its fill is still to come, or not.
    """
    if reply.value is None:
        state = OrderState.REJECTED if reply.code in _NEVER_SENT else OrderState.UNKNOWN
        return OrderResult(state, 0, f"no result: ({reply.code}, {reply.message!r})")
    raw, row = reply.value, retcode(int(reply.value.retcode))
    message = f"{row} ({raw.comment})" if raw.comment else str(row)
    state = _state(row, int(raw.deal))
    if state in (OrderState.REJECTED, OrderState.UNKNOWN):
        return OrderResult(state, row.code, message, order=int(raw.order))
    return OrderResult(state, row.code, message, int(raw.order), int(raw.deal), float(raw.price), float(raw.volume))


def _state(row: Retcode, deal: int) -> OrderState:
    if row.verdict is Verdict.UNKNOWN or (row.code == PLACED and deal == 0):
        return OrderState.UNKNOWN
    if row.verdict is not Verdict.ACCEPTED:
        return OrderState.REJECTED
    return OrderState.PARTIAL if row.code == DONE_PARTIAL else OrderState.FILLED
