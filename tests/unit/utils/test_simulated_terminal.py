"""The simulated market where its terminal can be lost: time stands still, and goes on."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace

import pytest

from config.home import open_home
from tests.fakes_terminal import ScriptedTerminal
from tests.unit.utils.test_terminals import settings_of
from utils import simulation
from utils.opened import RunOptions
from utils.simulated_terminal import SimulatedMarket
from utils.terminals import open_terminal


def test_a_lost_terminal_is_no_end_of_data(monkeypatch):
    monkeypatch.setattr("utils.simulated_terminal.SLICE", 0.0)
    terminal = ScriptedTerminal(advance=ConnectionError("gone")).on("advance", True).on("advance", False)
    looks = iter([True, False, True, True])
    market = SimulatedMarket(terminal, 0.0, SimpleNamespace(look=lambda: next(looks)))
    assert [market.advance(Event()) for _ in range(4)] == [True, True, True, False]
    assert len(terminal.asked("advance")) == 3


def test_in_this_process_an_error_of_the_market_is_no_lost_terminal():
    with pytest.raises(ConnectionError):
        SimulatedMarket(ScriptedTerminal(advance=ConnectionError("gone")), 0.0).advance(Event())


@pytest.mark.parametrize("values", [{}, {"terminal_isolation": "process"}, {"sim_broker": "process"}], ids=["here", "worker", "broker"])
def test_wherever_it_lives_it_is_the_same_market(tmp_path, monkeypatch, values):
    monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 5)
    terminal = open_terminal(settings_of(**values), RunOptions(replay=True), open_home(tmp_path / "home", "synthetic"))
    start = terminal.clock.now()
    assert terminal.market.advance(Event())
    assert (terminal.clock.now() - start).total_seconds() == 60
    assert terminal.client.select("EURUSD").name == "EURUSD"
    assert terminal.client.quote("EURUSD").time == terminal.clock.now()
    assert terminal.blocked("EURUSD") is None
    terminal.interrupt()
    terminal.close()
