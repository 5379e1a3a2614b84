"""Real bars with break-even, trail and partial close: stops only come nearer, parts are closed once, also over a death."""

from collections import Counter
from pathlib import Path

import pytest

from execution.mt5_client import MT5Client
from execution.orders import Side
from strategy.decision import Decision
from strategy.features import atr
from strategy.foreseeing import ForeseeingStrategy
from strategy.scalping_strategy import ScalpingStrategy
from tests.fakes_daemon import TREES_ONLY, Crash, broker_deals, broker_positions, run_here, table
from utils.trade_journal import TradeJournal

EURUSD = Path(__file__).parents[2] / ".." / "shared" / "data" / "dev" / "EURUSD_M1_20230801_20231130_histdata.csv.gz"
SOURCE = (f"EURUSD={EURUSD}",)
BARS = 160
MANAGED = {
    **TREES_ONLY,
    "BREAK_EVEN_R": "0.4",
    "BREAK_EVEN_OFFSET": "0.5",
    "TRAIL_ATR_MULTIPLIER": "1.5",
    "TRAIL_START_R": "0.3",
    "PARTIAL_CLOSE_R": "0.4",
    "HORIZON_BARS": "30",
    "GATE_PROFILE": "strict",
    "START_GRACE_SECONDS": "3600",
    "RISK_PERCENT": "1",
    "COOLDOWN_BARS": "0",
    "MAX_SPREAD_TO_STOP": "1",
    "BLOCKED_HOURS": "17",
}
"""Looks after what is open, and lets no rule keep it from trading often."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not EURUSD.is_file(), reason=f"no real prices at {EURUSD}")]


@pytest.fixture(scope="module", autouse=True)
def follows_the_market():
    """Takes a side on every bar, so that these runs have trades whatever the models of the day learn."""

    def decide(self, bars, known, now):
        side = Side.LONG if bars.close[-1] > bars.close[-11] else Side.SHORT
        return Decision(bars.symbol, bars.opened_at(-1), side, "follows ten bars", close=float(bars.close[-1]), atr=float(atr(bars)[-1]))

    with pytest.MonkeyPatch.context() as patch:
        for kind in (ScalpingStrategy, ForeseeingStrategy):
            patch.setattr(kind, "decide", decide)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Without any interruption."""
    home = tmp_path_factory.mktemp("whole")
    run_here(home, BARS, MANAGED, SOURCE)
    return home


def orders(home, purpose):
    return [row for row in table(home, "orders") if row["purpose"] == purpose]


def check(home):
    """What must hold of any run with these rules."""
    trades = {row["ticket"]: row for row in table(home, "trades")}
    stops = {ticket: [row["sl"]] for ticket, row in trades.items()}
    for row in orders(home, "stop"):
        assert row["state"] == "confirmed"
        assert row["tp"] == trades[row["position"]]["tp"]
        stops[row["position"]].append(row["sl"])
    for ticket, levels in stops.items():
        rising = levels if trades[ticket]["side"] == "long" else [-level for level in levels]
        assert rising == sorted(set(rising)), f"{ticket}: {levels}"
    for ticket, held in broker_positions(home).items():
        assert held["sl"] == stops[ticket][-1]
    assert set(Counter(row["position"] for row in orders(home, "partial")).values()) == {1}
    check_money(home, trades)


def check_money(home, trades):
    deals = broker_deals(home)
    assert {row["ticket"] for row in table(home, "deals")} == set(deals)
    for ticket, row in trades.items():
        own = [deal for deal in deals.values() if deal["position_id"] == ticket]
        assert row["volume"] == sum(deal["volume"] for deal in own if deal["entry"] == 0)
        if row["closed"] is not None:
            assert row["volume"] == pytest.approx(sum(deal["volume"] for deal in own if deal["entry"] == 1))
            assert row["net"] == pytest.approx(sum(deal["profit"] + deal["commission"] + deal["swap"] for deal in own))
            assert row["r_multiple"] == pytest.approx(row["net"] / row["risk_money"])


def test_stops_are_confirmed_and_never_loosened_and_parts_are_closed_once(whole):
    check(whole)
    assert len(orders(whole, "stop")) > 5
    assert len(orders(whole, "partial")) > 2
    closed = [row for row in table(whole, "trades") if row["closed"] is not None]
    assert any(row["close_reason"] == "stop" and row["r_multiple"] > 0 for row in closed)


def _dies(monkeypatch, owner, name, purpose, number, *, before):
    """A death at the n-th call that concerns an order of a purpose."""
    original, left = getattr(owner, name), [number]

    def method(self, *arguments):
        told = arguments[0]
        mine = told[0] == purpose[0] if isinstance(told, str) else told.purpose == purpose
        left[0] -= mine
        if mine and left[0] == 0 and before:
            raise Crash
        result = original(self, *arguments)
        if mine and left[0] == 0:
            raise Crash
        return result

    monkeypatch.setattr(owner, name, method)


POINTS = {
    "before the part is sent": (MT5Client, "send", "partial", 1, True),
    "after the part was sent": (MT5Client, "send", "partial", 2, False),
    "after the stop was sent": (MT5Client, "send", "stop", 2, False),
    "before its state": (TradeJournal, "record_order", "stop", 3, True),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_death_repeats_no_part_and_loosens_no_stop(whole, tmp_path, monkeypatch, point):
    home = tmp_path / "home"
    owner, name, purpose, number, before = POINTS[point]
    with monkeypatch.context() as patched:
        _dies(patched, owner, name, purpose, number, before=before)
        with pytest.raises(Crash):
            run_here(home, BARS, MANAGED, SOURCE)
    left = BARS - len(table(home, "decisions"))
    run_here(home, left, MANAGED, SOURCE)
    check_after_death(home)
    if "was sent" in point or "state" in point:
        assert results(home) == results(whole)


def check_after_death(home):
    """As `check`; what was on its way at the death may have been found as not done."""
    lost = [row for row in table(home, "orders") if row["state"] in ("rejected", "not_sent")]
    assert len(lost) <= 1
    assert all(row["purpose"] in ("stop", "partial") for row in lost)
    if not lost:
        check(home)
    assert {row["state"] for row in table(home, "orders")} <= {"filled", "confirmed", "rejected", "not_sent"}


def results(home):
    return [(row["ticket"], row["closed"], row["net"], row["r_multiple"]) for row in table(home, "trades")]


def test_a_stop_of_the_daemon_and_a_start_in_the_middle_change_nothing(whole, tmp_path):
    home = tmp_path / "home"
    for bars in (10, 1, 50, BARS - 61):
        run_here(home, bars, MANAGED, SOURCE)
    check(home)
    assert results(home) == results(whole)
    assert [row["sl"] for row in orders(home, "stop")] == [row["sl"] for row in orders(whole, "stop")]
