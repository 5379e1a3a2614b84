"""Real bars, entries at random: every cent of the broker's account is in the journal. The whole month is a campaign."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from execution.orders import Side
from strategy.decision import Decision
from strategy.features import atr
from strategy.foreseeing import ForeseeingStrategy
from strategy.scalping_strategy import ScalpingStrategy
from tests.fakes_daemon import SMALL, broker_deals, broker_positions, run_here, table
from utils.auto_trainer import AutoTrainer

EURUSD = Path(__file__).parents[2] / ".." / "shared" / "data" / "dev" / "EURUSD_M1_20230801_20231130_histdata.csv.gz"
LENGTHS = [pytest.param((2_000, 100), id="two days"), pytest.param((30_000, 1_000), id="a month", marks=pytest.mark.campaign)]
"""M1 bars, and the trades that they have at least; 30,000 bars are 21 trading days."""

OFTEN = {
    **SMALL,
    "SIM_BALANCE": "100000",
    "RISK_PERCENT": "0.1",
    "HORIZON_BARS": "5",
    "COOLDOWN_BARS": "0",
    "DAILY_LOSS_PERCENT": "50",
    "MAX_DRAWDOWN_PERCENT": "90",
    "MAX_SPREAD_TO_STOP": "1",
    "MAX_POSITIONS_PER_SYMBOL": "2",
    "SIM_SLIPPAGE_POINTS": "1",
    "PARTIAL_CLOSE_R": "0.5",
    "BREAK_EVEN_R": "0.7",
}
SEED, SHARE = 11, 0.08

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not EURUSD.is_file(), reason=f"no real prices at {EURUSD}")]


@pytest.fixture(scope="module", params=LENGTHS)
def run(request, tmp_path_factory):
    """Home, end and least number of trades of a daemon whose strategy tosses a coin, and whose trainer never trains."""
    dice = random.Random(SEED)  # a test policy

    def toss(self, bars, known, now):
        side = dice.choice([Side.LONG, Side.SHORT]) if dice.random() < SHARE else None
        return Decision(bars.symbol, bars.opened_at(-1), side, "a coin", close=float(bars.close[-1]), atr=float(atr(bars)[-1]))

    folder, (bars, trades) = tmp_path_factory.mktemp("run"), request.param
    with pytest.MonkeyPatch.context() as patch:
        for kind in (ScalpingStrategy, ForeseeingStrategy):
            patch.setattr(kind, "decide", toss)
        patch.setattr(AutoTrainer, "_anything_due", lambda trainer, now: False)
        result = run_here(folder, bars, OFTEN, (f"EURUSD={EURUSD}",))
    assert result.exit_code == 0
    return folder, result.summary, trades


@pytest.fixture
def home(run):
    return run[0]


def money(row):
    return row["profit"] + row["swap"] + row["commission"] + row["fee"]


def test_there_are_trades_enough_and_they_end_in_every_way(run):
    home, _, least = run
    trades = table(home, "trades")
    assert len(trades) >= least
    assert {row["close_reason"] for row in trades if row["closed"]} >= {"stop", "target", "time"}
    assert sum(row["purpose"] == "partial" for row in table(home, "orders")) > 5


def test_the_deals_sum_to_the_balance_to_the_cent(run):
    home, summary, _ = run
    booked, journalled = (sum(map(money, rows)) for rows in (broker_deals(home).values(), table(home, "deals")))
    assert round(100_000 + booked, 2) == summary["balance"] == round(100_000 + journalled, 2)


def test_every_trade_nets_what_its_deals_net(home):
    own: dict[int, float] = {}
    for deal in broker_deals(home).values():
        own[deal["position_id"]] = own.get(deal["position_id"], 0.0) + money(deal)
    trades = table(home, "trades")
    still_open = broker_positions(home)
    assert {row["ticket"] for row in trades if row["closed"] is None} == set(still_open)
    assert {row["ticket"] for row in trades} == set(own)
    for row in trades:
        if row["closed"] is not None:
            assert row["net"] == pytest.approx(own[row["ticket"]], abs=1e-6)
    closed = sum(row["net"] for row in trades if row["closed"] is not None)
    assert round(closed + sum(own[ticket] for ticket in still_open), 2) == round(sum(own.values()), 2)
