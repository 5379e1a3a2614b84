"""Pending orders: when they may be placed or changed, when they act, when they end.

Source: https://www.mql5.com/en/docs/constants/tradingconstants/orderproperties
"""

from __future__ import annotations

from execution.orders import Side
from execution.simulated import checks
from execution.simulated import constants as mt5
from execution.simulated.checks import Case, Rule
from execution.simulated.dealer import Dealer, Fill
from execution.simulated.ledger import order_record
from execution.simulated.structs import Struct

_STOP_LIMITS = frozenset({mt5.ORDER_TYPE_BUY_STOP_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT})
_RISING = frozenset({mt5.ORDER_TYPE_BUY_STOP, mt5.ORDER_TYPE_BUY_STOP_LIMIT, mt5.ORDER_TYPE_SELL_LIMIT})
_KINDS = frozenset(range(mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT + 1))
_LIMITS = frozenset({mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_LIMIT})
_DAY = 86_400


def buys(order: Struct) -> bool:
    """Whether an order buys, so that the ask moves it; even types do."""
    return bool(order.type % 2 == 0)


def acts_rising(order: Struct) -> bool:
    """Whether an order acts when its quote rises to its price; the others act on a fall."""
    return order.type in _RISING


def expires(order: Struct) -> int | None:
    """Server milliseconds at which an order ends; None for one that is good till cancelled."""
    if order.type_time == mt5.ORDER_TIME_GTC:
        return None
    if order.type_time == mt5.ORDER_TIME_SPECIFIED:
        return int(order.time_expiration) * 1000
    day = order.time_setup if order.type_time == mt5.ORDER_TIME_DAY else order.time_expiration
    return (int(day) // _DAY + 1) * _DAY * 1000


# --- what becomes of them ---------------------------------------------------------------------


def place(case: Case) -> Struct:
    """Puts a checked order to work."""
    request, dealer = case.request, case.dealer
    now = dealer.market.server_msc()
    order = order_record(
        {
            "ticket": dealer.ledger.order_ticket(),
            "time_setup_msc": now,
            "time_done_msc": 0,
            "time_expiration": _expiration(request),
            "type": request.type,
            "type_time": request.type_time,
            "type_filling": request.type_filling,
            "state": mt5.ORDER_STATE_PLACED,
            "magic": request.magic,
            "reason": mt5.ORDER_REASON_EXPERT,
            "volume_initial": request.volume,
            "volume_current": request.volume,
            "price_current": case.feed.tick.ask if case.side is Side.LONG else case.feed.tick.bid,
            **_prices(request),
            "symbol": request.symbol,
            "comment": request.comment,
        }
    )
    dealer.ledger.put_working(order)
    return order


def modify(case: Case) -> None:
    """Gives a working order the prices and the expiration of a checked request."""
    request = case.request
    order = case.dealer.ledger.working[request.order]
    times = {"type_time": request.type_time, "time_expiration": _expiration(request)}
    case.dealer.ledger.put_working(changed(order, **_prices(request), **times))


def end(dealer: Dealer, order: Struct, state: int, time_msc: int) -> None:
    """Moves a working order to history unfilled: ORDER_STATE_CANCELED or ORDER_STATE_EXPIRED."""
    dealer.ledger.finish(changed(order, state=state, time_done_msc=time_msc, time_done=time_msc // 1000))


def activate(dealer: Dealer, order: Struct, price: float, time_msc: int) -> None:
    """Fills an order that its price has reached; a stop-limit becomes its limit order.

    Without the margin for it, or a place among a netting account's positions, an order is cancelled,
    and so is one that is to rest in the book and would fill at once.
    """
    if order.type in _STOP_LIMITS:
        if order.type_filling == mt5.ORDER_FILLING_BOC and _fills_at(order, price):
            end(dealer, order, mt5.ORDER_STATE_CANCELED, time_msc)
            return
        kind = mt5.ORDER_TYPE_BUY_LIMIT if buys(order) else mt5.ORDER_TYPE_SELL_LIMIT
        dealer.ledger.put_working(changed(order, type=kind, price_open=order.price_stoplimit, price_stoplimit=0.0))
        return
    fill = Fill(
        symbol=order.symbol,
        side=Side.LONG if buys(order) else Side.SHORT,
        volume=order.volume_current,
        price=price,
        time_msc=time_msc,
        reason=order.reason,
        magic=order.magic,
        comment=order.comment,
        sl=order.sl,
        tp=order.tp,
        filling=order.type_filling,
        pending=order,
    )
    bound = dealer.margin(fill)
    crowded = not dealer.account.hedging and dealer.is_full(order.symbol)  # elsewhere the order had its place when it was made
    if crowded or (bound > dealer.margin() and bound > dealer.equity()):
        end(dealer, order, mt5.ORDER_STATE_CANCELED, time_msc)
    else:
        dealer.trade(fill)


def _fills_at(order: Struct, price: float) -> bool:
    """Whether the limit of a stop-limit is met at the price that makes it one."""
    return bool(price <= order.price_stoplimit) if buys(order) else bool(price >= order.price_stoplimit)


def changed(record: Struct, **fields: object) -> Struct:
    """The record with other values in some fields."""
    return type(record)({**record._asdict(), **fields}.values())


def _prices(request: Struct) -> dict[str, float]:
    stoplimit = request.stoplimit if request.type in _STOP_LIMITS else 0.0
    return {"price_open": request.price, "price_stoplimit": stoplimit, "sl": request.sl, "tp": request.tp}


def _expiration(request: Struct) -> int:
    dated = request.type_time in (mt5.ORDER_TIME_SPECIFIED, mt5.ORDER_TIME_SPECIFIED_DAY)
    return int(request.expiration) if dated else 0


# --- when they are refused --------------------------------------------------------------------


def _kind(case: Case) -> int | None:
    """One of the six pending types."""
    return None if case.request.type in _KINDS else mt5.TRADE_RETCODE_INVALID_ORDER


def _price(case: Case) -> int | None:
    """A quotable price on the right side of the market, no nearer than the stops level."""
    request, spec = case.request, case.spec
    quote = case.feed.tick.ask if case.side is Side.LONG else case.feed.tick.bid
    away = request.price - quote if request.type in _RISING else quote - request.price
    if (
        not request.price > 0
        or not checks.on_grid(request.price, spec.tick_size)
        or away <= 0
        or away < case.least_distance - checks.DUST * spec.point
    ):
        return mt5.TRADE_RETCODE_INVALID_PRICE
    return _stop_limit_price(case) if request.type in _STOP_LIMITS else None


def _stop_limit_price(case: Case) -> int | None:
    """A stop-limit buys below its stop and sells above it."""
    request, spec = case.request, case.spec
    inside = (request.price - request.stoplimit) * case.side
    sound = request.stoplimit > 0 and checks.on_grid(request.stoplimit, spec.tick_size)
    return None if sound and inside >= case.least_distance - checks.DUST * spec.point else mt5.TRADE_RETCODE_INVALID_PRICE


def _stops(case: Case) -> int | None:
    """Stop and target keep their distance from the order's own price."""
    request = case.request
    return checks.stops_around(case, case.side, request.stoplimit if request.type in _STOP_LIMITS else request.price)


def _filling(case: Case) -> int | None:
    """RETURN is always possible; the others as the symbol's mask allows, book-or-cancel for limits alone.

    A limit that would fill at once has no valid price, so one that may only rest in the book needs no further look.
    """
    mask, waits = case.spec.filling_mode, case.request.type in _LIMITS | _STOP_LIMITS
    allowed = {
        mt5.ORDER_FILLING_RETURN: True,
        mt5.ORDER_FILLING_FOK: bool(mask & 1),
        mt5.ORDER_FILLING_IOC: bool(mask & 2),
        mt5.ORDER_FILLING_BOC: bool(mask & 4) and waits,
    }
    return None if allowed.get(case.request.type_filling, False) else mt5.TRADE_RETCODE_INVALID_FILL


def _expires_later(case: Case) -> int | None:
    """A known kind of expiration, and one that has not passed."""
    kind, now = case.request.type_time, case.dealer.market.server_msc() // 1000
    if kind in (mt5.ORDER_TIME_GTC, mt5.ORDER_TIME_DAY):
        return None
    first = {mt5.ORDER_TIME_SPECIFIED: now + 1, mt5.ORDER_TIME_SPECIFIED_DAY: now // _DAY * _DAY}.get(kind)
    return None if first is not None and case.request.expiration >= first else mt5.TRADE_RETCODE_INVALID_EXPIRATION


def _count(case: Case) -> int | None:
    """The account takes only so many pending orders."""
    most = case.dealer.account.limit_orders
    return mt5.TRADE_RETCODE_LIMIT_ORDERS if most and len(case.dealer.ledger.working) >= most else None


def _works(case: Case) -> int | None:
    """The order must be at work."""
    return None if case.order is not None else mt5.TRADE_RETCODE_INVALID


def _not_frozen(case: Case) -> int | None:
    """An order about to be filled cannot be touched."""
    if case.order is None or not case.spec.freeze_level:
        return None
    quote = case.feed.tick.ask if buys(case.order) else case.feed.tick.bid
    near = abs(quote - case.order.price_open) <= case.spec.freeze_level * case.spec.point
    return mt5.TRADE_RETCODE_FROZEN if near else None


def _changes(case: Case) -> int | None:
    """The same again is no change."""
    if case.order is None:
        return None
    wanted = {**_prices(case.request), "type_time": case.request.type_time, "time_expiration": _expiration(case.request)}
    same = all(abs(getattr(case.order, name) - value) < checks.DUST * case.spec.point for name, value in wanted.items())
    return mt5.TRADE_RETCODE_NO_CHANGES if same else None


PLACE_RULES: tuple[Rule, ...] = (
    _kind,
    checks.trade_mode,
    checks.market_open,
    checks.volume,
    checks.volume_limit,
    _count,
    checks.position_limit,
    _filling,
    _expires_later,
    _price,
    _stops,
)
MODIFY_RULES: tuple[Rule, ...] = (_works, checks.market_open, _changes, _not_frozen, _expires_later, _price, _stops)
REMOVE_RULES: tuple[Rule, ...] = (_works, checks.market_open, _not_frozen)
