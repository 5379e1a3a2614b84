import numpy as np
import pytest

from execution.simulated import structs

LENGTHS = {
    "AccountInfo": 28,
    "TerminalInfo": 22,
    "SymbolInfo": 96,
    "Tick": 8,
    "TradeOrder": 24,
    "TradePosition": 19,
    "TradeDeal": 18,
    "OrderCheckResult": 9,
    "OrderSendResult": 11,
    "TradeRequest": 17,
    "BookInfo": 4,
}


def test_every_type_has_its_number_of_fields():
    assert {name: len(kind.__match_args__) for name, kind in structs.STRUCTS.items()} == LENGTHS


def test_symbol_info_has_31_whole_numbers_52_prices_13_texts():
    names = structs.SymbolInfo.__match_args__
    assert (names.index("bid"), names.index("basis")) == (31, 83)


def test_one_iterable_makes_a_record_and_its_length_is_checked():
    assert structs.BookInfo(iter((1, 2.0, 3, 4.0))) == (1, 2.0, 3, 4.0)
    with pytest.raises(TypeError, match="BookInfo\\(\\) takes a 4-sequence"):
        structs.BookInfo((1, 2))
    with pytest.raises(TypeError):
        structs.BookInfo(1, 2.0, 3, 4.0)


def test_a_record_shows_its_fields_in_order():
    tick = structs.Tick(range(8))
    assert list(tick._asdict()) == list(structs.Tick.__match_args__)
    assert repr(tick).startswith("Tick(time=0, bid=1, ")
    with pytest.raises(AttributeError):
        tick.bid = 5


def test_ticks_are_packed_into_sixty_bytes():
    assert np.dtype(structs.TICK_DTYPE).itemsize == 60
