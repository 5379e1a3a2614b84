import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from execution.handshake import dial
from execution.simulated.functions import ADDRESS, KEY, SHADOW
from execution.simulated.server import Pace, TerminalServer
from execution.simulated.stand_in import FOLDER
from execution.simulated.structs import STRUCTS
from execution.wire import LONGEST_REQUEST, decode, encode
from market_data.clock import ManualClock, from_epoch
from tests.fakes_simulated import MONDAY, flat, make_bars, make_terminal

NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)


@pytest.fixture
def served():
    terminal = make_terminal(make_bars(flat(1.1, 5)), connect=False)
    clock = ManualClock(from_epoch(MONDAY + 60))
    server = TerminalServer(terminal, clock.now)
    yield server, clock
    server.close()


class Line:
    """A program's line to the server."""

    def __init__(self, server, key=None):
        host, port = server.environment[ADDRESS].split(":")
        self._line = dial((host, int(port)), bytes.fromhex(key or server.environment[KEY]))

    def call(self, name, *args, **keywords):
        return self.say(encode((name, args, keywords), STRUCTS))

    def say(self, data):
        self._line.send_bytes(data)
        return decode(self._line.recv_bytes(), STRUCTS)

    def close(self):
        self._line.close()


def run(code, env, *more):
    """Runs a program with the stand-in before its path, from outside the project."""
    inherited = {name: value for name, value in os.environ.items() if name not in (ADDRESS, KEY, SHADOW, "PYTHONPATH")}
    path = os.pathsep.join([str(FOLDER), *map(str, more)])
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**inherited, **env, "PYTHONPATH": path}, cwd=FOLDER, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def test_time_follows_the_clock_from_the_first_question():
    clock = ManualClock(NOON)
    pace = Pace(clock, 60.0, start=datetime(2020, 1, 1, tzinfo=UTC))
    clock.set(NOON + timedelta(hours=1))
    assert pace.due() == datetime(2020, 1, 1, tzinfo=UTC)
    clock.set(NOON + timedelta(hours=1, seconds=2))
    assert pace.due() == datetime(2020, 1, 1, 0, 2, tzinfo=UTC)


def test_without_a_start_time_is_the_clock_s_own():
    clock = ManualClock(NOON)
    pace = Pace(clock, 1.0)
    clock.set(NOON + timedelta(minutes=5))
    assert pace.due() == NOON + timedelta(minutes=5)
    clock.set(NOON + timedelta(minutes=6))
    assert pace.due() == NOON + timedelta(minutes=6)


def test_every_call_finds_the_market_where_the_clock_is(served):
    server, clock = served
    line = Line(server)
    assert line.call("initialize") == ("value", True, (1, "Success"))
    first = line.call("copy_rates_from_pos", "EURUSD", 1, 0, 10)[1]
    clock.set(from_epoch(MONDAY + 150))
    second = line.call("copy_rates_from_pos", "EURUSD", 1, 0, 10)[1]
    assert (len(first), len(second)) == (2, 3)
    line.close()


def test_programs_have_their_own_connection_and_last_error(served):
    server, _ = served
    one, two = Line(server), Line(server)
    one.call("initialize")
    assert two.call("account_info") == ("value", None, (-10004, "No IPC connection"))
    assert one.call("symbol_info", "NOPE")[2] == (-4, "Terminal: Not found")
    two.call("initialize")
    two.call("shutdown")
    assert one.call("account_info")[1].balance == 10_000.0
    assert one.call("last_error")[1] == (1, "Success")
    one.close()
    two.close()


def test_only_functions_of_the_module_can_be_called(served):
    server, _ = served
    line = Line(server)
    for name in ("close", "advance", "__class__", "break_pipe"):
        assert line.call(name) == ("TypeError", f"the module has no function {name}", (1, "Success"))
    line.close()


def test_who_does_not_know_the_key_is_sent_away(served):
    server, _ = served
    with pytest.raises(ConnectionError, match="not this broker"):
        Line(server, key="00" * 32)
    line = Line(server)
    assert line.call("initialize")[1] is True
    line.close()


@pytest.mark.parametrize("data", [b"", b"nonsense", encode("initialize", STRUCTS), bytes(LONGEST_REQUEST + 1)], ids=len)
def test_one_that_talks_nonsense_is_cut_off_and_nobody_else(served, data):
    server, _ = served
    rude, polite = Line(server), Line(server)
    polite.call("initialize")
    with pytest.raises((EOFError, OSError)):
        rude.say(data)
    assert polite.call("account_info")[1].balance == 10_000.0
    rude.close()
    polite.close()


