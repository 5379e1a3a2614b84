"""Why the paper broker refuses a request, as the real one would: one small rule after another.

Each rule returns a retcode, or None where it has nothing to say; the first one wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from execution.orders import Side
from execution.paper.book import Holding
from execution.simulated import constants as mt5
from execution.simulated.structs import Struct
from execution.translate import SIDES
from market_data.instruments import SymbolSpec

_DUST = 1e-6


@dataclass(frozen=True, slots=True)
class Case:
    """A request and what it meets.

    Attributes:
        held: the position that it names; None where it names none, or there is none.
        crowded: whether the account nets and has a position on the symbol.
        closed: whether the symbol has not been quoted for long.
        affordable: whether free margin carries the order; asked last, of an order that is sound.
    """

    request: Struct
    spec: SymbolSpec
    bid: float
    ask: float
    held: Holding | None
    crowded: bool
    closed: bool
    affordable: Callable[[], bool]

    @property
    def side(self) -> Side:
        """Direction of a market order."""
        return SIDES.get(self.request.type, Side.LONG)

    @property
    def price(self) -> float:
        """Where a market order fills now."""
        return self.ask if self.side is Side.LONG else self.bid

    def leaves(self, side: Side) -> float:
        """The quote at which a position of a side is closed."""
        return self.bid if side is Side.LONG else self.ask


Rule = Callable[[Case], int | None]


def refusal(case: Case) -> int | None:
    """Retcode of the first rule that objects to the request."""
    rules = {mt5.TRADE_ACTION_DEAL: DEAL_RULES, mt5.TRADE_ACTION_SLTP: SLTP_RULES}.get(case.request.action)
    if rules is None:
        pending = case.request.action in (mt5.TRADE_ACTION_PENDING, mt5.TRADE_ACTION_MODIFY, mt5.TRADE_ACTION_REMOVE)
        return mt5.TRADE_RETCODE_INVALID_ORDER if pending else mt5.TRADE_RETCODE_INVALID
    return next((code for rule in rules if (code := rule(case)) is not None), None)


def _market_type(case: Case) -> int | None:
    return None if case.request.type in SIDES else mt5.TRADE_RETCODE_INVALID_ORDER


def _named_position(case: Case) -> int | None:
    if not case.request.position and case.request.action == mt5.TRADE_ACTION_DEAL:
        return None
    if case.held is None:
        return mt5.TRADE_RETCODE_POSITION_CLOSED
    return None if case.held.symbol == case.spec.name else mt5.TRADE_RETCODE_INVALID


def _trade_mode(case: Case) -> int | None:
    barred = {
        mt5.SYMBOL_TRADE_MODE_CLOSEONLY: (mt5.TRADE_RETCODE_CLOSE_ONLY, tuple(Side)),
        mt5.SYMBOL_TRADE_MODE_LONGONLY: (mt5.TRADE_RETCODE_LONG_ONLY, (Side.SHORT,)),
        mt5.SYMBOL_TRADE_MODE_SHORTONLY: (mt5.TRADE_RETCODE_SHORT_ONLY, (Side.LONG,)),
    }
    if case.spec.trade_mode == mt5.SYMBOL_TRADE_MODE_DISABLED:
        return mt5.TRADE_RETCODE_TRADE_DISABLED
    code, sides = barred.get(case.spec.trade_mode, (0, ()))
    return code if case.held is None and case.side in sides else None


def _market_open(case: Case) -> int | None:
    return mt5.TRADE_RETCODE_MARKET_CLOSED if case.closed else None


def _volume(case: Case) -> int | None:
    lots, spec = case.request.volume, case.spec
    left = case.held.volume - lots if case.held is not None else 0.0
    fits = _on_grid(lots, spec.volume_step) and spec.volume_min - _DUST <= lots <= spec.volume_max + _DUST
    return None if fits and not _DUST < left < spec.volume_min - _DUST else mt5.TRADE_RETCODE_INVALID_VOLUME


def _closes_the_right_way(case: Case) -> int | None:
    if case.held is None:
        return None
    if case.side is case.held.side:
        return mt5.TRADE_RETCODE_INVALID
    return mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME if case.request.volume > case.held.volume + _DUST else None


def _filling(case: Case) -> int | None:
    """Market execution takes the policies of the symbol's mask; the others take all-or-nothing as well."""
    mask, by_market = case.spec.filling_mode, case.spec.exemode in (mt5.SYMBOL_TRADE_EXECUTION_MARKET, mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE)
    allowed = {
        mt5.ORDER_FILLING_FOK: bool(mask & 1) or not by_market,
        mt5.ORDER_FILLING_IOC: bool(mask & 2),
        mt5.ORDER_FILLING_RETURN: not by_market,
    }
    return None if allowed.get(case.request.type_filling, False) else mt5.TRADE_RETCODE_INVALID_FILL


def _instant_price(case: Case) -> int | None:
    """Instant execution needs a price within the accepted deviation; market execution ignores it."""
    if case.spec.exemode not in (mt5.SYMBOL_TRADE_EXECUTION_REQUEST, mt5.SYMBOL_TRADE_EXECUTION_INSTANT):
        return None
    # A close carries no price: it takes the quote.
    price = case.request.price or (case.price if case.held is not None else 0.0)
    if price <= 0:
        return mt5.TRADE_RETCODE_INVALID_PRICE
    return mt5.TRADE_RETCODE_REQUOTE if case.spec.points(abs(case.price - price)) > case.request.deviation + _DUST else None


def _netted(case: Case) -> int | None:
    return mt5.TRADE_RETCODE_LIMIT_POSITIONS if case.held is None and case.crowded else None


def _not_frozen(case: Case) -> int | None:
    if case.held is None or not case.spec.freeze_level:
        return None
    near, price = case.spec.freeze_level * case.spec.point, case.leaves(case.held.side)
    levels = (level for level in (case.held.sl, case.held.tp) if level)
    return mt5.TRADE_RETCODE_FROZEN if any(abs(price - level) <= near for level in levels) else None


def _changes_something(case: Case) -> int | None:
    held, near = case.held, _DUST * case.spec.point
    same = held is not None and abs(held.sl - case.request.sl) < near and abs(held.tp - case.request.tp) < near
    return mt5.TRADE_RETCODE_NO_CHANGES if same else None


def _stops(case: Case) -> int | None:
    """Stop and target are quotable, on their side of the quote and far enough from it."""
    if case.held is not None and case.request.action == mt5.TRADE_ACTION_DEAL:
        return None
    side = case.side if case.held is None else case.held.side
    least = case.spec.stops_level * case.spec.point
    for level, sign in ((case.request.sl, -side.value), (case.request.tp, side.value)):
        distance = (level - case.leaves(side)) * sign
        if level and (distance <= 0 or distance < least - _DUST * case.spec.point or not _on_grid(level, case.spec.tick_size)):
            return mt5.TRADE_RETCODE_INVALID_STOPS
    return None


def _money(case: Case) -> int | None:
    return None if case.held is not None or case.affordable() else mt5.TRADE_RETCODE_NO_MONEY


def _on_grid(value: float, step: float) -> bool:
    return math.isfinite(value) and abs(value / step - round(value / step)) < _DUST


DEAL_RULES: tuple[Rule, ...] = (
    *(_market_type, _named_position, _trade_mode, _market_open, _netted, _volume, _closes_the_right_way),
    *(_filling, _instant_price, _not_frozen, _stops, _money),
)
SLTP_RULES: tuple[Rule, ...] = (_named_position, _market_open, _changes_something, _not_frozen, _stops)
