"""The daemon's own format comes back as it went."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from config.errors import DataFileError
from market_data.importers import import_file, write_canonical

DEV = Path(__file__).parents[4].parent / "shared" / "data" / "dev"
HISTDATA = "".join(f"20240109 00{n:02d}00;1.10{n:03d}0;1.2;1.0;1.1;0\n" for n in range(20))
TICKS = "time_msc,bid,ask\n" + "".join(f"{1_704_758_400_000 + 137 * n},1.1,1.1000{n % 9 + 1}\n" for n in range(20))


def report_of(folder, text):
    path = folder / "EURUSD_M1_in.csv"
    path.write_text(text, encoding="utf-8")
    return import_file(path)


def test_bars_come_back_equal_and_unknown_stays_unknown(tmp_path):
    report, path = report_of(tmp_path, HISTDATA), tmp_path / "EURUSD_M1_out.csv.gz"
    write_canonical(report, path)
    back = import_file(path)
    assert (back.format, back.zone, back.rows_kept) == ("canonical-bars", "UTC", 20)
    assert all(np.array_equal(getattr(back.bars, name), getattr(report.bars, name)) for name in ("time", "open", "high", "low", "close"))
    assert back.bars.tick_volume is None and back.bars.spread is None
    assert gzip.decompress(path.read_bytes()).startswith(b"time,open,high,low,close,tick_volume,real_volume\n1704776400,1.10000,")


def test_ticks_come_back_equal(tmp_path):
    report = report_of(tmp_path, TICKS)
    write_canonical(report, tmp_path / "EURUSD_ticks.csv")
    assert np.array_equal(import_file(tmp_path / "EURUSD_ticks.csv").ticks, report.ticks)


def test_the_same_history_gives_the_same_bytes_and_leaves_nothing_beside(tmp_path):
    report = report_of(tmp_path, HISTDATA)
    for name in ("a.csv.gz", "b.csv.gz"):
        write_canonical(report, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["EURUSD_M1_in.csv", "a.csv.gz", "b.csv.gz"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataFileError, match="nowhere"):
        write_canonical(report_of(tmp_path, HISTDATA), tmp_path / "nowhere" / "x.csv.gz")


def test_an_unwritable_place_keeps_the_old_file(tmp_path):
    place = tmp_path / "taken.csv.gz"
    place.mkdir()
    with pytest.raises(DataFileError, match="taken"):
        write_canonical(report_of(tmp_path, HISTDATA), place)
    assert place.is_dir() and not (tmp_path / "taken.csv.gz.part").exists()


@pytest.mark.skipif(not DEV.is_dir(), reason="market data for developers is not here")
@pytest.mark.parametrize(
    "name",
    [
        "EURUSD_M1_20180531_20180629_mt5.csv.gz",
        "XAUUSD_M1_20251203_20260130_mt5-ftmo.csv.gz",
        "m15/EURJPY_M15_20240201_20251201_mt5.csv.gz",
    ],
)
def test_a_canonical_file_is_rewritten_to_the_same_text(tmp_path, name):
    write_canonical(import_file(DEV / name), tmp_path / "out.csv.gz")
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == gzip.decompress((DEV / name).read_bytes())
