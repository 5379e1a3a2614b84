from types import SimpleNamespace

import pytest

from execution.simulated.shortcuts import Shortcuts

DONE, REQUOTE, NO_QUOTES, NO_MONEY = 10009, 10004, 10021, 10019


class Scripted(Shortcuts):
    """A module whose orders are answered by a list; None stands for a refused request."""

    def __init__(self, *retcodes, positions=(), quotes=True):
        self.retcodes, self.positions, self.quotes, self.sent = list(retcodes), positions, quotes, []

    def symbol_info_tick(self, symbol):
        return SimpleNamespace(bid=1.1, ask=1.2) if self.quotes else None

    def positions_get(self, **filters):
        return tuple(position for position in self.positions if filters.get("ticket", position.ticket) == position.ticket)

    def order_send(self, request):
        self.sent.append(request)
        retcode = self.retcodes.pop(0)
        return None if retcode is None else SimpleNamespace(retcode=retcode)


def held(ticket, kind=0):
    return SimpleNamespace(ticket=ticket, type=kind, volume=0.3)


def test_a_purchase_is_made_at_the_ask_and_a_sale_at_the_bid():
    mt5 = Scripted(DONE, DONE)
    mt5.Buy("EURUSD", 0.1)
    mt5.Sell("EURUSD", 0.2, comment="c", ticket=7)
    assert mt5.sent == [
        {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "deviation": 10, "price": 1.2},
        {"action": 1, "symbol": "EURUSD", "volume": 0.2, "type": 1, "deviation": 10, "price": 1.1, "comment": "c", "position": 7},
    ]


def test_a_price_that_is_named_is_kept():
    mt5 = Scripted(DONE)
    mt5.Buy("EURUSD", 0.1, 1.15)
    assert mt5.sent[0]["price"] == 1.15


@pytest.mark.parametrize(("answers", "tries"), [((REQUOTE, NO_QUOTES, DONE), 3), ((REQUOTE,) * 12, 10), ((NO_MONEY,), 1), ((None,), 1)])
def test_a_price_that_runs_away_is_followed_ten_times(answers, tries):
    mt5 = Scripted(*answers)
    mt5.Buy("EURUSD", 0.1)
    assert len(mt5.sent) == tries


def test_nothing_is_sent_without_a_quote():
    mt5 = Scripted(quotes=False, positions=(held(1),))
    assert (mt5.Buy("EURUSD", 0.1), mt5.Close("EURUSD"), mt5.sent) == (None, None, [])


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [((DONE, DONE), True), ((DONE, NO_MONEY), "Partially"), ((NO_MONEY, NO_MONEY), False), ((DONE, None), None), ((None,), None)],
)
def test_close_tells_how_much_it_closed(answers, outcome):
    mt5 = Scripted(*answers, positions=(held(1), held(2, kind=1)))
    assert mt5.Close("EURUSD") == outcome
    assert [(request["position"], request["type"]) for request in mt5.sent] == [(1, 1), (2, 0)][: len(answers)]


def test_close_takes_one_ticket_and_tells_that_there_is_none():
    mt5 = Scripted(DONE, positions=(held(1), held(2)))
    assert mt5.Close("EURUSD", ticket=2) is True
    assert [request["position"] for request in mt5.sent] == [2]
    assert Scripted().Close("EURUSD") is False
