"""The assembled daemon: how it ends, and what it leaves when it is interrupted at a bad moment."""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from loguru import logger

from config.errors import DataFileError, HomeError, StorageError, TerminalDisconnected
from config.home import hold_home, open_home
from execution.mt5_client import MT5Client
from execution.simulated import default_spec
from market_data.synthetic import synthetic_bars
from strategy.position_book import PositionBook
from tests.fakes_daemon import TREES_ONLY, run_here, table
from utils import bootstrap
from utils.cli.running import readable
from utils.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def handlers():
    """Gives loguru its own handler back: a daemon replaces all of them."""
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logger.add(sys.stderr)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    bars = synthetic_bars(default_spec("EURUSD"), start=datetime(2024, 1, 1, 22, 0, tzinfo=UTC), count=3_020, seed=1, edge=0.0, price=1.1)
    rows = zip(bars.time, bars.open, bars.high, bars.low, bars.close, strict=True)
    lines = [f"{t},{o:.5f},{h:.5f},{low:.5f},{c:.5f},5,0" for t, o, h, low, c in rows]
    path = tmp_path_factory.mktemp("prices") / "EURUSD_M1.csv"
    path.write_text("\n".join(["time,open,high,low,close,tick_volume,real_volume", *lines]) + "\n", encoding="utf-8")
    return (f"EURUSD={path}",)


@pytest.fixture
def run(tmp_path, source):
    """A daemon whose first training would come after its last bar."""
    return lambda bars=1: run_here(tmp_path, bars, {**TREES_ONLY, "START_GRACE_SECONDS": "3600"}, source)


class TestEnd:
    def test_a_run_of_some_bars_ends_well_and_says_what_it_came_to(self, run, tmp_path):
        result = run(4)
        assert result.exit_code == 0
        assert (result.summary["ended"], result.summary["bars"]) == ("bars decided", {"EURUSD": 4})
        assert result.summary["counts"]["decisions"] == len(table(tmp_path, "decisions")) == 4
        assert (result.summary["balance"], result.summary["open"], result.summary["models"]) == (10_000.0, [], {})

    def test_a_slip_in_the_source_binds_the_home_to_nothing(self, tmp_path):
        with pytest.raises(DataFileError, match="nowhere"):
            run_here(tmp_path, 1, TREES_ONLY, ("EURUSD=nowhere.csv",))
        assert open_home(tmp_path, "synthetic").origin_file.is_file()

    def test_the_end_of_the_data_is_no_fault(self, run):
        result = run(1_000)
        assert (result.exit_code, result.summary["ended"]) == (0, "end of data")

    def test_an_error_in_position_management_halts_with_one(self, run, monkeypatch):
        monkeypatch.setattr(PositionBook, "settle", _raise_on_second_call())
        result = run(9)
        assert result.exit_code == 1
        assert result.summary["ended"].startswith("halted")

    def test_a_terminal_that_is_gone_at_the_end_does_not_hide_the_summary(self, run, monkeypatch):
        def leave(heart, now, last):
            heart._stop.set()
            monkeypatch.setattr(MT5Client, "account", lambda client: _gone())

        monkeypatch.setattr(Heartbeat, "after_pass", leave)
        result = run(9)
        assert (result.exit_code, result.summary["ended"], result.summary["balance"]) == (0, "stopped", None)
        assert "balance unknown" in readable(result.summary)

    def test_a_command_to_stop_is_a_good_end(self, run, monkeypatch):
        monkeypatch.setattr(Heartbeat, "after_pass", lambda heart, now, last: heart._stop.set())
        result = run(9)
        assert (result.exit_code, result.summary["ended"]) == (0, "stopped")

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_a_signal_is_an_interruption(self, run, monkeypatch, name):
        def interrupt(heart, now, last):
            signal.raise_signal(getattr(signal, name))
            assert heart._stop.wait(30.0)

        monkeypatch.setattr(Heartbeat, "after_pass", interrupt)
        result = run(9)
        assert (result.exit_code, result.summary["ended"]) == (130, "stopped")

    def test_what_is_damaged_stops_the_start_and_the_home_is_free_again(self, run, tmp_path):
        run()
        (tmp_path / "journal.db").write_bytes(b"not a database" * 100)
        with pytest.raises(StorageError, match=r"journal\.db"):
            run()
        with hold_home(open_home(tmp_path, "file")):
            pass

    def test_two_daemons_do_not_share_a_home(self, run, tmp_path):
        run()
        with hold_home(open_home(tmp_path, "file")), pytest.raises(HomeError, match="a daemon already runs"):
            run()

    def test_another_market_does_not_enter_the_brokers_book(self, tmp_path, source, run):
        run()
        with pytest.raises(HomeError, match=r"broker\.db"):
            run_here(tmp_path, 1, {**TREES_ONLY, "HISTORY_BARS": "3000", "SYMBOLS": "EURUSD"}, (_shifted(source[0], tmp_path),))


class TestSignals:
    def trainer(self):
        cancelled = Event()
        return SimpleNamespace(cancel=cancelled.set, cancelled=cancelled)

    def test_a_signal_is_heard_while_the_main_thread_holds_the_stop_events_own_lock(self):
        """A handler that set the event itself would wait for ever for the code that it interrupted."""
        stop, trainer = Event(), self.trainer()
        with bootstrap._signals(stop, trainer) as interrupted:
            with stop._cond:
                signal.raise_signal(signal.SIGINT)
            assert stop.wait(30.0)
            assert trainer.cancelled.wait(30.0)
            assert interrupted.is_set()

    def test_handlers_are_given_back(self):
        before = signal.getsignal(signal.SIGINT)
        with bootstrap._signals(Event(), self.trainer()):
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before

    def test_without_a_signal_nothing_is_stopped(self):
        stop, trainer = Event(), self.trainer()
        with bootstrap._signals(stop, trainer) as interrupted:
            pass
        assert not (stop.is_set() or trainer.cancelled.is_set() or interrupted.is_set())


def _raise_on_second_call():
    original, calls = PositionBook.settle, iter(range(100))

    def settle(book, now):
        if next(calls) == 1:
            raise ZeroDivisionError
        original(book, now)

    return settle


def _shifted(source, folder):
    """The same symbol from other prices."""
    symbol, _, path = source.partition("=")
    head, *rows = Path(path).read_text(encoding="utf-8").splitlines()
    other = folder / "other.csv"
    other.write_text("\n".join([head, *rows[5:]]) + "\n", encoding="utf-8")
    return f"{symbol}={other}"


def _gone():
    raise TerminalDisconnected("account_info", -10004, "No IPC connection")
