"""Trade requests: what `order_check` foresees and what `order_send` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from execution.simulated import checks, pending
from execution.simulated import constants as mt5
from execution.simulated.checks import Case
from execution.simulated.dealer import Dealer, Fill
from execution.simulated.structs import OrderCheckResult, OrderSendResult, Struct

_OF_AN_ORDER = frozenset({mt5.TRADE_ACTION_MODIFY, mt5.TRADE_ACTION_REMOVE})


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request; tickets are 0 where there is none."""

    retcode: int
    deal: int = 0
    order: int = 0
    volume: float = 0.0
    price: float = 0.0


class TradeDesk:
    """Checks and executes requests of the API.

    Attributes:
        selected: symbols in Market Watch; the others cannot be traded.
        algo_trading: the terminal's Algo Trading button.
        connected: whether the terminal reaches its server.
    """

    def __init__(self, dealer: Dealer, selected: set[str]) -> None:
        self._dealer, self.selected = dealer, selected
        self.algo_trading, self.connected = True, True
        self._request_id = 0
        self._actions: dict[int, tuple[tuple[checks.Rule, ...], Callable[[Case], Answer]]] = {
            mt5.TRADE_ACTION_DEAL: (checks.DEAL_RULES, self._deal),
            mt5.TRADE_ACTION_SLTP: (checks.SLTP_RULES, self._set_stops),
            mt5.TRADE_ACTION_CLOSE_BY: (checks.CLOSE_BY_RULES, self._close_by),
            mt5.TRADE_ACTION_PENDING: (pending.PLACE_RULES, self._place),
            mt5.TRADE_ACTION_MODIFY: (pending.MODIFY_RULES, self._modify),
            mt5.TRADE_ACTION_REMOVE: (pending.REMOVE_RULES, self._remove),
        }

    def check(self, request: Struct) -> Struct:
        """Whether the request would be accepted, and the account after it; changes nothing."""
        case, refusal = self._judge(request)
        dealer = self._dealer
        equity, bound = dealer.equity(), dealer.margin()
        if case is not None and request.action in (mt5.TRADE_ACTION_DEAL, mt5.TRADE_ACTION_PENDING):
            bound = checks.margin_after(case)
        level = dealer.level(equity, bound)
        account = (dealer.ledger.balance, equity, dealer.profit(), bound, round(equity - bound, 2), level)
        return OrderCheckResult((refusal or 0, *account, checks.MESSAGES[refusal or 0], request))

    def send(self, request: Struct) -> tuple[Struct, bool]:
        """Executes the request.

        Returns:
            The result, and whether it changed the account.
        """
        self._request_id += 1
        case, refusal = self._judge(request)
        if case is None or refusal is not None:
            return self._result(request, Answer(refusal or mt5.TRADE_RETCODE_INVALID)), False
        answer = self._actions[request.action][1](case)
        return self._result(request, answer), True

    def _judge(self, given: Struct) -> tuple[Case | None, int | None]:
        order = self._dealer.ledger.working.get(given.order) if given.action in _OF_AN_ORDER else None
        request = self._completed(given, order)
        barred = self._barred(request)
        if barred is not None:
            return None, barred
        position = self._dealer.ledger.positions.get(request.position)
        if position is None and request.action == mt5.TRADE_ACTION_SLTP and not request.position:
            position = self._dealer.held(request.symbol)
        case = Case(request, self._dealer.market.feeds[request.symbol], self._dealer, position, order)
        return case, checks.first_refusal(case, self._actions[request.action][0])

    def _completed(self, request: Struct, order: Struct | None) -> Struct:
        """With what an order or a position that the request names tells already."""
        if order is not None:
            facts = {"symbol": order.symbol, "type": order.type, "volume": order.volume_current, "type_filling": order.type_filling}
            return pending.changed(request, **facts)
        position = self._dealer.ledger.positions.get(request.position)
        if request.action == mt5.TRADE_ACTION_CLOSE_BY and not request.symbol and position is not None:
            return pending.changed(request, symbol=position.symbol)
        return request

    def _barred(self, request: Struct) -> int | None:
        """Refusals that need no look at the request's figures."""
        feed = self._dealer.market.feeds.get(request.symbol)
        if not self.connected:
            return mt5.TRADE_RETCODE_CONNECTION
        if not self.algo_trading:
            return mt5.TRADE_RETCODE_CLIENT_DISABLES_AT
        if request.action not in self._actions or feed is None:
            return mt5.TRADE_RETCODE_INVALID
        return mt5.TRADE_RETCODE_PRICE_OFF if request.symbol not in self.selected or feed.position < 0 else None

    def _deal(self, case: Case) -> Answer:
        request = case.request
        fill = Fill(
            symbol=request.symbol,
            side=case.side,
            volume=request.volume,
            price=case.fill_price,
            time_msc=self._dealer.market.server_msc(),
            magic=request.magic,
            comment=request.comment,
            sl=request.sl,
            tp=request.tp,
            filling=request.type_filling,
        )
        closing = case.position if case.closes else None
        deal = self._dealer.trade(fill) if closing is None else self._dealer.close(closing, fill)
        return Answer(mt5.TRADE_RETCODE_DONE, deal.ticket, deal.order, deal.volume, deal.price)

    def _set_stops(self, case: Case) -> Answer:
        assert case.position is not None  # noqa: S101  # a rule has refused the request otherwise; this tells the type checker
        changed = replace(case.position, sl=case.request.sl, tp=case.request.tp, time_update_msc=self._dealer.market.server_msc())
        self._dealer.ledger.put(changed)
        return Answer(mt5.TRADE_RETCODE_DONE)

    def _close_by(self, case: Case) -> Answer:
        positions = self._dealer.ledger.positions
        deal = self._dealer.close_by(
            positions[case.request.position], positions[case.request.position_by], case.request, self._dealer.market.server_msc()
        )
        return Answer(mt5.TRADE_RETCODE_DONE, deal.ticket, deal.order, deal.volume, deal.price)

    def _place(self, case: Case) -> Answer:
        order = pending.place(case)
        return Answer(mt5.TRADE_RETCODE_DONE, order=order.ticket, volume=order.volume_current, price=order.price_open)

    def _modify(self, case: Case) -> Answer:
        pending.modify(case)
        return Answer(mt5.TRADE_RETCODE_DONE, order=case.request.order, volume=case.request.volume, price=case.request.price)

    def _remove(self, case: Case) -> Answer:
        order = self._dealer.ledger.working[case.request.order]
        pending.end(self._dealer, order, mt5.ORDER_STATE_CANCELED, self._dealer.market.server_msc())
        return Answer(mt5.TRADE_RETCODE_DONE, order=case.request.order)

    def _result(self, request: Struct, answer: Answer) -> Struct:
        feed = self._dealer.market.feeds.get(request.symbol)
        bid, ask = (feed.tick.bid, feed.tick.ask) if feed is not None else (0.0, 0.0)
        return OrderSendResult(
            (
                answer.retcode,
                answer.deal,
                answer.order,
                answer.volume,
                answer.price,
                bid,
                ask,
                checks.MESSAGES[answer.retcode],
                self._request_id,
                0,
                request,
            )
        )
