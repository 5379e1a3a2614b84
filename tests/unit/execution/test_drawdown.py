"""The watermark: it rises with equity, moves with money, and trips once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.drawdown import Watermark, followed, from_json, moved, to_json

MARK = Watermark(10_000.0, 0, "")
MONEY = st.floats(1, 1e7)
HOUR = timedelta(hours=1)
NOW = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)


def test_it_follows_equity_up_and_not_down():
    assert followed(MARK, 10_500.0, 10.0, NOW).peak == 10_500.0
    assert followed(MARK, 9_500.0, 10.0, NOW) == MARK


def test_it_trips_at_the_limit_and_says_why():
    tripped = followed(MARK, 9_000.0, 10.0, NOW)
    assert tripped.tripped == "equity 9000.00 was 10.00 % below its peak 10000.00 at 2024-01-08T12:00:00.000Z, MAX_DRAWDOWN_PERCENT is 10"
    assert followed(MARK, 9_000.01, 10.0, NOW).tripped == ""


def test_once_tripped_it_stays_with_its_first_reason():
    tripped = followed(MARK, 8_000.0, 10.0, NOW)
    later = followed(followed(tripped, 7_000.0, 10.0, NOW + HOUR), 20_000.0, 10.0, NOW + 2 * HOUR)
    assert later.tripped == tripped.tripped


@given(MONEY, MONEY, st.floats(-1e7, 1e7))
def test_money_paid_in_or_out_leaves_the_drawdown_as_it_was(peak, before, amount):
    peak = max(peak, before)
    after = before + amount
    if after < 1:
        return
    mark = Watermark(peak, 0, "")
    assert moved(mark, after, amount).drawdown_percent(after) == pytest.approx(mark.drawdown_percent(before), abs=1e-6)


@pytest.mark.parametrize(("equity", "amount"), [(5_000.0, 5_000.0), (5_000.0, 6_000.0), (0.0, -5_000.0)])
def test_an_account_that_was_or_is_empty_begins_anew(equity, amount):
    assert moved(MARK, equity, amount).peak == equity


@given(MONEY, st.lists(MONEY, max_size=20), st.floats(0.1, 99), st.floats(0, 1))
def test_a_tighter_limit_trips_no_later(peak, equities, limit, share):
    loose = tight = Watermark(peak, 0, "")
    for equity in equities:
        loose, tight = followed(loose, equity, limit, NOW), followed(tight, equity, limit * share or 0.01, NOW)
        assert not (loose.tripped and not tight.tripped)


@given(MONEY, st.integers(0, 2**60), st.text(max_size=20))
def test_what_is_kept_is_what_comes_back(peak, ticket, reason):
    mark = Watermark(peak, ticket, "2024-01-08T12:00:00.000Z", reason)
    assert from_json(to_json(mark)) == mark


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        None,
        "x",
        3,
        {"peak": "much"},
        to_json(MARK) | {"peak": 0.0},
        to_json(MARK) | {"peak": float("nan")},
        to_json(MARK) | {"peak": None},
    ],
)
def test_what_is_no_mark_is_refused(values):
    with pytest.raises(ValueError, match="not a watermark"):
        from_json(values)
