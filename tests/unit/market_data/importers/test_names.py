"""What file names tell."""

import pytest

from market_data.bars import Timeframe
from market_data.importers.names import point_of, symbol_in, timeframe_in


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("EURUSD_M1_20170102_20170630_histdata.csv.gz", "EURUSD"),
        ("DAT_ASCII_AUDUSD_M1_202401.csv", "AUDUSD"),
        ("HISTDATA_COM_ASCII_XAUUSD_M12023.zip", "XAUUSD"),
        ("MT5_export_EURJPY+_M15_202401020000.csv", "EURJPY+"),
        ("EURUSDm_M1_2024.csv", "EURUSDm"),
        ("XAUUSD.r_H1.csv", "XAUUSD.r"),
        ("US500.cash_M5_2024.csv", "US500.cash"),
        ("usdjpy-ticks_2013.csv", "USDJPY"),
        ("gbpusd.csv", "GBPUSD"),
        ("export EURUSD 2022.txt", "EURUSD"),
        ("DAT_ASCII_T_ticks.csv", None),
        ("M1.csv", None),
    ],
)
def test_symbol(name, symbol):
    assert symbol_in(name) == symbol


@pytest.mark.parametrize(
    ("name", "frame"), [("EURUSD_M15_x.csv", Timeframe.M15), ("EURUSD_H1.csv", Timeframe.H1), ("EURUSD_M12023.csv", None), ("a.csv", None)]
)
def test_timeframe(name, frame):
    assert timeframe_in(name) is frame


@pytest.mark.parametrize(("symbol", "point"), [("EURUSD", 1e-5), ("GBPJPY+", 1e-3), ("XAUUSDm", 1e-2), ("XAGUSD", 1e-3), ("US500", 1e-5)])
def test_point(symbol, point):
    assert point_of(symbol) == point
