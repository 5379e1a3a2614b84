"""Opening terminals: which one, for whom, and what makes its time pass."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Timer
from types import SimpleNamespace

import pytest

from config.errors import HomeError, InsufficientHistory, SettingsError, TerminalCallFailed, TerminalDisconnected, TerminalUnavailable
from config.home import open_home
from config.loading import load_settings
from execution.channel import Deadlines
from execution.orders import OrderState
from execution.simulated import SimulatedAccount
from execution.terminal import Request
from execution.translate import spec_from
from tests.fakes_paper import LookOnly
from tests.fakes_simulated import flat, make_bars, make_terminal
from tests.fakes_terminal import ScriptedTerminal, account_info, intent, symbol_info, terminal_info
from utils import opened, simulation, terminals
from utils.opened import wait_in_slices
from utils.terminals import PolledMarket, RunOptions, open_terminal, origin_of, patiently, select_symbols

ABSENT = Path("no such folder") / ".env"


def settings_of(**values):
    return load_settings(ABSENT, {"history_bars": 3_000, **values})


def mt5(**values):
    return settings_of(mt5_login=42, mt5_password="secret", mt5_server="Broker-Demo", **values)


class TestOrigin:
    def test_the_origin_names_where_prices_come_from(self):
        assert origin_of(settings_of(), RunOptions()) == "synthetic"
        assert origin_of(settings_of(), RunOptions(("EURUSD.csv",))) == "file"
        assert origin_of(mt5(), RunOptions()) == "mt5:Broker-Demo/42"
        assert origin_of(mt5(terminal="simulated"), RunOptions()) == "synthetic"


class TestSimulated:
    @pytest.fixture
    def opened(self, tmp_path, monkeypatch):
        monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 5)
        opened = []

        def make(**options):
            home = open_home(tmp_path / "home", "synthetic")
            opened.append(open_terminal(settings_of(speed=1e9), RunOptions(**options), home))
            return opened[-1]

        yield make
        for terminal in opened:
            terminal.close()

    def test_it_cannot_be_live(self, opened):
        with pytest.raises(SettingsError, match="--live with the simulated terminal"):
            opened(live=True)

    def test_it_says_that_no_real_order_is_sent(self, opened):
        terminal = opened(replay=True)
        assert terminal.banner.startswith("SIMULATED: synthetic prices at full speed; no real order")
        assert (terminal.mode, terminal.account_name) == ("simulated", "simulated/1")

    def test_time_passes_bar_by_bar_to_the_end_of_the_data(self, opened):
        terminal = opened(replay=True)
        start = terminal.clock.now()
        passed = 0
        while terminal.market.advance(Event()):
            passed += 1
            assert (terminal.clock.now() - start).total_seconds() == 60 * passed
        assert 3 <= passed <= 5

    def test_the_book_keeps_time_over_a_restart(self, opened):
        first = opened(replay=True)
        first.market.advance(Event())
        reached = first.clock.now()
        first.close()
        assert opened(replay=True).clock.now() == reached

    def test_a_journal_without_its_account_starts_no_new_one(self, opened, tmp_path):
        first = opened(replay=True)
        first.close()
        home = open_home(tmp_path / "home", "synthetic")
        home.journal.touch()
        opened(replay=True).close()  # the book is there
        home.book.unlink()
        with pytest.raises(HomeError, match=r"broker\.db is missing"):
            opened(replay=True)

    def test_a_stop_is_heard_before_the_next_bar(self, tmp_path, monkeypatch):
        monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 5)
        terminal = open_terminal(settings_of(speed=0.01), RunOptions(), open_home(tmp_path / "home", "synthetic"))
        before, stop = terminal.clock.now(), Event()
        stop.set()
        assert terminal.market.advance(stop)
        assert terminal.clock.now() == before
        terminal.close()


class TestReal:
    """Nothing here needs a terminal: the official module is replaced by a script."""

    @pytest.fixture
    def script(self, monkeypatch):
        scripted = ScriptedTerminal(initialize=True, shutdown=True, terminal_info=terminal_info())
        monkeypatch.setattr(terminals, "official_module", lambda: None)
        monkeypatch.setattr(terminals, "ModuleTerminal", lambda module: scripted)
        return scripted

    def open(self, script, tmp_path, options=None, real=False, **values):
        script.on("account_info", _account_info(2 if real else 0))
        return open_terminal(mt5(**values), options or RunOptions(), open_home(tmp_path, "mt5:Broker-Demo/42"))

    def test_live_needs_both_opt_ins(self, script, tmp_path):
        with pytest.raises(SettingsError, match="--live without TRADE_MODE=live"):
            self.open(script, tmp_path, RunOptions(live=True))
        with pytest.raises(SettingsError, match="TRADE_MODE=live without --live"):
            self.open(script, tmp_path, trade_mode="live")
        terminal = self.open(script, tmp_path, RunOptions(live=True), trade_mode="live")
        assert terminal.mode == "live"
        assert terminal.banner.startswith("LIVE")

    def test_real_money_needs_a_third(self, script, tmp_path):
        with pytest.raises(SettingsError, match="ALLOW_REAL_ACCOUNT"):
            self.open(script, tmp_path, RunOptions(live=True), real=True, trade_mode="live")
        assert self.open(script, tmp_path, RunOptions(live=True), real=True, trade_mode="live", allow_real_account=True).mode == "live"

    def test_a_terminal_that_cannot_be_reached_is_an_error_and_never_a_simulation(self, monkeypatch, tmp_path):
        with pytest.raises(TerminalUnavailable) as error:
            open_terminal(mt5(), RunOptions(), open_home(tmp_path, "mt5:Broker-Demo/42"))
        assert error.value.exit_code == 4

    def test_the_password_is_in_no_text(self, script, tmp_path):
        assert "secret" not in repr(self.open(script, tmp_path, RunOptions(live=True), trade_mode="live"))

    def test_history_must_fit_into_the_terminals_charts(self, script, tmp_path):
        with pytest.raises(
            SettingsError,
            match="HISTORY_BARS=100000, but the terminal keeps 100000 bars: raise Tools > Options > Charts > Max bars in chart",
        ):
            self.open(script, tmp_path, history_bars=100_000)
        with pytest.raises(SettingsError, match="CHUNK_BARS=50000"):
            script.on("terminal_info", terminal_info(maxbars=50_000))
            script.call(Request("terminal_info"))
            self.open(script, tmp_path, chunk_bars=50_000)

    def test_what_was_connected_is_let_go_where_the_rest_fails(self, script, tmp_path):
        with pytest.raises(SettingsError):
            self.open(script, tmp_path, RunOptions(live=True))
        assert script.requests[-1].function == "shutdown"

    def test_a_worker_gets_the_deadlines_of_the_settings(self, script, tmp_path, monkeypatch):
        asked = []
        far = SimpleNamespace(call=script.call, close=lambda: asked.append("closed"), interrupt=lambda: asked.append("interrupted"))
        monkeypatch.setattr(opened, "worker_terminal", lambda make, deadlines, also: asked.append((make, deadlines)) or far)
        times = {"terminal_call_seconds": 2, "terminal_history_seconds": 3, "terminal_order_seconds": 4, "mt5_timeout_ms": 5_000}
        terminal = self.open(script, tmp_path, terminal_isolation="process", **times)
        assert asked == [(terminals.official_module, Deadlines(call=2, history=3, order=4, connect=7))]
        terminal.interrupt()
        terminal.close()
        assert asked[1:] == ["interrupted", "closed"]

    def test_a_worker_that_does_not_start_is_an_unreachable_terminal(self, tmp_path):
        with pytest.raises(TerminalUnavailable, match="not installed"):
            open_terminal(mt5(terminal_isolation="process"), RunOptions(), open_home(tmp_path, "mt5:Broker-Demo/42"))


class TestPaper:
    """The official module is replaced by a simulated one that fails at any trade call."""

    @pytest.fixture
    def real(self, monkeypatch):
        module = make_terminal(
            make_bars(flat(1.1, 30)), history=10, connect=False, account=SimulatedAccount(login=42, server="Broker-Demo", balance=4_000.0)
        )
        monkeypatch.setattr(terminals, "official_module", lambda: module)
        monkeypatch.setattr(terminals, "ModuleTerminal", LookOnly)
        monkeypatch.setattr(terminals, "SystemClock", lambda: module.clock)
        return module

    def open(self, tmp_path, **values):
        return open_terminal(mt5(**values), RunOptions(), open_home(tmp_path, "mt5:Broker-Demo/42"))

    def test_it_is_the_default_and_fills_on_paper(self, real, tmp_path):
        terminal = self.open(tmp_path)
        assert (terminal.mode, terminal.account_name) == ("paper", "mt5:Broker-Demo/42")
        assert terminal.banner.startswith("DRY RUN")
        assert terminal.account.balance == 4_000.0
        terminal.client.select("EURUSD")
        sent = terminal.client.send(intent(volume=0.1, sl=1.09, tp=1.12))
        assert sent.state is OrderState.FILLED
        assert [position.ticket for position in terminal.client.positions()] == [sent.order]
        assert terminal.client.account().balance == 4_000.0 - 0.35
        terminal.close()

    def test_the_paper_account_lives_in_the_home(self, real, tmp_path):
        first = self.open(tmp_path, paper_balance=500.0)
        first.client.select("EURUSD")
        first.client.send(intent(volume=0.01, sl=1.09, tp=1.12))
        first.close()
        assert (tmp_path / "paper.db").is_file()
        again = self.open(tmp_path)
        assert len(again.client.positions()) == 1
        assert again.account.balance == pytest.approx(499.96)
        again.close()

    def test_a_terminal_that_cannot_be_reached_leaves_no_open_book(self, real, tmp_path, monkeypatch):
        monkeypatch.setattr(real, "initialize", lambda **keywords: False)
        with pytest.raises(TerminalUnavailable):
            self.open(tmp_path)
        (tmp_path / "paper.db").unlink()  # on Windows an open file could not be removed


class TestPolledMarket:
    def test_the_terminal_is_looked_at_before_every_pass(self):
        looks = []
        assert PolledMarket(0.0, SimpleNamespace(look=lambda: looks.append(1))).advance(Event())
        assert looks == [1]

    def test_a_stop_is_not_answered_with_a_connection(self):
        stop = Event()
        stop.set()
        assert PolledMarket(9.0, SimpleNamespace(look=lambda: pytest.fail("looked"))).advance(stop)


class TestPatience:
    def test_what_is_still_loading_is_asked_for_again(self):
        answers, waited = iter([InsufficientHistory("EURUSD", 5, 9), TerminalCallFailed("f", -1, ""), "bars"]), []

        def ask():
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert patiently(ask, 3, waited.append) == "bars"
        assert waited == [1.0, 1.0]

    @pytest.mark.parametrize(
        ("error", "asked"),
        [(InsufficientHistory("EURUSD", 5, 9), 4), (TerminalDisconnected("f", -10004, ""), 1), (SettingsError("no such symbol"), 1)],
    )
    def test_it_ends_and_does_not_wait_for_what_waiting_cannot_mend(self, error, asked):
        tries = []

        def ask():
            tries.append(1)
            raise error

        with pytest.raises(type(error)):
            patiently(ask, 4, lambda seconds: None)
        assert len(tries) == asked

    def test_a_symbol_that_is_still_loading_is_selected_again(self):
        infos = iter([symbol_info(trade_tick_size=0.0), symbol_info()])
        client = SimpleNamespace(select=lambda symbol: spec_from(next(infos)))
        assert select_symbols(client, ("EURUSD",), tries=2) == ("EURUSD",)


class TestWaiting:
    """A wait that another thread ends: no time is measured."""

    def test_a_stop_ends_a_long_wait(self):
        stop = Event()
        Timer(0.01, stop.set).start()
        assert wait_in_slices(stop, 1e6)

    def test_no_slice_is_longer_than_a_signal_may_wait(self):
        asked = []

        class Recording(Event):
            def wait(self, timeout=None):
                asked.append(timeout)
                return False

        assert not wait_in_slices(Recording(), 1.7)
        assert sum(asked) == pytest.approx(1.7)
        assert max(asked) <= 0.5


class TestSymbols:
    def test_names_are_the_brokers_own(self):
        client = _Client({"EURUSD": "EURUSD.r"})
        assert select_symbols(client, ("EURUSD",)) == ("EURUSD.r",)

    def test_an_impossible_specification_is_refused(self):
        client = _Client({"EURUSD": "EURUSD"}, volume_step=0.0)
        with pytest.raises(TerminalUnavailable, match="EURUSD: the broker's specification is impossible"):
            select_symbols(client, ("EURUSD",))


class _Client:
    def __init__(self, names, **changes):
        self.names, self.changes = names, changes

    def select(self, symbol):
        return spec_from(symbol_info(self.names[symbol], **self.changes))


def _account_info(trade_mode):
    return account_info(login=42, trade_mode=trade_mode)


def test_files_must_divide_the_timeframe(tmp_path):
    lines = ["time,open,high,low,close,tick_volume,real_volume"]
    start = int(datetime(2024, 1, 8, tzinfo=UTC).timestamp())
    lines += [f"{start + 900 * i},1.1,1.1002,1.0998,1.1,5,0" for i in range(90)]
    path = tmp_path / "EURUSD_M15.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="M15 file cannot make M1 bars"):
        open_terminal(settings_of(), RunOptions((f"EURUSD={path}",)), open_home(tmp_path / "home", "file"))


def test_the_settings_choose_the_simulated_account(tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "SYNTHETIC_BARS", 5)
    chosen = {"sim_currency": "EUR", "sim_stop_out_percent": 20.0, "sim_margin_call_percent": 60.0, "sim_swap": False}
    opened = open_terminal(settings_of(speed=1e9, **chosen), RunOptions(), open_home(tmp_path / "home", "synthetic"))
    module = opened.client._terminal._module
    account, info = module.account_info(), module.symbol_info("EURUSD")
    opened.close()
    assert (account.currency, account.margin_mode, account.margin_so_so, account.margin_so_call) == ("EUR", 2, 20.0, 60.0)
    assert (info.swap_mode, info.swap_long) == (0, 0.0)
