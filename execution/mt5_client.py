"""The one door to a MetaTrader 5 terminal: calls in, our records and our errors out.

The terminal behind the door is the official module, the simulated one or a remote one; this
module is the only place that knows the difference between `None`, `False` and empty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import (
    OrderRejected,
    RetryError,
    ScalperError,
    TerminalDisconnected,
)
from execution import reconciliation
from execution.orders import Deal, OrderIntent, OrderResult, OrderState, Position, Quote, Side
from execution.reconciliation import Trace
from execution.retcodes import INVALID_FILL, POSITION_CLOSED, call_error, retcode
from execution.symbol_names import other_names, the_one_name
from execution.terminal import Terminal
from execution.terminal_session import TerminalSession
from execution.translate import (
    ORDER_TYPES,
    TRANSFERS,
    OrderCheck,
    RisingStamps,
    TerminalState,
    check_from,
    deal_from,
    deal_request,
    filling_modes,
    position_from,
    quote_from,
    result_from,
    server_date,
    spec_from,
    stops_request,
    terminal_state_from,
)
from market_data.bars import Timeframe
from market_data.clock import BrokerTime
from market_data.instruments import SymbolSpec

_DAY = timedelta(days=1)
_TRADABLE = 4
"""`trade_mode` of a symbol without restrictions."""


class MT5Client(TerminalSession):
    """A terminal's account, prices and orders as our own records.

    Safe to call from any thread: the terminal answers one request at a time, and what is kept
    here is replaced, never edited.

    Args:
        terminal: answers requests.
        broker_time: the rule between the server's clock and UTC.
        magic: marks our orders; positions with another magic are not ours.
        deviation: points of slippage for intents that the caller makes.
    """

    def __init__(self, terminal: Terminal, *, broker_time: BrokerTime, magic: int, deviation: int) -> None:
        super().__init__(terminal)
        self._broker_time = broker_time
        self._stamps = RisingStamps(broker_time)
        self.magic = int(magic)
        self.deviation = int(deviation)
        self._specs: dict[str, SymbolSpec] = {}
        self._filling: dict[str, int] = {}
        self._shown: tuple[Any, tuple[Position, ...]] | None = None

    def state(self) -> TerminalState:
        """What the terminal says of itself: connection, permissions, limits."""
        return terminal_state_from(self._value("terminal_info"))

    def select(self, symbol: str) -> SymbolSpec:
        """Puts a symbol into Market Watch; use the `name` of the answer from then on.

        Args:
            symbol: the exact name, or one that the broker writes with a suffix, or GOLD for
                XAUUSD and the like.

        Raises:
            SettingsError: no name fits, or several do.
            TerminalCallFailed: the terminal did not select it.
        """
        name = self._resolve(symbol)
        reply = self._call("symbol_select", name, True)
        if not reply.value:
            raise call_error(f"symbol_select of {name}", reply.code, reply.message)
        self._selected = tuple(dict.fromkeys((*self._selected, name)))
        return self.spec(name)

    def _resolve(self, symbol: str) -> str:
        """The exact name where it can be traded; else the one tradable name that means the same."""
        reply = self._call("symbol_info", symbol)
        exact = reply.value
        error = call_error(f"symbol_info of {symbol}", reply.code, reply.message)
        if exact is None and isinstance(error, TerminalDisconnected):
            raise error
        if exact is not None and int(exact.trade_mode) == _TRADABLE:
            return str(exact.name)
        fits = other_names(symbol, lambda mask: self._value("symbols_get", group=mask))
        return str(exact.name) if exact is not None and len(fits) != 1 else the_one_name(symbol, fits)

    def spec(self, symbol: str) -> SymbolSpec:
        """The symbol as the broker describes it now; tick values change with rates."""
        spec = spec_from(self._value("symbol_info", symbol))
        self._specs = {**self._specs, symbol: spec}
        return spec

    def quote(self, symbol: str) -> Quote:
        """The latest tick; on a weekend that is Friday's, with its own time.

        Raises:
            DataError: before the first tick.
        """
        return quote_from(symbol, self._value("symbol_info_tick", symbol), self._broker_time)

    def rates(self, symbol: str, timeframe: Timeframe, start: int, count: int) -> NDArray[np.void]:
        """Bars by position from the newest, with `time` in UTC.

        Args:
            symbol: exact name.
            timeframe: bar length.
            start: position of the newest bar wanted; 0 is the bar that is still forming.
            count: most bars wanted.

        Returns:
            Shape (n,) of RATES_DTYPE, n <= count, oldest first; the caller's own copy.
        """
        served: NDArray[np.void] = self._value("copy_rates_from_pos", symbol, timeframe.constant, start, count)
        # A block copy: NumPy copies packed records field by field, nine times slower.
        rates = np.frombuffer(bytearray(served), served.dtype)
        rates["time"] = self._stamps.to_utc(rates["time"])
        return rates

    def profit_per_lot(self, side: Side, symbol: str, entry: float, exit_price: float) -> float:
        """Account currency that one lot makes from `entry` to `exit_price`; a loss is negative."""
        return float(self._value("order_calc_profit", ORDER_TYPES[side], symbol, 1.0, float(entry), float(exit_price)))

    def margin_for(self, side: Side, symbol: str, volume: float, price: float) -> float:
        """Account currency that an order would bind."""
        return float(self._value("order_calc_margin", ORDER_TYPES[side], symbol, float(volume), float(price)))

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        """Our own open positions."""
        chosen = {} if symbol is None else {"symbol": symbol}
        raws = self._own("positions_get", **chosen)
        if self._shown is None or raws is not self._shown[0]:  # else the very records that were read last
            self._shown = raws, tuple(position_from(raw, self._broker_time) for raw in raws if int(raw.magic) == self.magic)
        return self._shown[1]

    def foreign_positions(self, symbol: str) -> int:
        """How many open positions on a symbol are not ours; a netting account would merge ours into them."""
        return sum(int(raw.magic) != self.magic for raw in self._own("positions_get", symbol=symbol))

    def deals_of(self, position: int) -> tuple[Deal, ...]:
        """All deals of a position, whoever made them, oldest first; a new one may come late."""
        return self._deals(self._own("history_deals_get", position=int(position)))

    def transfers_between(self, start: datetime, end: datetime) -> tuple[Deal, ...]:
        """Money paid in or out of the account with `start <= time <= end`, oldest first.

        The terminal is asked for a day more on either side, so that no difference between its
        clock and ours hides the newest deals. The trades among them are left out unread.
        """
        window = (server_date(self._broker_time, start - _DAY), server_date(self._broker_time, end + _DAY))
        raws = (raw for raw in self._own("history_deals_get", *window) if raw.type in TRANSFERS)
        return tuple(deal for deal in self._deals(raws) if start <= deal.time <= end)

    def _deals(self, raws: Iterable[Any]) -> tuple[Deal, ...]:
        return tuple(sorted((deal_from(raw, self._broker_time) for raw in raws), key=lambda deal: (deal.time, deal.ticket)))

    def check(self, intent: OrderIntent) -> OrderCheck:
        """Asks the terminal whether an order would pass; nothing is sent.

        Where the filling mode is refused the next one is tried, and the first that passes is
        used for the symbol from then on.
        """
        try:
            result = self._check(intent)
            while result.retcode == INVALID_FILL and self._next_filling(intent.symbol):
                result = self._check(intent)
        except OrderRejected as error:
            return OrderCheck(False, error.retcode, error.message, 0.0)
        return result

    def _check(self, intent: OrderIntent) -> OrderCheck:
        return check_from(self._value("order_check", self._request(intent)))

    def send(self, intent: OrderIntent) -> OrderResult:
        """Sends an order ONCE. Never raises for what the terminal does, and never tries again.

        A close takes its direction from the position itself, so `intent.side` is not read for
        it: a wrong side would double the position on a netting account.

        Returns:
            FILLED or PARTIAL with the fill (price 0.0 where the venue did not say); CONFIRMED
            where a position shows the stop it was to get; REJECTED where surely nothing
            happened, retcode 0 where nothing was sent; UNKNOWN otherwise: ask `find` before
            anything else is done on the symbol.
        """
        if intent.purpose == "stop":
            return self._move_stop(intent)
        try:
            request = self._request(intent)
            self._same_account()
        except OrderRejected as error:
            return OrderResult(OrderState.REJECTED, error.retcode, error.message)
        except (RetryError, ArithmeticError, TypeError, ValueError) as error:
            return OrderResult(OrderState.REJECTED, 0, f"not sent: {error}")
        try:
            reply = self._call("order_send", request)
        except ScalperError as error:
            return OrderResult(OrderState.UNKNOWN, 0, str(error))
        result = result_from(reply)
        if result.retcode == INVALID_FILL:
            self._next_filling(intent.symbol)
        return result

    def find(self, intent: OrderIntent, known: Collection[int] = frozenset()) -> OrderResult | None:
        """What became of an order whose outcome is unknown, by the venue's own books.

        Args:
            intent: as it was sent, or was about to be.
            known: order and position tickets that belong to other orders; never matched.

        Returns:
            FILLED, PARTIAL, CONFIRMED or REJECTED as the venue shows it; UNKNOWN while it is
            still being worked; None where there is no trace. Shortly after sending that proves little:
            history comes late, so ask again before the order is given up.

        Raises:
            OutcomeUnknown: several orders fit.
            TerminalCallFailed: the terminal did not answer; nothing is known.
        """
        if intent.purpose == "stop":
            return self._read_stop(intent)
        for traces in self._traces(intent):
            trace = reconciliation.match(intent, traces, known)
            if trace is not None:
                deals = self._deals(self._own("history_deals_get", ticket=trace.ticket))
                return reconciliation.outcome(intent, trace, deals)
        return None

    def _move_stop(self, intent: OrderIntent) -> OrderResult:
        """Sends a change of the stop once; what the position shows then is the answer."""
        try:
            self._same_account()
            reply = self._call("order_send", stops_request(intent, self._spec_of(intent.symbol)))
            return reconciliation.stop_change(result_from(reply), self._read_stop(intent))
        except ScalperError as error:
            return OrderResult(OrderState.UNKNOWN, 0, str(error))

    def _read_stop(self, intent: OrderIntent) -> OrderResult:
        raws = self._own("positions_get", ticket=int(intent.position))
        return reconciliation.shown_stop(intent, raws, self._spec_of(intent.symbol))

    def _spec_of(self, symbol: str) -> SymbolSpec:
        return self._specs.get(symbol) or self.spec(symbol)

    def _traces(self, intent: OrderIntent) -> Iterator[tuple[Trace, ...]]:
        """Where an order can have left a trace, surest first; read only as far as needed."""
        if not intent.position:
            yield tuple(
                Trace(p.ticket, p.symbol, p.side, p.volume, p.magic, p.comment, p.opened, p.price_open)
                for p in self.positions(intent.symbol)
            )
        start, end = (server_date(self._broker_time, intent.created + shift) for shift in (-_DAY, _DAY))
        yield reconciliation.order_traces(intent, self._past_orders(intent, start, end), self._broker_time)
        yield reconciliation.order_traces(intent, self._own("orders_get", symbol=intent.symbol), self._broker_time)

    def _past_orders(self, intent: OrderIntent, start: datetime, end: datetime) -> tuple[Any, ...]:
        if intent.position:
            return tuple(self._own("history_orders_get", position=int(intent.position)))
        return tuple(self._own("history_orders_get", start, end))

    def _request(self, intent: OrderIntent) -> dict[str, Any]:
        spec = self._spec_of(intent.symbol)
        side = self._closing_side(intent) if intent.position else intent.side
        filling = self._filling.get(intent.symbol, filling_modes(spec)[0])
        return deal_request(intent, spec, side, filling)

    def _closing_side(self, intent: OrderIntent) -> Side:
        raws = self._own("positions_get", ticket=int(intent.position))
        if not raws:
            raise OrderRejected(POSITION_CLOSED, intent.symbol, f"not sent: position {intent.position}: {retcode(POSITION_CLOSED)}")
        return position_from(raws[0], self._broker_time).side.opposite

    def _next_filling(self, symbol: str) -> bool:
        """Takes the filling mode after the refused one; False, and the first again, after the last."""
        modes = filling_modes(self._specs[symbol])
        rank = modes.index(self._filling.get(symbol, modes[0])) + 1
        self._filling = {**self._filling, symbol: modes[rank % len(modes)]}
        return rank < len(modes)
