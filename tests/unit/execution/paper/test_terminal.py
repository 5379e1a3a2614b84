"""Paper trading: whose account it is, what every tick does to it, and that the real one is never touched."""

import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from config.errors import HomeError
from execution.orders import Side
from execution.paper.prices import FORWARDED
from execution.simulated import SimulatedAccount
from execution.terminal import Request
from tests.contracts.terminal_contract import FUNCTIONS
from tests.fakes_paper import PAST, TRADES, PaperModule
from tests.fakes_simulated import flat, make_bars, make_terminal, order

SPREAD = 0.0001  # of make_bars


class Market:
    """A simulated real terminal that plays hand-made bars, and paper terminals over one book."""

    def __init__(self, rows, path, **account):
        self.path = path
        self.real = make_terminal(
            make_bars([*flat(1.1, 3), *rows]), history=3, account=SimulatedAccount(**{"login": 42, "server": "Broker-Demo", **account})
        )
        self.open = []

    def paper(self, **more):
        self.open.append(PaperModule(self.real, self.path, **more))
        return self.open[-1]

    def advance(self, bars=1):
        for _ in range(bars):
            assert self.real.advance()


@pytest.fixture
def market(tmp_path):
    made = []

    def make(rows, **account):
        made.append(Market(rows, tmp_path / "paper.db", **account))
        return made[-1]

    yield make
    for one in made:
        for paper in one.open:
            paper.terminal.close()


def outs(mt5):
    return [deal for deal in mt5.history_deals_get(0, 2**33) if deal.entry == mt5.DEAL_ENTRY_OUT]


class TestTheRealTerminalIsNeverTouched:
    def test_no_trade_function_is_ever_forwarded(self, market):
        """`LookOnly` fails at the first one; here every function is called in every plausible way."""
        mt5 = market(flat(1.1, 5)).paper()
        ticket = order(mt5, sl=1.09, tp=1.12).order
        request = {"action": 1, "symbol": "EURUSD", "volume": 0.1}
        for function in (*TRADES, *PAST):
            args = {"order_": (request,), "histor": (0, 2**33)}.get(function[:6], ())
            assert mt5.terminal.call(Request(function, args)).value is not None
        order(mt5, "sell", position=ticket)
        assert not {*mt5.real.asked} & {*TRADES, *PAST}

    def test_every_function_of_the_module_is_either_read_or_answered_here(self):
        ours = {*TRADES, *PAST, "account_info"}
        assert FORWARDED.isdisjoint(ours)
        assert {*FORWARDED, *ours, "last_error"} == set(FUNCTIONS)

    @pytest.mark.parametrize("function", ["Buy", "Close", "order_modify", "anything"])
    def test_what_is_unknown_is_not_forwarded(self, market, function):
        mt5 = market(flat(1.1, 5)).paper()
        reply = mt5.terminal.call(Request(function, ("EURUSD", 0.1)))
        assert reply.value is None
        assert reply.code != 1
        assert function not in mt5.real.asked

    def test_what_the_real_account_holds_is_not_shown(self, market):
        here = market(flat(1.1, 5))
        real = order(here.real, magic=7)
        mt5 = here.paper()
        assert mt5.positions_get() == mt5.orders_get() == ()
        assert mt5.history_deals_get(position=real.order) == ()
        order(mt5, magic=7)
        assert len(here.real.positions_get()) == 1
        assert mt5.positions_get()[0].ticket != real.order


