"""The bars and instants behind recorded decisions, against a loop that plays the same market."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.settings import Settings
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from execution.terminal import ModuleTerminal
from market_data.bars import Timeframe
from market_data.clock import BrokerTime
from market_data.loader import BarLoader
from market_data.quotes import Quotes
from strategy.decision import Decision
from tests.fakes_learning import market
from utils.deciding import decision_bars
from utils.market_view import MarketView
from utils.opened import client_of
from utils.recorded_past import RecordedPast

MINUTE = timedelta(minutes=1)


def thinned(symbol, seed):
    """Bars of which every fifth is missing, so that symbols do not open together."""
    bars = market(1_200, symbol=symbol, seed=seed)
    keep = np.random.default_rng(seed).random(len(bars)) > 0.2
    return type(bars)(
        symbol, bars.timeframe, *(getattr(bars, n)[keep] for n in ("time", "open", "high", "low", "close", "tick_volume", "spread"))
    )


def view_of(feeds, start, settings):
    terminal = SimulatedMT5(
        feeds,
        {symbol: default_spec(symbol) for symbol in feeds},
        history_bars=300,
        account=SimulatedAccount(balance=10_000.0),
        broker_time=BrokerTime(settings.terminal.broker_time_zone),
        book=None,
        start=start,
    )
    client = client_of(settings, ModuleTerminal(terminal))
    client.connect()
    loader = BarLoader(client, Timeframe[settings.symbols.timeframe], 5_000)
    for symbol in feeds:
        client.select(symbol)
    return MarketView(client, loader, tuple(feeds), terminal.clock, terminal.advance)


def passes(feeds, start, settings, count):
    """What the loop does: at every instant a decision for each symbol that has a new closed bar; with the bars it read."""
    view, last, made = view_of(feeds, start, settings), {}, []
    for _ in range(count):
        for symbol in feeds:
            bars = view.loader.window(symbol, decision_bars(settings))
            if bars.time[-1] > last.get(symbol, 0):
                last[symbol] = bars.time[-1]
                made.append((Decision(symbol, bars.opened_at(-1), None, "why"), view.clock.now(), bars))
        assert view.play()
    return made


FEEDS = {"two symbols": {"EURUSD": thinned("EURUSD", 1), "GBPUSD": thinned("GBPUSD", 2)}}


def quotes():
    rng = np.random.default_rng(3)
    msc = 1_704_672_000_000 + np.cumsum(rng.integers(500, 60_000, 40_000)).astype(np.int64)
    bid = np.round(1.1 + np.cumsum(rng.normal(0, 2e-5, len(msc))), 5)
    return Quotes("EURUSD", msc, bid, np.round(bid + 2e-5, 5))


FEEDS["quotes"] = {"EURUSD": quotes()}


@pytest.mark.parametrize("timeframe", ["M1", "M5"])
@pytest.mark.parametrize("name", FEEDS)
def test_bars_and_instants_are_those_that_the_loop_saw(name, timeframe):
    settings = Settings(symbols={"timeframe": timeframe, "symbols": tuple(FEEDS[name])}, lstm={"lstm_seq_length": 10})
    start = datetime(2024, 1, 8, 16 if timeframe == "M5" else 8, 0, tzinfo=UTC)
    made = passes(FEEDS[name], start, settings, 60)[4:]  # the first pass decides on bars of any age
    decisions = [decision for decision, _, _ in made]
    step = timedelta(seconds=Timeframe[timeframe].seconds)
    past = RecordedPast(view_of(FEEDS[name], min(d.bar_time for d in decisions) + step, settings), decisions, settings)
    assert len(made) > 6
    for decision, instant, bars in made:
        assert past.decided_at(decision) == instant
        window = past.window(decision)
        for field in ("time", "open", "high", "low", "close", "tick_volume", "spread"):
            np.testing.assert_array_equal(getattr(window, field), getattr(bars, field))
