"""Conformance of the account's money: numbers 66 to 69 of the checklist, and swap."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.simulated.terms import EVERY_NIGHT, BrokerTerms
from tests.fakes_simulated import all_deals, flat, make_bars, make_terminal, order, pend, total

MARKETS = {"EURUSD": 1.1, "USDJPY": 150.0, "EURGBP": 0.86, "XAUUSD": 2000.0, "US500": 5000.0, "BTCUSD": 60_000.0}
NO_SWAP = BrokerTerms()


def equity_adds_up(terminal):
    account = terminal.account_info()
    gain = sum(held.profit + held.swap for held in terminal.positions_get())
    return (
        account.equity == pytest.approx(account.balance + account.credit + gain, abs=0.005)
        and account.margin_free == pytest.approx(account.equity - account.margin, abs=0.005)
        and account.margin_level == pytest.approx(account.equity / account.margin * 100 if account.margin else 0.0)
    )


def deals_add_up(terminal):
    return total(all_deals(terminal)) == terminal.account_info().balance


def wandering(symbol, price, count, seed):
    rng, digits = np.random.default_rng(seed), 3 if price > 100 else 5
    closes = np.round(price * np.exp(np.cumsum(rng.normal(0, 3e-4, count))), digits)
    opens = np.concatenate(([price], closes[:-1]))
    reach = price * 2e-4
    rows = np.stack((opens, np.maximum(opens, closes) + reach, np.minimum(opens, closes) - reach, closes), 1)
    return make_bars(np.round(rows, digits), symbol=symbol, start=int(datetime(2024, 1, 9, 20, tzinfo=UTC).timestamp()))


def busy_days(seed, hedging):
    """The terminal after every bar on which random orders were sent."""
    many = [wandering(symbol, price, 150, seed + at) for at, (symbol, price) in enumerate(MARKETS.items())]
    changes = {"trade_mode": 4}
    terminal = make_terminal(many, history=60, hedging=hedging, commission_per_lot=3.33, slippage_points=1.5, spec_changes=changes)
    rng = np.random.default_rng(seed)
    while terminal.advance():
        symbol, volume = rng.choice(list(MARKETS)), float(rng.integers(1, 9)) / 10
        order(terminal, rng.choice(("buy", "sell")), volume=round(volume, 1), symbol=str(symbol))
        bid = terminal.symbol_info_tick("EURUSD").bid
        pend(terminal, "SELL_LIMIT", round(bid + 3e-4, 5), sl=round(bid + 9e-4, 5))
        for held in terminal.positions_get()[: rng.integers(0, 3)]:
            side = "sell" if held.type == 0 else "buy"
            order(terminal, side, volume=round(held.volume / 2, 1) or held.volume, symbol=held.symbol, position=held.ticket)
        yield terminal
    assert len(all_deals(terminal)) > 40


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), hedging=st.booleans())
def test_66_the_account_adds_up_after_every_step(seed, hedging):
    assert all(map(equity_adds_up, busy_days(seed, hedging)))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), hedging=st.booleans())
def test_67_all_deals_come_to_the_balance_after_every_step(seed, hedging):
    assert all(map(deals_add_up, busy_days(seed, hedging)))


def test_66_without_positions_the_margin_level_is_zero():
    account = make_terminal(make_bars(flat(1.1, 3))).account_info()
    assert (account.margin, account.margin_level, account.margin_free) == (0.0, 0.0, account.equity)


def test_68_stop_out_closes_the_worst_position_at_the_limit():
    terminal = make_terminal(make_bars([*flat(1.1, 2), *flat(1.093, 3)], spread=0.0), stop_out=50.0)
    worst, better = order(terminal, volume=8.5).order, order(terminal, "sell", volume=0.5).order
    terminal.advance()
    deal = all_deals(terminal)[-1]
    assert (deal.position_id, deal.reason, deal.comment[:3]) == (worst, terminal.DEAL_REASON_SO, "so ")
    assert [held.ticket for held in terminal.positions_get()] == [better]
    assert terminal.account_info().margin_so_so == 50.0


@pytest.mark.parametrize("symbol", MARKETS)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_69_what_is_calculated_is_what_is_checked_and_booked(symbol, side):
    price, kind = MARKETS[symbol], 0 if side == "buy" else 1
    bars = make_bars([*flat(price, 2), *flat(round(price * 1.001, 3), 3)], symbol=symbol)
    terminal = make_terminal(bars, balance=1e6, terms=NO_SWAP)
    tick = terminal.symbol_info_tick(symbol)
    entry = tick.ask if side == "buy" else tick.bid
    request = {"action": 1, "symbol": symbol, "volume": 0.3, "type": kind}
    foreseen = terminal.order_calc_margin(kind, symbol, 0.3, entry)
    assert terminal.order_check(request).margin == pytest.approx(foreseen)
    opened = terminal.order_send(request)
    assert terminal.account_info().margin == pytest.approx(foreseen, abs=0.011)
    terminal.advance()
    closed = order(terminal, "sell" if side == "buy" else "buy", volume=0.3, symbol=symbol, position=opened.order)
    profit = terminal.history_deals_get(ticket=closed.order)[0].profit
    assert profit == terminal.order_calc_profit(kind, symbol, 0.3, opened.price, closed.price)
    assert (profit > 0) is (side == "buy")


@pytest.mark.parametrize("currency", ["EUR", "JPY", "GBP"])
def test_69_an_account_in_another_currency_counts_in_it(currency):
    euro, pound = make_bars([*flat(1.1, 2), *flat(1.11, 3)]), make_bars(flat(1.27, 5), symbol="GBPUSD")
    yen = make_bars(flat(150.0, 5), symbol="USDJPY")
    terminal = make_terminal([euro, pound, yen], balance=1e6, currency=currency, terms=NO_SWAP)
    opened = order(terminal, volume=1.0)
    terminal.advance()
    closed = order(terminal, "sell", volume=1.0, position=opened.order)
    rate = {"EUR": 1 / 1.11, "JPY": 150.0, "GBP": 1 / 1.2701}[currency]
    profit = terminal.history_deals_get(ticket=closed.order)[0].profit
    assert profit == pytest.approx((closed.price - opened.price) * 100_000 * rate, rel=1e-4)
    assert terminal.account_info().currency == currency
    assert terminal.symbol_info("EURUSD").trade_tick_value == pytest.approx(1.0 * rate, rel=1e-3)


def nights(terms, days, side="buy", symbol="EURUSD", price=1.1, **options):
    """A position from Monday noon on; a bar at 23:59 and at 00:00 of the server on each of so many days."""
    minutes = [0, 1] + [at for day in range(days) for at in (day * 1440 + 719, day * 1440 + 720)] + [days * 1440 - 600]
    bars = make_bars(flat(price, len(minutes)), symbol=symbol, minutes=minutes, spread=0.0)
    terminal = make_terminal(bars, terms=terms, balance=1e6, **options)
    order(terminal, side, volume=1.0, symbol=symbol)
    seen = []
    for _ in range(days):
        terminal.advance()
        terminal.advance()
        seen.append(terminal.positions_get()[0].swap)
    return terminal, seen


def test_swap_is_charged_at_the_servers_midnight_and_three_times_on_the_triple_day():
    terminal, seen = nights(BrokerTerms(swap_mode=1, swap_long=-5.0, swap_short=1.0), 7)
    assert seen == [-5.0, -10.0, -25.0, -30.0, -35.0, -35.0, -35.0]
    info = terminal.symbol_info("EURUSD")
    assert (info.swap_mode, info.swap_long, info.swap_short, info.swap_rollover3days) == (1, -5.0, 1.0, 3)
    assert equity_adds_up(terminal)
    assert deals_add_up(terminal)
    (held,) = terminal.positions_get()
    order(terminal, "sell", volume=0.3, position=held.ticket)
    order(terminal, "sell", volume=0.7, position=held.ticket)
    assert [deal.swap for deal in terminal.history_deals_get(position=held.ticket)] == [0.0, -10.5, -24.5]
    assert total(all_deals(terminal)) == terminal.account_info().balance


@pytest.mark.parametrize(
    ("mode", "swap", "charged"),
    [(0, -5.0, 0.0), (1, -5.0, -5.0), (2, -1.0, -1.1), (3, -1.0, -1.1), (4, -1.0, -1.0), (5, -3.6, -11.0), (6, -3.6, -11.0)],
)
def test_swap_modes(mode, swap, charged):
    _, seen = nights(BrokerTerms(swap_mode=mode, swap_long=swap, swap_nights=EVERY_NIGHT), 1)
    assert seen == [charged]


@pytest.mark.parametrize(
    ("mode", "side", "opens"),
    [
        (7, "buy", [1.10005, 1.1001]),  # from the bid, five points of swap a night, ten on the second
        (8, "buy", [1.10005, 1.1001]),
        (7, "sell", [1.10022, 1.10024]),  # from the ask, two points received a night
        (8, "sell", [1.10002, 1.10004]),  # from the bid, though it was closed at the ask
    ],
)
def test_swap_by_opening_the_position_anew(mode, side, opens):
    midnights = [0, 1, 719, 720, 1440 + 719, 1440 + 720, 2 * 1440 + 700]
    bars = make_bars(flat(1.1, len(midnights)), minutes=midnights, spread=20.0)
    terms = BrokerTerms(swap_mode=mode, swap_long=-5.0, swap_short=2.0, swap_nights=(0, 1, 2, 0, 0, 0, 0))
    terminal = make_terminal(bars, terms=terms, commission_per_lot=3.5)
    first = order(terminal, side, volume=0.5, sl=1.0 if side == "buy" else 1.2, magic=7, comment="mine").order
    seen = []
    for _ in range(2):
        terminal.advance()
        terminal.advance()
        seen.append(terminal.positions_get()[0])
    assert [held.price_open for held in seen] == opens
    assert len({first, *(held.ticket for held in seen)}) == 3
    kept = {(held.identifier, held.volume, held.sl, held.magic, held.comment, held.swap) for held in seen}
    assert kept == {(first, 0.5, 1.0 if side == "buy" else 1.2, 7, "mine", 0.0)}
    deals = terminal.history_deals_get(position=first)
    assert [(deal.entry, deal.reason, deal.commission) for deal in deals] == [(0, 3, -1.75), *[(1, 7, 0.0), (0, 7, 0.0)] * 2]
    assert terminal.positions_get(ticket=deals[-1].order) == (seen[-1],)
    assert equity_adds_up(terminal)


def test_a_position_closed_before_midnight_pays_no_swap_and_a_short_one_its_own():
    _, seen = nights(BrokerTerms(swap_mode=1, swap_long=-5.0, swap_short=2.0), 2, side="sell")
    assert seen == [2.0, 4.0]


def test_hedged_margin_binds_what_the_broker_says():
    terminal = make_terminal(make_bars(flat(1.1, 4)), terms=BrokerTerms(margin_hedged=50_000.0), balance=1e5)
    order(terminal, volume=1.0)
    alone = terminal.account_info().margin
    order(terminal, "sell", volume=0.4)
    covered = (alone + 0.4 * 1100.0) / 1.4 * 0.4 * 0.5
    assert terminal.account_info().margin == pytest.approx(alone * 0.6 + covered, abs=0.02)
    assert terminal.symbol_info("EURUSD").margin_hedged == 50_000.0
