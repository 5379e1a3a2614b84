"""Why the simulated server refuses a trade request: one small rule after another.

Each rule returns a retcode, or None where it has nothing to say; the first one wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.dealer import Dealer, Fill
from execution.simulated.feed import Feed
from execution.simulated.ledger import OpenPosition
from execution.simulated.structs import Struct
from market_data.instruments import SymbolSpec

DUST = 1e-6
MESSAGES = {
    0: "Done",
    mt5.TRADE_RETCODE_REQUOTE: "Requote",
    mt5.TRADE_RETCODE_PLACED: "Order placed",
    mt5.TRADE_RETCODE_DONE: "Request executed",
    mt5.TRADE_RETCODE_INVALID: "Invalid request",
    mt5.TRADE_RETCODE_INVALID_VOLUME: "Invalid volume",
    mt5.TRADE_RETCODE_INVALID_PRICE: "Invalid price",
    mt5.TRADE_RETCODE_INVALID_STOPS: "Invalid stops",
    mt5.TRADE_RETCODE_TRADE_DISABLED: "Trade disabled",
    mt5.TRADE_RETCODE_MARKET_CLOSED: "Market closed",
    mt5.TRADE_RETCODE_NO_MONEY: "No money",
    mt5.TRADE_RETCODE_PRICE_CHANGED: "Prices changed",
    mt5.TRADE_RETCODE_PRICE_OFF: "No prices",
    mt5.TRADE_RETCODE_INVALID_EXPIRATION: "Invalid expiration",
    mt5.TRADE_RETCODE_NO_CHANGES: "No changes",
    mt5.TRADE_RETCODE_CLIENT_DISABLES_AT: "AutoTrading disabled by client",
    mt5.TRADE_RETCODE_FROZEN: "Order or position frozen",
    mt5.TRADE_RETCODE_INVALID_FILL: "Unsupported filling mode",
    mt5.TRADE_RETCODE_CONNECTION: "No connection",
    mt5.TRADE_RETCODE_INVALID_ORDER: "Invalid order",
    mt5.TRADE_RETCODE_POSITION_CLOSED: "Position doesn't exist",
    mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME: "Invalid close volume",
    mt5.TRADE_RETCODE_LIMIT_ORDERS: "Limit of pending orders reached",
    mt5.TRADE_RETCODE_LIMIT_VOLUME: "Limit of volume reached",
    mt5.TRADE_RETCODE_LIMIT_POSITIONS: "Limit of open positions reached",
    mt5.TRADE_RETCODE_LONG_ONLY: "Only long positions allowed",
    mt5.TRADE_RETCODE_SHORT_ONLY: "Only short positions allowed",
    mt5.TRADE_RETCODE_CLOSE_ONLY: "Only position close allowed",
    mt5.TRADE_RETCODE_FIFO_CLOSE: "Only the oldest position can be closed",
}
"""What the server says with each retcode."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request and what it meets.

    Attributes:
        feed: of the request's symbol.
        position: that the request names; None where it names none or there is none.
        order: the pending order that the request names; likewise.
    """

    request: Struct
    feed: Feed
    dealer: Dealer
    position: OpenPosition | None
    order: Struct | None = None

    @property
    def spec(self) -> SymbolSpec:
        """Of the request's symbol."""
        return self.feed.spec

    @property
    def side(self) -> Side:
        """Direction of the order; even order types buy."""
        return Side.SHORT if self.request.type % 2 else Side.LONG

    @property
    def closes(self) -> bool:
        """Whether the request names a position to close."""
        return bool(self.request.position) and self.dealer.account.hedging

    @property
    def reduces(self) -> bool:
        """Whether a market order closes, all or in part, what is open."""
        if self.closes:
            return True
        held = self.dealer.held(self.spec.name) if self.request.action == mt5.TRADE_ACTION_DEAL else None
        return held is not None and held.side is not self.side and self.request.volume <= held.volume + DUST

    @property
    def least_distance(self) -> float:
        """Of stops and pending orders from the quote, price units."""
        return self.spec.stops_level * self.spec.point

    @property
    def fill_price(self) -> float:
        """Price of a market order now, slippage included."""
        quote = self.feed.tick.ask if self.side is Side.LONG else self.feed.tick.bid
        lost = self.dealer.account.slippage_points * self.spec.point
        return round(quote + lost * self.side, self.spec.digits + 3)


Rule = Callable[[Case], int | None]


def first_refusal(case: Case, rules: tuple[Rule, ...]) -> int | None:
    """Retcode of the first rule that objects."""
    return next((code for rule in rules if (code := rule(case)) is not None), None)


