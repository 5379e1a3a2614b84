"""The numbered checks that every form of the module passes; implementations inherit and supply `make`.

`make` gives the module, connected or not, over an account without positions, with EURUSD and a live
quote. Nothing else of the project is imported here: a program with the stand-in package runs these
checks too.
"""

import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
CONSTANTS = {name: int(value) for name, value in (line.split() for line in (HERE / "mt5_constants.txt").read_text("utf-8").splitlines())}
RECORDS: dict[str, dict[str, str]] = {}
for line in (HERE / "mt5_records.txt").read_text("utf-8").splitlines():
    if line.startswith(" "):
        name, kind = line.split()
        RECORDS[list(RECORDS)[-1]][name] = kind
    else:
        RECORDS[line] = {}

NO_ARGUMENTS = [
    *("shutdown", "version", "last_error", "account_info", "terminal_info"),
    *("symbols_total", "orders_total", "positions_total"),
]
BOOLEANS = {
    "symbol_select": ("EURUSD", True),
    "market_book_add": ("EURUSD",),
    "market_book_release": ("EURUSD",),
    "login": (1,),
}
POSITIONAL = {
    "symbol_info": ("EURUSD",),
    "symbol_info_tick": ("EURUSD",),
    "market_book_get": ("EURUSD",),
    "copy_rates_from": ("EURUSD", 1, 2**30, 5),
    "copy_rates_from_pos": ("EURUSD", 1, 0, 5),
    "copy_rates_range": ("EURUSD", 1, 0, 2**30),
    "copy_ticks_from": ("EURUSD", 0, 5, -1),
    "copy_ticks_range": ("EURUSD", 0, 2**30, -1),
    "history_orders_total": (0, 2**31),
    "history_deals_total": (0, 2**31),
    "order_calc_margin": (0, "EURUSD", 0.1, 1.1),
    "order_calc_profit": (0, "EURUSD", 0.1, 1.1, 1.2),
}
KEYWORDS = ("symbols_get", "positions_get", "orders_get")
HISTORY = ("history_orders_get", "history_deals_get")
REQUESTS = ("order_check", "order_send")
FUNCTIONS = ["initialize", *NO_ARGUMENTS, *BOOLEANS, *POSITIONAL, *KEYWORDS, *HISTORY, *REQUESTS]
NOT_CONNECTED, SUCCESS = (-10004, "No IPC connection"), (1, "Success")


def names_of(mt5):
    """What a program finds in the module's dictionary; an object's class belongs to it."""
    return {name: getattr(mt5, name) for name in {*vars(mt5), *dir(type(mt5))} if not name.startswith("__")}


