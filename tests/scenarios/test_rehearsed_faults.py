"""SIM_FAULTS: a lockstep replay in trouble ends with the books that the broker has, and the same ones each time."""

import shutil
from collections import Counter

import pytest

from config.loading import load_settings
from execution.simulated.faults import FaultyTerminal
from execution.terminal import ModuleTerminal
from market_data.clock import SystemClock
from tests.campaigns.audit import broker_books, compare
from tests.fakes_daemon import broker_deals, differences, run_here, table
from tests.scenarios.conftest import OFTEN
from utils import simulated_terminal
from utils.simulation import simulated_module
from utils.trade_journal import TradeJournal

pytestmark = pytest.mark.slow

CALM_BARS, TROUBLED_BARS = 12, 150
STRUCK_ONCE = ("none", "partial", "lost", "hang", "timeout", "late", "no_stops", "offline", "late_positions", "other_account")
FAULTS = ", ".join([*(f"{name}@{number}" for number, name in enumerate(STRUCK_ONCE, 1)), "requote:0.3", "unsent:0.3"])


@pytest.fixture(scope="module")
def troubled(prices, trained_once, tmp_path_factory):
    """Two homes in which the same replay met the same trouble and then some quiet bars; and what struck in each."""
    homes, fired = [], []

    class Watched(FaultyTerminal):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            fired.append(self.fired)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_terminal, "FaultyTerminal", Watched)
        for name in ("one", "other"):
            home = tmp_path_factory.mktemp(name) / "home"
            shutil.copytree(trained_once, home, ignore=shutil.ignore_patterns("home.lock"))
            run_here(home, TROUBLED_BARS, {**OFTEN, "SIM_FAULTS": FAULTS}, prices)
            run_here(home, CALM_BARS, OFTEN, prices)
            homes.append(home)
    return homes, fired


def story(home, prices):
    """What journal and broker tell differently."""
    settings = load_settings(home / "no.env", {name.lower(): value for name, value in OFTEN.items()})
    module = simulated_module(settings, prices, None, home / "broker.db")
    module.initialize()
    journal = TradeJournal(home / "journal.db", account="simulated/1", mode="simulated", clock=SystemClock())
    books = broker_books(ModuleTerminal(module), settings.terminal.magic)
    keys = {ticket: order.comment for ticket, order in books.orders.items()}
    problems = compare(books, journal, keys)
    journal.close()
    module.close()
    return problems


def test_all_the_trouble_came(troubled):
    _, (first, second) = troubled
    assert first == second
    kinds = Counter(fault.kind.value for fault in first)
    assert {"error", "retcode", "partial", "hang", "late", "stops_dropped", "server_lost", "positions_late", "account_swapped"} == set(
        kinds
    )
    assert {fault.nth for fault in first} >= set(range(1, len(STRUCK_ONCE) + 1))
    assert any(fault.probability for fault in first)


def test_journal_and_broker_tell_the_same_story(troubled, prices):
    for home in troubled[0]:
        assert story(home, prices) == []


def test_the_same_trouble_makes_the_same_books(troubled):
    one, other = troubled[0]
    assert differences(one, other) == []
    assert broker_deals(one) == broker_deals(other)
    assert len(table(one, "trades")) >= 10
