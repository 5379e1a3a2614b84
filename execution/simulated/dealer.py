"""The broker's desk: fills become orders, deals and positions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.ledger import Ledger, OpenPosition, SimulatedAccount, order_record
from execution.simulated.market import Market
from execution.simulated.money import Money
from execution.simulated.structs import Struct


@dataclass(frozen=True, slots=True)
class Fill:
    """An order that trades now; `time_msc` in server milliseconds.

    Attributes:
        side: of the order; a long position is closed by a SHORT order.
        reason: DEAL_REASON_*, which are ORDER_REASON_* as well.
        magic: of the request, or of the position where the broker acts.
        pending: the working order that is being filled, if any.
        kind: ORDER_TYPE_* on record; None for a market order of the side.
    """

    symbol: str
    side: Side
    volume: float
    price: float
    time_msc: int
    reason: int = mt5.DEAL_REASON_EXPERT
    magic: int = 0
    comment: str = ""
    sl: float = 0.0
    tp: float = 0.0
    filling: int = mt5.ORDER_FILLING_FOK
    pending: Struct | None = None
    kind: int | None = None

    @property
    def deal_type(self) -> int:
        """DEAL_TYPE_BUY or DEAL_TYPE_SELL, which are ORDER_TYPE_* as well."""
        return mt5.DEAL_TYPE_BUY if self.side is Side.LONG else mt5.DEAL_TYPE_SELL


class Dealer:
    """Books fills into the ledger."""

    def __init__(self, ledger: Ledger, market: Market, money: Money, account: SimulatedAccount) -> None:
        self.ledger, self.market, self.money, self.account = ledger, market, money, account
        self._bound_now = (-1, 0.0)  # margin changes with the positions alone: each fill fixes its own

    def deposit(self, amount: float, time_msc: int) -> None:
        """Books the opening balance."""
        kind = {"type": mt5.DEAL_TYPE_BALANCE, "reason": mt5.DEAL_REASON_CLIENT, "profit": amount, "comment": "Initial deposit"}
        self.ledger.add_deal({**kind, "time": time_msc // 1000, "time_msc": time_msc})

    def trade(self, fill: Fill) -> Struct:
        """Opens a position, or on a netting account whatever the fill comes to.

        Returns:
            The deal.
        """
        held = self.held(fill.symbol)
        if held is None:
            return self._open(fill)
        if held.side is fill.side:
            return self._add(held, fill)
        if fill.volume <= held.volume + 1e-9:
            return self.close(held, fill)
        return self._reverse(held, fill)

    def held(self, symbol: str) -> OpenPosition | None:
        """The one position of a symbol on a netting account; None on a hedging one."""
        if self.account.hedging:
            return None
        return next((position for position in self.ledger.positions.values() if position.symbol == symbol), None)

    def close(self, position: OpenPosition, fill: Fill, entry: int = mt5.DEAL_ENTRY_OUT) -> Struct:
        """Closes a position, or a part of it.

        Returns:
            The deal, which carries the profit.
        """
        profit = self.money.profit(position.symbol, position.side, fill.volume, position.price_open, fill.price)
        whole = fill.volume >= position.volume - 1e-9
        swap = position.swap if whole else round(position.swap * fill.volume / position.volume, 2)
        deal = self._book(fill, position.identifier, entry, profit, swap)
        self.ledger.reduce(replace(position, swap=round(position.swap - swap, 2)), fill.volume, fill.time_msc)
        return deal

    def is_full(self, symbol: str) -> bool:
        """Whether the account may not hold one position more, as an order on a symbol would make it."""
        most, held = self.account.limit_positions, len(self.ledger.positions)
        if self.account.hedging:
            held += len(self.ledger.working)  # each of them opens a position of its own
        return bool(most) and held >= most and self.held(symbol) is None

    def charge_night(self, position: OpenPosition, nights: int, time_msc: int) -> None:
        """Adds the swap of so many nights to a position, in whole cents, or to its price by opening it anew."""
        if self.market.feeds[position.symbol].terms.reopens:
            self._reopen(position, nights, time_msc)
            return
        price = self.exit_price(position)
        swap = self.money.swap_per_lot(position.symbol, position.side, price, position.price_open) * position.volume * nights
        self.ledger.put(replace(position, swap=round(position.swap + swap, 2), time_update_msc=time_msc))

    def close_by(self, position: OpenPosition, other: OpenPosition, request: Struct, time_msc: int) -> Struct:
        """Closes two opposite positions against each other, at the other's price.

        Returns:
            The deal of the first position, which carries the profit.
        """
        volume = min(position.volume, other.volume)
        common = {"symbol": position.symbol, "volume": volume, "time_msc": time_msc, "magic": request.magic, "comment": request.comment}
        first = Fill(side=position.side.opposite, price=other.price_open, kind=mt5.ORDER_TYPE_CLOSE_BY, **common)
        second = Fill(side=other.side.opposite, price=other.price_open, kind=mt5.ORDER_TYPE_CLOSE_BY, **common)
        deal = self.close(position, first, mt5.DEAL_ENTRY_OUT_BY)
        self.close(other, second, mt5.DEAL_ENTRY_OUT_BY)
        return deal

    def floating(self, position: OpenPosition) -> float:
        """What a position would make at the current quote, rounded to cents."""
        return round(self.money.profit(position.symbol, position.side, position.volume, position.price_open, self.exit_price(position)), 2)

    def exit_price(self, position: OpenPosition) -> float:
        """The side of the quote at which a position is closed."""
        tick = self.market.feeds[position.symbol].tick
        return tick.bid if position.side is Side.LONG else tick.ask

    def profit(self) -> float:
        """Floating profit of all positions."""
        return round(sum((self.floating(position) for position in self.ledger.positions.values()), 0.0), 2)

    def equity(self) -> float:
        """Balance, floating profit and swap."""
        swap = sum((position.swap for position in self.ledger.positions.values()), 0.0)
        return round(self.ledger.balance + self.profit() + swap, 2)

    def margin(self, extra: Fill | None = None) -> float:
        """Account currency bound by all positions, with a fill that is only considered.

        On a hedging account the larger leg of a symbol counts, or what is not covered and the broker's
        margin for what is; on a netting one the difference.
        """
        if extra is None and self._bound_now[0] == self.ledger.revision:
            return self._bound_now[1]
        legs: dict[str, dict[Side, Leg]] = {}
        for position in self.ledger.positions.values():
            _add(legs, position.symbol, position.side, position.volume, position.margin_per_lot)
        if extra is not None:
            _add(legs, extra.symbol, extra.side, extra.volume, self.money.margin_per_lot(extra.symbol, extra.price))
        bound = round(sum((self._bound(symbol, leg) for symbol, leg in legs.items()), 0.0), 2)
        if extra is None:
            self._bound_now = (self.ledger.revision, bound)
        return bound

    def _bound(self, symbol: str, legs: dict[Side, Leg]) -> float:
        """Margin of a symbol's two legs, each as lots and money."""
        none = Leg(0.0, 0.0)
        long, short = legs.get(Side.LONG, none), legs.get(Side.SHORT, none)
        if not self.account.hedging:
            return abs(long.money - short.money)
        hedged = self.market.feeds[symbol].terms.margin_hedged
        if hedged is None or not (long.lots and short.lots):
            return max(long.money, short.money)
        larger = long if long.lots >= short.lots else short
        covered = min(long.lots, short.lots)
        rate = (long.money + short.money) / (long.lots + short.lots)
        share = hedged / self.market.feeds[symbol].spec.contract_size
        return larger.money * (larger.lots - covered) / larger.lots + covered * rate * share

    def level(self, equity: float, margin: float) -> float:
        """Margin level in percent; 0.0 where no margin is bound."""
        return equity / margin * 100.0 if margin > 0 else 0.0

    def _open(self, fill: Fill) -> Struct:
        ticket = self.ledger.next_order if fill.pending is None else fill.pending.ticket
        deal = self._book(fill, ticket, mt5.DEAL_ENTRY_IN)
        self.ledger.put(self._position(ticket, fill, fill.volume))
        return deal

    def _add(self, held: OpenPosition, fill: Fill) -> Struct:
        deal = self._book(fill, held.identifier, mt5.DEAL_ENTRY_IN)
        volume = round(held.volume + fill.volume, 8)
        price = (held.price_open * held.volume + fill.price * fill.volume) / volume
        bound = held.margin_per_lot * held.volume + self.money.margin_per_lot(fill.symbol, fill.price) * fill.volume
        held = replace(held, sl=fill.sl or held.sl, tp=fill.tp or held.tp)
        grown = replace(held, volume=volume, price_open=price, time_update_msc=fill.time_msc, margin_per_lot=bound / volume)
        self.ledger.put(grown)
        return deal

    def _reverse(self, held: OpenPosition, fill: Fill) -> Struct:
        """Turns a netting position: its ticket becomes that of the order, its identifier stays."""
        profit = self.money.profit(held.symbol, held.side, held.volume, held.price_open, fill.price)
        deal = self._book(fill, held.identifier, mt5.DEAL_ENTRY_INOUT, profit, held.swap)
        self.ledger.drop(held.ticket)
        turned = self._position(deal.order, fill, round(fill.volume - held.volume, 8))
        self.ledger.put(replace(turned, identifier=held.identifier))
        return deal

    def _reopen(self, position: OpenPosition, nights: int, time_msc: int) -> None:
        """Closes a position at the quote and opens it again, the swap away: another ticket, the same identifier.

        Source: https://www.mql5.com/en/docs/constants/tradingconstants/positionproperties
        """
        feed, quote = self.market.feeds[position.symbol], self.exit_price(position)
        start = feed.tick.bid if feed.terms.swap_mode == mt5.SYMBOL_SWAP_MODE_REOPEN_BID else quote
        price = round(start - feed.terms.swap(position.side) * nights * feed.spec.point * position.side, feed.spec.digits + 3)
        fill = Fill(position.symbol, position.side.opposite, position.volume, quote, time_msc, mt5.DEAL_REASON_ROLLOVER, position.magic)
        self.close(position, fill)
        again = replace(fill, side=position.side, price=price, sl=position.sl, tp=position.tp, comment=position.comment)
        deal = self._book(again, position.identifier, mt5.DEAL_ENTRY_IN)
        self.ledger.put(replace(self._position(deal.order, again, again.volume), identifier=position.identifier, reason=position.reason))

    def _position(self, ticket: int, fill: Fill, volume: float) -> OpenPosition:
        return OpenPosition(
            identifier=ticket,
            ticket=ticket,
            symbol=fill.symbol,
            side=fill.side,
            volume=volume,
            price_open=fill.price,
            sl=fill.sl,
            tp=fill.tp,
            time_msc=fill.time_msc,
            time_update_msc=fill.time_msc,
            magic=fill.magic,
            reason=fill.reason,
            comment=fill.comment,
            margin_per_lot=self.money.margin_per_lot(fill.symbol, fill.price),
        )

    def _book(self, fill: Fill, position: int, entry: int, profit: float = 0.0, swap: float = 0.0) -> Struct:
        order = self._order(fill, position)
        self.ledger.finish(order)
        return self.ledger.add_deal(
            {
                "order": order.ticket,
                "time": fill.time_msc // 1000,
                "time_msc": fill.time_msc,
                "type": fill.deal_type,
                "entry": entry,
                "magic": fill.magic,
                "position_id": position,
                "reason": fill.reason,
                "volume": fill.volume,
                "price": fill.price,
                "commission": 0.0 if fill.reason == mt5.DEAL_REASON_ROLLOVER else -self.account.commission_per_lot * fill.volume,
                "swap": swap,
                "profit": profit,
                "symbol": fill.symbol,
                "comment": fill.comment,
            }
        )

    def _order(self, fill: Fill, position: int) -> Struct:
        done = {"time_done_msc": fill.time_msc, "state": mt5.ORDER_STATE_FILLED, "position_id": position, "volume_current": 0.0}
        if fill.pending is not None:
            return order_record({**fill.pending._asdict(), **done, "price_current": fill.price})
        return order_record(
            {
                **done,
                "ticket": self.ledger.order_ticket(),
                "time_setup_msc": fill.time_msc,
                "type": fill.deal_type if fill.kind is None else fill.kind,
                "type_filling": fill.filling,
                "magic": fill.magic,
                "reason": fill.reason,
                "volume_initial": fill.volume,
                "price_open": fill.price,
                "price_current": fill.price,
                "sl": fill.sl,
                "tp": fill.tp,
                "symbol": fill.symbol,
                "comment": fill.comment,
            }
        )


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a symbol: lots, and the margin that they would bind alone."""

    lots: float
    money: float


def _add(legs: dict[str, dict[Side, Leg]], symbol: str, side: Side, lots: float, per_lot: float) -> None:
    sides = legs.setdefault(symbol, {})
    before = sides.get(side, Leg(0.0, 0.0))
    sides[side] = Leg(before.lots + lots, before.money + lots * per_lot)
