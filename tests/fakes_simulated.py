"""Small hand-made markets for tests of the simulated terminal."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from market_data.bars import Bars, Timeframe
from market_data.clock import BrokerTime
from market_data.quotes import Quotes

MONDAY = int(datetime(2024, 1, 8, 10, 0, tzinfo=UTC).timestamp())
SERVER = BrokerTime("America/New_York+7")
OFFSET = 2 * 3600  # of SERVER in winter


def make_bars(rows, symbol="EURUSD", start=MONDAY, minutes=None, spread=10.0, volume=None, timeframe=Timeframe.M1):
    """Bars of `(open, high, low, close)` rows, one a minute, with one recorded spread; None records none."""
    prices = np.array(rows, dtype=np.float64)
    at = np.arange(len(rows)) if minutes is None else np.array(minutes)
    return Bars(
        symbol,
        timeframe,
        (start + at * timeframe.seconds).astype(np.int64),
        *(prices[:, column].copy() for column in range(4)),
        None if volume is None else np.full(len(rows), float(volume)),
        None if spread is None else np.full(len(rows), float(spread)),
    )


def flat(price, count=1):
    """Rows that never move."""
    return [(price, price, price, price)] * count


def make_terminal(bars, *, history=1, book=None, account=None, spec_changes=None, terms=None, connect=True, **account_changes):
    """A connected terminal over one Bars (or Quotes) or several, every symbol in Market Watch."""
    many = bars if isinstance(bars, list) else [bars]
    feeds = {part.symbol: part for part in many}
    specs = {symbol: replace(default_spec(symbol), **(spec_changes or {})) for symbol in feeds}
    held = account or SimulatedAccount(**{"balance": 10_000.0, **account_changes})
    told = None if terms is None else dict.fromkeys(feeds, terms)
    terminal = SimulatedMT5(feeds, specs, history_bars=history, account=held, broker_time=SERVER, book=book, terms=told)
    if connect:
        assert terminal.initialize()
        assert all(terminal.symbol_select(symbol, True) for symbol in feeds)
    return terminal


def order(terminal, side="buy", volume=1.0, symbol="EURUSD", **more):
    """Sends a market order with whatever else the request holds."""
    kind = terminal.ORDER_TYPE_BUY if side == "buy" else terminal.ORDER_TYPE_SELL
    request = {"action": terminal.TRADE_ACTION_DEAL, "symbol": symbol, "volume": volume, "type": kind}
    return terminal.order_send({**request, **more})


def pend(terminal, kind, price, volume=0.1, symbol="EURUSD", **more):
    """Places a pending order, `kind` as in `BUY_LIMIT`."""
    request = {"action": terminal.TRADE_ACTION_PENDING, "symbol": symbol, "volume": volume, "price": price, "type_filling": 2}
    return terminal.order_send({**request, "type": getattr(terminal, f"ORDER_TYPE_{kind}"), **more})


def make_quotes(rows, symbol="EURUSD", start=MONDAY):
    """Quotes of `(seconds, bid, ask)` rows after `start`."""
    seconds, bid, ask = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Quotes(symbol, (start * 1000 + np.round(seconds * 1000)).astype(np.int64), bid, ask)


def total(deals):
    """What deals have moved, in cents' precision."""
    return round(sum(deal.profit + deal.swap + deal.commission + deal.fee for deal in deals), 2)


def all_deals(terminal):
    """Every deal of the account."""
    return terminal.history_deals_get(0, 2**33)
