"""Recognition goes by content, whatever the file is called and however it is packed."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest

from config.errors import DataFileError
from market_data.importers import import_file, recognise

HISTDATA = "".join(f"20240109 00{n:02d}00;1.1;1.1;1.1;1.1;0\n" for n in range(20))
MT5 = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n" + "".join(
    f"2024.01.09\t00:{n:02d}:00\t1.1\t1.1\t1.1\t1.1\t7\t0\t3\r\n" for n in range(20)
)


@pytest.mark.parametrize("name", ["a.csv", "EURUSD.txt", "mt5_export.parquet"])
def test_the_name_does_not_matter(tmp_path, name):
    path = tmp_path / name
    path.write_text(HISTDATA, encoding="utf-8")
    assert recognise(path).name == "histdata-ascii-m1"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_terminals_write(tmp_path, encoding):
    path = tmp_path / "EURUSD_M1.csv"
    path.write_bytes(MT5.encode(encoding))
    report = import_file(path)
    assert report.format == "mt5-export" and report.rows_kept == 20 and report.bars.spread[0] == 3


def test_packed_files(tmp_path):
    packed, archive = tmp_path / "EURUSD_M1.bin", tmp_path / "HISTDATA_COM_ASCII_EURUSD_M12024.zip"
    packed.write_bytes(gzip.compress(HISTDATA.encode()))
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("DAT_ASCII_EURUSD_M1_2024.csv", HISTDATA)
        out.writestr("DAT_ASCII_EURUSD_M1_2024.txt", "HistData.com (c) 2012")
    assert import_file(packed).rows_kept == import_file(archive).rows_kept == 20


def test_the_same_rows_with_volume_are_a_terminals_history(tmp_path):
    dotted = "".join(f"2024.01.09,00:{n:02d},1.1,1.1,1.1,1.1,0\n" for n in range(20))
    path = tmp_path / "EURUSD.csv"
    path.write_text(dotted, encoding="utf-8")
    assert (recognise(path).name, recognise(path).zone) == ("histdata-mt-m1", "Europe/London-5")
    path.write_text(dotted.replace(",0\n", ",12\n"), encoding="utf-8")
    assert (recognise(path).name, recognise(path).zone) == ("mt4-history", "America/New_York+7")


def test_canonical_and_a_terminals_dump_are_told_apart(tmp_path):
    table = pd.DataFrame({"time": 1_704_758_400 + 60 * np.arange(20), "open": 1.1, "high": 1.1, "low": 1.1, "close": 1.1})
    table = table.assign(tick_volume=5, spread=1, real_volume=0)
    canonical, dump = tmp_path / "EURUSD_M1_a.csv", tmp_path / "EURUSD_M1_b.csv"
    table.to_csv(canonical, index=False)
    table.to_csv(dump)
    assert (recognise(canonical).name, recognise(canonical).zone) == ("canonical-bars", "UTC")
    assert (recognise(dump).name, recognise(dump).zone) == ("mt5-copy-rates", "America/New_York+7")
    assert import_file(canonical).bars.time[0] - import_file(dump).bars.time[0] == 7200


@pytest.mark.parametrize(
    ("unit", "name", "zone"),
    [("int", "canonical-parquet", "UTC"), ("naive", "mt5-copy-rates-parquet", "America/New_York+7"), ("aware", "table-parquet", "UTC")],
)
def test_parquet_tables(tmp_path, unit, name, zone):
    seconds = 1_704_758_400 + 60 * np.arange(20)
    time = {"int": seconds, "naive": pd.to_datetime(seconds, unit="s"), "aware": pd.to_datetime(seconds, unit="s", utc=True)}[unit]
    path = tmp_path / "EURUSD_M1.parquet"
    pd.DataFrame({"time": time, "open": 1.1, "high": 1.1, "low": 1.1, "close": 1.1, "tick_volume": 4}).to_parquet(path)
    report = import_file(path)
    assert (report.format, report.zone) == (name, zone)
    assert report.bars.time[0] == seconds[0] - (7200 if unit == "naive" else 0)


@pytest.mark.parametrize("text", ["hello\nworld\n", "a,b,c\n1,2,3\n", "date,price\n2024-01-09,1.1\n"])
def test_unknown_text_is_refused_with_what_was_seen_and_what_is_known(tmp_path, text):
    path = tmp_path / "EURUSD_M1.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataFileError) as caught:
        recognise(path)
    assert text.splitlines()[0] in str(caught.value) and "HistData" in str(caught.value) and "EURUSD_M1.csv" in str(caught.value)


def two_members(path):
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.csv", HISTDATA)
        out.writestr("b.csv", HISTDATA)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "cannot be read"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"\n\n  \n"), "empty"),
        (lambda path: path.write_bytes(b"PK\x03\x04broken"), "cannot be read"),
        (lambda path: path.write_bytes(gzip.compress(HISTDATA.encode())[:-9]), "cannot be read"),
        (lambda path: path.write_bytes(b"PAR1 and no more"), "cannot be read"),
        (lambda path: path.write_bytes(b"MZ\0\0\0binary"), "binary"),
        (two_members, "one by one"),
    ],
    ids=["missing", "empty", "blank", "zip", "gzip", "parquet", "binary", "two"],
)
def test_files_that_cannot_be_opened_are_named(tmp_path, make, told):
    path = tmp_path / "EURUSD_M1.dat"
    make(path)
    with pytest.raises(DataFileError, match=told) as caught:
        recognise(path)
    assert "EURUSD_M1.dat" in str(caught.value)


def test_parquet_without_prices_names_its_columns(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": [1], "b": [2]}).to_parquet(path)
    with pytest.raises(DataFileError, match="a, b"):
        recognise(path)
