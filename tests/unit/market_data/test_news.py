"""The news calendar: read row by row, reloaded when the file changes, closed where it must be relied on."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import NewsSettings
from market_data.clock import BrokerTime
from market_data.news import Calendar, NewsDesk, NewsEvent, read_calendar

SERVER = BrokerTime("America/New_York+7")
CPI = datetime(2024, 6, 12, 12, 30, tzinfo=UTC)
HEAD = "time,currency,impact,title\n"
ROW = "2024-06-12T12:30:00Z,USD,high,CPI\n"
LATER = "2024-06-20T12:00:00Z,GBP,high,Rate decision\n"
EURUSD = ("EUR", "USD")


def read(text, is_json=False):
    return read_calendar(text, is_json=is_json, server=SERVER)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + ROW,
        HEAD + "2024-06-12T14:30:00+02:00, usd, HIGH, CPI\n",
        "title,time_server,impact,currency,actual\nCPI,2024.06.12 15:30:00,high,USD,3.4\n",
        "time_server,currency,impact,title\n2024-06-12T15:30,USD,high,CPI\n",
    ],
)
def test_a_row_is_one_release_however_its_time_is_written(text):
    assert read(text) == Calendar((NewsEvent(CPI, "USD", 2, "CPI"),))


def test_server_time_follows_the_brokers_clock_through_the_year():
    rows = "time_server,currency,impact,title\n2024.01.10 15:30:00,USD,high,w\n2024.07.10 15:30:00,USD,high,s\n"
    assert [event.time.hour for event in read(rows).events] == [13, 12]


def test_json_and_csv_say_the_same():
    rows = [{"time": "2024-06-12T12:30:00Z", "currency": "USD", "impact": "high", "title": "CPI"}]
    assert read(json.dumps(rows), is_json=True) == read(HEAD + ROW)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2024-06-12T12:30:00,USD,high,CPI", "has no zone"),
        ("soon,USD,high,CPI", "Invalid isoformat"),
        (",USD,high,CPI", "Invalid isoformat"),
        ("2024-06-12T12:30:00Z,DOLLAR,high,CPI", "currency 'DOLLAR'"),
        ("2024-06-12T12:30:00Z,USD,severe,CPI", "impact 'severe'"),
        ("2024-06-12T12:30:00Z,USD", "impact ''"),
    ],
)
def test_a_faulty_row_is_named_by_its_line_and_the_rest_is_kept(row, why):
    calendar = read(HEAD + ROW + row + "\n" + LATER)
    assert len(calendar.events) == 2
    (fault,) = calendar.faults
    assert fault.startswith("line 3: ")
    assert why in fault


@pytest.mark.parametrize(("text", "is_json"), [("", False), ("a,b\n1,2\n", False), ("{", True), ('{"time": 1}', True), ("[1]", True)])
def test_a_file_of_another_kind_is_a_fault(text, is_json):
    calendar = read(text, is_json)
    assert not calendar.events
    assert len(calendar.faults) == 1


# the window


@pytest.mark.parametrize(("minutes", "blocked"), [(-15.02, False), (-15, True), (0, True), (10, True), (10.02, False)])
def test_the_window_reaches_from_before_to_after(minutes, blocked):
    settings = NewsSettings(news_before_minutes=15, news_after_minutes=10)
    found = read(HEAD + ROW).around(EURUSD, CPI + timedelta(minutes=minutes), settings)
    assert bool(found) == blocked


@pytest.mark.parametrize(
    ("currency", "impact", "blocked"),
    [("USD", "high", True), ("EUR", "high", True), ("ALL", "high", True), ("GBP", "high", False), ("USD", "medium", False)],
)
def test_only_what_concerns_the_symbol_and_is_strong_enough(currency, impact, blocked):
    calendar = read(HEAD + f"2024-06-12T12:30:00Z,{currency},{impact},x\n")
    assert bool(calendar.around(EURUSD, CPI, NewsSettings())) == blocked
    assert bool(calendar.around(EURUSD, CPI, NewsSettings(news_impact="low"))) == (currency != "GBP")


EVENTS = st.builds(
    NewsEvent,
    st.integers(-300, 300).map(lambda m: CPI + timedelta(minutes=m)),
    st.sampled_from(["USD", "EUR", "GBP", "ALL"]),
    st.integers(0, 2),
    st.just("x"),
)


@given(
    st.lists(EVENTS, max_size=30), st.integers(0, 120), st.integers(0, 120), st.integers(0, 120), st.sampled_from(["low", "medium", "high"])
)
def test_a_wider_window_or_a_lower_impact_never_lets_more_through(events, before, after, more, impact):
    calendar = Calendar(tuple(sorted(events)))
    narrow = NewsSettings(news_before_minutes=before, news_after_minutes=after, news_impact=impact)
    wide = NewsSettings(news_before_minutes=before + more, news_after_minutes=after + more, news_impact="low")
    blocked = calendar.around(EURUSD, CPI, narrow)
    assert set(blocked) <= set(calendar.around(EURUSD, CPI, wide))
    by_hand = [
        event
        for event in events
        if event.currency in (*EURUSD, "ALL")
        and event.impact >= ("low", "medium", "high").index(impact)
        and CPI - timedelta(minutes=after) <= event.time <= CPI + timedelta(minutes=before)
    ]
    assert sorted(by_hand) == list(blocked)


# the file


class Paper:
    """A file whose time of writing a test sets, and the desk that reads it."""

    def __init__(self, path, text=HEAD + ROW + LATER, **settings):
        self.path = path
        self.write(text, CPI - timedelta(hours=1))
        self.desk = NewsDesk(NewsSettings(news_file=path, **settings), SERVER)

    def write(self, text, at):
        self.path.write_text(text, encoding="utf-8")
        os.utime(self.path, (at.timestamp(), at.timestamp()))

    def ask(self, now, currencies=EURUSD):
        self.desk.refresh(now)
        return self.desk.objection(currencies, now)


@pytest.fixture
def paper(tmp_path):
    return Paper(tmp_path / "news.csv")


def test_an_objection_names_the_release_and_the_window(paper):
    assert paper.ask(CPI) == "USD 'CPI' (high) at 2024-06-12 12:30 UTC; no entries from 15 minutes before to 15 after"
    assert paper.ask(CPI, ("CHF", "JPY")) is None
    assert paper.desk.upcoming(CPI + timedelta(seconds=1)).title == "Rate decision"


def test_a_changed_file_is_read_within_a_minute_and_not_sooner(paper):
    start = CPI - timedelta(hours=3)
    assert paper.ask(start) is None
    paper.write(HEAD + "2024-06-12T09:31:00Z,EUR,high,Surprise\n" + LATER, CPI)
    assert paper.ask(start + timedelta(seconds=59)) is None
    assert "Surprise" in paper.ask(start + timedelta(seconds=60))


def test_without_a_file_there_is_no_news():
    desk = NewsDesk(NewsSettings(), SERVER)
    desk.refresh(CPI)
    assert (desk.objection(EURUSD, CPI), desk.problem(CPI), desk.upcoming(CPI)) == (None, None, None)


QUIET = CPI + timedelta(days=1)
TROUBLES = {
    "stale": (HEAD + ROW + LATER, QUIET + timedelta(days=7, hours=-30), {"news_max_age_hours": 24}, "NEWS_MAX_AGE_HOURS (24)"),
    "nothing ahead": (HEAD + ROW, QUIET, {}, "knows no release after"),
    "empty": (HEAD, QUIET, {}, "knows no release"),
    "faulty": (HEAD + ROW + "x,y\n" + LATER, QUIET, {}, "1 rows cannot be read: line 3"),
    "gone": (None, QUIET, {}, "cannot be read"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_calendar_in_trouble_closes_only_where_it_is_required(tmp_path, said, trouble):
    text, now, settings, why = TROUBLES[trouble]
    for required in (False, True):
        paper = Paper(tmp_path / f"{required}.csv", text or "", news_required=required, **settings)
        if text is None:
            paper.path.unlink()
        objection = paper.ask(now)
        assert (objection is not None) == required
        if required:
            assert objection.startswith("NEWS_REQUIRED is true and ")
            assert why in objection
    assert [line.split()[0] for line in said if why in line] == ["WARNING", "WARNING"]


def test_a_required_calendar_that_was_never_read_closes(tmp_path):
    paper = Paper(tmp_path / "news.csv", news_required=True)
    assert "was not read yet" in paper.desk.objection(EURUSD, CPI)


def test_a_trouble_is_told_once(paper, said):
    paper.path.unlink()
    for minute in range(5):
        paper.ask(QUIET + timedelta(minutes=minute))
    assert sum("cannot be read" in line for line in said) == 1


@pytest.mark.parametrize("trouble", ["stale", "nothing ahead", "empty", "faulty"])
def test_a_trouble_is_told_once_per_state_of_the_file(tmp_path, said, trouble):
    text, now, settings, why = TROUBLES[trouble]
    paper = Paper(tmp_path / "news.csv", text, **settings)
    for hour in range(30):
        paper.ask(now + timedelta(hours=hour))
    assert sum(why in line for line in said) == 1
    paper.write(text, CPI - timedelta(minutes=30))  # written anew, and no better
    for hour in range(30, 60):
        paper.ask(now + timedelta(hours=hour))
    assert sum(why in line for line in said) == 2


def test_what_was_known_still_counts_while_the_file_cannot_be_read(paper):
    paper.ask(CPI - timedelta(hours=1))
    paper.path.unlink()
    assert "CPI" in paper.ask(CPI)


def test_it_is_known_until_when_a_calendar_is_what_it_is(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text(HEAD + ROW + LATER, encoding="utf-8")
    os.utime(path, (CPI.timestamp(), CPI.timestamp()))
    desk = NewsDesk(NewsSettings(news_file=path, news_max_age_hours=24), SERVER)
    assert desk.changes_at(CPI) is None  # not read yet: the next look may tell anything, and so it does
    now = CPI
    desk.refresh(now)
    told = []
    while (change := desk.changes_at(now)) is not None:
        assert desk.problem(change) == desk.problem(now)
        told.append(desk.problem(now))
        now = change + timedelta(seconds=1)
    assert told[0] is None
    assert "NEWS_MAX_AGE_HOURS" in told[1]
    assert desk.problem(now) == desk.problem(now + timedelta(days=99))
    assert NewsDesk(NewsSettings(), SERVER).changes_at(CPI) is None