class ModuleChecklist:
    def make(self):
        raise NotImplementedError

    @pytest.fixture
    def off(self):
        """The module, not connected."""
        mt5 = self.make()
        mt5.shutdown()
        return mt5

    @pytest.fixture
    def mt5(self, off):
        """The module, connected, EURUSD in Market Watch."""
        assert off.initialize()
        assert off.symbol_select("EURUSD", True)
        return off

    def buy(self, mt5, **more):
        return {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.1, "type": mt5.ORDER_TYPE_BUY, **more}

    def records(self, mt5):
        """One record at least of every type."""
        sent = mt5.order_send(self.buy(mt5))
        assert mt5.market_book_add("EURUSD")
        found = [mt5.account_info(), mt5.terminal_info(), mt5.symbol_info("EURUSD"), mt5.symbol_info_tick("EURUSD"), sent, sent.request]
        found += [*mt5.market_book_get("EURUSD"), *mt5.positions_get(), *mt5.history_deals_get(0, 2**31)]
        found += [*mt5.history_orders_get(0, 2**31), mt5.order_check(self.buy(mt5))]
        assert {type(record).__name__ for record in found} == set(RECORDS)
        return found

    def test_1_every_constant_has_the_official_value(self, off):
        assert len(CONSTANTS) == 223
        assert {name: getattr(off, name, None) for name in CONSTANTS} == CONSTANTS

    def test_2_functions_shortcuts_and_types_are_in_the_dictionary(self, off):
        assert len(FUNCTIONS) == 32
        held = names_of(off)
        assert {*FUNCTIONS, "Buy", "Sell", "Close", *RECORDS, *CONSTANTS} <= set(held)

    @pytest.mark.parametrize("name", [*FUNCTIONS, "Buy", "Sell", "Close"])
    def test_3_a_function_in_a_class_is_no_method(self, off, name):
        function = getattr(off, name)
        assert type("Foreign", (), {"held": function})().held == function

    def test_4_the_version_has_three_numbers(self, off):
        assert re.fullmatch(r"\d+\.\d+\.\d+", off.__version__)
        assert isinstance(off.__author__, str)

    @pytest.mark.parametrize("name", [*POSITIONAL, "symbol_select", "market_book_add", "market_book_release", *NO_ARGUMENTS])
    def test_5_no_keywords_where_the_module_takes_none(self, mt5, name):
        with pytest.raises(TypeError, match=rf"^{name}\(\) takes no keyword arguments$"):
            getattr(mt5, name)(symbol="EURUSD")

    @pytest.mark.parametrize("name", NO_ARGUMENTS)
    def test_5_no_arguments_where_the_module_takes_none(self, mt5, name):
        with pytest.raises(TypeError, match=rf"^{name}\(\) takes no arguments \(1 given\)$"):
            getattr(mt5, name)(1)

    @pytest.mark.parametrize("name", ["positions_get", "orders_get"])
    def test_6_filters_are_named(self, mt5, name):
        assert getattr(mt5, name)("EURUSD") is None
        assert mt5.last_error() == (-2, "Unnamed arguments not allowed")

    def test_7_nothing_works_before_initialize(self, off):
        for name in (*NO_ARGUMENTS[1:2], *NO_ARGUMENTS[3:], *KEYWORDS):
            assert (getattr(off, name)(), off.last_error()) == (None, NOT_CONNECTED), name
        for name, args in POSITIONAL.items():
            assert (getattr(off, name)(*args), off.last_error()) == (None, NOT_CONNECTED), name
        for name, args in BOOLEANS.items():
            assert (getattr(off, name)(*args), off.last_error()) == (False, NOT_CONNECTED), name
        for name in HISTORY:
            assert (getattr(off, name)(0, 1), off.last_error()) == (None, NOT_CONNECTED), name
        for name in REQUESTS:
            assert (getattr(off, name)(self.buy(off)), off.last_error()) == (None, NOT_CONNECTED), name

    def test_7_bad_arguments_are_seen_before_the_missing_connection(self, off):
        for name in POSITIONAL:
            assert (getattr(off, name)(), off.last_error()) == (None, (-2, "Invalid arguments")), name
        assert (off.symbol_info(5), off.last_error()) == (None, (-2, "Invalid arguments"))
        assert (off.order_send(self.buy(off, volume=1)), off.last_error()) == (None, (-2, 'Invalid "volume" argument'))

    def test_8_initialize_succeeds(self, off):
        assert (off.initialize(), off.last_error()) == (True, SUCCESS)

    def test_9_initialize_again_is_a_reconnect(self, mt5):
        assert (mt5.initialize(), mt5.last_error()) == (True, SUCCESS)
        assert mt5.account_info() is not None

    def test_10_shutdown_ends_the_connection(self, mt5):
        assert (mt5.shutdown(), mt5.last_error()) == (True, SUCCESS)
        assert (mt5.account_info(), mt5.last_error()) == (None, NOT_CONNECTED)

    def test_11_a_wrong_login_is_refused(self, mt5):
        account = mt5.account_info()
        assert mt5.initialize(login=account.login, password="any", server=account.server, timeout=1_000, portable=False)
        for call in (mt5.initialize, mt5.login):
            assert mt5.initialize()
            assert (call(login=99_999_999, password="any"), mt5.last_error()) == (False, (-6, "Terminal: Authorization failed"))

    @pytest.mark.parametrize(("name", "value"), [("login", "5"), ("login", None), ("password", 5), ("server", 5), ("timeout", "5")])
    def test_11_what_is_no_login_is_refused_by_name(self, mt5, name, value):
        assert (mt5.initialize(**{name: value}), mt5.last_error()) == (False, (-2, f'Invalid "{name}" argument'))

    def test_14_last_error_is_kept_by_asking_and_overwritten_by_calls(self, mt5):
        mt5.symbol_info("NOPE")
        assert mt5.last_error() == mt5.last_error() == (-4, "Terminal: Not found")
        mt5.symbol_info("EURUSD")
        assert mt5.last_error() == SUCCESS

    @pytest.mark.parametrize("name", RECORDS, ids=[f"number {number}: {name}" for number, name in enumerate(RECORDS, start=15)])
    def test_a_record_has_its_fields_in_the_official_order(self, off, name):
        kind = getattr(off, name)
        assert kind.__match_args__ == tuple(RECORDS[name])
        assert kind.__name__ == name

    def test_26_asdict_keeps_the_order(self, mt5):
        for record in self.records(mt5):
            assert list(record._asdict()) == list(RECORDS[type(record).__name__])
            assert tuple(record._asdict().values()) == record

    def test_27_values_are_of_the_official_python_types(self, mt5):
        for record in self.records(mt5):
            kinds = {name: type(value).__name__ for name, value in record._asdict().items()}
            assert kinds == RECORDS[type(record).__name__]

    def test_28_a_record_is_a_tuple(self, mt5):
        tick = mt5.symbol_info_tick("EURUSD")
        time, bid, *_, real = tick
        assert isinstance(tick, tuple)
        assert tick == tuple(tick)
        assert len(tick) == 8
        assert (time, bid, real) == (tick.time, tick.bid, tick.volume_real)
        assert repr(tick).startswith(f"Tick(time={time}, bid={bid}, ")

    def test_28_a_record_is_made_of_one_iterable_and_can_be_pickled(self, mt5):
        tick = mt5.symbol_info_tick("EURUSD")
        made = mt5.Tick(tick._asdict()[name] for name in mt5.Tick.__match_args__)
        assert (made, type(made)) == (tick, type(tick))
        again = pickle.loads(pickle.dumps(tick))
        assert (again, type(again)) == (tick, type(tick))
        with pytest.raises(TypeError):
            mt5.Tick(*tick)

    def test_51_a_symbol_with_a_position_stays_in_market_watch(self, mt5):
        ticket = mt5.order_send(self.buy(mt5)).order
        assert (mt5.symbol_select("EURUSD", False), mt5.last_error()[0]) == (False, -1)
        assert mt5.Close("EURUSD", ticket=ticket) is True
        assert mt5.symbol_select("EURUSD", False) is True

    def test_52_point_and_spread_follow_from_digits_and_quote(self, mt5):
        info = mt5.symbol_info("EURUSD")
        assert info.point == pytest.approx(10**-info.digits, rel=1e-12)
        assert info.spread == round((info.ask - info.bid) / info.point)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("action", 1.0),
            ("magic", -1),
            ("magic", np.int64(5)),
            ("order", None),
            ("symbol", None),
            ("symbol", "x" * 30),
            ("volume", 1),
            ("price", np.float32(1.1)),
            ("stoplimit", None),
            ("sl", 0),
            ("tp", "1.2"),
            ("deviation", 10.0),
            ("type", None),
            ("type_filling", 0.0),
            ("type_time", "0"),
            ("expiration", 1.5),
            ("comment", None),
            ("comment", "x" * 30),
            ("position", np.int64(5)),
            ("position_by", [5]),
        ],
    )
    def test_53_a_field_of_another_type_is_refused_by_name(self, mt5, field, value):
        for function in (mt5.order_check, mt5.order_send):
            assert (function(self.buy(mt5, **{field: value})), mt5.last_error()) == (None, (-2, f'Invalid "{field}" argument'))
        assert mt5.positions_total() == 0

    def test_53_fields_are_looked_at_in_the_official_order(self, mt5):
        assert mt5.order_check(self.buy(mt5, comment=None, volume=1, sl=0, position=1.0)) is None
        assert mt5.last_error() == (-2, 'Invalid "volume" argument')

    @pytest.mark.parametrize("request_", [None, 5, "buy", [("symbol", "EURUSD")], ("EURUSD",)])
    def test_53_what_is_no_dict_is_refused(self, mt5, request_):
        assert (mt5.order_send(request_), mt5.last_error()) == (None, (-2, "Invalid arguments"))

    def test_53_a_request_record_is_no_dict(self, mt5):
        record = mt5.order_check(self.buy(mt5)).request
        assert (mt5.order_check(record), mt5.last_error()) == (None, (-2, "Invalid arguments"))

    def test_53_what_derives_from_the_types_passes(self, mt5):
        request = self.buy(mt5, comment="x" * 29, volume=np.float64(0.1), expiration=-1, unknown=object())
        assert mt5.order_check(request).retcode == 0
        assert mt5.order_check(**self.buy(mt5)).retcode == 0
        assert mt5.order_check(self.buy(mt5), volume=0.1) is None

    @pytest.mark.parametrize(
        ("name", "args"), [("copy_rates_from_pos", ("EURUSD", "M1", 0, 5)), ("order_calc_margin", (0, "EURUSD", "1", 1.1))]
    )
    def test_53_what_the_parser_gives_up_on_raises(self, mt5, name, args):
        with pytest.raises(SystemError, match=f"{name}> returned a result with an exception set"):
            getattr(mt5, name)(*args)

    def test_53_numpy_integers_pass_where_a_c_int_is_wanted(self, mt5):
        assert len(mt5.copy_rates_from_pos("EURUSD", np.int64(1), np.int64(0), np.int32(3))) == 3

    def test_54_a_missing_type_buys(self, mt5):
        request = self.buy(mt5)
        del request["type"]
        mt5.order_send(request)
        assert mt5.positions_get()[0].type == mt5.POSITION_TYPE_BUY

    def test_55_a_check_says_done_and_changes_nothing(self, mt5):
        before = mt5.account_info()
        result = mt5.order_check(self.buy(mt5))
        assert (result.retcode, result.comment) == (0, "Done")
        assert (mt5.positions_total(), mt5.account_info().balance) == (0, before.balance)
        assert result.margin > 0
        assert result.margin_free == pytest.approx(result.equity - result.margin)

    def test_56_a_deal_is_answered_in_full(self, mt5):
        request = self.buy(mt5, magic=7, comment="key", deviation=3)
        result = mt5.order_send(request)
        assert result.retcode == mt5.TRADE_RETCODE_DONE
        assert min(result.order, result.deal) > 0
        assert (result.price, result.ask > result.bid) == (result.ask, True)
        echo = result.request._asdict()
        assert (len(echo), {name: echo[name] for name in request}) == (17, request)
        assert mt5.order_send(request).request_id > result.request_id

    def test_buy_sell_and_close(self, mt5):
        assert mt5.Close("EURUSD") is False
        first, second = mt5.Buy("EURUSD", 0.1, comment="one"), mt5.Sell("EURUSD", 0.2)
        assert (first.retcode, second.retcode, first.request.deviation) == (10009, 10009, 10)
        assert (mt5.Sell("EURUSD", 0.1, ticket=first.order).retcode, mt5.positions_total()) == (10009, 1)
        assert (mt5.Close("EURUSD", comment="bye"), mt5.positions_total()) == (True, 0)
        assert mt5.Buy("NOPE", 0.1) is None
        assert mt5.Buy("EURUSD", 1) is None

    def test_72_threads_share_the_module(self, mt5):
        failures, start = [], threading.Barrier(4)

        def work(symbol, wanted):
            start.wait()
            for _ in range(50):
                info = mt5.symbol_info(symbol)
                if (None if info is None else info.name) != wanted:
                    failures.append(info)

        threads = [threading.Thread(target=work, args=pair) for pair in [("EURUSD", "EURUSD"), ("NOPE", None)] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert mt5.symbol_info("EURUSD").name == "EURUSD"
