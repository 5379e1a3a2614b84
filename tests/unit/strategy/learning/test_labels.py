"""Labels against what the simulated broker pays, and the cases that a glance can check."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from execution.exits import ClosedBar, ExitPolicy, Held, new_stop
from execution.orders import Side
from execution.simulated import default_spec
from strategy.learning.labels import FLAT, LONG, SHORT, Costs, label
from tests.fakes_simulated import all_deals, flat, make_bars, make_terminal, order

HORIZON = 8
POLICY = ExitPolicy(sl_atr=1.5, tp_atr=2.0, min_stop_costs=5.0, horizon=HORIZON)
COMMISSION = 3.5
POINT = 1e-5
MAX_AGE = 2.0
MANAGED = replace(POLICY, break_even_r=0.5, break_even_offset=1.0, trail_atr=1.0, trail_start_r=0.75, partial_r=0.6, partial_fraction=0.25)


def _rough_market(count=150, seed=3):
    """Bars with gaps between them, missing minutes, wide bars and a spread that varies, all in whole points."""
    rng = np.random.default_rng(seed)
    moves = rng.integers(-60, 61, count)
    gaps = np.where(rng.random(count) < 0.2, rng.integers(-250, 251, count), 0)
    close = 110_000 + np.cumsum(moves + gaps)
    opened = close - moves
    high = np.maximum(opened, close) + rng.integers(0, 60, count)
    low = np.minimum(opened, close) - rng.integers(0, 60, count)
    rows = np.round(np.column_stack([opened, high, low, close]) * POINT, 5)
    minutes = np.cumsum(np.where(rng.random(count) < 0.08, 4, 1))
    bars = make_bars(rows, minutes=minutes)
    return replace(bars, spread=rng.choice([2.0, 5.0, 8.0, 11.0], count))


def _ranges(count, seed=4):
    """ATR for which every stop and target is a whole number of points, as they are for the spreads above: the broker takes no others."""
    return np.random.default_rng(seed).choice([40, 60, 100], count) * POINT


def _costs(bars):
    return Costs(bars.spread * POINT, 2 * COMMISSION / default_spec("EURUSD").risk_per_lot(1.0), 0.0)


def _trade_every_bar(bars, stops, atr=None, costs=None, policy=POLICY):
    """Sends a long and a short at every open, tends what is open, closes it after the horizon; (row, side) -> R."""
    terminal = make_terminal(bars, balance=1e9, commission_per_lot=COMMISSION)
    tickets = {}
    for at in range(1, len(bars)):
        _close_what_is_due(terminal, tickets, at)
        for position in terminal.positions_get() if policy.manages else ():
            _tend(terminal, position, stops[tickets[position.ticket][0]], _closed(bars, atr, costs, position, at - 1), policy)
        if not np.isnan(stops[at - 1]):
            for side in (1, -1):
                tickets[_open(terminal, side, stops[at - 1])] = (at - 1, side)
        terminal.advance()
    return _results(terminal, tickets, stops)


def _open(terminal, side, stop):
    tick = terminal.symbol_info_tick("EURUSD")
    entry = tick.ask if side > 0 else tick.bid
    sl, tp = round(entry - side * stop, 5), round(entry + side * POLICY.target_distance(stop), 5)
    result = order(terminal, "buy" if side > 0 else "sell", sl=sl, tp=tp)
    assert result.retcode == terminal.TRADE_RETCODE_DONE, result
    return result.order


def _closed(bars, atr, costs, position, row):
    ask = costs.spread[row] if position.type else 0.0
    return ClosedBar(bars.close[row] + ask, atr[row], costs.spread[row] + costs.commission)


def _tend(terminal, position, risk, bar, policy):
    """As the daemon does at an open: a part first, then the stop, where the broker takes it."""
    side = Side.SHORT if position.type else Side.LONG
    if position.volume == 1.0 and (bar.exit_price - position.price_open) * side >= (policy.partial_r - 1e-6) * risk:
        order(terminal, "buy" if position.type else "sell", volume=policy.partial_fraction, position=position.ticket)
    level = new_stop(policy, Held(side, position.price_open, risk, position.sl), bar)
    if level is not None:
        request = {"action": terminal.TRADE_ACTION_SLTP, "symbol": "EURUSD", "position": position.ticket}
        answer = terminal.order_send({**request, "sl": round(float(level), 5), "tp": position.tp})
        assert answer.retcode in (terminal.TRADE_RETCODE_DONE, terminal.TRADE_RETCODE_INVALID_STOPS, terminal.TRADE_RETCODE_NO_CHANGES)


def _close_what_is_due(terminal, tickets, at):
    for position in terminal.positions_get():
        row, side = tickets[position.ticket]
        if at == row + HORIZON + 1:
            order(terminal, "sell" if side > 0 else "buy", volume=position.volume, position=position.ticket)


def _results(terminal, tickets, stops):
    money = dict.fromkeys(tickets, 0.0)
    closed = set()
    for deal in all_deals(terminal):
        if deal.position_id in money:
            money[deal.position_id] += deal.profit + deal.commission
            closed |= {deal.position_id} if deal.entry == terminal.DEAL_ENTRY_OUT else set()
    return {tickets[ticket]: value / (stops[tickets[ticket][0]] * 100_000) for ticket, value in money.items() if ticket in closed}


def test_labels_are_what_the_simulated_broker_pays():
    bars = _rough_market()
    atr, costs = _ranges(len(bars)), _costs(_rough_market())
    labels = label(bars, atr, costs, POLICY, MAX_AGE)
    stops = np.append(POLICY.stop_distance(atr[:-1], costs.spread[1:] + costs.commission, 0.0), np.nan)
    paid = _trade_every_bar(bars, stops)
    rows = np.flatnonzero(labels.known)
    assert len(rows) > 110
    for row in rows:
        assert labels.r_long[row] == pytest.approx(paid[row, 1], abs=1e-6), f"long of row {row}"
        assert labels.r_short[row] == pytest.approx(paid[row, -1], abs=1e-6), f"short of row {row}"
    # The market holds every kind of end: both sides, time exits, gaps beyond a barrier.
    assert set(labels.kind[rows]) == {FLAT, LONG, SHORT}
    beyond = (labels.r_long[rows] < -1.2) | (labels.r_long[rows] > 1.5)
    assert beyond.sum() > 5
    assert (np.abs(labels.r_long[rows]) < 0.7).sum() > 5


def test_labels_of_trades_that_are_looked_after_are_what_the_simulated_broker_pays():
    bars = _rough_market()
    atr, costs = _ranges(len(bars)), _costs(_rough_market())
    labels, plain = (label(bars, atr, costs, policy, MAX_AGE) for policy in (MANAGED, POLICY))
    stops = np.append(MANAGED.stop_distance(atr[:-1], costs.spread[1:] + costs.commission, 0.0), np.nan)
    paid = _trade_every_bar(bars, stops, atr, costs, MANAGED)
    rows = np.flatnonzero(labels.known)
    for row in rows:
        assert labels.r_long[row] == pytest.approx(paid[row, 1], abs=1e-6), f"long of row {row}"
        assert labels.r_short[row] == pytest.approx(paid[row, -1], abs=1e-6), f"short of row {row}"
    changed = np.abs(labels.r_long[rows] - plain.r_long[rows]) > 0.05
    assert 20 < changed.sum() < len(rows)
    assert (labels.r_long[rows] > plain.r_long[rows]).any()
    assert (labels.r_long[rows] < plain.r_long[rows]).any()


def test_labels_without_these_rules_are_those_of_the_release_that_had_none():
    bars = _rough_market()
    found = label(bars, _ranges(len(bars)), _costs(bars), replace(POLICY, trail_start_r=1.0, partial_fraction=0.3), MAX_AGE)
    columns = (getattr(found, name).tobytes() for name in ("kind", "r_long", "r_short", "forward", "end"))
    assert hashlib.sha256(b"".join(columns)).hexdigest()[:16] == "ad9262f2a9dbc5d9"


# --- cases for the eye ------------------------------------------------------------------------


def _label_of(rows, *, spread=10.0, atr=0.0010, policy=POLICY, commission=0.0):
    """Label of a trade decided on the first bar; `rows` are the bars after it."""
    bars = make_bars([*flat(1.1), *rows, *flat(rows[-1][3], HORIZON + 1 - len(rows))], spread=spread)
    found = label(bars, np.full(len(bars), atr), Costs(bars.spread * POINT, commission, 0.0), policy, MAX_AGE)
    assert found.known.tolist() == [True] + [False] * (len(bars) - 1)
    return found.kind[0], found.r_long[0], found.r_short[0], found.forward[0]


def test_a_quiet_market_costs_the_spread():
    assert _label_of(flat(1.1)) == pytest.approx((FLAT, -1 / 15, -1 / 15, 0.0))


def test_commission_comes_off_both_sides():
    assert _label_of(flat(1.1), commission=0.0003)[1:3] == pytest.approx((-4 / 20, -4 / 20))


def test_a_long_pays_at_its_target_on_the_bid():
    kind, long, short, forward = _label_of([(1.1, 1.1021, 1.1, 1.1)])
    assert (kind, long) == (LONG, pytest.approx(2.0 / 1.5))
    assert short == pytest.approx(-1.0)  # the ask went 0.0022 up, beyond its stop
    assert forward == pytest.approx(0.0)
    assert _label_of([(1.1, 1.10209, 1.1, 1.1)])[0] == FLAT


def test_a_short_pays_at_its_target_on_the_ask():
    assert _label_of([(1.1, 1.1, 1.0979, 1.1)])[0] == SHORT
    assert _label_of([(1.1, 1.1, 1.09791, 1.1)])[0] == FLAT


def test_both_barriers_in_one_bar_are_the_stop():
    assert _label_of([(1.1, 1.12, 1.08, 1.1)])[:3] == pytest.approx((FLAT, -1.0, -1.0))


def test_an_open_beyond_the_stop_loses_more_than_one_r():
    assert _label_of([(1.1, 1.1, 1.1, 1.1), (1.0951, 1.0951, 1.0951, 1.0951)])[1] == pytest.approx(-5.0 / 1.5)


def test_an_open_beyond_the_target_pays_the_open_even_if_the_stop_follows_in_that_bar():
    kind, long, *_ = _label_of([(1.1, 1.1, 1.1, 1.1), (1.1041, 1.1041, 1.08, 1.08)])
    assert (kind, long) == (LONG, pytest.approx(4.0 / 1.5))


def test_targets_nearer_than_stops_that_are_both_hit_in_one_bar_are_flat():
    near = ExitPolicy(sl_atr=4.0, tp_atr=1.0, min_stop_costs=0.0, horizon=HORIZON)
    kind, long, short, _ = _label_of([(1.1, 1.102, 1.098, 1.1)], policy=near, spread=0.0)
    assert (kind, long, short) == (FLAT, pytest.approx(0.25), pytest.approx(0.25))


def test_what_is_open_after_the_horizon_leaves_at_the_next_open():
    rows = [*flat(1.1, HORIZON), (1.1005, 1.3, 1.0, 1.1005)]
    kind, long, short, forward = _label_of(rows)
    assert kind == FLAT
    assert (long, short) == (pytest.approx(0.4 / 1.5), pytest.approx(-0.6 / 1.5))
    assert forward == pytest.approx(0.5)


def test_the_spread_of_the_exit_bar_counts_for_a_short():
    bars = make_bars(flat(1.1, HORIZON + 2), spread=10.0)
    bars.spread[-1] = 50.0
    found = label(bars, np.full(len(bars), 0.001), Costs(bars.spread * POINT, 0.0, 0.0), POLICY, MAX_AGE)
    assert found.r_short[0] == pytest.approx(-5.0 / 15)
    assert found.r_long[0] == pytest.approx(-1.0 / 15)


EVEN = replace(POLICY, break_even_r=1.0)


def test_a_stop_at_break_even_saves_what_comes_back():
    rows = [(1.1, 1.1017, 1.1, 1.1017), (1.1017, 1.1017, 1.0975, 1.0975)]
    assert _label_of(rows)[1] == pytest.approx(-1.0)
    assert _label_of(rows, policy=EVEN)[:2] == pytest.approx((FLAT, 0.0))


def test_a_stop_acts_from_the_bar_after_the_one_that_moved_it():
    """One bar that earns its R and falls back through the entry: how was not seen, so the stop had not moved."""
    assert _label_of([(1.1, 1.1017, 1.0999, 1.1002)], policy=EVEN)[1] == pytest.approx(0.1 / 1.5)
    assert _label_of([(1.1, 1.1017, 1.0984, 1.1017)], policy=EVEN)[1] == pytest.approx(-1.0)


def test_a_stop_beyond_the_next_open_waits():
    rows = [(1.1, 1.1017, 1.1, 1.1017), (1.0999, 1.0999, 1.0999, 1.0999)]
    assert _label_of(rows, policy=EVEN)[1] == pytest.approx((1.0999 - 1.1001) / 0.0015)


def test_a_part_leaves_at_the_open_after_its_mark():
    part = replace(POLICY, partial_r=1.0, partial_fraction=0.25)
    rows = [(1.1, 1.1017, 1.1, 1.1017), (1.1014, 1.1014, 1.0985, 1.0985)]
    assert _label_of(rows, policy=part)[1] == pytest.approx(0.25 * 1.3 / 1.5 - 0.75)


def test_a_late_entry_is_unknown():
    """The loop would veto the bar as stale."""
    for pause, known in ((1, True), (2, True), (3, False)):
        bars = make_bars(flat(1.1, HORIZON + 2), minutes=[0, *range(pause, pause + HORIZON + 1)])
        found = label(bars, np.full(len(bars), 0.001), Costs(bars.spread * POINT, 0.0, 0.0), POLICY, MAX_AGE)
        assert found.known[0] == known
        assert np.isnan(found.r_long[0]) != known


def test_rows_without_a_range_or_a_future_are_unknown():
    bars = make_bars(flat(1.1, 20))
    atr = np.full(20, 0.001)
    atr[[2, 3]] = 0.0, np.nan
    found = label(bars, atr, Costs(bars.spread * POINT, 0.0, 0.0), POLICY, MAX_AGE)
    assert np.flatnonzero(~found.known).tolist() == [2, 3, *range(20 - HORIZON - 1, 20)]
    assert (found.end[~found.known] == np.iinfo(np.int64).max).all()
    assert found.end[0] == bars.time[HORIZON + 1]


def test_too_short_a_history_knows_nothing():
    bars = make_bars(flat(1.1, HORIZON + 1))
    assert not label(bars, np.full(len(bars), 0.001), Costs(bars.spread * POINT, 0.0, 0.0), POLICY, MAX_AGE).known.any()


def test_the_stops_level_is_kept_from_the_other_side_of_the_quote():
    """As the desk does: from the entry it is farther by the spread, which the target then shares."""
    bars = make_bars([*flat(1.1), (1.1, 1.1031, 1.1, 1.1), *flat(1.1, HORIZON)])
    spread, ranges, even = np.full(len(bars), 0.0002), np.full(len(bars), 0.001), replace(POLICY, tp_atr=1.5)
    reached = [label(bars, ranges, Costs(spread, 0.0, level), even, MAX_AGE).kind[0] for level in (0.0026, 0.0028)]
    assert reached == [LONG, FLAT]  # at the ask 1.1002 plus level and spread: 1.1030 and 1.1032


def test_the_least_stop_of_the_broker_widens_stop_and_target():
    bars = make_bars([*flat(1.1), (1.1, 1.1029, 1.1, 1.1), *flat(1.1, HORIZON)])
    ranges = np.full(len(bars), 0.001)
    free = label(bars, ranges, Costs(bars.spread * POINT, 0.0, 0.0), POLICY, MAX_AGE)
    held = label(bars, ranges, Costs(bars.spread * POINT, 0.0, 0.0030), POLICY, MAX_AGE)
    assert (free.kind[0], held.kind[0]) == (LONG, FLAT)
