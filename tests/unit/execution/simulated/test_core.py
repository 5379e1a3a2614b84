import threading
from datetime import UTC, datetime

import pytest

from config.errors import DataError, InsufficientHistory
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from execution.terminal import ModuleTerminal, Request
from tests.fakes_simulated import MONDAY, OFFSET, SERVER, flat, make_bars, make_terminal, order


def build(feeds, specs=None, **options):
    specs = specs if specs is not None else {symbol: default_spec(symbol) for symbol in feeds}
    return SimulatedMT5(feeds, specs, account=SimulatedAccount(), broker_time=SERVER, book=None, **{"history_bars": 2, **options})


def test_history_is_closed_and_the_next_bar_has_opened():
    terminal = make_terminal(make_bars(flat(1.1, 6)), history=4)
    assert terminal.clock.now() == datetime.fromtimestamp(MONDAY + 240, UTC)
    assert len(terminal.copy_rates_from_pos("EURUSD", 1, 1, 99)) == 4
    assert terminal.copy_rates_from_pos("EURUSD", 1, 0, 1)["time"][0] == MONDAY + OFFSET + 240


def test_every_symbol_has_its_history_at_the_start():
    late = make_bars(flat(1.3, 6), symbol="GBPUSD", minutes=range(5, 11))
    terminal = make_terminal([make_bars(flat(1.1, 11)), late], history=4)
    assert terminal.clock.now() == datetime.fromtimestamp(MONDAY + 540, UTC)


def test_a_start_replaces_the_count_of_history():
    terminal = build({"EURUSD": make_bars(flat(1.1, 6))}, start=datetime.fromtimestamp(MONDAY + 170, UTC))
    assert terminal.clock.now() == datetime.fromtimestamp(MONDAY + 180, UTC)
    with pytest.raises(DataError, match="choose an earlier --start"):
        build({"EURUSD": make_bars(flat(1.1, 6))}, start=datetime(2030, 1, 1, tzinfo=UTC))


def test_a_symbol_before_its_first_bar_has_no_quote():
    late = make_bars(flat(1.3, 3), symbol="GBPUSD", minutes=[4, 5, 6])
    terminal = build({"EURUSD": make_bars(flat(1.1, 8)), "GBPUSD": late}, start=datetime.fromtimestamp(MONDAY + 60, UTC))
    terminal.initialize()
    terminal.symbol_select("GBPUSD")
    terminal.symbol_select("EURUSD")
    assert terminal.symbol_info_tick("GBPUSD") is None
    assert terminal.symbol_info("GBPUSD").bid == 0.0
    assert len(terminal.copy_ticks_from("GBPUSD", 0, 5, -1)) == 0
    assert order(terminal, symbol="GBPUSD").retcode == 10021
    assert order(terminal, volume=0.1).retcode == 10009


def test_too_little_data_is_refused():
    with pytest.raises(InsufficientHistory, match="EURUSD: 4 closed bars, 5 needed"):
        make_terminal(make_bars(flat(1.1, 4)), history=4)
    with pytest.raises(DataError, match="no feeds"):
        build({})
    with pytest.raises(DataError, match="EURUSD: no specification"):
        build({"EURUSD": make_bars(flat(1.1, 4))}, specs={})


def test_a_wrong_server_or_login_is_refused():
    terminal = make_terminal(make_bars(flat(1.1, 3)), login=42, connect=False)
    assert terminal.initialize(login=42, password="x", server="Elsewhere") is False
    assert terminal.account_info() is None
    assert terminal.initialize("C:\\terminal64.exe", login=42, password="x", server="Simulated", timeout=5, portable=True) is True
    assert terminal.login(43) is False
    assert terminal.last_error() == (-6, "Terminal: Authorization failed")
    assert terminal.login(42, password="x") is True


def test_depth_of_market_is_subscribed_to():
    terminal = make_terminal(make_bars(flat(1.1, 3)))
    assert terminal.market_book_get("EURUSD") is None
    assert terminal.market_book_add("EURUSD") is True
    assert [(level.type, level.price) for level in terminal.market_book_get("EURUSD")] == [(1, 1.1001), (2, 1.1)]
    assert terminal.market_book_release("EURUSD") is True
    assert terminal.market_book_release("EURUSD") is False
    assert terminal.market_book_add(5) is None


def test_result_and_error_stay_together_over_threads():
    terminal = ModuleTerminal(make_terminal(make_bars(flat(1.1, 5)), history=3))
    wrong = []

    def ask(symbol, code):
        for _ in range(200):
            reply = terminal.call(Request("symbol_info", (symbol,)))
            if reply.code != code or (reply.value is None) is (code == 1):
                wrong.append(reply)

    threads = [threading.Thread(target=ask, args=pair) for pair in (("EURUSD", 1), ("NOPE", -4)) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
