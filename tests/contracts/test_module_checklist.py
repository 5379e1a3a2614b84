"""The checklist on the module object in this process, and what only its owner can do to it."""

import os
import subprocess
import sys
import threading
from itertools import count

import pytest

from execution.simulated.server import TerminalServer
from execution.simulated.stand_in import FOLDER
from execution.terminal import ModuleTerminal, Request
from market_data.clock import from_epoch
from tests.architecture.tree import ROOT
from tests.contracts.module_checklist import NOT_CONNECTED, SUCCESS, ModuleChecklist
from tests.fakes_simulated import MONDAY, flat, make_bars, make_terminal, order


def small_terminal(**more):
    rows = [(price, price + 0.0003, price - 0.0002, price + 0.0001) for price in (1.1 + 0.0001 * (i % 7) for i in range(300))]
    return make_terminal(make_bars(rows), history=200, **more)


class TestModuleObject(ModuleChecklist):
    def make(self):
        return small_terminal()

    def test_12_a_broken_pipe_fails_once_and_then_there_is_no_connection(self, mt5):
        for sending, error in ((True, (-10001, "IPC send failed")), (False, (-10002, "IPC recv failed"))):
            mt5.break_pipe(sending=sending)
            assert (mt5.positions_get(), mt5.last_error()) == (None, error)
            assert (mt5.positions_get(), mt5.last_error()) == (None, NOT_CONNECTED)
            assert (mt5.initialize(), mt5.last_error()) == (True, SUCCESS)
            assert mt5.positions_get() == ()

    def test_13_a_terminal_that_does_not_start_is_waited_for(self, mt5):
        mt5.answers = False
        assert (mt5.initialize(timeout=1), mt5.last_error()) == (False, (-10005, "IPC timeout"))
        assert (mt5.account_info(), mt5.last_error()) == (None, NOT_CONNECTED)
        mt5.answers = True
        assert mt5.initialize(timeout=1)

    def test_72_result_and_error_belong_together(self, mt5):
        terminal, mixed, start = ModuleTerminal(mt5), [], threading.Barrier(4)

        def work(symbol, code):
            start.wait()
            for _ in range(200):
                reply = terminal.call(Request("symbol_info", (symbol,)))
                if reply.code != code or (reply.value is None) != (code != 1):
                    mixed.append(reply)

        threads = [threading.Thread(target=work, args=pair) for pair in [("EURUSD", 1), ("NOPE", -4)] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mixed == []

    def test_75_without_a_server_quotes_stand_still_and_orders_fail(self):
        mt5 = make_terminal(make_bars(flat(1.1, 3) + flat(1.2, 3)), history=2)
        bought = order(mt5)
        mt5.connected = False
        before, bars = mt5.symbol_info_tick("EURUSD"), mt5.copy_rates_from_pos("EURUSD", 1, 0, 10)
        mt5.advance()
        mt5.advance()
        assert mt5.terminal_info().connected is False
        assert (mt5.symbol_info_tick("EURUSD"), mt5.symbol_info("EURUSD").bid) == (before, before.bid)
        assert (mt5.copy_rates_from_pos("EURUSD", 1, 0, 10) == bars).all()
        assert order(mt5).retcode == mt5.TRADE_RETCODE_CONNECTION
        mt5.connected = True
        assert mt5.terminal_info().connected is True
        assert mt5.symbol_info_tick("EURUSD").bid == pytest.approx(1.2)
        assert len(mt5.copy_rates_from_pos("EURUSD", 1, 0, 10)) == len(bars) + 2
        assert mt5.Close("EURUSD", ticket=bought.order) is True


def test_the_stand_in_package_passes_the_checklist_in_another_process():
    terminal = small_terminal(connect=False)
    instants = count(MONDAY + 200 * 60)
    server = TerminalServer(terminal, lambda: from_epoch(min(next(instants), MONDAY + 299 * 60)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contracts/stand_in_program.py"]
    environment = {**os.environ, **server.environment, "PYTHONPATH": str(FOLDER)}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)
    finally:
        server.close()
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]
