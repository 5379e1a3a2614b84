"""A terminal that is only looked at: the daemon's bars, and nothing is left behind."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from config.errors import TerminalUnavailable
from config.settings import Settings
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from market_data.clock import BrokerTime
from tests.fakes_learning import market
from tests.fakes_paper import LookOnly
from utils import terminals
from utils.market_view import open_view
from utils.simulation import SYNTHETIC_START

SETTINGS = Settings(data={"history_bars": 3_000})


def test_the_whole_history_up_to_the_start_is_shown():
    with open_view(SETTINGS, ("synthetic",)) as view:
        bars = view.loader.history("EURUSD", 100_000)
        assert (view.symbols, len(bars)) == (("EURUSD",), 3_000)
        assert bars.opened_at(0) == SYNTHETIC_START
        assert view.play is not None
        assert view.play()
        assert len(view.loader.history("EURUSD", 100_000)) == 3_001


def test_the_clock_starts_where_it_is_told():
    start = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)
    with open_view(SETTINGS, ("synthetic",), start) as view:
        assert view.clock.now() == start
        assert view.loader.window("EURUSD", 1).opened_at(-1) == datetime(2024, 1, 5, 11, 59, tzinfo=UTC)


def test_a_real_terminal_is_looked_at_and_time_passes_by_itself(monkeypatch):
    bars = market(400)
    module = SimulatedMT5(
        {"EURUSD": bars},
        {"EURUSD": default_spec("EURUSD")},
        history_bars=300,
        account=SimulatedAccount(login=42, server="Broker-Demo", balance=1_000.0),
        broker_time=BrokerTime("America/New_York+7"),
        book=None,
    )
    monkeypatch.setattr(terminals, "official_module", lambda: module)
    monkeypatch.setattr(terminals, "ModuleTerminal", LookOnly)
    real = Settings(terminal={"terminal": "mt5", "mt5_login": 42, "mt5_password": "secret", "mt5_server": "Broker-Demo"})
    with open_view(real, ("synthetic",)) as view:
        assert view.play is None
        np.testing.assert_array_equal(view.loader.history("EURUSD", 1_000).close, bars.close[:300])


def test_a_real_terminal_that_cannot_be_reached_is_no_reason_to_look_at_another():
    real = Settings(terminal={"terminal": "mt5", "mt5_login": 7, "mt5_password": "secret", "mt5_server": "Broker"})
    with pytest.raises(TerminalUnavailable), open_view(real, ("synthetic",)):
        pass
