"""The daemon on paper: a real terminal's prices, the path of live trading, and no trade request to that terminal."""

from datetime import datetime

import pytest

from config.loading import load_settings
from execution.orders import Side
from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from execution.terminal import ModuleTerminal, Request
from market_data.clock import BrokerTime
from market_data.importers import read_source
from strategy.decision import Decision
from strategy.features import atr
from strategy.scalping_strategy import ScalpingStrategy
from tests.fakes_daemon import TREES_ONLY, table
from tests.fakes_paper import LookOnly
from utils import bootstrap, terminals
from utils.terminals import RunOptions

BARS = 56
PAPER = {
    **TREES_ONLY,
    "MT5_LOGIN": "42",
    "MT5_PASSWORD": "secret",
    "MT5_SERVER": "Broker-Demo",
    "PAPER_BALANCE": "5000",
    "GATE_PROFILE": "strict",
    "START_GRACE_SECONDS": "3600",
    "COOLDOWN_BARS": "0",
    "MAX_SPREAD_TO_STOP": "1",
    "BLOCKED_HOURS": "17",
    "BREAK_EVEN_R": "0.4",
    "TRAIL_ATR_MULTIPLIER": "2",
    "PARTIAL_CLOSE_R": "0.5",
    "HORIZON_BARS": "5",
}

pytestmark = pytest.mark.slow


class PlayedMarket:
    """Instead of waiting, the broker's market is played on: one bar a pass."""

    def __init__(self, module, watch):
        self.module, self.watch = module, watch

    def advance(self, stop):
        going = self.module.advance()
        self.watch.look()
        return going


@pytest.fixture
def real(prices, monkeypatch):
    """A simulated terminal in the place of the official module, with a position of the account's owner on it."""
    feeds = read_source(list(prices), ["EURUSD"])
    module = SimulatedMT5(
        feeds,
        {"EURUSD": default_spec("EURUSD")},
        history_bars=3_001,
        account=SimulatedAccount(login=42, server="Broker-Demo", balance=100_000.0),
        broker_time=BrokerTime("America/New_York+7"),
        book=None,
    )
    module.initialize()
    module.symbol_select("EURUSD", True)
    own = {"action": 1, "symbol": "EURUSD", "volume": 1.0, "type": 0, "magic": 20_260_101}  # even with our magic
    assert ModuleTerminal(module).call(Request("order_send", (own,))).value.retcode == 10009
    monkeypatch.setattr(terminals, "official_module", lambda: module)
    monkeypatch.setattr(terminals, "ModuleTerminal", LookOnly)
    monkeypatch.setattr(terminals, "SystemClock", lambda: module.clock)
    monkeypatch.setattr(terminals, "PolledMarket", lambda seconds, watch: PlayedMarket(module, watch))
    monkeypatch.setattr(ScalpingStrategy, "decide", _follow)
    return module


def _follow(self, bars, known, now):
    """Takes a side on every bar, whatever the models of the day learn."""
    side = Side.LONG if bars.close[-1] > bars.close[-6] else Side.SHORT
    return Decision(bars.symbol, bars.opened_at(-1), side, "follows five bars", close=float(bars.close[-1]), atr=float(atr(bars)[-1]))


def run(home, bars):
    settings = load_settings(home / "no.env", {name.lower(): value for name, value in PAPER.items()})
    return bootstrap.run(settings, RunOptions(bars=bars), home)


def check(home, real):
    trades, deals = table(home, "trades"), table(home, "deals")
    assert {row["mode"] for row in trades + deals + table(home, "decisions")} == {"paper"}
    assert len({row["ticket"] for row in deals}) == len(deals)
    for row in trades:
        own = [deal for deal in deals if deal["position"] == row["ticket"]]
        assert row["risk_money"] > 0
        if row["closed"] is not None:
            assert row["net"] == pytest.approx(sum(deal["profit"] + deal["commission"] for deal in own))
            assert datetime.fromisoformat(row["opened"]) < datetime.fromisoformat(row["closed"])
    assert real.initialize()  # the daemon has let it go
    assert len(real.positions_get()) == 1  # the owner's, untouched


def test_the_daemon_trades_on_paper_as_it_would_live(real, tmp_path):
    result = run(tmp_path, BARS)
    assert result.exit_code == 0
    check(tmp_path, real)
    trades = table(tmp_path, "trades")
    closed = [row for row in trades if row["closed"] is not None]
    assert len(closed) > 5
    assert {"stop"} < {row["close_reason"] for row in closed}
    assert {row["purpose"] for row in table(tmp_path, "orders")} == {"entry", "exit", "partial", "stop"}
    nets = sum(row["net"] for row in closed)
    still = [
        deal["commission"] + deal["profit"]
        for row in trades
        if row["closed"] is None
        for deal in table(tmp_path, "deals")
        if deal["position"] == row["ticket"]
    ]
    assert result.summary["balance"] == pytest.approx(5_000 + nets + sum(still), abs=0.01)
    assert "DRY RUN" in (tmp_path / "logs" / "daemon.log").read_text(encoding="utf-8")
    assert real.account_info().balance == 100_000.0


def test_the_paper_account_goes_on_after_a_restart(real, tmp_path):
    first = run(tmp_path, BARS // 2)
    for _ in range(5):  # the market goes on while nobody looks
        real.advance()
    second = run(tmp_path, BARS // 2)
    check(tmp_path, real)
    assert {row["ticket"] for row in first.summary["open"]} <= {row["ticket"] for row in table(tmp_path, "trades")}
    assert second.summary["balance"] != 5_000
    assert [row["at"] for row in table(tmp_path, "equity")] == sorted(row["at"] for row in table(tmp_path, "equity"))
