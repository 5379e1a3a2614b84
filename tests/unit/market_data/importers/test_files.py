"""Importing real files: rows, zones, and agreement with histories converted by measured rules."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from config.errors import DataFileError
from market_data.bars import Timeframe
from market_data.importers import TICK_DTYPE, import_file, import_pair

DATA = Path(__file__).parents[4].parent / "shared" / "data"
RAW, DEV = DATA / "raw_formats", DATA / "dev"
needs_data = pytest.mark.skipif(not RAW.is_dir(), reason="market data for developers is not here")

SERVER, LONDON = "America/New_York+7", "Europe/London-5"
FILES = [  # file, format, symbol, zone, who says so, rows read, rows kept
    ("Export_quoted_tab_EURUSD_M1_2022.head2000.csv", "stamped-bars", "EURUSD", SERVER, "format", 1999, 1999),
    ("FXCM_USDJPY_M1_ask_2013.head3000.csv", "stamped-bars", "USDJPY", "UTC", "file", 3000, 3000),
    ("FXCM_USDJPY_M1_bid_2013.head3000.csv", "stamped-bars", "USDJPY", "UTC", "file", 3000, 3000),
    ("HistData_DAT_ASCII_AUDUSD_M1_202401.days_out_of_order.head6000.csv", "histdata-ascii-m1", "AUDUSD", LONDON, "format", 6000, 6000),
    ("HistData_DAT_ASCII_EURUSD_M1_201703.head4000.csv", "histdata-ascii-m1", "EURUSD", "America/New_York", "format", 4000, 4000),
    ("HistData_DAT_ASCII_USDJPY_M1_2023.dst_duplicate_hour.csv", "histdata-ascii-m1", "USDJPY", LONDON, "format", 1970, 1910),
    ("HistData_DAT_MT_GBPUSD_M1_202601.head3000.csv", "histdata-mt-m1", "GBPUSD", LONDON, "format", 3000, 3000),
    ("LEAN_cfd_oanda_minute_xauusd_20140502_quote.zip", "lean-quote-bars", "XAUUSD", "UTC", "format", 1257, 1257),
    ("LEAN_forex_fxcm_minute_eurusd_20140502_quote.zip", "lean-quote-bars", "EURUSD", "UTC-5", "format", 958, 958),
    ("LEAN_forex_oanda_tick_eurusd_20140502_quote.zip", "lean-quote-ticks", "EURUSD", "UTC", "format", 49341, 49341),
    ("MT4_style_semicolon_EURUSD_M1_2019.head2000.csv", "mt4-history", "EURUSD", SERVER, "format", 2000, 2000),
    ("MT5_copy_rates_XAUUSD_M1_server_time.first3000.parquet", "mt5-copy-rates-parquet", "XAUUSD", SERVER, "format", 3000, 3000),
    ("MT5_copy_rates_to_csv_EURUSD_M1_with_extra_columns.csv", "mt5-copy-rates", "EURUSD", SERVER, "format", 500, 500),
    ("MT5_export_EURJPY+_M15_202401020000.head3000.csv", "mt5-export", "EURJPY+", SERVER, "format", 2999, 2999),
    ("MT5_export_EURUSD_M1_201806_renamed_header.head3000.csv", "mt5-export", "EURUSD", SERVER, "format", 2999, 2999),
    ("MT5_export_GBPUSD+_M15_202401020000_202512262345.header_plus_last3000.csv", "mt5-export", "GBPUSD+", SERVER, "format", 3000, 3000),
    ("MT5_export_XAUUSD+_M15_202401020100.head3000.csv", "mt5-export", "XAUUSD+", SERVER, "format", 2999, 2999),
    ("TrueFX_nautilus_usdjpy-ticks_2013.csv", "stamped-quotes", "USDJPY", "UTC", "file", 1000, 1000),
]


def assert_agree(bars, canonical, *, exact=True):
    """Every minute that both hold has the same prices, and both hold nearly all of them."""
    common, left, right = np.intersect1d(bars.time, canonical.time, return_indices=True)
    inside = (bars.time >= canonical.time[0]) & (bars.time <= canonical.time[-1])
    assert len(common) == inside.sum() if exact else len(common) > 0.99 * inside.sum()
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(bars, name)[left], getattr(canonical, name)[right])


def epoch(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@needs_data
@pytest.mark.parametrize(("name", "form", "symbol", "zone", "origin", "read", "kept"), FILES, ids=[row[0][:45] for row in FILES])
def test_every_raw_format_imports(name, form, symbol, zone, origin, read, kept):
    report = import_file(RAW / name)
    assert (report.format, report.symbol, report.zone, report.zone_from) == (form, symbol, zone, origin)
    assert (report.rows_read, report.rows_kept, report.damaged) == (read, kept, ())
    assert (report.bars is None) != (report.ticks is None)
    if report.bars is not None:
        assert len(report.bars) == kept and (np.diff(report.bars.time) > 0).all()
        assert report.bars.timeframe is (Timeframe.M15 if "M15" in name else Timeframe.M1)


@needs_data
def test_no_raw_file_is_forgotten():
    told = {row[0] for row in FILES}
    rest = {path.name for path in RAW.iterdir()} - told
    assert {name for name in rest if "status_report" not in name and "_T_ticks_" not in name} == set()


@needs_data
@pytest.mark.parametrize("path", sorted(DEV.rglob("*_M1_2023*1130*.gz")) + sorted(DEV.rglob("*mt5*.gz")), ids=lambda path: path.name)
def test_canonical_bars_lose_nothing(path):
    report = import_file(path)
    assert (report.format, report.zone, report.damaged, report.notes) == ("canonical-bars", "UTC", (), ())
    assert report.rows_kept == report.rows_read
    assert (report.bars.tick_volume is not None) == ("mt5" in path.name)


@needs_data
def test_canonical_ticks_keep_crossed_quotes():
    report = import_file(DEV / "ticks" / "EURUSD_ticks_20200130_20200131_nautilus2020.csv.gz")
    assert report.ticks.dtype == TICK_DTYPE and report.rows_kept == report.rows_read == 99308
    crossed = import_file(DEV / "ticks" / "EURUSD_ticks_20140501_20140509_fxcm.csv.gz")
    assert len(crossed.ticks) == 675401 and any("69354" in note for note in crossed.notes)


@needs_data
def test_histdata_2017_is_new_york_wall_time():
    bars = import_file(RAW / "HistData_DAT_ASCII_EURUSD_M1_201703.head4000.csv").bars
    assert_agree(bars, import_file(DEV / "EURUSD_M1_20170102_20170630_histdata.csv.gz").bars)


@needs_data
def test_mt5_dump_is_new_york_plus_seven():
    bars = import_file(RAW / "MT5_copy_rates_XAUUSD_M1_server_time.first3000.parquet").bars
    canonical = import_file(DEV / "XAUUSD_M1_20251203_20260130_mt5-ftmo.csv.gz").bars
    assert_agree(bars, canonical)
    assert np.array_equal(bars.spread, canonical.spread[:3000]) and np.array_equal(bars.tick_volume, canonical.tick_volume[:3000])


@needs_data
def test_mt5_export_agrees_across_the_change_of_clocks():
    bars = import_file(RAW / "MT5_export_EURUSD_M1_201806_renamed_header.head3000.csv").bars
    assert_agree(bars, import_file(DEV / "EURUSD_M1_20180531_20180629_mt5.csv.gz").bars)
    quarter = import_file(RAW / "MT5_export_GBPUSD+_M15_202401020000_202512262345.header_plus_last3000.csv").bars
    assert_agree(quarter, import_file(DEV / "m15" / "GBPUSD_M15_20240201_20251201_mt5.csv.gz").bars)


@needs_data
def test_a_bid_and_ask_pair_gives_the_spread():
    report = import_pair(RAW / "FXCM_USDJPY_M1_bid_2013.head3000.csv", RAW / "FXCM_USDJPY_M1_ask_2013.head3000.csv")
    canonical = import_file(DEV / "USDJPY_M1_20130102_20130930_fxcm.csv.gz").bars
    assert_agree(report.bars, canonical)
    _, left, right = np.intersect1d(report.bars.time, canonical.time, return_indices=True)
    assert (report.bars.spread[left] == canonical.spread[right]).mean() > 0.99  # halves may round either way
    assert np.abs(report.bars.spread[left] - canonical.spread[right]).max() <= 1


@needs_data
def test_a_swapped_pair_is_refused():
    with pytest.raises(DataFileError, match="swap"):
        import_pair(RAW / "FXCM_USDJPY_M1_ask_2013.head3000.csv", RAW / "FXCM_USDJPY_M1_bid_2013.head3000.csv")


@needs_data
def test_days_out_of_order_are_sorted_and_told():
    report = import_file(RAW / "HistData_DAT_ASCII_AUDUSD_M1_202401.days_out_of_order.head6000.csv")
    assert any("out of order" in note for note in report.notes)


@needs_data
def test_the_repeated_hour_is_dropped_and_told():
    report = import_file(RAW / "HistData_DAT_ASCII_USDJPY_M1_2023.dst_duplicate_hour.csv")
    assert any("60 exact repeats" in note and "twice" in note for note in report.notes)
    assert_agree(report.bars, import_file(DEV / "USDJPY_M1_20230801_20231130_histdata.csv.gz").bars)


@needs_data
@pytest.mark.parametrize("name", ["LEAN_cfd_oanda_minute_xauusd_20140502_quote.zip", "LEAN_forex_fxcm_minute_eurusd_20140502_quote.zip"])
def test_payrolls_move_the_minute_they_were_published(name):
    bars = import_file(RAW / name).bars
    at = np.argmax(bars.high - bars.low)
    assert abs(int(bars.time[at]) - epoch("2014-05-02T12:30")) <= 120


@needs_data
def test_lean_bars_are_bids_with_a_spread():
    bars = import_file(RAW / "LEAN_cfd_oanda_minute_xauusd_20140502_quote.zip").bars
    assert bars.open[0] == 1284.065 and bars.spread[0] == 37 and bars.tick_volume is None


@needs_data
def test_the_caller_may_know_the_zone_better():
    path = RAW / "Export_quoted_tab_EURUSD_M1_2022.head2000.csv"
    assert any("was assumed" in note for note in import_file(path).notes)
    report = import_file(path, zone="America/St_Johns")
    assert report.zone_from == "caller" and not any("assumed" in note for note in report.notes)
    at = np.argmax(report.bars.high - report.bars.low)
    assert report.bars.time[at] == epoch("2022-01-05T13:15")  # the US employment report by ADP


@needs_data
def test_ticks_without_a_symbol_in_the_name_need_one():
    path = RAW / "HistData_DAT_ASCII_T_ticks_nautilus_quote_tick_data.head3000.csv"
    with pytest.raises(DataFileError, match="symbol"):
        import_file(path)
    report = import_file(path, symbol="EURUSD")
    assert report.format == "histdata-ascii-ticks" and len(report.ticks) == 3000
    assert report.ticks["time_msc"][0] == epoch("2020-01-01T22:00") * 1000 + 65


@needs_data
def test_a_status_report_is_refused_with_the_way_out():
    with pytest.raises(DataFileError, match=r"status report.*import the \.csv"):
        import_file(RAW / "HistData_DAT_ASCII_AUDUSD_M1_202401.status_report.head200.txt")


def test_an_unknown_zone_is_refused(tmp_path):
    path = tmp_path / "EURUSD_M1.csv"
    path.write_text("20240109 000000;1.1;1.1;1.1;1.1;0\n20240109 000100;1.1;1.1;1.1;1.1;0\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="Mars/Olympus"):
        import_file(path, zone="Mars/Olympus")


def test_quotes_without_an_offset_ask_for_the_zone(tmp_path):
    path = tmp_path / "EURUSD_ticks.csv"
    path.write_text("timestamp,bid,ask\n2024-01-09 00:00:00.5,1.1,1.2\n2024-01-09 00:00:01,1.1,1.2\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="zone"):
        import_file(path)
    assert import_file(path, zone="UTC").ticks["time_msc"][0] % 86_400_000 == 500
