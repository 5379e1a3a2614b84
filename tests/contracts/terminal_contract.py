"""What every terminal must do alike; implementations inherit and supply `make`.

`make` gives a connected terminal with EURUSD in Market Watch, a live quote, at least 50 closed
M1 bars, an account without positions and enough money for 0.1 lots.
"""

import datetime as dt

import numpy as np
import pytest

from execution.simulated.constants import CONSTANTS
from execution.simulated.structs import STRUCTS
from market_data.bars import RATES_DTYPE

FUNCTIONS = [
    "initialize",
    "login",
    "shutdown",
    "version",
    "last_error",
    "terminal_info",
    "account_info",
    "symbols_total",
    "symbols_get",
    "symbol_info",
    "symbol_info_tick",
    "symbol_select",
    "market_book_add",
    "market_book_get",
    "market_book_release",
    "copy_rates_from",
    "copy_rates_from_pos",
    "copy_rates_range",
    "copy_ticks_from",
    "copy_ticks_range",
    "orders_total",
    "orders_get",
    "order_calc_margin",
    "order_calc_profit",
    "order_check",
    "order_send",
    "positions_total",
    "positions_get",
    "history_orders_total",
    "history_orders_get",
    "history_deals_total",
    "history_deals_get",
]
NOT_CONNECTED = (-10004, "No IPC connection")


