"""A replay that works many bars out at once, and makes quiet passes together, leaves the journal of one that goes bar by bar."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from config.home import bound_home
from config.loading import load_settings
from execution.equity_guard import MARKS
from execution.exits import ExitPolicy
from execution.simulated import constants as mt5
from execution.simulated import default_spec
from market_data.clock import SystemClock
from market_data.synthetic import synthetic_bars
from strategy.foresight import PARITY
from strategy.learning.bundles import load_bundle
from strategy.quiet import Quiet
from strategy.trade_desk import TradeDesk
from tests.fakes_daemon import REPLAYED, TREES_ONLY, broker_deals, broker_positions, differences, table
from tests.scenarios.conftest import OFTEN
from tests.unit.strategy.test_foresight import Linear
from utils import bootstrap, lockstep
from utils.cli.registry import registry_of
from utils.shared_state import SharedState
from utils.simulation import Simulation
from utils.terminals import RunOptions
from utils.trade_journal import TradeJournal

BARS = 30
REST = tuple(name for name in REPLAYED if name != "decisions")


def play(home, env, prices, fixed=None, bars=BARS, **options):
    settings = load_settings(home / "no.env", {name.lower(): value for name, value in env.items()})
    return bootstrap.run(settings, RunOptions(prices, replay=True, bars=bars, **options), home, fixed).summary


@pytest.mark.slow
def test_trees_decide_the_same_to_the_last_bit(trained, prices, tmp_path):
    given = {slot: load_bundle(registry_of(*bound_home(trained)).open(slot, 2)) for slot in ("scalper", "xgboost")}
    homes = {name: tmp_path / name for name in ("alone", "blocks", "held")}
    played = [
        play(homes["alone"], OFTEN, prices, given, foresight=False),
        play(homes["blocks"], OFTEN, prices, given),
        play(homes["held"], OFTEN, prices, given, commit_bars=7),
    ]
    assert played[0]["counts"]["trades"] > 0
    assert played[0] == played[1] == played[2]
    assert differences(homes["alone"], homes["blocks"]) == []
    assert differences(homes["alone"], homes["held"]) == []


@pytest.mark.slow
def test_a_network_differs_in_last_digits_and_in_nothing_else(trained, prices, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other", ignore=shutil.ignore_patterns("home.lock"))
    play(trained, OFTEN, prices, foresight=False)
    play(other, OFTEN, prices, commit_bars=11)
    assert differences(trained, other, tuple(name for name in REST if name not in ("orders", "trades"))) == []
    for one, two in zip(table(trained, "decisions"), table(other, "decisions"), strict=True):
        told = [json.loads(row.pop("forecasts")) for row in (one, two)]
        assert abs(one.pop("expected_r") - two.pop("expected_r")) < 4 * PARITY
        assert one == two
        assert told[0].keys() == told[1].keys()
        assert all(abs(told[0][slot][name] - told[1][slot][name]) < PARITY for slot in told[0] for name in ("p_long", "p_short"))


# --- quiet stretches: models that seldom take a side, over a weekend ------------------------------

START = datetime(2024, 1, 3, 16, 0, tzinfo=UTC)
"""After the history it is Friday evening, four hours before the week ends."""
QUIET = {"HISTORY_BARS": "3000", "LOG_LEVEL": "ERROR", "SYMBOLS": "EURUSD"}
LONG = 1_200
SELDOM = {"scalper": 1.03, "xgboost": 1.05}
"""Slot -> expected R from which its model takes a side: on a few bars in a hundred."""


def written(folder, symbol="EURUSD", seed=5, missing=0, count=3_200 + LONG):
    """Bars as a file, some of them missing."""
    bars = synthetic_bars(default_spec(symbol), start=START, count=count, seed=seed, edge=3.0, price=1.1)
    kept = np.ones(len(bars), dtype=bool)
    kept[np.random.default_rng(seed).choice(np.arange(3_010, len(bars)), missing, replace=False)] = False
    columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.tick_volume, bars.spread)
    rows = zip(*(column[kept] for column in columns), strict=True)
    lines = [f"{t},{o:.5f},{h:.5f},{low:.5f},{c:.5f},{volume:.0f},{spread:.0f},0" for t, o, h, low, c, volume, spread in rows]
    path = folder / f"{symbol}_M1.csv"
    path.write_text("\n".join(["time,open,high,low,close,tick_volume,spread,real_volume", *lines]) + "\n", encoding="utf-8")
    return f"{symbol}={path}"


def models(thresholds: Mapping[str, float] = SELDOM, exits: Mapping[str, str] | None = None, **info):
    kinds = {"scalper": "random_forest", "xgboost": "xgboost"}
    made = {slot: Linear(kinds[slot], threshold=threshold, slot=slot) for slot, threshold in thresholds.items()}
    given = {name.lower(): value for name, value in (exits or {}).items()}
    exit_hash = ExitPolicy.from_settings(load_settings(Path("no.env"), given).exits).hash
    for model in made.values():
        model.info = replace(model.info, origin="file", exit_hash=exit_hash, symbols=("EURUSD", "GBPUSD"), **info)
    return made


@pytest.fixture(scope="module")
def week_end(tmp_path_factory):
    return (written(tmp_path_factory.mktemp("week_end")),)


@pytest.fixture
def alike(tmp_path):
    """Plays bars by one and in stretches; both summaries are one, and so are both journals."""

    def compare(env, source, fixed, bars=LONG, **options):
        told = {}
        for name, foresight in (("alone", False), ("together", True)):
            told[name] = play(tmp_path / name, {**QUIET, **env}, source, fixed, bars, foresight=foresight, **options)
        assert told["alone"] == told["together"]
        assert differences(tmp_path / "alone", tmp_path / "together") == []
        assert marks(tmp_path / "alone") == marks(tmp_path / "together")
        return told["alone"]

    return compare


def marks(home):
    """What is kept of the account's equity: its peak, when it was looked at, and why entries stopped."""
    state = SharedState(bound_home(home)[0].shared_state, SystemClock())
    try:
        return state.get_all(MARKS)
    finally:
        state.close()


