"""A replay's bars, read from the simulated market's memory, are those that its terminal returns."""

import numpy as np
import pytest

from config.errors import InsufficientHistory
from execution.terminal import ModuleTerminal
from market_data.bars import Timeframe
from market_data.clock import BrokerTime
from market_data.loader import BarLoader
from tests.unit.utils.test_terminals import settings_of
from utils import played_bars, simulation
from utils.opened import client_of
from utils.played_bars import PlayedBars
from utils.simulation import simulated_module

COLUMNS = ("time", "open", "high", "low", "close", "tick_volume", "spread")


@pytest.fixture(params=["M1", "M5"])
def both(request, monkeypatch):
    """The market, the bars of its terminal, and those of its memory."""
    monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 400)
    monkeypatch.setattr(played_bars, "BLOCK", 16)
    settings = settings_of(timeframe=request.param)
    module = simulated_module(settings, ("synthetic",), None, None)
    client = client_of(settings, ModuleTerminal(module))
    client.connect()
    client.select("EURUSD")
    frame = Timeframe[request.param]
    loader = BarLoader(client, frame, 500)
    rule = BrokerTime(settings.terminal.broker_time_zone)
    yield module, loader, PlayedBars(module, loader, frame, rule, 20)
    module.close()


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


def test_every_window_is_the_terminals(both):
    module, loader, played = both
    for _ in range(90):
        assert equal(played.window("EURUSD", 25), loader.window("EURUSD", 25))
        assert played.declare("EURUSD") == loader.declare("EURUSD")
        assert module.advance()


def test_a_window_longer_than_the_past_says_so(both):
    _, loader, played = both
    for source in (played, loader):
        with pytest.raises(InsufficientHistory):
            source.window("EURUSD", 10_000)


def test_a_block_holds_the_bars_that_will_close(both):
    module, loader, played = both
    newest = int(played.window("EURUSD", 1).time[-1])
    number = played.block_of("EURUSD", newest)
    bars, first = played.block("EURUSD", number)
    assert first == 20
    assert newest in bars.time[first:]
    for _ in range(100):
        module.advance()
    past = loader.window("EURUSD", 140)
    shown = np.isin(bars.time, past.time)
    assert shown.sum() > 20
    assert np.array_equal(bars.close[shown], past.close[np.isin(past.time, bars.time)])


def test_what_closes_at_the_instants_to_come_is_known(both):
    module, _, played = both
    instants = played.instants(60)
    closing = played.closing("EURUSD", instants)
    newest = module.closed("EURUSD", played._timeframe.constant)
    for instant, count in zip(instants.tolist(), closing.tolist(), strict=True):
        assert module.advance()
        assert (module.clock.now().timestamp() * 1_000, module.closed("EURUSD", played._timeframe.constant)) == (instant, newest + count)
    assert played.newest("EURUSD") == played.window("EURUSD", 5).time[-1]


def test_blocks_beyond_the_last_bar_asked_for_are_empty(both):
    module, loader, played = both
    limited = PlayedBars(module, loader, played._timeframe, played._broker_time, 20, limit=20)
    newest = int(played.window("EURUSD", 1).time[-1])
    number = limited.block_of("EURUSD", newest)
    for ahead in (0, 1, 5):
        bars, first = limited.block("EURUSD", number + ahead)
        whole, same = played.block("EURUSD", number + ahead)
        assert len(bars) <= first if ahead == 5 else (equal(bars, whole) and first == same)


def test_beyond_the_end_there_are_no_bars(both):
    _, _, played = both
    bars, first = played.block("EURUSD", 1_000)
    assert len(bars) <= first
