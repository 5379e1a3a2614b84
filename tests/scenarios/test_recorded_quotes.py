"""On recorded quotes every fill is at a price that the file quotes at that instant, on the right side."""

from datetime import timedelta

import numpy as np
import pytest

from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from market_data.quotes import quotes_from_ticks
from tests.fakes_simulated import SERVER, all_deals, make_quotes, order, pend, total
from tests.real_data import recorded

FILES = {
    "EURUSD_ticks_20140501_20140509_oanda": 5,
    "EURUSD_ticks_20140501_20140509_fxcm": 5,
    "EURUSD_ticks_20200130_20200131_nautilus2020": 5,
    "USDJPY_ticks_20190101_20190102_duka2019": 3,
    "XAUUSD_ticks_20140501_20140502_oanda": 3,
}
MOST = 40_000  # quotes of a file
KINDS = ("BUY_LIMIT", "SELL_LIMIT", "BUY_STOP", "SELL_STOP")


def real(name):
    """The first quotes of a file."""
    report = recorded(f"ticks/{name}.csv.gz")
    return quotes_from_ticks(report.symbol, report.ticks[:MOST]), FILES[name]


def drawn(_):
    """Made-up quotes with jumps."""
    rng = np.random.default_rng(8)
    bids = np.round(1.1 + np.cumsum(rng.normal(0, 2e-5, 20_000) * rng.choice((1, 20), 20_000, p=(0.99, 0.01))), 5)
    seconds = np.cumsum(rng.exponential(1.1, 20_000))
    asks = np.round(bids + rng.integers(0, 9, 20_000) * 1e-5, 5)
    return make_quotes(list(zip(seconds, bids, asks, strict=True))), 5


def trade(terminal, symbol, digits, seed=5):
    """Orders of every kind at random instants, many of them inside bars."""
    rng = np.random.default_rng(seed)
    while terminal.advance():
        terminal.advance_to(terminal.clock.now() + timedelta(milliseconds=int(rng.integers(0, 59_000))))
        tick = terminal.symbol_info_tick(symbol)
        away = max(6 * (tick.ask - tick.bid), 1e-4 * tick.bid) * rng.uniform(0.6, 2)
        if rng.random() < 0.25:
            side = rng.choice(("buy", "sell"))
            sign, leave = (1, tick.bid) if side == "buy" else (-1, tick.ask)
            order(terminal, side, 0.02, symbol, sl=round(leave - sign * away, digits), tp=round(leave + sign * away, digits))
        elif rng.random() < 0.2:
            kind = str(rng.choice(KINDS))
            sign = 1 if kind.startswith("BUY") else -1
            price = (tick.ask if sign > 0 else tick.bid) + (-sign if kind.endswith("LIMIT") else sign) * 0.4 * away
            price = round(price, digits)
            pend(terminal, kind, price, 0.02, symbol, sl=round(price - sign * away, digits), tp=round(price + sign * away, digits))


def is_quoted(ticks, deal):
    """Whether the file shows the deal's price on its side, at its stamp or as the last quote before it."""
    stop = np.searchsorted(ticks["time_msc"], deal.time_msc, side="right")
    start = np.searchsorted(ticks["time_msc"], ticks["time_msc"][stop - 1], side="left")
    return deal.price in ticks["ask" if deal.type == 0 else "bid"][start:stop]


@pytest.mark.parametrize(("source", "name"), [*((real, name) for name in FILES), (drawn, "drawn")])
def test_every_fill_is_a_quote_of_the_file(source, name):
    quotes, digits = source(name)
    symbol = quotes.symbol
    terminal = SimulatedMT5(
        {symbol: quotes},
        {symbol: default_spec(symbol, digits=digits)},
        history_bars=20,
        account=SimulatedAccount(balance=100_000.0),
        broker_time=SERVER,
        book=None,
    )
    terminal.initialize()
    assert terminal.symbol_select(symbol)
    trade(terminal, symbol, digits)
    ticks = np.ascontiguousarray(terminal.copy_ticks_range(symbol, 0, 2**33, -1))
    ticks = {field: np.ascontiguousarray(ticks[field]) for field in ("time_msc", "bid", "ask")}
    deals = [deal for deal in all_deals(terminal) if deal.symbol]
    assert len(deals) > 30
    assert {4, 5} <= {deal.reason for deal in deals}
    assert [deal for deal in deals if not is_quoted(ticks, deal)] == []
    assert total(all_deals(terminal)) == terminal.account_info().balance
    check_first_touch(terminal, ticks, deals)


def check_first_touch(terminal, ticks, deals):
    """No stop or target was passed before the quote that closed its position."""
    orders = {record.ticket: record for record in terminal.history_orders_get(0, 2**33)}
    opened = {deal.position_id: deal for deal in deals if deal.entry == 0}
    for deal in deals:
        if deal.reason not in (4, 5):
            continue
        entry, long = opened[deal.position_id], deal.type == 1
        levels = orders[entry.order]
        start = np.searchsorted(ticks["time_msc"], entry.time_msc, side="right")
        stop = np.searchsorted(ticks["time_msc"], deal.time_msc, side="left")
        exits = ticks["bid" if long else "ask"][start:stop]
        low, high = (levels.sl, levels.tp) if long else (levels.tp, levels.sl)
        assert ((exits > low) & (exits < high)).all()
        assert deal.price <= low or deal.price >= high