@pytest.fixture
def leaps(monkeypatch):
    """How many passes each stretch had."""
    made, original = [], Quiet.legs

    def legs(self, stretch, now):
        made.append(len(stretch.instants))
        yield from original(self, stretch, now)

    monkeypatch.setattr(Quiet, "legs", legs)
    return made


@pytest.fixture
def held(monkeypatch):
    """For every pass of a stretch, how many positions were open before it."""
    made, original = [], Simulation.leap

    def leap(self, instant):
        made.append(self.positions_total())
        original(self, instant)

    monkeypatch.setattr(Simulation, "leap", leap)
    return made


def news(folder):
    """A release in the middle of the bars, and a last one before their end."""
    path = folder / "news.csv"
    times = (START + timedelta(days=2, hours=3), START + timedelta(days=4, hours=12))
    path.write_text("time,currency,impact,title\n" + "".join(f"{time.isoformat()},USD,high,jobs\n" for time in times), encoding="utf-8")
    return {"NEWS_FILE": str(path)}


def test_most_bars_are_decided_in_stretches_and_leave_what_they_leave_one_by_one(alike, week_end, leaps, tmp_path):
    told = alike({}, week_end, models())
    assert sum(leaps) > 0.7 * LONG
    assert max(leaps) > 60  # longer than an hour
    assert told["counts"]["trades"] > 5
    hours = [row["at"] for row in table(tmp_path / "together", "equity")]
    assert len(hours) >= LONG // 60
    assert any(at.startswith("2024-01-07T22:00") for at in hours)  # the week's first bar, where a trading day begins


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"BLOCKED_HOURS": "17,18,19,4"}, id="hours"),
        pytest.param({"TRADING_SESSIONS": "Europe/London 08:00-17:00"}, id="sessions"),
        pytest.param({"WEEKEND_MINUTES": "90", "ENSEMBLE_WEIGHTS": "skill"}, id="weekend"),
        pytest.param({"MIN_VOTES": "2"}, id="votes"),
    ],
)
@pytest.mark.parametrize("commit_bars", [0, 70])
def test_rules_of_entries_do_not_move(alike, week_end, leaps, env, commit_bars):
    told = alike(env, week_end, models(), commit_bars=commit_bars)
    assert told["counts"]["decisions"] == LONG
    assert sum(leaps) > 0.7 * LONG


SHORT = {"HORIZON_BARS": "3"}
LASTING = {"ATR_SL_MULTIPLIER": "9", "ATR_TP_MULTIPLIER": "12", "HORIZON_BARS": "400"}
"""Trades that last over nights and the weekend."""
LARGE = {
    "RISK_PERCENT": "5", "DAILY_LOSS_PERCENT": "50", "MAX_DRAWDOWN_PERCENT": "90", "MAX_CURRENCY_RISK_PERCENT": "50",
    "MAX_CURRENCY_EXPOSURE_PERCENT": "9000", "SIM_STOP_OUT_PERCENT": "333",
}  # fmt: skip
"""Positions that bind all the margin they may, at which a small loss is too much for the broker."""
SEVERAL = {"MAX_POSITIONS_PER_SYMBOL": "4", "MAX_POSITIONS": "4", "MAX_CORRELATED_POSITIONS": "4", "COOLDOWN_BARS": "0"}


