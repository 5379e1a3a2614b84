from dataclasses import replace

import numpy as np
import pytest

from config.errors import DataError, SettingsError
from execution.simulated import SimulatedAccount
from execution.simulated.terms import BrokerTerms
from market_data.quotes import Quotes
from tests.fakes_simulated import flat, make_bars, make_quotes, make_terminal

ROWS = [(0, 1.1, 1.1001), (30, 1.1, 1.1001), (61, 1.1, 1.1001), (130, 1.1, 1.1001)]


def broken(column, at, value):
    bars = make_bars(flat(1.1, 5))
    getattr(bars, column)[at] = value
    return bars


@pytest.mark.parametrize(
    ("bars", "says"),
    [
        (
            lambda: broken("open", 2, np.nan),
            r"open must be a price above 0: nan at 2024-01-08 10:02:00 UTC \(1 such rows\); clean the file",
        ),
        (lambda: broken("close", 1, -1.0), r"close must be a price above 0: -1\.0"),
        (lambda: broken("high", 1, np.inf), r"high must be a price above 0: inf"),
        (lambda: broken("low", 3, 1.2), "open and close must lie between low and high"),
        (lambda: broken("time", 3, 0), "not in ascending order of time, first at 1970-01-01"),
        (lambda: make_bars(flat(1.1, 5)).slice(0, 0), "no bars; give at least one"),
        (lambda: replace(make_bars(flat(1.1, 5)), close=np.ones(3)), "every column needs one value a bar"),
    ],
)
def test_bars_that_cannot_be_a_market_are_refused(bars, says):
    with pytest.raises(DataError, match=rf"EURUSD: cannot be simulated: .*{says}"):
        make_terminal(bars())


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([ROWS[1], ROWS[0]], "quotes are not in ascending order of time"),
        ([ROWS[0], (9, np.nan, 1.1)], r"bid must be a price above 0: nan"),
        ([ROWS[0], (9, 1.1, 0.0)], r"ask must be a price above 0: 0\.0"),
        ([ROWS[0], (9, 1.1, 1.0999)], "the ask must not lie below the bid"),
    ],
)
def test_quotes_that_cannot_be_a_market_are_refused(rows, says):
    with pytest.raises(DataError, match=rf"EURUSD: cannot be simulated: {says}"):
        make_terminal(make_quotes(rows))


def test_no_quotes_are_refused():
    none = np.zeros(0)
    with pytest.raises(DataError, match="no quotes; give at least one"):
        make_terminal(Quotes("EURUSD", none.astype(np.int64), none, none))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"point": 0.0}, r"point is 0\.0"),
        ({"tick_size": float("nan")}, "tick_size is nan"),
        ({"volume_min": 5.0, "volume_max": 1.0}, "volume_min 5.0 above volume_max 1.0"),
        ({"stops_level": -1}, "stops_level is -1; it must be 0 or more"),
        ({"volume_limit": -0.1}, "volume_limit is -0.1"),
    ],
)
def test_impossible_specifications_are_refused(spec, says):
    with pytest.raises(DataError, match=rf"EURUSD: cannot be simulated: specification: .*{says}"):
        make_terminal(make_bars(flat(1.1, 5)), spec_changes=spec)


def test_impossible_terms_are_refused():
    with pytest.raises(DataError, match="EURUSD: cannot be simulated: terms: swap_mode is 9"):
        make_terminal(make_bars(flat(1.1, 5)), terms=BrokerTerms(swap_mode=9))


@pytest.mark.parametrize("changes", [{"balance": float("nan")}, {"leverage": 0}, {"stop_out": -1.0}, {"commission_per_lot": float("inf")}])
def test_impossible_accounts_are_refused(changes):
    with pytest.raises(SettingsError, match=f"simulated account: {next(iter(changes))} is"):
        SimulatedAccount(**changes)
