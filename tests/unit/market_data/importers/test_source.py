"""The daemon's --source: whose file is whose, and how files join."""

import pytest

from config.errors import DataFileError
from market_data.importers import read_market, read_source
from market_data.quotes import Quotes

START = 1_704_758_400


def write(folder, name, start=START, count=20, step=60, volume=5, spread=2):
    path = folder / name
    rows = [f"{start + step * n},1.1,1.1,1.1,1.1,{volume},{spread},0" for n in range(count)]
    path.write_text("\n".join(["time,open,high,low,close,tick_volume,spread,real_volume", *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_names_tell_the_symbols(tmp_path):
    specs = [write(tmp_path, "EURUSD_M1_a.csv"), write(tmp_path, "XAUUSD_M1.csv")]
    histories = read_source(specs, ["XAUUSD", "EURUSD"])
    assert list(histories) == ["XAUUSD", "EURUSD"] and {bars.symbol for bars in histories.values()} == {"EURUSD", "XAUUSD"}


def test_no_symbols_means_all_that_the_files_hold(tmp_path):
    assert list(read_source([write(tmp_path, "EURUSD_M1_a.csv"), write(tmp_path, "GBPUSD+_M1.csv")], [])) == ["EURUSD", "GBPUSD+"]


def test_a_suffix_may_differ(tmp_path):
    assert read_source([write(tmp_path, "EURUSD_M1.csv")], ["EURUSDm"])["EURUSDm"].symbol == "EURUSDm"


def test_the_spec_may_say_whose_file_it_is(tmp_path):
    path = write(tmp_path, "prices=mine.csv")
    assert len(read_source([f"EURUSD={path}"], ["EURUSD"])["EURUSD"]) == 20
    assert len(read_source([path], ["EURUSD"])["EURUSD"]) == 20


def test_the_only_symbol_owns_a_nameless_file(tmp_path):
    assert list(read_source([write(tmp_path, "ticks.csv")], ["USDJPY"])) == ["USDJPY"]


@pytest.mark.parametrize(
    ("name", "symbols", "told"),
    [
        ("prices.csv", ["EURUSD", "GBPUSD"], "--source SYMBOL="),
        ("GBPUSD_M1.csv", ["EURUSD"], "its name says GBPUSD"),
        ("EURUSD_M1.csv", ["EURUSD", "GBPUSD"], "GBPUSD: no file given; add --source GBPUSD=PATH"),
    ],
)
def test_a_file_without_an_owner_or_an_owner_without_a_file(tmp_path, name, symbols, told):
    with pytest.raises(DataFileError, match=told):
        read_source([write(tmp_path, name)], symbols)


def test_files_of_one_symbol_are_joined_in_time_order(tmp_path):
    later, earlier = write(tmp_path, "EURUSD_M1_b.csv", START + 86_400), write(tmp_path, "EURUSD_M1_a.csv")
    bars = read_source([later, earlier], ["EURUSD"])["EURUSD"]
    assert len(bars) == 40 and bars.time[0] == START and bars.time[-1] == START + 86_400 + 19 * 60


def test_what_one_file_does_not_know_the_whole_does_not(tmp_path):
    specs = [write(tmp_path, "EURUSD_M1_a.csv", spread=0), write(tmp_path, "EURUSD_M1_b.csv", START + 86_400)]
    bars = read_source(specs, ["EURUSD"])["EURUSD"]
    assert bars.spread is None and bars.tick_volume is not None and len(bars.tick_volume) == 40


def test_overlapping_files_are_refused_and_both_named(tmp_path):
    specs = [write(tmp_path, "EURUSD_M1_a.csv"), write(tmp_path, "EURUSD_M1_b.csv", START + 19 * 60)]
    with pytest.raises(DataFileError, match=r"EURUSD_M1_a\.csv and .*EURUSD_M1_b\.csv overlap"):
        read_source(specs, ["EURUSD"])


def test_two_timeframes_do_not_join(tmp_path):
    specs = [write(tmp_path, "EURUSD_M1_a.csv"), write(tmp_path, "EURUSD_M5_b.csv", START + 86_400, step=300)]
    with pytest.raises(DataFileError, match="M5"):
        read_source(specs, ["EURUSD"])


def test_ticks_are_no_bars(tmp_path):
    path = tmp_path / "EURUSD_ticks.csv"
    path.write_text("time_msc,bid,ask\n1704758400000,1.1,1.2\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="ticks"):
        read_source([str(path)], ["EURUSD"])


def write_ticks(folder, name, first, count=5):
    path = folder / name
    rows = "".join(f"{first + at * 1000},{1.1 + at * 1e-5:.5f},{1.1001 + at * 1e-5:.5f}\n" for at in range(count))
    path.write_text("time_msc,bid,ask\n" + rows, encoding="utf-8")
    return path


def test_a_market_takes_files_of_ticks(tmp_path):
    first = write_ticks(tmp_path, "EURUSD_ticks_a.csv", 1_704_708_000_000)
    second = write_ticks(tmp_path, "EURUSD_ticks_b.csv", 1_704_708_100_000)
    quotes = read_market([str(second), str(first)], ["EURUSD"])["EURUSD"]
    assert isinstance(quotes, Quotes)
    assert len(quotes) == 10
    assert (quotes.time_msc[0], quotes.time_msc[5]) == (1_704_708_000_000, 1_704_708_100_000)
    with pytest.raises(DataFileError, match="holds ticks"):
        read_source([str(first)], ["EURUSD"])


def test_ticks_that_overlap_or_meet_bars_are_refused(tmp_path):
    first = write_ticks(tmp_path, "EURUSD_ticks_a.csv", 1_704_708_000_000)
    second = write_ticks(tmp_path, "EURUSD_ticks_b.csv", 1_704_708_002_000)
    with pytest.raises(DataFileError, match="overlap"):
        read_market([str(first), str(second)], ["EURUSD"])
    with pytest.raises(DataFileError, match="only one kind"):
        read_market([str(first), str(write(tmp_path, "EURUSD_M1_a.csv"))], ["EURUSD"])
