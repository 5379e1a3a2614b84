"""Moving a stop through the client: what is sent, and that only what the position shows counts."""

from __future__ import annotations

import numpy as np
import pytest

from execution.mt5_client import MT5Client
from execution.orders import OrderState
from execution.retcodes import RETCODES, Verdict
from execution.terminal import Execution, ModuleTerminal
from market_data.clock import BrokerTime
from tests.fakes_simulated import SERVER, flat, make_bars, make_terminal, order
from tests.fakes_terminal import MAGIC, ScriptedTerminal, intent, refused_argument, sent, symbol_info, trade_position

BROKER = BrokerTime("America/New_York+7")
NO_CHANGES = 10025


def change(**changes):
    return intent(**{"key": "s7-1", "purpose": "stop", "position": 7, "sl": 1.095, "tp": 1.11, "volume": 0.1, **changes})


def ready(*shown, **values):
    """A client of a terminal that shows position 7 with these stops, one look after the other."""
    terminal = ScriptedTerminal(**{"symbol_info": symbol_info(), "order_send": sent(deal=0)} | values)
    for sl in shown:
        terminal.on("positions_get", (trade_position(sl=sl),) if sl is not None else ())
    return terminal, MT5Client(terminal, broker_time=BROKER, magic=MAGIC, deviation=10)


def test_the_request_carries_both_levels_and_the_exact_types():
    terminal, client = ready(1.095)
    assert client.send(change(position=np.int64(7), sl=np.float32(1.095), tp=1.110000001)).state is OrderState.CONFIRMED
    (request,) = terminal.asked("order_send")[0].args
    assert request == {
        "action": Execution.TRADE_ACTION_SLTP,
        "magic": MAGIC,
        "symbol": "EURUSD",
        "sl": 1.095,
        "tp": 1.11,
        "position": 7,
    }
    assert refused_argument(request | {"comment": ""}) is None


def test_what_the_position_shows_is_the_answer():
    _, client = ready(1.095)
    result = client.send(change())
    assert (result.state, result.price) == (OrderState.CONFIRMED, 1.095)


def test_an_accepted_change_that_is_not_shown_yet_is_unknown_until_it_is():
    terminal, client = ready(1.09, 1.09, 1.095)
    assert client.send(change()).state is OrderState.UNKNOWN
    assert client.find(change()).state is OrderState.REJECTED  # it may be sent again
    assert client.find(change()).state is OrderState.CONFIRMED
    assert len(terminal.asked("order_send")) == 1


def test_no_changes_is_success():
    _, client = ready(1.095, order_send=sent(NO_CHANGES, deal=0, order=0))
    assert client.send(change()).state is OrderState.CONFIRMED


@pytest.mark.parametrize("code", [code for code, row in RETCODES.items() if row.verdict is not Verdict.ACCEPTED and code != NO_CHANGES])
def test_every_other_refusal_stays_one(code):
    terminal, client = ready(1.09, order_send=sent(code, deal=0, order=0))
    result = client.send(change())
    wanted = OrderState.UNKNOWN if RETCODES[code].verdict is Verdict.UNKNOWN else OrderState.REJECTED
    assert (result.state, result.retcode) == (wanted, code)
    assert len(terminal.asked("order_send")) == 1


def test_a_target_that_was_lost_on_the_way_is_not_confirmed():
    terminal, client = ready()
    terminal.on("positions_get", (trade_position(sl=1.095, tp=0.0),))
    assert client.send(change()).state is OrderState.UNKNOWN


def test_a_position_that_is_gone_is_told():
    _, client = ready(None)
    assert client.send(change()).state is OrderState.UNKNOWN
    found = client.find(change())
    assert (found.state, found.retcode) == (OrderState.REJECTED, 10036)


@pytest.mark.parametrize("failing", ["order_send", "positions_get", "symbol_info"])
def test_a_terminal_that_does_not_answer_leaves_it_unknown(failing):
    terminal, client = ready(*() if failing == "positions_get" else (1.09,))
    terminal._replies.pop(failing, None)
    terminal.on(failing, OSError("pipe"))
    assert client.send(change()).state is OrderState.UNKNOWN


def test_over_the_simulated_terminal_the_stop_moves_and_the_target_stays():
    module = make_terminal(make_bars(flat(1.1, 30)), history=10)
    client = MT5Client(ModuleTerminal(module), broker_time=SERVER, magic=MAGIC, deviation=10)
    ticket = order(module, magic=MAGIC, volume=0.1, sl=1.09, tp=1.12).order
    moved = change(position=ticket, sl=1.098, tp=1.12)
    assert client.find(moved).state is OrderState.REJECTED
    assert client.send(moved).state is OrderState.CONFIRMED
    assert client.send(moved).state is OrderState.CONFIRMED  # 10025 from the broker
    assert client.find(moved).state is OrderState.CONFIRMED
    (held,) = client.positions("EURUSD")
    assert (held.sl, held.tp) == (1.098, 1.12)
    assert client.send(change(position=ticket, sl=1.2, tp=1.12)).state is OrderState.REJECTED