@pytest.mark.parametrize(
    ("env", "ends"),
    [
        pytest.param({}, {"stop", "target"}, id="usual"),
        pytest.param(SHORT, {"stop", "target", "time"}, id="short"),
        pytest.param(LASTING, {"stop", "target"}, id="lasting"),
        pytest.param({**LASTING, **SEVERAL, "HORIZON_BARS": "40"}, {"stop", "time"}, id="several"),
        pytest.param({**SEVERAL, "SIM_MARGIN_MODE": "netting"}, {"stop", "target"}, id="netting"),
        pytest.param({**LASTING, **LARGE}, {"stop_out"}, id="stop-out"),
    ],
)
def test_a_position_is_held_and_ends_as_bar_by_bar(alike, week_end, held, tmp_path, env, ends):
    told = alike(env, week_end, models({"scalper": 0.9, "xgboost": 1.0}, env))
    assert sum(count > 0 for count in held) > 20
    trades = table(tmp_path / "together", "trades")
    assert ends <= {row["close_reason"] for row in trades}
    assert told["counts"]["trades"] == len(trades)
    assert broker_positions(tmp_path / "alone") == broker_positions(tmp_path / "together")
    assert broker_deals(tmp_path / "alone") == broker_deals(tmp_path / "together")


@pytest.mark.parametrize("env", [{"TRAIL_ATR_MULTIPLIER": "1"}, {"PARTIAL_CLOSE_R": "0.3"}, {"BREAK_EVEN_R": "0.3"}])
def test_a_stop_that_is_moved_moves_at_its_bar(alike, week_end, held, env):
    """Such a position is looked after at every bar, which is no stretch."""
    told = alike(env, week_end, models({"scalper": 0.9}, env))
    assert told["counts"]["trades"] > 0
    assert not any(held)


def test_the_drawdown_switch_trips_at_its_bar(alike, week_end, held, tmp_path):
    alike({"MAX_DRAWDOWN_PERCENT": "1"}, week_end, models({"scalper": 0.9}))
    assert any("drawdown" in row["detail"] for row in table(tmp_path / "together", "decisions"))
    assert any(held)


def test_news_come_when_they_come(alike, week_end, tmp_path):
    alike(news(tmp_path), week_end, models())


def test_several_symbols_with_missing_bars(alike, tmp_path, leaps):
    source = (written(tmp_path, "EURUSD", 5, missing=80), written(tmp_path, "GBPUSD", 6, missing=150))
    told = alike({"SYMBOLS": "EURUSD,GBPUSD"}, source, models({"scalper": 1.0}), bars=1_501)
    assert sum(told["bars"].values()) == 1_501
    assert sum(leaps) > 200
    assert told["counts"]["trades"] > 3


def test_longer_bars_than_those_of_the_market(alike, tmp_path, leaps):
    alike({"TIMEFRAME": "M5"}, (written(tmp_path, count=5 * 3_300),), models(timeframe="M5"), bars=200)
    assert sum(leaps) > 300  # passes are the market's


@pytest.mark.parametrize("bars", [1, 2, 59, 61, 200, 517])
def test_a_limit_ends_a_stretch(alike, week_end, bars):
    told = alike({}, week_end, models(), bars=bars)
    assert (told["ended"], told["bars"]) == ("bars decided", {"EURUSD": bars})


def test_the_end_of_the_data_ends_a_stretch(alike, week_end):
    assert alike({}, week_end, models(), bars=None)["ended"] == "end of data"


def test_without_a_model_every_bar_says_so(alike, week_end, leaps):
    alike({}, week_end, {})
    assert sum(leaps) > 0.9 * LONG


def test_versions_that_expire_fall_silent_at_their_bar(alike, week_end, tmp_path):
    first = START + timedelta(hours=50)
    alike({"MODEL_EXPIRY_HOURS": "6"}, week_end, models(made=int((first - timedelta(hours=3, minutes=-7)).timestamp())))
    told = [json.loads(row["absent"]) for row in table(tmp_path / "together", "decisions")]
    assert 60 < sum(not absent.get("scalper") for absent in told) < LONG
    assert told[-1]["scalper"].startswith("expired")