def market_type(case: Case) -> int | None:
    """A market order is a BUY or a SELL."""
    return None if case.request.type in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL) else mt5.TRADE_RETCODE_INVALID_ORDER


def trade_mode(case: Case) -> int | None:
    """The symbol may be restricted to one side or to closing."""
    mode = case.spec.trade_mode
    if mode == mt5.SYMBOL_TRADE_MODE_DISABLED:
        return mt5.TRADE_RETCODE_TRADE_DISABLED
    if mode == mt5.SYMBOL_TRADE_MODE_FULL or case.reduces:
        return None
    if mode == mt5.SYMBOL_TRADE_MODE_CLOSEONLY:
        return mt5.TRADE_RETCODE_CLOSE_ONLY
    if mode == mt5.SYMBOL_TRADE_MODE_LONGONLY:
        return mt5.TRADE_RETCODE_LONG_ONLY if case.side is Side.SHORT else None
    return mt5.TRADE_RETCODE_SHORT_ONLY if case.side is Side.LONG else None


def market_open(case: Case) -> int | None:
    """Nothing trades in a pause of the market."""
    return mt5.TRADE_RETCODE_MARKET_CLOSED if case.feed.is_closed(case.dealer.market.now) else None


def position_exists(case: Case) -> int | None:
    """A position that is named must be open and of this symbol."""
    if not case.request.position:
        return None
    if case.position is None:
        return mt5.TRADE_RETCODE_POSITION_CLOSED
    return None if case.position.symbol == case.spec.name else mt5.TRADE_RETCODE_INVALID


def closes_the_right_way(case: Case) -> int | None:
    """A position is closed by the opposite order and by no more than its volume."""
    if not case.closes or case.position is None:
        return None
    if case.side is case.position.side:
        return mt5.TRADE_RETCODE_INVALID
    return mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME if case.request.volume > case.position.volume + 1e-9 else None


def volume(case: Case) -> int | None:
    """Lots lie on the step between minimum and maximum, and so does what a partial close leaves."""
    lots, spec = case.request.volume, case.spec
    if not on_grid(lots, spec.volume_step) or not spec.volume_min - DUST <= lots <= spec.volume_max + DUST:
        return mt5.TRADE_RETCODE_INVALID_VOLUME
    if case.closes and case.position is not None and DUST < case.position.volume - lots < spec.volume_min - DUST:
        return mt5.TRADE_RETCODE_INVALID_VOLUME
    return None


def volume_limit(case: Case) -> int | None:
    """All positions and pending orders of one direction stay within the symbol's limit."""
    most = case.spec.volume_limit
    if not most or case.reduces:
        return None
    ledger, name, side = case.dealer.ledger, case.spec.name, case.side
    held = sum(position.volume for position in ledger.positions.values() if position.symbol == name and position.side is side)
    working = sum(
        order.volume_current for order in ledger.working.values() if order.symbol == name and order.type % 2 == case.request.type % 2
    )
    return mt5.TRADE_RETCODE_LIMIT_VOLUME if held + working + case.request.volume > most + DUST else None


def position_limit(case: Case) -> int | None:
    """The server lets an account hold only so many positions."""
    return None if case.reduces or not case.dealer.is_full(case.spec.name) else mt5.TRADE_RETCODE_LIMIT_POSITIONS


def oldest_first(case: Case) -> int | None:
    """Under the rule of some countries the oldest position of a symbol is closed first, and none by another."""
    if not case.dealer.account.fifo or case.position is None:
        return None
    oldest = min(
        (held for held in case.dealer.ledger.positions.values() if held.symbol == case.position.symbol), key=lambda held: held.ticket
    )
    by_another = case.request.action == mt5.TRADE_ACTION_CLOSE_BY
    return mt5.TRADE_RETCODE_FIFO_CLOSE if by_another or oldest is not case.position else None


def hedging_only(case: Case) -> int | None:
    """On a netting account there are no two positions to close against each other."""
    return None if case.dealer.account.hedging else mt5.TRADE_RETCODE_INVALID


def opposite(case: Case) -> int | None:
    """A position is closed by one of the same symbol and the other side."""
    other = case.dealer.ledger.positions.get(case.request.position_by)
    if other is None:
        return mt5.TRADE_RETCODE_POSITION_CLOSED
    fits = case.position is not None and other.symbol == case.position.symbol and other.side is not case.position.side
    return None if fits else mt5.TRADE_RETCODE_INVALID


