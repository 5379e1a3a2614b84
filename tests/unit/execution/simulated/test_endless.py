from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from execution.simulated import SimulatedAccount
from execution.simulated.endless import BLOCK, MARGIN, MARKET_WATCH, EndlessMarket, EndlessTerminal, spec_of
from market_data.clock import BrokerTime
from market_data.synthetic import in_fx_week

SATURDAY = datetime(2024, 6, 8, 15, 30, 20, tzinfo=UTC)
SERVER = BrokerTime("America/New_York+7")
FRAMES = [
    "M1",
    "M2",
    "M3",
    "M4",
    "M5",
    "M6",
    "M10",
    "M12",
    "M15",
    "M20",
    "M30",
    "H1",
    "H2",
    "H3",
    "H4",
    "H6",
    "H8",
    "H12",
    "D1",
    "W1",
    "MN1",
]


def make(start=SATURDAY, until=None, book=None, symbols=("EURUSD", "XAUUSD")):
    terminal = EndlessTerminal(EndlessMarket(symbols, start, 7, 1.0), until or start, SERVER, account=SimulatedAccount(), book=book)
    terminal.initialize()
    return terminal


def server_stamp(instant):
    return SERVER.to_server(int(instant.timestamp())).item()


def test_the_market_is_open_on_the_weekend_on_which_it_is_tried():
    terminal = make()
    terminal.advance_to(SATURDAY)
    assert terminal.clock.now() == SATURDAY
    assert terminal.Buy("EURUSD", 0.1).retcode == terminal.TRADE_RETCODE_DONE
    assert server_stamp(SATURDAY) - 60 <= terminal.symbol_info_tick("EURUSD").time <= server_stamp(SATURDAY)
    assert len(terminal.copy_rates_range("EURUSD", 1, server_stamp(SATURDAY) - 3600, server_stamp(SATURDAY))) >= 60


def test_history_keeps_the_fx_week():
    market = EndlessMarket(("EURUSD",), SATURDAY, 7, 1.0)
    times = market.bars("EURUSD", SATURDAY).time
    closed = times[~in_fx_week(times)]
    friday = datetime(2024, 6, 7, 21, 0, tzinfo=UTC).timestamp()
    assert closed.min() == friday
    assert (np.diff(times[times <= SATURDAY.timestamp()])[-1000:] == 60).all()


@pytest.fixture(scope="module")
def open_terminal():
    terminal = make(symbols=("EURUSD",))
    terminal.advance_to(SATURDAY)
    return terminal


@pytest.mark.parametrize("frame", FRAMES)
def test_every_timeframe_has_history_that_joins_without_a_seam(open_terminal, frame):
    terminal = open_terminal
    rates = terminal.copy_rates_from_pos("EURUSD", getattr(terminal, f"TIMEFRAME_{frame}"), 0, 99_999)
    assert (np.diff(rates["time"]) > 0).all()
    assert (rates["high"] >= np.maximum(rates["open"], rates["close"])).all()
    assert np.abs(rates["open"][1:] / rates["close"][:-1] - 1).max() < 0.02
    assert len(rates) >= {"M": 1_000, "H": 2_000, "D": 1_000, "W": 200}[frame[0]] if frame != "MN1" else len(rates) >= 48
    assert rates["close"][-1] == terminal.symbol_info_tick("EURUSD").bid


def test_there_are_ten_thousand_minutes_of_history(open_terminal):
    assert len(open_terminal.copy_rates_from_pos("EURUSD", 1, 0, 10_000)) == 10_000


def test_it_never_runs_dry_and_what_was_stays():
    terminal = make(symbols=("EURUSD",))
    terminal.advance_to(SATURDAY)
    ticket = terminal.Buy("EURUSD", 0.1).order
    before = terminal.copy_rates_from_pos("EURUSD", 1, 1, 5_000)
    later = SATURDAY + BLOCK + timedelta(hours=3)
    terminal.advance_to(later)
    assert terminal.clock.now() == later
    assert terminal.symbol_info_tick("EURUSD").time >= server_stamp(later) - 60
    assert (terminal.copy_rates_from("EURUSD", 1, int(before["time"][-1]), 5_000) == before).all()
    assert terminal.positions_get(ticket=ticket)[0].price_current == terminal.symbol_info_tick("EURUSD").bid
    recent = terminal.copy_rates_from_pos("EURUSD", 1, 0, 90_000)
    assert set(np.diff(recent["time"][-40_000:]).tolist()) == {60}


def test_prices_do_not_depend_on_when_they_were_made():
    market = EndlessMarket(("EURUSD",), SATURDAY, 7, 1.0)
    far = market.bars("EURUSD", SATURDAY + 2 * BLOCK)
    terminal = make(symbols=("EURUSD",))
    terminal.advance_to(SATURDAY + BLOCK + timedelta(hours=5))
    rates = terminal.copy_rates_from_pos("EURUSD", 1, 1, 1_000)
    closes = dict(zip(SERVER.to_server(far.time).tolist(), far.close.tolist(), strict=True))
    assert [closes[int(time)] for time in rates["time"]] == rates["close"].tolist()


def test_an_account_is_resumed_where_time_has_got_to(tmp_path):
    first = make(book=tmp_path / "book.db", symbols=("EURUSD",))
    first.advance_to(SATURDAY)
    ticket = first.Buy("EURUSD", 0.1).order
    first.close()
    later = SATURDAY + BLOCK + timedelta(days=1)
    again = make(until=later, book=tmp_path / "book.db", symbols=("EURUSD",))
    again.advance_to(later)
    assert [position.ticket for position in again.positions_get()] == [ticket]
    assert again.symbol_info_tick("EURUSD").time >= server_stamp(later) - 60
    again.close()


def test_the_usual_symbols_are_all_in_market_watch():
    terminal = make(symbols=MARKET_WATCH)
    terminal.advance_to(SATURDAY)
    assert {info.name for info in terminal.symbols_get() if info.select} == set(MARKET_WATCH)
    assert all(terminal.symbol_info_tick(name).ask > terminal.symbol_info_tick(name).bid > 0 for name in MARKET_WATCH)


def test_one_symbol_is_of_instant_execution():
    assert (spec_of("US500").exemode, spec_of("EURUSD").exemode) == (1, 2)


def test_data_reach_a_day_ahead():
    assert timedelta(days=1) == MARGIN
