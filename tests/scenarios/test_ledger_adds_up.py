"""Every deal of a month of trading, over all kinds of accounts and orders, sums to the balance to the cent."""

from datetime import UTC, datetime

import numpy as np
import pytest

from execution.simulated import SimulatedAccount, SimulatedMT5, default_spec
from market_data.synthetic import synthetic_bars
from tests.fakes_simulated import SERVER, all_deals, order, pend, total
from tests.real_data import recorded

PRICES = {"EURUSD": 1.1, "USDJPY": 145.0, "XAUUSD": 1900.0}
MONTH = 30_000  # minutes
DECISIONS = 1_600


def real_market():
    """August 2023 of three symbols."""
    return {symbol: recorded(f"{symbol}_M1_20230801_20231130_histdata.csv.gz").bars.slice(0, MONTH) for symbol in PRICES}


def drawn_market():
    """The same from the synthetic market, shorter."""
    start = datetime(2023, 8, 1, tzinfo=UTC)
    return {
        symbol: synthetic_bars(default_spec(symbol), start=start, count=MONTH // 4, seed=at, edge=0.0, price=price)
        for at, (symbol, price) in enumerate(PRICES.items())
    }


class RandomTrader:
    """Enters at random, with stops and targets or pending orders, and closes in parts."""

    def __init__(self, terminal, seed):
        self.terminal, self.rng = terminal, np.random.default_rng(seed)

    def act(self, symbol):
        """One decision on one symbol."""
        info = self.terminal.symbol_info(symbol)
        away = float(self.rng.uniform(2e-4, 2e-3)) * info.bid
        lots = float(self.rng.integers(2, 9)) / 100
        choice = self.rng.random()
        if choice < 0.6:
            self._enter(symbol, info, away, lots)
        elif choice < 0.75:
            self._wait(symbol, info, away, lots)
        self._leave_some(symbol)

    def _enter(self, symbol, info, away, lots):
        side = self.rng.choice(("buy", "sell"))
        sign, quote = (1, info.bid) if side == "buy" else (-1, info.ask)
        digits = info.digits
        order(self.terminal, side, lots, symbol, sl=round(quote - sign * away, digits), tp=round(quote + sign * 1.5 * away, digits))

    def _wait(self, symbol, info, away, lots):
        price = round(info.ask - away / 2, info.digits)
        stops = {"sl": round(price - away, info.digits), "tp": round(price + away, info.digits)}
        pend(self.terminal, "BUY_LIMIT", price, lots, symbol, type_time=1, **stops)

    def _leave_some(self, symbol):
        for held in self.terminal.positions_get(symbol=symbol):
            if self.rng.random() < 0.3:
                part = held.volume if held.volume < 0.04 or self.rng.random() < 0.5 else round(held.volume / 2, 2)
                order(self.terminal, "sell" if held.type == 0 else "buy", part, symbol, position=held.ticket)


@pytest.mark.parametrize("hedging", [True, False])
@pytest.mark.parametrize("market", [real_market, drawn_market])
def test_the_deals_of_a_month_sum_to_the_balance_to_the_cent(market, hedging):
    feeds = market()
    terminal = SimulatedMT5(
        feeds,
        {symbol: default_spec(symbol) for symbol in feeds},
        history_bars=300,
        account=SimulatedAccount(balance=50_000.0, commission_per_lot=3.5, slippage_points=0.7, hedging=hedging),
        broker_time=SERVER,
        book=None,
    )
    terminal.initialize()
    assert all(terminal.symbol_select(symbol) for symbol in feeds)
    trader, count = RandomTrader(terminal, 11), 0
    every = max(len(bars) for bars in feeds.values()) // DECISIONS
    while terminal.advance():
        count += 1
        if count % every == 0:
            trader.act(list(PRICES)[count // every % 3])
    deals, account = all_deals(terminal), terminal.account_info()
    assert total(deals) == account.balance
    floating = sum(held.profit + held.swap for held in terminal.positions_get())
    assert account.equity == pytest.approx(account.balance + floating, abs=0.005)
    assert len(deals) > 1_000
    assert {deal.reason for deal in deals} >= {3, 4, 5}
    assert any(deal.swap for deal in deals)
    assert {deal.entry for deal in deals} >= ({0, 1} if hedging else {0, 1, 2})
    volumes = {}
    for deal in deals:
        sign = 1 if deal.type == 0 else -1
        volumes[deal.position_id] = volumes.get(deal.position_id, 0.0) + (sign * deal.volume if deal.symbol else 0.0)
    still = {held.identifier: held.volume * (1 if held.type == 0 else -1) for held in terminal.positions_get()}
    assert {ticket: lots for ticket, lots in volumes.items() if abs(lots) > 1e-9} == pytest.approx(still)