def filling(case: Case) -> int | None:
    """Market execution takes the policies of the symbol's mask; the others take all-or-nothing as well."""
    wanted, mask = case.request.type_filling, case.spec.filling_mode
    by_market = case.spec.exemode in (mt5.SYMBOL_TRADE_EXECUTION_MARKET, mt5.SYMBOL_TRADE_EXECUTION_EXCHANGE)
    allowed = {
        mt5.ORDER_FILLING_FOK: bool(mask & 1) or not by_market,
        mt5.ORDER_FILLING_IOC: bool(mask & 2),
        mt5.ORDER_FILLING_RETURN: not by_market,
    }
    return None if allowed.get(wanted, False) else mt5.TRADE_RETCODE_INVALID_FILL


def instant_price(case: Case) -> int | None:
    """A price that moved beyond the accepted deviation is quoted anew, or where it had been asked for, has changed.

    Market execution ignores the price of a request.
    """
    moved_on = {
        mt5.SYMBOL_TRADE_EXECUTION_REQUEST: mt5.TRADE_RETCODE_PRICE_CHANGED,
        mt5.SYMBOL_TRADE_EXECUTION_INSTANT: mt5.TRADE_RETCODE_REQUOTE,
    }.get(case.spec.exemode)
    if moved_on is None:
        return None
    price = case.request.price
    if price <= 0 or not on_grid(price, case.spec.tick_size):
        return mt5.TRADE_RETCODE_INVALID_PRICE
    moved = abs(case.fill_price - price) / case.spec.point
    return moved_on if moved > case.request.deviation + 1 - DUST else None


def stops(case: Case) -> int | None:
    """Stop and target are quotable, on their side of the quote and far enough from it."""
    if case.closes and case.request.action == mt5.TRADE_ACTION_DEAL:
        return None
    side = case.side if case.position is None else case.position.side
    reference = case.feed.tick.bid if side is Side.LONG else case.feed.tick.ask
    return stops_around(case, side, reference)


def stops_around(case: Case, side: Side, reference: float) -> int | None:
    """The same for any price that the exit quote is taken to have."""
    request, spec = case.request, case.spec
    least = case.least_distance
    for level, sign in ((request.sl, -side.value), (request.tp, side.value)):
        if level == 0.0:
            continue
        distance = (level - reference) * sign
        if level < 0 or distance < least - DUST * spec.point or distance <= 0 or not on_grid(level, spec.tick_size):
            return mt5.TRADE_RETCODE_INVALID_STOPS
    return None


def money(case: Case) -> int | None:
    """Free margin stays above zero; an order that binds no more margin is always affordable."""
    after = margin_after(case)
    return mt5.TRADE_RETCODE_NO_MONEY if after > case.dealer.margin() and after > case.dealer.equity() else None


def margin_after(case: Case) -> float:
    """Account currency bound after the request."""
    if case.closes:
        return case.dealer.margin()
    price = case.request.price if case.request.action == mt5.TRADE_ACTION_PENDING else case.fill_price
    return case.dealer.margin(Fill(case.spec.name, case.side, case.request.volume, price, 0))


def names_position(case: Case) -> int | None:
    """Stops are set on a position, so one must be named."""
    return None if case.position is not None else mt5.TRADE_RETCODE_POSITION_CLOSED


def changes_something(case: Case) -> int | None:
    """The same stops again are no change."""
    held = case.position
    if (
        held is not None
        and abs(held.sl - case.request.sl) < DUST * case.spec.point
        and abs(held.tp - case.request.tp) < DUST * case.spec.point
    ):
        return mt5.TRADE_RETCODE_NO_CHANGES
    return None


def not_frozen(case: Case) -> int | None:
    """A position whose stop or target is about to be hit cannot be changed or closed."""
    if case.position is None or not case.spec.freeze_level:
        return None
    price = case.dealer.exit_price(case.position)
    near = case.spec.freeze_level * case.spec.point
    levels = (level for level in (case.position.sl, case.position.tp) if level)
    return mt5.TRADE_RETCODE_FROZEN if any(abs(price - level) <= near for level in levels) else None


DEAL_RULES: tuple[Rule, ...] = (
    market_type,
    trade_mode,
    market_open,
    position_exists,
    volume,
    volume_limit,
    position_limit,
    closes_the_right_way,
    oldest_first,
    filling,
    instant_price,
    not_frozen,
    stops,
    money,
)
CLOSE_BY_RULES: tuple[Rule, ...] = (hedging_only, names_position, market_open, opposite, oldest_first, not_frozen)
SLTP_RULES: tuple[Rule, ...] = (names_position, position_exists, market_open, changes_something, not_frozen, stops)


def on_grid(value: float, step: float) -> bool:
    """Whether a price or volume is a multiple of its step."""
    return math.isfinite(value) and abs(value / step - round(value / step)) < DUST