class TestAccount:
    def test_it_opens_with_the_real_balance_and_terms_and_its_own_money(self, market):
        mt5 = market(flat(1.1, 5), balance=5_000.0, leverage=30).paper()
        account = mt5.account_info()
        assert (account.login, account.server, account.currency, account.leverage) == (42, "Broker-Demo", "USD", 30)
        assert (account.balance, account.equity, account.margin_level) == (5_000.0, 5_000.0, 0.0)
        (deposit,) = mt5.history_deals_get(0, 2**33)
        assert (deposit.profit, deposit.symbol) == (5_000.0, "")

    def test_a_setting_wins_over_the_real_balance_once(self, market):
        here = market(flat(1.1, 5))
        assert here.paper(balance=777.0).account_info().balance == 777.0
        assert here.paper(balance=888.0).account_info().balance == 777.0

    def test_it_may_trade_where_the_real_account_may_not(self, market, monkeypatch):
        """With an investor's password the real terminal refuses; nothing is sent there anyway."""
        here = market(flat(1.1, 5))
        here.real.algo_trading = False
        assert order(here.paper()).retcode == 10009

    def test_balance_and_deals_add_up_with_commission_on_both_sides(self, market):
        here = market([*flat(1.1), *flat(1.102, 3)], balance=5_000.0)
        mt5 = here.paper(commission=3.5)
        ticket = order(mt5, volume=0.5).order
        assert mt5.account_info().balance == 5_000.0 - 1.75
        here.advance()
        assert mt5.account_info().profit == pytest.approx(0.5 * (1.102 - 1.1001) * 100_000)
        order(mt5, "sell", volume=0.5, position=ticket)
        deals = mt5.history_deals_get(0, 2**33)
        assert mt5.account_info().balance == pytest.approx(5_000.0 + 95.0 - 3.5)
        assert sum(deal.profit + deal.commission for deal in deals) == pytest.approx(mt5.account_info().balance)

    def test_it_survives_a_restart_whole(self, market):
        here = market(flat(1.1, 5))
        mt5 = here.paper()
        order(mt5, volume=0.3, sl=1.09, tp=1.12, comment="key", magic=2**63)
        told = (mt5.account_info(), mt5.positions_get(), mt5.history_deals_get(0, 2**33), mt5.history_orders_get(0, 2**33))
        mt5.terminal.close()
        again = here.paper()
        assert (again.account_info(), again.positions_get(), again.history_deals_get(0, 2**33), again.history_orders_get(0, 2**33)) == told
        assert order(again).order == told[1][0].ticket + 1

    def test_an_account_in_another_currency_is_refused_by_name(self, market, tmp_path):
        market(flat(1.1, 5)).paper().account_info()
        other = market(flat(1.1, 5), currency="EUR").paper()
        with pytest.raises(HomeError, match=r"in USD, the real one in EUR.*--home"):
            other.account_info()

    def test_a_file_that_is_no_book_is_refused_by_name(self, market, tmp_path):
        (tmp_path / "paper.db").write_bytes(b"not a database, but long enough to be taken for one by its size" * 20)
        with pytest.raises(HomeError, match=r"paper\.db"):
            market(flat(1.1, 5)).paper()

    def test_a_book_of_a_later_version_is_left_alone(self, market, tmp_path):
        with sqlite3.connect(tmp_path / "paper.db") as db:
            db.execute("PRAGMA user_version=99")
        db.close()
        with pytest.raises(HomeError, match="version 99"):
            market(flat(1.1, 5)).paper()


