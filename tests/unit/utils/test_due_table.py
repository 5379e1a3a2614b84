"""Due times: in rhythm, never in the past, and the same after a restart."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.due_table import DueTable

START = datetime(2024, 1, 8, 10, 0, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Store(dict):
    """What the shared state is, without a file."""

    def set(self, key, value):
        self[key] = value


def test_a_job_that_never_ran_is_due_when_it_is_told():
    assert DueTable(Store()).due("train:scalper", START) == START


@pytest.mark.parametrize(
    ("late", "hours"),
    [(0.0, 1), (0.3, 1), (0.999, 1), (1.0, 2), (1.5, 2), (2.0, 3), (7.25, 8)],
)
def test_a_late_start_keeps_the_rhythm(late, hours):
    assert DueTable(Store()).after("job", START, HOUR, START + late * HOUR) == START + hours * HOUR


def test_a_job_that_ran_before_it_was_due_is_next_due_one_step_later():
    assert DueTable(Store()).after("job", START, HOUR, START - HOUR / 2) == START + HOUR


@given(late=st.timedeltas(timedelta(0), timedelta(days=400)), every=st.timedeltas(timedelta(minutes=1), timedelta(hours=1_000)))
def test_the_next_due_time_is_the_first_of_its_rhythm_that_is_still_to_come(late, every):
    due = DueTable(Store()).after("job", START, every, START + late)
    assert START + late < due <= START + late + every
    assert (due - START) % every == timedelta(0)


def test_another_table_over_the_same_store_knows_the_due_time():
    store = Store()
    due = DueTable(store).after("job", START, HOUR, START)
    assert DueTable(store).due("job", START + 9 * HOUR) == due
    DueTable(store).set("job", START)
    assert DueTable(store).due("job", START + 9 * HOUR) == START
    assert DueTable(store).due("other", START) == START
