"""The broker's process dies while the daemon lives: it is started again on its book, and the market goes on where it was."""

from __future__ import annotations

import pytest

from tests.fakes_daemon import TREES_ONLY, broker_deals, broker_positions, differences, run_here, table
from tests.fakes_processes import brokers_of_this_process
from utils.simulated_terminal import SimulatedMarket

BARS = 100
DEATHS = (40, 41, 75)
"""Bars after which the broker is killed."""
PATIENCE = 600
"""Looks, half a second each, at a market that stands still."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    run_here(home, BARS, TREES_ONLY)
    return home


@pytest.fixture
def killed(monkeypatch):
    """Processes that were killed between two bars."""
    dead, played, stood = [], [0], [0]
    original = SimulatedMarket.advance

    def advance(self, stop):
        if played[0] in DEATHS[len(dead) :]:
            dead.extend(brokers_of_this_process())
            dead[-1].kill()
            dead[-1].wait()
        before = self._terminal.clock.now()
        goes_on = original(self, stop)
        moved = self._terminal.clock.now() > before
        played[0] += moved
        stood[0] = 0 if moved else stood[0] + 1
        assert stood[0] < PATIENCE, "the market stands still"
        return goes_on

    monkeypatch.setattr(SimulatedMarket, "advance", advance)
    return dead


@pytest.mark.slow
def test_the_daemon_goes_on_and_the_books_are_those_of_a_run_without_deaths(tmp_path, undisturbed, killed):
    result = run_here(tmp_path, BARS, {**TREES_ONLY, "SIM_BROKER": "process"})
    assert (result.exit_code, result.summary["ended"]) == (0, "bars decided")
    assert len({process.pid for process in killed}) == len(DEATHS)
    assert differences(undisturbed, tmp_path) == []
    assert broker_deals(tmp_path) == broker_deals(undisturbed)
    assert broker_positions(tmp_path) == broker_positions(undisturbed)
    assert {row["ticket"] for row in table(tmp_path, "deals")} == set(broker_deals(tmp_path)) != set()
    assert list(brokers_of_this_process()) == []