class TerminalContract:
    def make(self):
        raise NotImplementedError

    @pytest.fixture
    def mt5(self):
        return self.make()

    def buy(self, mt5, **more):
        request = {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.1, "type": mt5.ORDER_TYPE_BUY, "magic": 7}
        return {**request, **more}

    def test_has_every_function_constant_and_type(self, mt5):
        assert len(FUNCTIONS) == 32
        assert len(CONSTANTS) == 223
        assert all(callable(getattr(mt5, name)) for name in FUNCTIONS)
        assert {name: getattr(mt5, name) for name in CONSTANTS} == dict(CONSTANTS)
        assert all(getattr(mt5, name).__match_args__ == kind.__match_args__ for name, kind in STRUCTS.items())

    def test_functions_do_not_bind_to_a_foreign_class(self, mt5):
        foreign = type("Foreign", (), {"total": mt5.symbols_total})
        assert foreign().total() == mt5.symbols_total()

    def test_nothing_works_after_shutdown_until_initialize(self, mt5):
        assert mt5.shutdown() is True
        assert mt5.account_info() is None
        assert mt5.last_error() == NOT_CONNECTED
        assert mt5.symbol_select("EURUSD", True) is False
        assert mt5.copy_rates_from_pos("EURUSD", 1, 0, 1) is None
        assert mt5.order_send(self.buy(mt5)) is None
        assert mt5.initialize() is True
        assert mt5.last_error() == (1, "Success")
        assert mt5.account_info() is not None

    def test_wrong_login_is_refused(self, mt5):
        assert mt5.initialize(login=99_999_999) is False
        assert mt5.last_error() == (-6, "Terminal: Authorization failed")

    def test_rates_have_the_official_layout(self, mt5):
        rates = mt5.copy_rates_from_pos("EURUSD", mt5.TIMEFRAME_M1, 0, 50)
        assert rates.dtype == RATES_DTYPE
        assert rates.dtype.itemsize == 60
        assert len(rates) == 50
        assert (np.diff(rates["time"]) > 0).all()
        assert (rates["time"] % 60 == 0).all()
        assert (rates["high"] >= np.maximum(rates["open"], rates["close"])).all()
        assert (rates["low"] <= np.minimum(rates["open"], rates["close"])).all()

    def test_newest_bar_closes_at_the_bid(self, mt5):
        newest = mt5.copy_rates_from_pos("EURUSD", mt5.TIMEFRAME_M1, 0, 1)[0]
        assert newest["close"] == mt5.symbol_info_tick("EURUSD").bid

    def test_three_ways_to_the_same_bars(self, mt5):
        by_position = mt5.copy_rates_from_pos("EURUSD", mt5.TIMEFRAME_M1, 0, 10)
        now, first = int(by_position["time"][-1]), int(by_position["time"][0])
        assert (mt5.copy_rates_from("EURUSD", mt5.TIMEFRAME_M1, now, 10) == by_position).all()
        assert (mt5.copy_rates_range("EURUSD", mt5.TIMEFRAME_M1, first, now) == by_position).all()

    def test_dates_are_int_float_or_datetime(self, mt5):
        now = int(mt5.copy_rates_from_pos("EURUSD", mt5.TIMEFRAME_M1, 0, 1)["time"][0])
        aware = dt.datetime.fromtimestamp(now, dt.UTC)
        for date in (now, float(now), aware):
            assert mt5.copy_rates_from("EURUSD", mt5.TIMEFRAME_M1, date, 1)["time"][0] == now
        for date in (aware.date(), str(now), np.int64(now)):
            assert mt5.copy_rates_from("EURUSD", mt5.TIMEFRAME_M1, date, 1) is None
            assert mt5.last_error() == (-2, "Invalid arguments")

    def test_an_empty_window_is_an_empty_array(self, mt5):
        rates = mt5.copy_rates_range("EURUSD", mt5.TIMEFRAME_M1, 1000, 2000)
        assert len(rates) == 0
        assert rates.dtype == RATES_DTYPE
        assert mt5.last_error()[0] == 1

    @pytest.mark.parametrize(
        ("args", "code"),
        [(("NOPE", 1, 0, 5), -1), (("EURUSD", 32768, 0, 5), -2), (("EURUSD", 1, 0, 100_000), -2), (("EURUSD", 1, 10**8, 5), -1)],
    )
    def test_impossible_rates_are_none_with_a_code(self, mt5, args, code):
        assert mt5.copy_rates_from_pos(*args) is None
        assert mt5.last_error()[0] == code

    def test_functions_of_position_take_no_keywords(self, mt5):
        with pytest.raises(TypeError):
            mt5.copy_rates_from_pos(symbol="EURUSD", timeframe=1, start_pos=0, count=1)
        with pytest.raises(TypeError):
            mt5.symbol_info(symbol="EURUSD")
        with pytest.raises(TypeError):
            mt5.order_calc_profit(action=0, symbol="EURUSD", volume=1.0, price_open=1.0, price_close=1.1)

    def test_functions_of_keyword_take_no_position(self, mt5):
        assert mt5.positions_get("EURUSD") is None
        assert mt5.last_error() == (-2, "Unnamed arguments not allowed")
        assert mt5.history_deals_get(date_from=0, date_to=2**31) is None
        assert mt5.last_error() == (-2, "Invalid arguments")

    def test_last_error_is_overwritten_by_each_call_and_kept_by_asking(self, mt5):
        mt5.symbol_info("NOPE")
        assert mt5.last_error() == mt5.last_error() == (-4, "Terminal: Not found")
        mt5.symbol_info("EURUSD")
        assert mt5.last_error() == (1, "Success")

    def test_ticks_have_the_official_layout(self, mt5):
        ticks = mt5.copy_ticks_from("EURUSD", 0, 100, mt5.COPY_TICKS_ALL)
        assert ticks.dtype.itemsize == 60
        assert (ticks["time"] == ticks["time_msc"] // 1000).all()
        assert (ticks["ask"] >= ticks["bid"]).all()
        assert (ticks["flags"] & 6 > 0).all()

    def test_symbol_info_agrees_with_the_quote(self, mt5):
        info, tick = mt5.symbol_info("EURUSD"), mt5.symbol_info_tick("EURUSD")
        assert info.point == pytest.approx(10**-info.digits)
        assert info.spread == round((tick.ask - tick.bid) / info.point)
        assert (info.bid, info.ask, info.time) == (tick.bid, tick.ask, tick.time)

    def test_group_masks(self, mt5):
        assert [info.name for info in mt5.symbols_get("EURUSD")] == ["EURUSD"]
        assert "EURUSD" not in [info.name for info in mt5.symbols_get(group="*,!*USD*")]
        assert mt5.symbols_get(5) is False

    def test_a_symbol_outside_market_watch_has_no_quote(self, mt5):
        assert mt5.symbol_select("EURUSD", False) is True
        assert mt5.symbol_info_tick("EURUSD") is None
        assert mt5.symbol_info("EURUSD").select is False
        assert mt5.symbol_select("EURUSD") is True
        assert mt5.symbol_info_tick("EURUSD") is not None

    def test_records_hold_python_values(self, mt5):
        mt5.order_send(self.buy(mt5))
        records = [mt5.account_info(), mt5.terminal_info(), mt5.symbol_info("EURUSD"), mt5.symbol_info_tick("EURUSD")]
        records += [*mt5.positions_get(), *mt5.history_deals_get(0, 2**33), *mt5.history_orders_get(0, 2**33)]
        assert all(type(value) in (int, float, bool, str) for record in records for value in record)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("volume", 1),
            ("sl", 0),
            ("price", np.float32(1.1)),
            ("position", np.int64(5)),
            ("magic", -1),
            ("magic", 7.0),
            ("comment", None),
            ("comment", "x" * 30),
            ("symbol", None),
            ("deviation", "10"),
            ("expiration", dt.datetime(2030, 1, 1, tzinfo=dt.UTC)),
        ],
    )
    def test_a_request_field_of_another_type_is_refused_by_name(self, mt5, field, value):
        for function in (mt5.order_check, mt5.order_send):
            assert function(self.buy(mt5, **{field: value})) is None
            assert mt5.last_error() == (-2, f'Invalid "{field}" argument')
        assert mt5.positions_total() == 0

    def test_the_first_bad_field_in_official_order_is_named(self, mt5):
        assert mt5.order_check(self.buy(mt5, comment=None, volume=1, sl=0)) is None
        assert mt5.last_error() == (-2, 'Invalid "volume" argument')

    def test_a_request_is_one_dict_or_keywords(self, mt5):
        assert mt5.order_check([("symbol", "EURUSD")]) is None
        assert mt5.last_error() == (-2, "Invalid arguments")
        assert mt5.order_check(self.buy(mt5), volume=0.1) is None
        assert mt5.order_check(**self.buy(mt5)).retcode == 0

    def test_what_the_module_takes_is_accepted(self, mt5):
        request = self.buy(mt5, comment="x" * 29, volume=np.float64(0.1), unknown_key=object())
        del request["type"]
        result = mt5.order_check(request)
        assert (result.retcode, result.comment) == (0, "Done")
        assert result.request.type == mt5.ORDER_TYPE_BUY

    def test_a_check_changes_nothing_and_foresees_the_margin(self, mt5):
        before, ask = mt5.account_info(), mt5.symbol_info_tick("EURUSD").ask
        result = mt5.order_check(self.buy(mt5))
        assert mt5.account_info() == before
        assert result.margin == pytest.approx(mt5.order_calc_margin(mt5.ORDER_TYPE_BUY, "EURUSD", 0.1, ask))
        assert result.margin_free == pytest.approx(before.margin_free - result.margin)

    def test_a_fill_is_reported_held_and_recorded(self, mt5):
        tick = mt5.symbol_info_tick("EURUSD")
        result = mt5.order_send(self.buy(mt5, comment="key"))
        assert (result.retcode, result.volume, result.price) == (10009, 0.1, tick.ask)
        assert (result.bid, result.ask) == (tick.bid, tick.ask)
        assert len(result.request) == 17
        (position,) = mt5.positions_get(symbol="EURUSD")
        assert (position.ticket, position.identifier, position.magic, position.comment) == (result.order, result.order, 7, "key")
        (deal,) = mt5.history_deals_get(position=position.ticket)
        assert (deal.ticket, deal.order, deal.entry) == (result.deal, result.order, mt5.DEAL_ENTRY_IN)
        assert mt5.order_send(self.buy(mt5)).request_id == result.request_id + 1

    def test_closing_by_ticket_ends_the_position(self, mt5):
        opened = mt5.order_send(self.buy(mt5))
        close = self.buy(mt5, type=mt5.ORDER_TYPE_SELL, position=opened.order, magic=8)
        assert mt5.order_send({**close, "volume": 0.2}).retcode == mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
        assert mt5.order_send({**close, "volume": 0.04}).retcode == mt5.TRADE_RETCODE_DONE
        assert mt5.positions_get(ticket=opened.order)[0].volume == 0.06
        assert mt5.symbol_select("EURUSD", False) is False
        assert mt5.order_send({**close, "volume": 0.06}).retcode == mt5.TRADE_RETCODE_DONE
        assert mt5.positions_get() == ()
        assert [deal.entry for deal in mt5.history_deals_get(position=opened.order)] == [0, 1, 1]
        assert [deal.magic for deal in mt5.history_deals_get(position=opened.order)] == [7, 8, 8]
        assert mt5.order_send(close).retcode == mt5.TRADE_RETCODE_POSITION_CLOSED

    def test_a_position_and_its_opposite_live_side_by_side(self, mt5):
        mt5.order_send(self.buy(mt5))
        mt5.order_send(self.buy(mt5, type=mt5.ORDER_TYPE_SELL))
        assert [position.type for position in mt5.positions_get()] == [0, 1]
        assert mt5.positions_total() == 2

    def test_stops_can_be_set_and_cleared(self, mt5):
        ticket = mt5.order_send(self.buy(mt5)).order
        bid = mt5.symbol_info_tick("EURUSD").bid
        stops = {
            "action": mt5.TRADE_ACTION_SLTP,
            "symbol": "EURUSD",
            "position": ticket,
            "sl": round(bid - 0.01, 5),
            "tp": round(bid + 0.01, 5),
        }
        assert mt5.order_send(stops).retcode == mt5.TRADE_RETCODE_DONE
        assert mt5.positions_get(ticket=ticket)[0].sl == stops["sl"]
        assert mt5.order_send(stops).retcode == mt5.TRADE_RETCODE_NO_CHANGES
        del stops["tp"]
        assert mt5.order_send(stops).retcode == mt5.TRADE_RETCODE_DONE
        assert mt5.positions_get(ticket=ticket)[0].tp == 0.0

    @pytest.mark.parametrize(
        ("changes", "retcode"),
        [
            ({"volume": 0.015}, 10014),
            ({"volume": 0.0}, 10014),
            ({"volume": 1e6}, 10014),
            ({"volume": float("nan")}, 10014),
            ({"sl": 9.0}, 10016),
            ({"tp": 0.5}, 10016),
            ({"volume": 90.0}, 10019),
            ({"type_filling": 2}, 10030),
            ({"type": 77}, 10035),
            ({"position": 42}, 10036),
            ({"action": 99}, 10013),
            ({"symbol": "NOPE"}, 10013),
        ],
    )
    def test_a_bad_order_is_refused_with_its_retcode(self, mt5, changes, retcode):
        before = mt5.account_info()
        result = mt5.order_send(self.buy(mt5, **changes))
        assert (result.retcode, result.deal, result.order) == (retcode, 0, 0)
        assert mt5.order_check(self.buy(mt5, **changes)).retcode == retcode
        assert mt5.account_info() == before

    def test_the_account_adds_up(self, mt5):
        mt5.order_send(self.buy(mt5))
        account = mt5.account_info()
        profit = sum(position.profit + position.swap for position in mt5.positions_get())
        assert account.equity == pytest.approx(account.balance + account.credit + profit)
        assert account.margin_free == pytest.approx(account.equity - account.margin)
        assert account.margin_level == pytest.approx(account.equity / account.margin * 100)

    def test_totals_equal_lengths(self, mt5):
        mt5.order_send(self.buy(mt5))
        assert mt5.history_deals_total(0, 2**33) == len(mt5.history_deals_get(0, 2**33))
        assert mt5.history_orders_total(0, 2**33) == len(mt5.history_orders_get(0, 2**33)) > 0
        assert mt5.positions_total() == len(mt5.positions_get())
        assert mt5.orders_total() == len(mt5.orders_get()) == 0
