"""Swap on paper is what the simulated broker charges for the same position."""

import pytest

from execution.paper.nights import charged_nights
from execution.simulated.terms import WORKING_NIGHTS, BrokerTerms, nights_between
from tests.fakes_paper import PaperModule
from tests.fakes_simulated import flat, make_bars, make_terminal, order, total

DAY = 1440


@pytest.fixture
def twins(tmp_path):
    """A broker over some days from Monday noon on, and paper trading at the prices of one just like it."""
    papers = []

    def make(terms, days, symbol="EURUSD", price=1.1, **account):
        minutes = [0, 1] + [at for day in range(days) for at in (day * DAY + 719, day * DAY + 720)] + [days * DAY - 600]
        bars = make_bars(flat(price, len(minutes)), symbol=symbol, minutes=minutes)
        real, broker = (make_terminal(bars, terms=terms, balance=1e6, **account) for _ in range(2))
        papers.append(PaperModule(real, tmp_path / "paper.db"))
        return papers[-1], broker

    yield make
    for paper in papers:
        paper.terminal.close()


def play(paper, broker, instants):
    """Lets time pass; the swap of the one position on each side after each instant."""
    seen = []
    for _ in range(instants):
        assert paper.real.module.advance()
        assert broker.advance()
        seen.append(tuple(side.positions_get()[0].swap for side in (paper, broker)))
    return seen


MODES = [(0, -5.0), (1, -5.0), (1, 3.5), (2, -1.0), (3, -1.0), (4, -1.0), (5, -3.6), (6, -3.6)]


@pytest.mark.parametrize(("mode", "rate"), MODES)
@pytest.mark.parametrize(("symbol", "price"), [("EURUSD", 1.1), ("USDJPY", 150.0), ("XAUUSD", 2_000.0)])
def test_each_mode_charges_what_the_simulated_broker_charges(twins, mode, rate, symbol, price):
    paper, broker = twins(BrokerTerms(swap_mode=mode, swap_long=rate, swap_short=0.0), 1, symbol, price)
    for side in (paper, broker):
        assert order(side, symbol=symbol, volume=1.0).retcode == 10009
    for on_paper, charged in play(paper, broker, 2):
        assert on_paper == pytest.approx(charged, rel=1e-3, abs=0.011)
    assert (charged != 0.0) == (mode != 0)


def test_the_whole_week_with_its_triple_night_and_the_parts_of_a_close(twins):
    paper, broker = twins(BrokerTerms(swap_mode=1, swap_long=-5.0, swap_short=1.0), 7)
    tickets = [order(side, volume=1.0).order for side in (paper, broker)]
    assert play(paper, broker, 14)[1::2] == [(paid, paid) for paid in (-5.0, -10.0, -25.0, -30.0, -35.0, -35.0, -35.0)]
    info = paper.account_info()
    assert info.equity == pytest.approx(info.balance + info.profit - 35.0)
    for side, ticket in zip((paper, broker), tickets, strict=True):
        assert order(side, "sell", volume=0.3, position=ticket).retcode == order(side, "sell", volume=0.7, position=ticket).retcode == 10009
        assert [deal.swap for deal in side.history_deals_get(position=ticket)] == [0.0, -10.5, -24.5]
        assert total(side.history_deals_get(0, 2**33)) == side.account_info().balance


def test_a_short_position_has_its_own_rate_and_a_day_trade_none(twins):
    paper, broker = twins(BrokerTerms(swap_mode=1, swap_long=-5.0, swap_short=2.0), 2)
    for side in (paper, broker):
        done = order(side, volume=0.1)
        order(side, "sell", volume=0.1, position=done.order)
        assert side.history_deals_get(position=done.order)[-1].swap == 0.0
        order(side, "sell", volume=1.0)
    assert play(paper, broker, 4)[1::2] == [(2.0, 2.0), (4.0, 4.0)]


@pytest.mark.parametrize("mode", [7, 8])
def test_a_broker_that_opens_anew_costs_its_points(twins, mode):
    paper, _ = twins(BrokerTerms(swap_mode=mode, swap_long=-5.0), 1)
    order(paper, volume=1.0)
    while paper.real.module.advance():
        pass
    assert paper.positions_get()[0].swap == -5.0


def test_a_stop_before_midnight_spares_the_night_that_was_seen_only_later(tmp_path):
    rows = [*flat(1.1, 3), (1.1, 1.1, 1.0985, 1.0985), *flat(1.0985, 3)]
    bars = make_bars(rows, minutes=[0, 1, 2, 3, 4, 719, 721])
    real = make_terminal(bars, terms=BrokerTerms(swap_mode=1, swap_long=-5.0))
    paper = PaperModule(real, tmp_path / "paper.db")
    ticket = order(paper, volume=0.1, sl=1.099).order
    while real.advance():
        pass
    assert paper.positions_total() == 0
    closed = paper.history_deals_get(position=ticket)[-1]
    assert (closed.reason, closed.swap) == (4, 0.0)
    paper.terminal.close()


@pytest.mark.parametrize(("triple", "nights"), [(3, WORKING_NIGHTS), (5, (0, 1, 1, 1, 1, 3, 0)), (7, (0, 1, 1, 1, 1, 1, 0))])
def test_nights_are_those_of_the_triple_day_that_the_terminal_tells(triple, nights):
    assert charged_nights(triple) == nights


def test_nights_are_midnights_that_were_passed():
    monday_noon, day = 4 * 86_400_000 + 43_200_000, 86_400_000  # 1970-01-05
    assert nights_between(WORKING_NIGHTS, monday_noon, monday_noon + day // 2 - 1) == 0
    assert nights_between(WORKING_NIGHTS, monday_noon, monday_noon + day // 2) == 1
    assert nights_between(WORKING_NIGHTS, monday_noon, monday_noon + 3 * day) == 5
    assert nights_between(WORKING_NIGHTS, monday_noon, monday_noon - day) == 0