class TestTicks:
    def test_a_stop_that_was_touched_between_two_looks_is_hit(self, market):
        here = market([*flat(1.1), (1.1, 1.1002, 1.0985, 1.1), *flat(1.1, 4)])
        mt5 = here.paper()
        order(mt5, sl=1.099, tp=1.12, magic=5)
        here.advance(4)  # the market has long come back
        assert mt5.positions_get() == ()
        (out,) = outs(mt5)
        assert (out.reason, out.magic, out.comment) == (mt5.DEAL_REASON_SL, 5, "[sl 1.09900]")
        assert out.price == 1.0985  # the tick that reached it
        assert out.time_msc == mt5.copy_rates_from_pos("EURUSD", 1, 3, 1)["time"][0] * 1000 + 20_000

    def test_a_target_fills_at_its_level(self, market):
        here = market([*flat(1.1), (1.1, 1.1035, 1.1, 1.1), *flat(1.1, 2)])
        mt5 = here.paper()
        order(mt5, sl=1.09, tp=1.103)
        here.advance(2)
        (out,) = outs(mt5)
        assert (out.reason, out.price, out.comment) == (mt5.DEAL_REASON_TP, 1.103, "[tp 1.10300]")

    def test_what_comes_first_in_time_counts(self, market):
        """A rising bar falls first in these ticks, so the stop is met before the target."""
        here = market([*flat(1.1), (1.1, 1.11, 1.09, 1.105), *flat(1.105, 2)])
        mt5 = here.paper()
        order(mt5, sl=1.095, tp=1.103)
        order(mt5, "sell", sl=1.107, tp=1.09)
        here.advance(2)
        assert sorted(out.reason for out in outs(mt5)) == [mt5.DEAL_REASON_SL, mt5.DEAL_REASON_SL]

    @pytest.mark.parametrize(
        ("side", "level", "hit"), [("buy", 1.0990, True), ("buy", 1.0989, False), ("sell", 1.1011, True), ("sell", 1.1012, False)]
    )
    def test_a_long_leaves_at_the_bid_and_a_short_at_the_ask(self, market, side, level, hit):
        here = market([*flat(1.1), (1.1, 1.1010, 1.0990, 1.1), *flat(1.1, 2)])
        mt5 = here.paper()
        order(mt5, side, sl=level)
        here.advance(2)
        assert (mt5.positions_get() == ()) == hit

    def test_a_gap_fills_where_the_market_opens(self, market):
        here = market([*flat(1.1), *flat(1.095, 2)])
        mt5 = here.paper()
        order(mt5, sl=1.099)
        here.advance()
        assert outs(mt5)[0].price == 1.095

    def test_what_happened_while_nobody_looked_is_found_after_a_restart(self, market):
        here = market([*flat(1.1), (1.1, 1.1002, 1.0985, 1.1), *flat(1.1, 30)])
        mt5 = here.paper()
        ticket = order(mt5, sl=1.099).order
        mt5.terminal.close()
        here.advance(20)
        again = here.paper()
        assert again.positions_get() == ()
        assert again.history_deals_get(position=ticket)[-1].price == 1.0985
        assert len(outs(again)) == 1

    @pytest.mark.parametrize("restart", [True, False])
    def test_a_moved_stop_does_not_look_back(self, market, restart):
        here = market([*flat(1.1), (1.1, 1.1002, 1.0985, 1.1), *flat(1.1), (1.1, 1.1, 1.0992, 1.1), *flat(1.1, 3)])
        mt5 = here.paper()
        ticket = order(mt5, sl=1.098, tp=1.12).order
        here.advance(2)
        change = {"action": mt5.TRADE_ACTION_SLTP, "symbol": "EURUSD", "position": ticket, "tp": 1.12}
        assert mt5.order_send({**change, "sl": 1.099}).retcode == 10009
        if restart:
            mt5.terminal.close()
            mt5 = here.paper()
        assert mt5.positions_get()[0].sl == 1.099
        here.advance(2)
        assert mt5.positions_get()[0].sl == 1.099
        assert mt5.order_send({**change, "sl": 1.0995}).retcode == 10009
        here.advance()
        assert len(mt5.positions_get()) == 1

    def test_a_position_does_not_meet_ticks_from_before_it(self, market):
        here = market([*flat(1.1), (1.1, 1.1002, 1.0985, 1.1), *flat(1.1, 3)])
        mt5 = here.paper()
        early = order(mt5, sl=1.09).order
        here.advance(2)
        late = order(mt5, sl=1.099).order
        here.advance()
        assert [held.ticket for held in mt5.positions_get()] == [early, late]

    def test_ticks_that_cannot_be_read_stop_the_answer(self, market, monkeypatch):
        here = market(flat(1.1, 5))
        mt5 = here.paper()
        order(mt5, sl=1.09)
        monkeypatch.setattr(here.real, "copy_ticks_range", lambda *args: None)
        here.real.symbol_info("NOPE")  # leaves an error behind
        assert mt5.positions_get() is None
        monkeypatch.undo()
        assert len(mt5.positions_get()) == 1

    def test_a_long_absence_is_read_in_pieces(self, market, monkeypatch):
        here = market([*flat(1.1, 800), (1.1, 1.1002, 1.0985, 1.1), *flat(1.1, 2)])
        mt5 = here.paper()
        order(mt5, sl=1.099)
        here.advance(802)
        asked, original = [], here.real.copy_ticks_range
        monkeypatch.setattr(here.real, "copy_ticks_range", lambda *args: asked.append(args) or original(*args))
        assert mt5.positions_get() == ()
        assert len(asked) == 3
        assert all(last - first <= 6 * 3600 for _, first, last, _ in asked)

    def test_a_margin_that_is_gone_closes_the_worst(self, market):
        here = market([*flat(1.1), *flat(1.085, 3)], balance=1_000.0, leverage=100)
        mt5 = here.paper()
        order(mt5, volume=0.5)
        here.advance()
        account = mt5.account_info()
        (out,) = outs(mt5)
        assert (out.reason, out.comment[:3], out.price) == (mt5.DEAL_REASON_SO, "so ", 1.085)
        assert account.balance == account.equity == 1_000.0 + out.profit


