"""Opening terminals: which one, for whom, and what makes its time pass."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Timer

import pytest

from config.errors import SettingsError, TerminalUnavailable
from config.home import open_home
from config.loading import load_settings
from execution.translate import spec_from
from tests.fakes_terminal import ScriptedTerminal, account_info, symbol_info
from utils import terminals
from utils.terminals import PolledMarket, RunOptions, open_terminal, origin_of, select_symbols, wait_in_slices

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
        monkeypatch.setattr(terminals, "SYNTHETIC_BARS", 5)
        opened = []

        def make(**options):
            home = open_home(tmp_path / "home", "synthetic")
            opened.append(open_terminal(settings_of(speed=1e9), RunOptions(**options), home))
            return opened[-1]

        yield make
        for terminal in opened:
            terminal.close()

    def test_it_says_that_no_real_order_is_sent(self, opened):
        terminal = opened(replay=True)
        assert terminal.banner.startswith("SIMULATED: synthetic prices at full speed; no real order")
        assert (terminal.mode, terminal.account_name, terminal.sends) == ("simulated", "simulated/1", True)

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

    def test_a_stop_is_heard_before_the_next_bar(self, tmp_path, monkeypatch):
        monkeypatch.setattr(terminals, "SYNTHETIC_BARS", 5)
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
        scripted = ScriptedTerminal(initialize=True, shutdown=True)
        monkeypatch.setattr(terminals, "official_module", lambda: None)
        monkeypatch.setattr(terminals, "ModuleTerminal", lambda module: scripted)
        return scripted

    def open(self, script, tmp_path, options=None, real=False, **values):
        script.on("account_info", _account_info(2 if real else 0))
        return open_terminal(mt5(**values), options or RunOptions(), open_home(tmp_path, "mt5:Broker-Demo/42"))

    def test_paper_is_the_default_and_sends_nothing(self, script, tmp_path):
        terminal = self.open(script, tmp_path)
        assert (terminal.mode, terminal.sends) == ("paper", False)
        assert terminal.banner.startswith("DRY RUN")
        assert terminal.account_name == "mt5:Broker-Demo/42"

    def test_live_needs_both_opt_ins(self, script, tmp_path):
        with pytest.raises(SettingsError, match="--live without TRADE_MODE=live"):
            self.open(script, tmp_path, RunOptions(live=True))
        with pytest.raises(SettingsError, match="TRADE_MODE=live without --live"):
            self.open(script, tmp_path, trade_mode="live")
        terminal = self.open(script, tmp_path, RunOptions(live=True), trade_mode="live")
        assert (terminal.mode, terminal.sends) == ("live", True)
        assert terminal.banner.startswith("LIVE")

    def test_real_money_needs_a_third(self, script, tmp_path):
        with pytest.raises(SettingsError, match="ALLOW_REAL_ACCOUNT"):
            self.open(script, tmp_path, RunOptions(live=True), real=True, trade_mode="live")
        assert self.open(script, tmp_path, RunOptions(live=True), real=True, trade_mode="live", allow_real_account=True).sends

    def test_a_terminal_that_cannot_be_reached_is_an_error_and_never_a_simulation(self, monkeypatch, tmp_path):
        with pytest.raises(TerminalUnavailable) as error:
            open_terminal(mt5(), RunOptions(), open_home(tmp_path, "mt5:Broker-Demo/42"))
        assert error.value.exit_code == 4

    def test_the_password_is_in_no_text(self, script, tmp_path):
        assert "secret" not in repr(self.open(script, tmp_path))


class TestPolledMarket:
    def test_a_lost_terminal_is_connected_again(self):
        calls = []
        market = PolledMarket(0.0, lambda: False, lambda: calls.append("connect"))
        assert market.advance(Event())
        assert calls == ["connect"]

    def test_a_terminal_that_answers_is_left_alone(self):
        market = PolledMarket(0.0, lambda: True, lambda: pytest.fail("connected again"))
        assert market.advance(Event())

    def test_the_tries_become_rarer_and_the_pace_returns(self, monkeypatch):
        waited, answers = [], iter([False] * 8 + [True] * 2)
        monkeypatch.setattr(terminals, "wait_in_slices", lambda stop, seconds: waited.append(seconds))

        def connect():
            raise TerminalUnavailable("closed")

        market = PolledMarket(0.5, lambda: next(answers), connect)
        for _ in range(10):
            assert market.advance(Event())
        assert waited == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 0.5]

    def test_a_stop_is_not_answered_with_a_connection(self):
        stop = Event()
        stop.set()
        assert PolledMarket(9.0, lambda: pytest.fail("asked"), lambda: pytest.fail("connected")).advance(stop)


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
    monkeypatch.setattr(terminals, "SYNTHETIC_BARS", 5)
    chosen = {"sim_currency": "EUR", "sim_stop_out_percent": 20.0, "sim_margin_call_percent": 60.0, "sim_swap": False}
    opened = open_terminal(settings_of(speed=1e9, **chosen), RunOptions(), open_home(tmp_path / "home", "synthetic"))
    module = opened.client._terminal._module
    account, info = module.account_info(), module.symbol_info("EURUSD")
    opened.close()
    assert (account.currency, account.margin_mode, account.margin_so_so, account.margin_so_call) == ("EUR", 2, 20.0, 60.0)
    assert (info.swap_mode, info.swap_long) == (0, 0.0)
