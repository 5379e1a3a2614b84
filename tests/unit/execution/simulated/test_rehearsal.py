"""Names of faults in settings, in the code and in the document are the same, and each is what it says."""

import re
from pathlib import Path

import pytest

from config.values import FAULTS
from execution.simulated.faults import FaultyTerminal, Kind
from execution.simulated.rehearsal import REHEARSED, rehearsed_plan
from execution.terminal import ModuleTerminal, Request
from tests.fakes_simulated import flat, make_bars, make_terminal

DOCUMENT = Path(__file__).parents[4] / "docs" / "FAULTS.md"


def test_every_name_that_settings_allow_means_something():
    assert tuple(REHEARSED) == FAULTS


def test_the_document_explains_every_name_and_no_other():
    named = re.findall(r"^\| (`.+?`) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(named)) == list(FAULTS)


def test_a_plan_has_shares_and_numbers_in_order():
    plan = rehearsed_plan(("requote:0.02", "lost@3"), 9)
    assert [(fault.kind, fault.probability, fault.nth) for fault in plan.faults] == [(Kind.RETCODE, 0.02, 0), (Kind.ERROR, 0.0, 3)]
    assert plan.seed == 9


ANSWERS = {
    "requote": (10004, 0),
    "price_changed": (10020, 0),
    "no_quotes": (10021, 0),
    "reject": (10006, 0),
    "partial": (10010, 1),
    "none": (None, 1),
    "unsent": (None, 0),
    "timeout": (10012, 1),
    "late": (10012, 0),
    "lost": (None, 1),
    "hang": (10009, 1),
    "no_stops": (10009, 1),
    "no_comment": (10009, 1),
    "algo_off": (10027, 0),
    "api_off": (None, 0),
    "offline": (10031, 0),
    "other_account": (10027, 0),
    "clock_jump": (10009, 1),
    "late_history": (10009, 1),
    "late_positions": (10009, 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_fault_answers_and_what_the_broker_has(name):
    module = make_terminal(make_bars(flat(1.1, 8)), history=2)
    terminal = FaultyTerminal(ModuleTerminal(module), rehearsed_plan((f"{name}@1",), 0), wait=lambda seconds: None)
    order = {"action": 1, "symbol": "EURUSD", "volume": 0.2, "type": 0, "sl": 1.09, "tp": 1.11, "comment": "key"}
    value = terminal.call(Request("order_send", (order,))).value
    assert (value and value.retcode, module.positions_total()) == ANSWERS[name]
    assert [fault.kind for fault in terminal.fired] == [REHEARSED[name].kind]
