"""The simulated market where its terminal can be lost: time stands still, and goes on."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace

import pytest

from config.errors import TerminalDisconnected
from config.home import open_home
from execution.orders import OrderIntent, OrderState, Side
from tests.fakes_terminal import ScriptedTerminal
from tests.unit.utils.test_terminals import settings_of
from utils import simulation
from utils.opened import RunOptions
from utils.simulated_terminal import CommittingMarket, SimulatedMarket, _market_text
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


def test_where_passes_are_counted_a_try_to_connect_is_waited_for():
    said = []
    looks = iter([False, True])
    watch = SimpleNamespace(look=lambda: next(looks), wait=lambda stop: said.append("waited") or True)
    assert SimulatedMarket(ScriptedTerminal(advance=True), 0.0, watch, exact=True).advance(Event())
    assert said == ["waited"]


@pytest.fixture
def rehearse(tmp_path, monkeypatch):
    """Opens a simulated terminal whose orders meet some trouble."""
    monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 20)
    opened = []

    def make(faults, **values):
        home = open_home(tmp_path / f"home{len(opened)}", "synthetic")
        opened.append(open_terminal(settings_of(sim_faults=faults, **values), RunOptions(replay=True), home))
        opened[-1].client.select("EURUSD")
        return opened[-1]

    yield make
    for terminal in opened:
        terminal.close()


def buy(terminal):
    quote, now = terminal.client.quote("EURUSD"), terminal.clock.now()
    stop, target = round(quote.bid - 0.005, 5), round(quote.ask + 0.005, 5)
    key = f"key{now:%H%M}"
    return terminal.client.send(OrderIntent(key, "EURUSD", Side.LONG, 0.1, quote.ask, stop, target, 10, terminal.client.magic, now))


def test_faults_are_in_the_banner_and_their_absence_is_not(rehearse):
    assert rehearse("requote:0.02, lost@3").banner.endswith("; REHEARSING FAULTS: requote:0.02, lost@3")
    assert "FAULTS" not in rehearse("").banner


def test_without_faults_nothing_stands_before_the_market(rehearse, monkeypatch):
    monkeypatch.setattr("utils.simulated_terminal.FaultyTerminal", None)
    assert buy(rehearse("")).state is OrderState.FILLED


@pytest.mark.parametrize(
    ("fault", "state", "positions"),
    [
        ("requote@1", OrderState.REJECTED, 0),
        ("partial@1", OrderState.PARTIAL, 1),
        ("none@1", OrderState.UNKNOWN, 1),
        ("unsent@1", OrderState.UNKNOWN, 0),
        ("reject:1", OrderState.REJECTED, 0),
    ],
)
def test_a_fault_strikes_the_order_that_it_names(rehearse, fault, state, positions):
    terminal = rehearse(fault)
    assert buy(terminal).state is state
    assert len(terminal.client.positions()) == positions


@pytest.mark.parametrize("values", [{}, {"terminal_isolation": "process"}, {"sim_broker": "process"}], ids=["here", "worker", "broker"])
def test_a_broken_line_is_mended_before_the_next_bar(rehearse, values):
    terminal = rehearse("lost@1", **values)
    assert buy(terminal).state is OrderState.UNKNOWN
    with pytest.raises(TerminalDisconnected):
        terminal.client.positions()
    before = terminal.clock.now()
    assert terminal.market.advance(Event())
    assert (terminal.clock.now() - before).total_seconds() == 60
    assert [held.volume for held in terminal.client.positions()] == [0.1]
    assert terminal.blocked("EURUSD") is None


def test_a_call_that_hangs_lets_the_market_run_and_nobody_wait(rehearse):
    terminal = rehearse("hang@1")
    before = terminal.clock.now()
    assert buy(terminal).state is OrderState.FILLED
    assert (terminal.clock.now() - before).total_seconds() == 180


def test_the_same_seed_strikes_the_same_orders(rehearse):
    def states(seed):
        terminal = rehearse("requote:0.5", sim_fault_seed=seed)
        return [buy(terminal).state for _ in range(12)]

    first = states(3)
    assert states(3) == first != states(4)
    assert set(first) == {OrderState.FILLED, OrderState.REJECTED}


def test_a_living_broker_is_kept_where_only_the_trouble_is_another():
    without, with_ = (_market_text(settings_of(sim_faults=faults), RunOptions()) for faults in ("", "lost@1"))
    assert without == with_ != _market_text(settings_of(sim_balance=5.0), RunOptions())


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


def test_passes_that_were_made_together_count_for_the_next_commit():
    commits = []
    market = CommittingMarket(Played(), lambda: commits.append(1), 5)
    for passes, made in ((4, 0), (1, 1), (3, 1), (9, 2), (4, 2)):
        market.passed(passes)
        assert len(commits) == made
    assert market.advance(Event())
    assert len(commits) == 3


class Played:
    def advance(self, stop):
        return True
