"""Damage: each row that is left out is named by line, and nothing else is lost."""

import numpy as np
import pytest

from config.errors import DataFileError
from market_data.bars import Timeframe
from market_data.importers import import_file

HEAD = "time,open,high,low,close,tick_volume,spread,real_volume"
START = 1_704_758_400  # 2024-01-09 00:00 UTC, a Tuesday


def rows(count, step=60):
    return [f"{START + step * n},1.10000,1.10010,1.09990,1.10005,{10 + n},2,0" for n in range(count)]


def write(path, lines, head=HEAD):
    path.write_text("\n".join(([head] if head else []) + lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "EURUSD_M1_test.csv"


def test_five_planted_damages_are_exactly_the_five_reported(path):
    lines = rows(40)
    lines[3] = lines[3].replace("1.10010", "abc")
    lines[8] = lines[8].replace("1.10010", "1.09000")
    lines[15] = lines[15].replace("1.10005", "-1.1")
    lines[22] = f"{START + 22 * 60 + 17}" + lines[22][10:]
    lines[30] = lines[30][:25]
    report = import_file(write(path, lines))
    assert [row.line for row in report.damaged] == [5, 10, 17, 24, 32]
    assert [row.reason for row in report.damaged] == [
        "high is not a number",
        "high is below low",
        "close is not above 0",
        "time is not on the M1 grid",
        "3 columns, 8 expected",
    ]
    assert (report.rows_read, report.rows_kept) == (40, 35)
    assert report.damaged[0].text == lines[3]
    assert report.bars.tick_volume.tolist() == [10 + n for n in range(40) if n not in (3, 8, 15, 22, 30)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{t},1.1,inf,1.0,1.1,5,2,0", "high is not a number"),
        ("{t},1.1,,1.0,1.1,5,2,0", "high is not a number"),
        ("{t},0,1.2,0,1.1,5,2,0", "open is not above 0"),
        ("{t},1.3,1.2,1.0,1.1,5,2,0", "open or close lies outside low and high"),
        ("{t},1.1,1.2,1.0,0.9,5,2,0", "open or close lies outside low and high"),
        ("{t},1.1,1.2,1.0,1.1,-5,2,0", "tick_volume is not a number of 0 or more"),
        ("{t},1.1,1.2,1.0,1.1,5,x,0", "spread is not a number of 0 or more"),
        ("soon,1.1,1.2,1.0,1.1,5,2,0", "time cannot be read"),
        ("99999999999999,1.1,1.2,1.0,1.1,5,2,0", "time cannot be read"),
        ("-60,1.1,1.2,1.0,1.1,5,2,0", "time cannot be read"),
        ("{t},1.1,1.2,1.0,1.1,5,2,0,9", "9 columns, 8 expected"),
        ("\ufffd\ufffd\ufffd", "1 columns, 8 expected"),
    ],
)
def test_each_kind_of_damage_has_its_reason(path, broken, reason):
    lines = [*rows(20), broken.format(t=START + 20 * 60)]
    (damaged,) = import_file(write(path, lines)).damaged
    assert (damaged.line, damaged.reason) == (22, reason)


def test_equal_repeats_are_dropped_and_conflicting_ones_are_damaged(path):
    lines = rows(20)
    lines.insert(7, lines[6])
    lines.append(lines[4].replace("1.10005", "1.10006"))
    report = import_file(write(path, lines))
    assert report.rows_kept == 20
    assert any("1 exact repeats" in note for note in report.notes)
    (damaged,) = report.damaged
    assert damaged.line == 23 and "line 6" in damaged.reason
    assert report.bars.close[4] == 1.10005


def test_rows_in_any_order_give_the_same_bars(path, tmp_path):
    straight = import_file(write(path, rows(30))).bars
    mixed = list(np.random.default_rng(1).permutation(rows(30)))
    report = import_file(write(tmp_path / "EURUSD_M1_mixed.csv", mixed))
    assert np.array_equal(report.bars.time, straight.time) and np.array_equal(report.bars.tick_volume, straight.tick_volume)
    assert any("out of order" in note for note in report.notes)


def test_all_damaged_is_an_error_that_shows_a_row(path):
    with pytest.raises(DataFileError, match=r"all 20 rows are damaged; line 2: high is below low"):
        import_file(write(path, [row.replace("1.10010", "1.00") for row in rows(20)]))


def test_blank_lines_are_no_rows_and_keep_the_line_numbers(path):
    lines = rows(10)
    lines.insert(5, "")
    lines[8] = lines[8].replace("1.10010", "?")
    report = import_file(write(path, lines))
    assert report.rows_read == 10 and [row.line for row in report.damaged] == [10]


def test_columns_of_zeros_are_unknown(path):
    report = import_file(write(path, [",".join([*row.split(",")[:5], "0", "0", "0"]) for row in rows(10)]))
    assert report.bars.tick_volume is None and report.bars.spread is None


@pytest.mark.parametrize("frame", list(Timeframe))
def test_timeframe_is_read_from_the_grid(path, frame):
    assert import_file(write(path, rows(10, frame.seconds))).bars.timeframe is frame


def test_an_odd_grid_is_refused_with_the_known_ones(path):
    with pytest.raises(DataFileError, match=r"120 seconds apart.*M1, M5"):
        import_file(write(path, rows(10, 120)))


def test_one_bar_alone_takes_its_timeframe_from_the_name(path, tmp_path):
    assert import_file(write(path, rows(1))).bars.timeframe is Timeframe.M1
    with pytest.raises(DataFileError, match="timeframe"):
        import_file(write(tmp_path / "EURUSD.csv", rows(1)))


def test_noise_in_the_last_bit_is_no_price(path):
    lines = rows(5)
    lines[2] = lines[2].replace("1.10005", "1.1000500000000001")
    assert import_file(write(path, lines)).bars.close[2] == 1.10005


def test_server_stamps_in_a_utc_file_are_noticed(path):
    friday = 1_705_096_800 + 3600  # Friday 2024-01-12, an hour past the close in UTC
    lines = [f"{friday + 60 * n},1.1,1.1,1.1,1.1,1,1,0" for n in range(10)]
    assert any("weekend" in note for note in import_file(write(path, lines)).notes)


def test_damage_in_vendor_text_files_keeps_the_line(tmp_path):
    lines = [f"20240109 00{n:02d}00;1.1;1.1;1.1;1.1;0" for n in range(30)]
    lines[0], lines[12] = "garbage", "20240109 006100;1.1;1.1;1.1;1.1;0"
    report = import_file(write(tmp_path / "DAT_ASCII_EURUSD_M1_202401.csv", lines, head=None))
    assert [(row.line, row.reason) for row in report.damaged] == [(1, "1 columns, 6 expected"), (13, "time cannot be read")]


def test_ticks_with_damage(tmp_path):
    lines = [f"{START * 1000 + 250 * n},1.1,1.1001" for n in range(20)]
    lines[5], lines[9] = lines[5].replace("1.1001", "0"), "x" + lines[9]
    report = import_file(write(tmp_path / "EURUSD_ticks.csv", lines, head="time_msc,bid,ask"))
    assert [row.line for row in report.damaged] == [7, 11] and len(report.ticks) == 18


def test_terminal_ticks_leave_an_unchanged_side_empty(tmp_path):
    head = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"
    lines = [
        "2024.01.09\t02:00:00.100\t1.1\t1.2\t\t\t6",
        "2024.01.09\t02:00:00.300\t1.15\t\t\t\t2",
        "2024.01.09\t02:00:00.400\t\t1.25\t\t\t4",
    ]
    ticks = import_file(write(tmp_path / "EURUSD_202401.csv", lines, head)).ticks
    assert ticks["bid"].tolist() == [1.1, 1.15, 1.15] and ticks["ask"].tolist() == [1.2, 1.2, 1.25]
    assert ticks["time_msc"][0] == START * 1000 + 100


def test_big_volumes_and_milliseconds_stay_whole(path, tmp_path):
    lines = [row.replace(",10,", ",9007199254740,") for row in rows(3)]
    assert import_file(write(path, lines)).bars.tick_volume[0] == 9_007_199_254_740
    stamps = [1_580_507_994_064, 1_580_507_994_065]
    ticks = import_file(write(tmp_path / "EURUSD_t.csv", [f"{stamp},1.1,1.2" for stamp in stamps], "time_msc,bid,ask")).ticks
    assert ticks["time_msc"].tolist() == stamps
