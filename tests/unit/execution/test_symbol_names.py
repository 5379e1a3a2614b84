"""The one name that the broker trades; never a guess between two."""

from __future__ import annotations

import pytest

from config.errors import SettingsError
from execution.simulated.calls import matches
from tests.fakes_terminal import ScriptedTerminal, symbol_info
from tests.unit.execution.test_mt5_client import client_of

METAL = {"currency_base": "USD", "currency_profit": "USD"}


class Broker(ScriptedTerminal):
    """A list of symbols, asked for by name and by mask."""

    def __init__(self, *infos):
        super().__init__(symbol_select=True)
        self.infos = {info.name: info for info in infos}

    def call(self, request):
        if request.function == "symbol_info":
            info = self.infos.get(request.args[0])
            return self._answer(request, info, 1 if info is not None else -4)
        if request.function == "symbols_get":
            return self._answer(request, tuple(i for i in self.infos.values() if matches(i.name, request.kwargs["group"])), 1)
        return super().call(request)

    def _answer(self, request, value, code):
        self._replies[request.function].clear()
        self.on(request.function, value, code)
        return super().call(request)


def resolved(symbol, *infos):
    return client_of(Broker(*infos)).select(symbol).name


@pytest.mark.parametrize(
    ("symbol", "infos", "name"),
    [
        ("EURUSD", [symbol_info("EURUSD"), symbol_info("EURUSDm")], "EURUSD"),
        ("EURUSD", [symbol_info("EURUSD", trade_mode=0), symbol_info("EURUSDm")], "EURUSDm"),
        ("EURUSD", [symbol_info("EURUSD", trade_mode=0)], "EURUSD"),
        ("EURUSD", [symbol_info("EURUSD", trade_mode=3), symbol_info("EURUSDm", trade_mode=0)], "EURUSD"),
        ("EURUSD", [symbol_info("EURUSD.a", trade_mode=0), symbol_info("EURUSD.b")], "EURUSD.b"),
        ("EURUSD", [symbol_info("EURUSD.a", trade_mode=3), symbol_info("EURUSD.b")], "EURUSD.b"),
        ("EURUSD", [symbol_info("EURUSDx", currency_base="GBP"), symbol_info("EURUSDm")], "EURUSDm"),
        ("EURUSD", [symbol_info("EURUSDPRO")], "EURUSDPRO"),
        ("XAUUSD", [symbol_info("GOLD", **METAL), symbol_info("XAUUSD.r", **METAL)], "XAUUSD.r"),
        ("XAUUSD", [symbol_info("GOLD", **METAL), symbol_info("GOLDmicro", **METAL)], "GOLD"),
        ("XAUUSD", [symbol_info("GOLD.x", **METAL)], "GOLD.x"),
        ("GOLD", [symbol_info("XAUUSD", currency_base="XAU")], "XAUUSD"),
        ("US100", [symbol_info("US100Cash", **METAL), symbol_info("US100#", **METAL)], "US100#"),
    ],
)
def test_the_name_that_is_traded(symbol, infos, name):
    assert resolved(symbol, *infos) == name


@pytest.mark.parametrize(
    ("symbol", "infos", "said"),
    [
        ("EURUSD", [symbol_info("EURUSD.b"), symbol_info("EURUSDa")], "EURUSD could be any of EURUSD.b, EURUSDa; write the exact name"),
        ("XAUUSD", [symbol_info("GOLD.b", **METAL), symbol_info("GOLDa", **METAL)], "XAUUSD could be any of GOLD.b, GOLDa"),
        ("EURUSD", [symbol_info("EURUSDm", trade_mode=0)], "no EURUSD that can be traded"),
        ("EUR", [symbol_info("EURUSD")], "no EUR that"),
        ("EURUSD", [], "no EURUSD"),
    ],
)
def test_a_name_that_is_not_plain_is_an_error_that_says_what_there_is(symbol, infos, said):
    with pytest.raises(SettingsError, match=said):
        resolved(symbol, *infos)