@pytest.mark.parametrize("fault", ["equity is not asked for", "a bar too far", "a row too few", "a trade is forgotten"])
def test_the_comparison_notices(alike, week_end, monkeypatch, fault):
    if fault == "equity is not asked for":
        monkeypatch.setattr(TradeDesk, "quiet_until", lambda self, now: now + timedelta(days=9))
    elif fault == "a trade is forgotten":
        monkeypatch.setattr(TradeDesk, "untended", lambda self, symbol, window: None)
    elif fault == "a bar too far":
        original = Simulation.leap
        monkeypatch.setattr(Simulation, "leap", lambda self, instant: original(self, instant + 60_000))
    else:
        original_rows = TradeJournal.record_lulls
        monkeypatch.setattr(TradeJournal, "record_lulls", lambda self, lulls: original_rows(self, lulls[:-1]))
    with pytest.raises(AssertionError):
        alike(SHORT, week_end, models(exits=SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("commit_bars", [0, 13])
def test_a_version_that_is_promoted_on_the_way_decides_from_the_same_bar_on(tmp_path, prices, commit_bars):
    env = {**TREES_ONLY, "RF_RETRAIN_HOURS": "0.5"}
    for name, foresight in (("alone", False), ("together", True)):
        play(tmp_path / name, env, prices, bars=100, foresight=foresight, commit_bars=commit_bars)
    assert differences(tmp_path / "alone", tmp_path / "together") == []
    versions = {row["versions"] for row in table(tmp_path / "together", "decisions")}
    assert len(versions) >= 3  # none, the first, another


def die_in_a_stretch(home, source, commit_bars, number, holding):
    """For a process of its own, which ends as a kill ends it on its n-th way through a stretch, with a position open or without one."""
    original, left = Simulation.leap, [number]

    def leap(self, instant):
        original(self, instant)
        left[0] -= bool(self.positions_total()) is holding
        if not left[0]:
            os._exit(9)

    Simulation.leap = leap
    play(home, QUIET, source, models(), LONG, commit_bars=commit_bars)


@pytest.mark.slow
@pytest.mark.parametrize("holding", [False, True])
@pytest.mark.parametrize(("commit_bars", "number"), [(0, 3), (0, 14), (70, 12), (70, 15)])
def test_killed_in_a_stretch_it_goes_on(tmp_path, week_end, commit_bars, number, holding):
    play(tmp_path / "whole", QUIET, week_end, models(), LONG, foresight=False)
    home = tmp_path / "killed"
    process = get_context("spawn").Process(target=die_in_a_stretch, args=(home, week_end, commit_bars, number, holding))
    process.start()
    process.join()
    assert process.exitcode == 9
    decided = len(table(home, "decisions"))
    assert 0 < decided < LONG
    play(home, QUIET, week_end, models(), LONG - decided, commit_bars=commit_bars)
    assert differences(tmp_path / "whole", home, tuple(name for name in REPLAYED if name != "equity")) == []
    told = table(home, "equity")
    assert all(row in told for row in table(tmp_path / "whole", "equity"))  # a start adds one of its own
    assert broker_positions(tmp_path / "whole") == broker_positions(home)


@pytest.mark.parametrize("own", [True, False])
def test_an_order_that_waits_for_its_price_is_played_bar_by_bar(alike, week_end, tmp_path, monkeypatch, own):
    """It fills in the middle of what would else be quiet: whether the trade is ours or another program's, that bar knows of it."""
    begin = lockstep.journal_of

    def with_an_order(options, terminal, home):
        terminal.played.symbol_select("EURUSD", True)
        ask = terminal.played.symbol_info_tick("EURUSD").ask
        wanted = {"action": mt5.TRADE_ACTION_PENDING, "type": mt5.ORDER_TYPE_BUY_LIMIT, "type_filling": mt5.ORDER_FILLING_RETURN}
        levels = {"price": round(ask - 0.0012, 5), "sl": round(ask - 0.0030, 5), "tp": round(ask + 0.0005, 5)}
        told = terminal.played.order_send(
            {**wanted, **levels, "symbol": "EURUSD", "volume": 5.0, "magic": terminal.client.magic if own else 777}
        )
        assert told.retcode == mt5.TRADE_RETCODE_DONE
        return begin(options, terminal, home)

    monkeypatch.setattr(lockstep, "journal_of", with_an_order)
    alike({}, week_end, models({"scalper": 5.0}))  # nobody takes a side
    assert marks(tmp_path / "alone") == marks(tmp_path / "together")
    assert [row["reason"] for row in table(tmp_path / "together", "trades")] == (["adopted"] if own else [])


def test_an_error_in_a_stretch_leaves_no_decision_on_bars_that_were_not_reached(tmp_path, week_end, monkeypatch):
    original, instants = TradeDesk.settle, []

    def settle(self, now):
        if len(self.open_trades) and now.minute % 7 == 3:
            instants.append(now)
            raise ZeroDivisionError("a fault while a position is open")
        original(self, now)

    monkeypatch.setattr(TradeDesk, "settle", settle)
    ended = [play(tmp_path / name, QUIET, week_end, models(), LONG, foresight=name == "together") for name in ("alone", "together")]
    assert ended[0] == ended[1]
    assert 0 < len(table(tmp_path / "together", "decisions")) < LONG
    assert differences(tmp_path / "alone", tmp_path / "together") == []
    assert instants[0] == instants[1]
