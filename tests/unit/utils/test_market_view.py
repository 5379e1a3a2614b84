"""A terminal that is only looked at: the daemon's bars, and nothing is left behind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.errors import TerminalUnavailable
from config.settings import Settings
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


def test_a_real_terminal_that_cannot_be_reached_is_no_reason_to_look_at_another():
    real = Settings(terminal={"terminal": "mt5", "mt5_login": 7, "mt5_password": "secret", "mt5_server": "Broker"})
    with pytest.raises(TerminalUnavailable), open_view(real, ("synthetic",)):
        pass
