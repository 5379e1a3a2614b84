"""Quality: weekends are not holes, holes are."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from market_data.bars import Bars, Timeframe
from market_data.importers import import_file
from market_data.quality import findings, in_market_week, open_seconds

DEV = Path(__file__).parents[3].parent / "shared" / "data" / "dev"


def epoch(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def minutes(*spans, symbol="EURUSD", frame=Timeframe.M1):
    """Flat bars with one point of range over (from, until) spans."""
    time = np.concatenate([np.arange(epoch(left), epoch(right), frame.seconds) for left, right in spans])
    price = np.full(len(time), 1.1)
    return Bars(symbol, frame, time, price, price + 1e-5, price - 1e-5, price)


def kinds(bars, now=None):
    return {found.kind for found in findings(bars, now)}


WEEK = minutes(("2024-01-07T22:00", "2024-01-12T22:00"), ("2024-01-14T22:00", "2024-01-15T12:00"))


def test_weekends_are_no_finding_in_winter_and_summer():
    assert findings(WEEK) == ()
    assert findings(minutes(("2024-07-05T12:00", "2024-07-05T21:00"), ("2024-07-07T21:00", "2024-07-08T01:00"))) == ()


def test_the_week_of_a_change_of_clocks_is_sound():
    assert findings(minutes(("2024-03-08T12:00", "2024-03-08T22:00"), ("2024-03-10T21:00", "2024-03-11T01:00"))) == ()


def test_a_hole_is_named_with_time_and_size():
    (found,) = findings(minutes(("2024-01-09T08:00", "2024-01-09T10:00"), ("2024-01-09T11:30", "2024-01-09T15:00")))
    assert (found.kind, found.count, found.at) == ("hole", 90, datetime(2024, 1, 9, 10, tzinfo=UTC))
    assert "EURUSD" in found.detail and "2024-01-09 10:00 to 2024-01-09 11:30 UTC" in found.detail


def test_a_weekend_that_begins_early_counts_only_open_minutes():
    (found,) = findings(minutes(("2024-01-12T12:00", "2024-01-12T20:00"), ("2024-01-14T22:00", "2024-01-15T00:00")))
    assert (found.kind, found.count) == ("hole", 120)


def test_quiet_minutes_are_counted_together():
    bars = minutes(
        ("2024-01-09T08:00", "2024-01-09T09:00"), ("2024-01-09T09:02", "2024-01-09T10:00"), ("2024-01-09T10:01", "2024-01-09T11:00")
    )
    (found,) = findings(bars)
    assert (found.kind, found.count) == ("missing", 3)


def test_daily_break_of_gold_is_no_finding_but_one_of_euro_is():
    spans = (("2024-01-09T12:00", "2024-01-09T22:00"), ("2024-01-09T23:00", "2024-01-10T02:00"))
    assert findings(minutes(*spans, symbol="XAUUSD.r")) == ()
    assert kinds(minutes(*spans)) == {"hole"}


def test_gold_closes_early_and_fx_rests_at_christmas():
    early = minutes(("2024-01-15T10:00", "2024-01-15T19:30"), ("2024-01-15T23:00", "2024-01-16T01:00"), symbol="XAUUSD")
    christmas = minutes(("2024-12-24T10:00", "2024-12-24T22:00"), ("2024-12-25T22:00", "2024-12-26T10:00"))
    assert kinds(early) == {"early_close"}
    assert kinds(christmas) == {"holiday"}


def test_order_and_duplicates():
    time = WEEK.time.copy()
    time[5], time[6] = time[6], time[5]
    time[100] = time[99]
    found = {item.kind: item for item in findings(replace(WEEK, time=time))}
    assert found["duplicate"].count == 1 and found["order"].count == 1


@pytest.mark.parametrize(("name", "value"), [("high", 1.0), ("low", np.nan), ("close", -1.0), ("open", np.inf), ("close", 1.2)])
def test_impossible_prices(name, value):
    column = getattr(WEEK, name).copy()
    column[[7, 9]] = value
    (found,) = findings(replace(WEEK, **{name: column}))
    assert (found.kind, found.count, found.at) == ("prices", 2, WEEK.opened_at(7))


def test_a_spike_stands_out_of_both_neighbours_and_a_step_does_not():
    high = WEEK.high.copy()
    high[50] += 0.01
    (found,) = findings(replace(WEEK, high=high))
    assert (found.kind, found.at) == ("spike", WEEK.opened_at(50))
    step = np.where(np.arange(len(WEEK)) >= 50, 0.01, 0.0)
    assert findings(replace(WEEK, open=WEEK.open + step, high=WEEK.high + step, low=WEEK.low + step, close=WEEK.close + step)) == ()


def test_bars_in_the_weekend_question_the_zone():
    shifted = replace(WEEK, time=WEEK.time + 8 * 3600)
    assert "closed_hours" in kinds(shifted)
    assert "closed_hours" not in kinds(replace(shifted, symbol="BTCUSDT"))


def test_stale_counts_open_market_only():
    friday = minutes(("2024-01-12T12:00", "2024-01-12T22:00"))
    closing = datetime(2024, 1, 12, 22, tzinfo=UTC)
    assert findings(friday, closing + timedelta(hours=40)) == ()
    (found,) = findings(friday, datetime(2024, 1, 14, 22, 30, tzinfo=UTC))
    assert (found.kind, found.count) == ("stale", 30)
    assert findings(friday, closing - timedelta(hours=1)) == ()


def test_empty_history_is_a_finding():
    assert kinds(minutes(("2024-01-09T08:00", "2024-01-09T08:00"))) == {"empty"}


def test_findings_are_frozen():
    (found,) = findings(minutes(("2024-01-09T08:00", "2024-01-09T08:00")))
    with pytest.raises(FrozenInstanceError):
        found.count = 3


def test_open_seconds_of_a_week():
    ends = np.array([epoch("2024-01-07T22:00"), epoch("2024-01-14T22:00")])
    assert np.diff(open_seconds("EURUSD", ends)).tolist() == [5 * 86_400]
    assert np.diff(open_seconds("XAUUSD", ends + 3600)).tolist() == [5 * 23 * 3600]


def test_market_week_edges():
    edges = np.array([epoch("2024-01-07T21:59:59"), epoch("2024-01-07T22:00"), epoch("2024-01-12T21:59:59"), epoch("2024-01-12T22:00")])
    assert in_market_week("EURUSD", edges).tolist() == [False, True, True, False]


@pytest.mark.skipif(not DEV.is_dir(), reason="market data for developers is not here")
def test_real_histories_show_their_known_faults():
    gappy = findings(import_file(DEV / "EURUSD_M1_20230201_20230731_histdata-GAPPY.csv.gz").bars)
    clean = findings(import_file(DEV / "EURUSD_M1_20180531_20180629_mt5.csv.gz").bars)
    assert sum(found.kind == "hole" for found in gappy) > 600
    assert {found.kind for found in clean} == {"missing"}