class TestRefusals:
    def spec(self, here, **changes):
        feed = here.real._market.feeds["EURUSD"]
        feed.spec = replace(feed.spec, **changes)

    @pytest.mark.parametrize(
        ("mode", "buy", "sell"), [(0, 10017, 10017), (1, 10009, 10042), (2, 10043, 10009), (3, 10044, 10044), (4, 10009, 10009)]
    )
    def test_what_the_symbol_allows(self, market, mode, buy, sell):
        here = market(flat(1.1, 5))
        self.spec(here, trade_mode=mode)
        mt5 = here.paper()
        assert (order(mt5).retcode, order(mt5, "sell").retcode) == (buy, sell)

    def test_levels_too_near_and_a_frozen_position(self, market):
        here = market(flat(1.1, 5))
        self.spec(here, stops_level=50, freeze_level=20)
        mt5 = here.paper()
        assert order(mt5, sl=1.0996).retcode == 10016
        ticket = order(mt5, sl=1.0995, tp=1.1006).order
        self.spec(here, freeze_level=60)
        change = {"action": mt5.TRADE_ACTION_SLTP, "symbol": "EURUSD", "position": ticket, "sl": 1.09, "tp": 1.12}
        assert mt5.order_send(change).retcode == 10029
        assert order(mt5, "sell", position=ticket).retcode == 10029

    def test_a_part_leaves_a_volume_that_can_be_traded(self, market):
        here = market(flat(1.1, 5))
        self.spec(here, volume_min=0.1)
        mt5 = here.paper()
        ticket = order(mt5, volume=0.25).order
        assert order(mt5, "sell", volume=0.2, position=ticket).retcode == 10014
        assert order(mt5, "buy", volume=0.1, position=ticket).retcode == 10013
        assert order(mt5, "sell", volume=0.15, position=ticket).retcode == 10009
        assert mt5.positions_get()[0].volume == 0.1

    def test_instant_execution_wants_a_price_near_the_quote(self, market):
        here = market(flat(1.1, 5))
        self.spec(here, exemode=1)
        mt5 = here.paper()
        assert order(mt5, price=0.0).retcode == 10015
        assert order(mt5, price=1.0990, deviation=10).retcode == 10004
        assert order(mt5, price=1.1000, deviation=10).retcode == 10009

    def test_a_symbol_that_was_long_not_quoted_is_closed(self, market):
        here = market(flat(1.1, 5))
        mt5 = here.paper(now_msc=lambda: here.real.symbol_info_tick("EURUSD").time_msc + 30 * 60_000 + 1)
        assert order(mt5).retcode == 10018

    def test_a_netting_account_has_one_position_a_symbol(self, market):
        here = market(flat(1.1, 5), hedging=False)
        mt5 = here.paper()
        ticket = order(mt5).order
        assert mt5.account_info().margin_mode == mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING
        assert order(mt5).retcode == order(mt5, "sell").retcode == 10040
        assert order(mt5, "sell", position=ticket).retcode == 10009

    def test_pending_orders_are_not_taken(self, market):
        mt5 = market(flat(1.1, 5)).paper()
        assert mt5.order_send({"action": 5, "symbol": "EURUSD", "volume": 0.1, "type": 2, "price": 1.09}).retcode == 10035

    def test_a_terminal_that_is_gone_tells_nothing(self, market):
        here = market(flat(1.1, 5))
        mt5 = here.paper()
        order(mt5)
        here.real.shutdown()
        for answer in (mt5.positions_get(), mt5.account_info(), mt5.history_deals_get(0, 2**33), order(mt5)):
            assert answer is None
            assert mt5.last_error()[0] == -10004


def test_one_answer_belongs_to_one_instant(market, monkeypatch):
    """The quote moves at every look of the real terminal; an answer must not mix two of them."""
    here = market(flat(1.1, 5))
    mt5 = here.paper()
    original, calls = here.real.symbol_info_tick, []

    def moving(symbol):
        calls.append(symbol)
        tick = original(symbol)
        return type(tick)((tick.time, tick.bid + 1e-5 * len(calls), tick.ask + 1e-5 * len(calls), *tuple(tick)[3:]))

    monkeypatch.setattr(here.real, "symbol_info_tick", moving)
    result = order(mt5)
    assert result.price == result.ask
    account = mt5.account_info()
    assert account.equity == pytest.approx(account.balance + account.profit)
    assert account.margin_free == pytest.approx(account.equity - account.margin)


def test_positions_follow_the_quote(market):
    here = market([*flat(1.1), *flat(1.1010, 2)])
    mt5 = here.paper()
    order(mt5, volume=1.0)
    order(mt5, "sell", volume=1.0)
    here.advance()
    long, short = mt5.positions_get()
    assert (long.price_current, short.price_current) == pytest.approx((1.1010, 1.1011))
    assert (long.profit, short.profit) == pytest.approx((90.0, -110.0))
    assert np.sign([long.profit, short.profit]).tolist() == [Side.LONG, Side.SHORT]
