"""The daemon is killed in every state of an order's life, its broker lives on, and the next daemon ends in the right books.

The daemon's trading half is a process of its own, and so is the broker with its faults.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass

import pytest

from execution.simulated.faults import Fault, FaultPlan, Kind, Step
from tests.campaigns.killed import Killer
from tests.campaigns.send_once import Report

SEED = 1
FIRST_EXIT = 4
"""Which order of this market closes a position first, counted from 1; the tests fail where it is another."""
ENTRY, EXIT, STOP = r"(?:EUR|GBP)USD-\w+", r"x\w+-\w+", r"g\w+-\w+"
BEFORE, AFTER, ANSWER = Step.BEFORE, Step.AFTER, Step.ANSWER


@dataclass(frozen=True)
class State:
    """A state in an order's life.

    Attributes:
        point: at which the daemon is killed; its group is the order's key.
        journal: the order's state on record at that moment.
        sent: whether the broker has made an order of it; a change of a stop makes none.
        fault: what brings the order into this state.
    """

    point: str
    journal: str
    sent: bool
    fault: Fault | None = None


def lost(step: Step, nth: int) -> Fault:
    return Fault(Kind.ERROR, step, nth=nth, value=-10005)


def part(nth: int) -> Fault:
    return Fault(Kind.PARTIAL, ANSWER, nth=nth, value=0.4)


NAKED = Fault(Kind.STOPS_DROPPED, BEFORE, nth=1)
"""The broker takes the entry without its stops."""

STATES = {
    "entry on record, before send": State(f"before send ({ENTRY})", "intended", sent=False),
    "entry sent, answer not seen": State(f"after send ({ENTRY})", "intended", sent=True),
    "entry unknown, was executed": State(f"after record_order ({ENTRY}) unknown", "unknown", sent=True, fault=lost(AFTER, 1)),
    "entry unknown, never arrived": State(f"after record_order ({ENTRY}) unknown", "unknown", sent=False, fault=lost(BEFORE, 1)),
    "entry partially filled, answer not seen": State(f"after send ({ENTRY})", "intended", sent=True, fault=part(1)),
    "entry partially filled, on record": State(f"after record_order ({ENTRY}) partial", "partial", sent=True, fault=part(1)),
    "entry filled, trade not on record": State(f"before log_entry ({ENTRY})", "filled", sent=True),
    "stop set anew, not on record": State(f"before record_order ({STOP}) confirmed", "intended", sent=False, fault=NAKED),
    "closing, before send": State(f"before send ({EXIT})", "intended", sent=False),
    "closing, answer not seen": State(f"after send ({EXIT})", "intended", sent=True),
    "closing unknown, was executed": State(f"after record_order ({EXIT}) unknown", "unknown", sent=True, fault=lost(AFTER, FIRST_EXIT)),
    "closing unknown, never arrived": State(f"after record_order ({EXIT}) unknown", "unknown", sent=False, fault=lost(BEFORE, FIRST_EXIT)),
    "partially closed, answer not seen": State(f"after send ({EXIT})", "intended", sent=True, fault=part(FIRST_EXIT)),
    "partially closed, on record": State(f"after record_order ({EXIT}) partial", "partial", sent=True, fault=part(FIRST_EXIT)),
    "closed, trade still open on record": State(f"after record_order ({EXIT}) filled", "filled", sent=True),
}


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    with closing(Killer(tmp_path_factory.mktemp("killed"))) as killer:
        yield killer


@pytest.mark.parametrize("name", STATES)
def test_a_daemon_killed_in_this_state_is_followed_by_one_that_ends_in_the_right_books(killer, name):
    state = STATES[name]
    killer.begin(SEED, FaultPlan((state.fault,) if state.fault else ()))
    died_at = killer.life(point=state.point, kill_at=1)
    key = re.fullmatch(state.point, died_at)[1]
    with closing(killer.journal()) as journal:
        assert journal.order_states(key)[-1]["state"] == state.journal
    assert (key in killer.orders()) == state.sent
    assert killer.life() is None
    report = killer.end(Report(SEED))
    assert report.problems == []
    assert report.orders > FIRST_EXIT
    assert sum(report.faults.values()) == (state.fault is not None)
    assert report.states["partial"] == (state.fault is not None and state.fault.kind is Kind.PARTIAL)
