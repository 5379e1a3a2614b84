import json
import os
import signal
import subprocess
import sys

import pytest
import typer

from config.errors import HomeError
from config.loading import load_settings
from execution.simulated.functions import ADDRESS, SHADOW
from execution.simulated.stand_in import FOLDER
from market_data.clock import SystemClock
from tests.architecture.tree import ROOT
from utils.cli import stand_in
from utils.stand_in import StandIn, open_stand_in


def with_terminal(*words, **more):
    command = [sys.executable, "main.py", "with-terminal", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120, check=False, **more)


def test_the_stand_in_comes_before_the_program_s_own_path():
    made = stand_in.environment({"PYTHONPATH": "mine", "HOME": "h", SHADOW: "1"}, {ADDRESS: "a:1"}, shadow=False)
    assert made == {"PYTHONPATH": os.pathsep.join([str(FOLDER), "mine"]), "HOME": "h", ADDRESS: "a:1"}
    assert stand_in.environment({}, {}, shadow=True) == {"PYTHONPATH": str(FOLDER), SHADOW: "1"}


@pytest.mark.parametrize(("code", "shown"), [(0, 0), (7, 7)])
def test_the_exit_code_is_the_program_s(code, shown):
    assert stand_in.run_program([sys.executable, "-c", f"raise SystemExit({code})"], os.environ) == shown


def test_arguments_reach_the_program_unchanged(tmp_path):
    words = ["a b", 'quo"te', "back\\slash\\", "--speed", "*", "%PATH%", "$HOME", ""]
    target = tmp_path / "told.json"
    code = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    assert stand_in.run_program([sys.executable, "-c", code, str(target), *words], os.environ) == 0
    assert json.loads(target.read_text(encoding="utf-8")) == words


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exit by signal")
def test_an_exit_by_signal_is_shown_as_shells_do():
    for number, shown in ((signal.SIGTERM, 128 + 15), (signal.SIGINT, 130)):
        code = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), {int(number)})"
        assert stand_in.run_program([sys.executable, "-c", code], os.environ) == shown


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(typer.BadParameter, match="no-such-program: cannot be started"):
        stand_in.run_program(["no-such-program"], os.environ)


def test_a_program_trades_and_its_account_is_kept(tmp_path):
    code = (
        "import MetaTrader5 as mt5, sys; assert mt5.initialize(login=77, server='Demo'), mt5.last_error();"
        "had = mt5.positions_total(); result = mt5.Buy('GBPUSD', 0.1);"
        "print(had, result.retcode, mt5.account_info().login, mt5.account_info().balance, len(mt5.symbols_get())); sys.exit(9)"
    )
    words = ["--home", tmp_path / "home", "--login", 77, "--server", "Demo", "--balance", 5_000, "--symbols", "GBPUSD,USDJPY"]
    done = with_terminal(*words, "--", sys.executable, "-c", code)
    assert done.returncode == 9, done.stderr
    assert done.stdout.split() == ["0", "10009", "77", "4999.65", "2"]  # 3.5 a lot and side
    asked = StandIn(symbols=("GBPUSD", "USDJPY"), login=77, server="Demo", home=tmp_path / "home")
    with open_stand_in(load_settings(), asked, SystemClock().now()) as again:
        assert again.initialize()
        assert (again.positions_total(), again.account_info().balance) == (1, 4999.65)


def test_the_settings_of_the_simulated_account_hold_for_programs_too():
    changes = {
        "sim_currency": "EUR",
        "sim_margin_mode": "netting",
        "sim_stop_out_percent": "20",
        "sim_margin_call_percent": "70",
        "sim_swap": "false",
    }
    settings = load_settings(overrides=changes)
    with open_stand_in(settings, StandIn(symbols=("EURUSD",)), SystemClock().now()) as terminal:
        assert terminal.initialize()
        account, symbol = terminal.account_info(), terminal.symbol_info("EURUSD")
        assert (account.currency, account.margin_mode, account.margin_so_so, account.margin_so_call) == ("EUR", 0, 20.0, 70.0)
        assert symbol.swap_mode == 0
        assert symbol.trade_tick_value == pytest.approx(1 / symbol.bid, rel=1e-3)  # a dollar a tick, in euro


def test_files_can_be_the_market(tmp_path):
    rows = ["time,open,high,low,close,tick_volume,spread"]
    rows += [f"{1_704_708_000 + 60 * i},1.1,1.1002,1.0998,1.1001,50,10" for i in range(3_100)]
    file = tmp_path / "EURUSD_M1.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    code = (
        "import MetaTrader5 as mt5; assert mt5.initialize(), mt5.last_error(); mt5.symbol_select('EURUSD');"
        "print(len(mt5.copy_rates_from_pos('EURUSD', 1, 0, 9_999)), mt5.symbol_info_tick('EURUSD').time)"
    )
    done = with_terminal("--source", file, "--", sys.executable, "-c", code, env={**os.environ, "HISTORY_BARS": "3000"})
    assert done.returncode == 0, done.stderr
    bars, stamp = done.stdout.split()
    assert (int(bars), int(stamp) - 1_704_708_000 - 3_000 * 60) == (3_001, 0)  # such a file is in server time, as terminals write it


def test_another_market_is_not_mixed_into_a_home(tmp_path):
    now = SystemClock().now()
    with open_stand_in(load_settings(), StandIn(symbols=("EURUSD",), home=tmp_path), now):
        pass
    for other in (StandIn(symbols=("USDJPY",), home=tmp_path), StandIn(source=("prices.csv",), home=tmp_path)):
        with pytest.raises(HomeError, match="--home"), open_stand_in(load_settings(), other, now):
            pass


def test_a_damaged_note_of_the_market_is_named(tmp_path):
    (tmp_path / "stand_in.json").write_text("{", encoding="utf-8")
    with (
        pytest.raises(HomeError, match=r"stand_in\.json is damaged"),
        open_stand_in(load_settings(), StandIn(home=tmp_path), SystemClock().now()),
    ):
        pass
