"""A slot's whole life in a replay: promoted, on probation, settled, and the candidate that waited takes its turn."""

import json
from datetime import datetime, timedelta

import pytest

from tests.fakes_daemon import TREES_ONLY, differences, run_here, table

ENV = {
    **TREES_ONLY,
    "HORIZON_BARS": "6",
    "PROBATION_MAX_BARS": "100",
    "PROBATION_CHECK_MINUTES": "10",
}
"""A block is 56 bars, 50 of them judged: probation takes two blocks at most."""
BARS = 186

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    made = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    for home in made:
        run_here(home, BARS, ENV)
    return made


@pytest.fixture(scope="module")
def events(homes):
    return [(row["event"], row["version"], row["at"]) for row in table(homes[0], "model_events")]


def test_two_replays_are_equal(homes):
    assert differences(*homes) == []


def test_a_slot_on_probation_takes_no_new_version(events):
    assert [(event, version) for event, version, _ in events[:3]] == [("promoted", 1), ("promoted", 2), ("waiting", 3)]


def test_then_it_settles_and_the_newest_candidate_takes_its_turn(events):
    settled = next(number for number, (event, *_) in enumerate(events) if event == "settled")
    waiting = max(version for event, version, _ in events[:settled] if event == "waiting")
    assert events[settled + 1] == ("promoted", waiting, events[settled][2])


def test_every_event_is_journalled_once(events):
    assert len(set(events)) == len(events)


def test_a_version_that_waited_decides_two_bars_after_its_turn(homes, events):
    at, version = next((at, version) for event, version, at in events if event == "promoted" and version > 2)
    rows = table(homes[0], "decisions")
    using = next(datetime.fromisoformat(row["bar_time"]) for row in rows if json.loads(row["versions"]).get("scalper") == version)
    assert using == datetime.fromisoformat(at) + timedelta(minutes=1)


def test_the_check_says_how_it_stands(homes):
    reasons = [row["reason"] for row in table(homes[0], "job_runs") if row["job"] == "probation" and row["outcome"] == "skipped"]
    assert any(reason.startswith("scalper: on probation, version 2: ") for reason in reasons)
