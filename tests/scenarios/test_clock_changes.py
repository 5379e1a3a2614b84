"""The weeks in which America and Europe change their clocks apart: broker time, staleness, sessions, the offset check."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from config.errors import DataError
from execution.mt5_client import MT5Client
from execution.quote_watch import QuoteWatch
from execution.risk import trading_day_start
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from execution.terminal import ModuleTerminal
from market_data.bars import Bars, Timeframe
from market_data.clock import BrokerTime, from_epoch, new_york_hour
from market_data.loader import BarLoader, assert_fresh
from tests.fakes_terminal import MAGIC

QUARTER = timedelta(minutes=15)
AMERICAN, EUROPEAN = "America/New_York+7", "Europe/Athens"
HISTORY = 96

# (first day, last day, days on which the two rules differ at noon)
SPRING = (datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 4, 5, 20, tzinfo=UTC), (date(2024, 3, 10), date(2024, 3, 30)))
AUTUMN = (datetime(2024, 10, 21, tzinfo=UTC), datetime(2024, 11, 8, 20, tzinfo=UTC), (date(2024, 10, 27), date(2024, 11, 2)))
SEASONS = pytest.mark.parametrize("season", [SPRING, AUTUMN], ids=["spring", "autumn"])


def market(start, end):
    """M15 bars of every hour in which foreign exchange trades: from Sunday 17:00 to Friday 17:00 in New York."""
    times = np.arange(int(start.timestamp()), int(end.timestamp()), 900, dtype=np.int64)
    new_york = BrokerTime("America/New_York").to_server(times)
    hour_of_week = (new_york // 3600 + 3 * 24) % 168  # from Monday 0:00
    times = times[(hour_of_week < 4 * 24 + 17) | (hour_of_week >= 6 * 24 + 17)]
    price = np.round(1.1 + 0.001 * np.sin(np.arange(len(times)) / 9), 5)
    return Bars("EURUSD", Timeframe.M15, times, price, price, price, price, None, np.full(len(times), 10.0))


class Played:
    """A server under one rule, and our client under another or the same."""

    def __init__(self, season, server=AMERICAN, rule=AMERICAN):
        self.bars = market(*season[:2])
        spec = default_spec("EURUSD")
        account, zone = SimulatedAccount(balance=10_000.0), BrokerTime(server)
        self.module = SimulatedMT5(
            {"EURUSD": self.bars}, {"EURUSD": spec}, history_bars=HISTORY, account=account, broker_time=zone, book=None
        )
        self.client = MT5Client(ModuleTerminal(self.module), broker_time=BrokerTime(rule), magic=MAGIC, deviation=10)
        self.client.connect()
        self.client.select("EURUSD")
        self.loader = BarLoader(self.client, Timeframe.M15, 500)
        self.watch = QuoteWatch(BrokerTime(rule), self.module.clock, 1_800.0)

    def instants(self):
        """Now, at every bar's opening."""
        while self.module.advance():
            self.watch.look(self.client.quote("EURUSD"))
            yield self.module.clock.now()


@SEASONS
@pytest.mark.parametrize("zone", [AMERICAN, EUROPEAN, "UTC"])
def test_under_its_own_rule_every_bar_is_fresh_and_every_quote_is_now(season, zone):
    played, passed = Played(season, zone, zone), 0
    for now in played.instants():
        window = played.loader.window("EURUSD", 5)
        at = int(np.searchsorted(played.bars.time, int(now.timestamp())))
        assert window.time.tolist() == played.bars.time[at - 5 : at].tolist()
        assert played.client.quote("EURUSD").time == now
        if window.opened_at(-1) + QUARTER == now:  # not the first bar after a weekend
            assert_fresh(window, now, QUARTER)
        passed += 1
    assert passed == len(played.bars) - HISTORY - 1  # the first open bar was there at the start
    assert played.watch.trouble() is None
    history = played.loader.history("EURUSD", 10_000)
    assert history.time.tolist() == played.bars.time[:-1].tolist()


@SEASONS
@pytest.mark.parametrize(("server", "rule"), [(AMERICAN, EUROPEAN), (EUROPEAN, AMERICAN)])
def test_the_wrong_rule_is_found_in_the_weeks_that_tell_and_in_no_other(season, server, rule):
    played = Played(season, server, rule)
    found, days = set(), set()
    for now in played.instants():
        days.add(now.date())
        if "BROKER_TIME_ZONE" in (played.watch.trouble() or ""):
            found.add(now.date())
            with pytest.raises(DataError):
                assert_fresh(played.loader.window("EURUSD", 5), now, timedelta(minutes=20))
    first, last = season[2]
    sundays = {first, last + timedelta(days=1)}  # the night of a change is Sunday, when markets open in the evening
    assert {day for day in days if first < day <= last} <= found
    assert found <= {day for day in days if first <= day <= last} | sundays


@SEASONS
def test_offsets_are_measured_on_both_sides_of_every_change(season):
    played = Played(season)
    measured = {(now.date(), played.watch.offset) for now in played.instants() if 10 <= now.hour < 12}
    assert {offset for _, offset in measured} == {timedelta(hours=2), timedelta(hours=3)}
    assert len(measured) == len({day for day, _ in measured})  # one offset a day


@SEASONS
def test_a_server_day_is_a_trading_day_and_sessions_keep_new_york_time(season):
    played = Played(season)
    for now in played.instants():
        served = int(played.module.copy_rates_from_pos("EURUSD", Timeframe.M15.constant, 0, 1)["time"][0])
        opened = int(played.client.rates("EURUSD", Timeframe.M15, 0, 1)["time"][0])
        assert new_york_hour(np.array([opened]))[0] == (served // 3600 - 7) % 24
        day_start = int(trading_day_start(now).timestamp())
        assert BrokerTime(AMERICAN).to_server(day_start)[0] % 86_400 == 0
        assert (served % 86_400 == 0) == (from_epoch(opened) == trading_day_start(from_epoch(opened)))