def test_an_argument_that_is_too_long_is_refused_and_the_line_stays(served):
    server, _ = served
    code = (
        "import MetaTrader5 as mt5; assert mt5.initialize(); long = 'x' * 2**21;"
        "print(mt5.symbol_info(long), mt5.last_error(), mt5.symbol_select(long), mt5.account_info().balance)"
    )
    done = run(code, server.environment)
    assert (done.stdout.strip(), done.stderr) == ("None (-2, 'Invalid arguments') False 10000.0", "")


def test_what_a_function_raises_is_raised_in_the_program_and_the_line_stays(served):
    server, _ = served
    code = (
        "import MetaTrader5 as mt5; assert mt5.initialize()\n"
        "for end in (float('inf'), float('nan')):\n"
        "    try: mt5.history_deals_get(0, end)\n"
        "    except Exception as error: print(type(error).__name__)\n"
        "print(mt5.account_info().balance)"
    )
    done = run(code, server.environment)
    assert (done.stdout.split(), done.stderr) == (["OverflowError", "ValueError", "10000.0"], "")


def test_one_that_connects_and_says_nothing_keeps_nobody_waiting(served):
    server, _ = served
    host, port = server.environment[ADDRESS].split(":")
    with socket.create_connection((host, int(port))):
        done = run("import MetaTrader5 as mt5; print(mt5.initialize())", server.environment)
        assert done.stdout.split() == ["True"], done.stderr
        server.close()


def test_the_project_is_not_on_the_program_s_path(served):
    server, _ = served
    code = (
        "import sys, importlib.util, MetaTrader5 as mt5; assert mt5.initialize();"
        "names = ('config', 'utils', 'strategy', 'execution', 'market_data');"
        "assert not any(importlib.util.find_spec(name) for name in names);"
        "assert not any(name.split('.')[0] in names for name in sys.modules);"
        "print(mt5.symbol_info('EURUSD').name)"
    )
    done = run(code, server.environment)
    assert (done.stdout.strip(), done.stderr) == ("EURUSD", "")


def test_records_can_be_sent_to_another_process(served):
    server, _ = served
    code = (
        "import pickle, subprocess, sys, MetaTrader5 as mt5; mt5.initialize(); data = pickle.dumps(mt5.account_info());"
        "code = 'import pickle, sys; print(pickle.load(sys.stdin.buffer).balance)';"
        "print(subprocess.run([sys.executable, '-c', code], input=data, capture_output=True, check=True).stdout.decode().strip())"
    )
    done = run(code, server.environment)
    assert (done.stdout.strip(), done.stderr) == ("10000.0", "")


def test_when_the_terminal_dies_a_call_fails_and_then_there_is_no_connection(served):
    server, _ = served
    code = (
        "import sys, MetaTrader5 as mt5\nassert mt5.initialize()\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "for call in (mt5.account_info, mt5.positions_total, mt5.initialize, mt5.shutdown): print(call(), mt5.last_error()[0])"
    )
    env = {**os.environ, **server.environment, "PYTHONPATH": str(FOLDER)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as program:
        assert program.stdout.readline() == "ready\n"
        server.close()
        told, _ = program.communicate("\n", timeout=60)
    first, second, third, last = told.splitlines()
    assert (first, second, third, last) == ("None -10002", "None -10004", "False -10003", "True -10004")


def test_without_a_terminal_everything_can_be_imported_and_nothing_works():
    done = run("import MetaTrader5 as mt5; print(mt5.symbols_total(), mt5.last_error(), mt5.initialize(), mt5.last_error()[0])", {})
    assert (done.stdout.strip(), done.stderr) == ("None (-10004, 'No IPC connection') False -10003", "")


def test_an_official_package_is_not_hidden_unless_it_may_be(tmp_path):
    (tmp_path / "MetaTrader5").mkdir()
    (tmp_path / "MetaTrader5" / "__init__.py").write_text("", encoding="utf-8")
    refused = run("import MetaTrader5", {}, tmp_path)
    assert refused.returncode != 0
    assert "--shadow" in refused.stderr
    allowed = run("import MetaTrader5; print(MetaTrader5.__author__)", {SHADOW: "1"}, tmp_path)
    assert (allowed.stdout.strip(), allowed.stderr) == ("Simulated terminal", "")
