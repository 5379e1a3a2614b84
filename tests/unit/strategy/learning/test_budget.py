"""The false-promotion budget: what a try may spend, what a month may spend, and that nothing comes back."""

from __future__ import annotations

import calendar
import json
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import StorageBusy
from market_data.clock import ManualClock
from strategy.learning.budget import ATTEMPTS, MONTHS_KEPT, START_SHARE, Grant, Purse, Record, month_passed
from tests.fakes_learning import MemoryState
from utils.shared_state import SharedState

FIRST = datetime(2024, 2, 1, tzinfo=UTC)
MONTHLY, LEAST = 0.05, 100
KEY = "gate.budget.scalper"


def rows(newest, count=1_000):
    """Times of final rows that end at an instant."""
    return np.arange(int(newest.timestamp()) - 60 * (count - 1), int(newest.timestamp()) + 1, 60)


def draw(purse, now, **changes):
    return purse.draw(rows(now), changes.get("least", LEAST), MONTHLY, now)


def test_the_first_try_spends_the_start_share():
    assert draw(Purse(MemoryState(), "scalper"), FIRST) == Grant(MONTHLY * START_SHARE, 1_000)


def test_later_tries_spend_what_the_month_has_brought_since():
    purse = Purse(MemoryState(), "scalper")
    draw(purse, FIRST)
    four_hours = draw(purse, FIRST + timedelta(hours=4))
    assert four_hours.alpha == pytest.approx(MONTHLY * (1 - START_SHARE) * 4 / (29 * 24))
    assert four_hours.unseen == 240


def test_no_try_spends_more_than_the_start_share():
    purse = Purse(MemoryState(), "scalper")
    late = FIRST + timedelta(days=20)
    assert [draw(purse, late + timedelta(hours=4 * step)).alpha for step in range(3)] == [pytest.approx(0.01)] * 3


def test_what_a_month_leaves_over_is_gone():
    state = MemoryState()
    purse = Purse(state, "scalper")
    draw(purse, FIRST)
    march = datetime(2024, 3, 1, tzinfo=UTC)
    assert draw(purse, march).alpha == pytest.approx(MONTHLY * START_SHARE)
    assert draw(purse, march + timedelta(hours=4)).alpha == pytest.approx(MONTHLY * (1 - START_SHARE) * 4 / (31 * 24))


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=60))
def test_no_calendar_month_spends_more_than_its_budget(minutes):
    purse, now, spent = Purse(MemoryState(), "scalper"), FIRST, {}
    for step in minutes:
        now += timedelta(minutes=step)
        alpha = draw(purse, now, least=0).alpha
        assert 0.0 <= alpha <= MONTHLY * START_SHARE
        spent[f"{now:%Y-%m}"] = spent.get(f"{now:%Y-%m}", 0.0) + alpha
    assert max(spent.values()) <= MONTHLY + 1e-12


def test_a_try_with_too_few_new_rows_spends_nothing_and_leaves_no_trace():
    state = MemoryState()
    purse = Purse(state, "scalper")
    draw(purse, FIRST)
    before = json.dumps(state.values)
    assert draw(purse, FIRST + timedelta(minutes=99)) == Grant(0.0, 99)
    assert json.dumps(state.values) == before
    assert draw(purse, FIRST + timedelta(minutes=100)).alpha > 0.0


def test_nothing_is_left_when_two_try_at_the_same_instant():
    purse = Purse(MemoryState(), "scalper")
    draw(purse, FIRST)
    assert draw(purse, FIRST, least=0) == Grant(0.0, 0)


def test_a_restart_gives_nothing_back(tmp_path):
    clock = ManualClock(FIRST)
    first = SharedState(tmp_path / "state.db", clock)
    draw(Purse(first, "scalper"), FIRST)
    first.close()
    again = SharedState(tmp_path / "state.db", clock)
    assert draw(Purse(again, "scalper"), FIRST, least=0).alpha == 0.0
    assert draw(Purse(again, "xgboost"), FIRST).alpha == pytest.approx(0.01)
    again.close()


def test_two_processes_spend_the_same_level_once(tmp_path):
    clock, drawn, begin = ManualClock(FIRST), [], threading.Barrier(4)
    homes = [SharedState(tmp_path / "state.db", clock) for _ in range(4)]

    def spend(state):
        begin.wait()
        drawn.append(Purse(state, "scalper").draw(rows(FIRST), 0, MONTHLY, FIRST).alpha)

    threads = [threading.Thread(target=spend, args=(home,)) for home in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == [0.0, 0.0, 0.0, pytest.approx(0.01)]
    assert homes[0].get(KEY)["spent"] == {"2024-02": pytest.approx(0.01)}
    for home in homes:
        home.close()


def test_a_clock_that_was_set_back_finds_its_month_as_it_left_it():
    purse = Purse(MemoryState(), "scalper")
    draw(purse, FIRST)
    draw(purse, FIRST + timedelta(days=30))
    assert draw(purse, FIRST, least=0).alpha == 0.0


def test_the_rows_that_homes_without_a_budget_had_seen_are_not_new_again():
    state = MemoryState()
    state.compare_and_set("gate.seen.scalper", 0, int(FIRST.timestamp()) - 60 * 50)
    assert draw(Purse(state, "scalper"), FIRST) == Grant(0.0, 50)
    assert Purse(state, "scalper").unseen(rows(FIRST)) == 50


def test_it_gives_up_where_others_never_stop_writing():
    class Contended(MemoryState):
        tries = 0

        def compare_and_set(self, key, expected_version, value):
            self.tries += 1
            return False

    state = Contended()
    with pytest.raises(StorageBusy, match=KEY):
        draw(Purse(state, "scalper"), FIRST)
    assert state.tries == ATTEMPTS


def test_old_months_are_forgotten():
    record, now = Record(), FIRST
    for _ in range(MONTHS_KEPT + 5):
        record = record.after(1, 0.01, now)
        now = (now + timedelta(days=32)).replace(day=1)
    assert len(record.spent) == MONTHS_KEPT
    assert "2024-02" not in record.spent


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_passes_from_nothing_to_one(month):
    first = datetime(2024, month, 1, tzinfo=UTC)
    days = calendar.monthrange(2024, month)[1]
    assert month_passed(first) == 0.0
    assert month_passed(first + timedelta(days=days / 2)) == pytest.approx(0.5)
    assert month_passed(first + timedelta(days=days, seconds=-1)) == pytest.approx(1.0, abs=1e-6)
