"""`import-data`: what is said of files, and what is written."""

import gzip
import json
from pathlib import Path

import pytest

from market_data.importers import import_file
from tests.fakes_commands import answer, commands
from utils.cli.importing import pairs

START = 1_704_326_400  # 2024-01-04 00:00 UTC


def rows(count=60, price=1.1, damaged=0):
    lines = ["time,open,high,low,close,tick_volume,spread,real_volume"]
    for n in range(count):
        lines.append(f"{START + 60 * n},{price:.5f},{price + 0.0005:.5f},{price - 0.0005:.5f},{price + 0.0001:.5f},10,8,0")
    lines[2 : 2 + damaged] = [f"{START + 60},abc,\x1b[2J,1,1,1,1,0"] * damaged
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "EURUSD_M1.csv"
    path.write_text(rows(), encoding="utf-8")
    return path


@pytest.fixture
def command(monkeypatch, tmp_path):
    run = commands(monkeypatch, tmp_path)
    return lambda *arguments: run("import-data", *arguments)


def test_a_file_is_reported_and_nothing_is_written_unasked(command, file):
    [told] = answer(command(file, "--zone", "UTC", "--json"))
    assert (told["symbol"], told["timeframe"], told["zone"], told["zone_from"]) == ("EURUSD", "M1", "UTC", "caller")
    assert (told["rows_read"], told["rows_kept"], told["damaged"], told["written"]) == (60, 60, [], None)
    assert (told["first"], told["last"]) == ("2024-01-04T00:00:00.000Z", "2024-01-04T00:59:00.000Z")
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_is_written_reads_back_equal(command, file, tmp_path):
    [told] = answer(command(file, "--zone", "UTC", "--out", tmp_path / "out" / "deep", "--json"))
    written = Path(told["written"])
    assert written.name == "EURUSD_M1_20240104_20240104.csv.gz"
    assert gzip.decompress(written.read_bytes()).startswith(b"time,open")
    bars = import_file(written).bars
    assert bars is not None
    assert (bars.time.tolist(), bars.close.tolist()) == ([START + 60 * n for n in range(60)], [1.1001] * 60)


def test_symbol_and_zone_come_from_the_caller_where_given(command, file):
    [told] = answer(command(file, "--symbol", "EURUSDm", "--zone", "Europe/Athens", "--json"))
    assert (told["symbol"], told["first"]) == ("EURUSDm", "2024-01-03T22:00:00.000Z")
    assert "(as given)" in command(file, "--zone", "UTC").stdout


def test_the_first_damaged_lines_are_shown_and_the_rest_counted(command, file):
    file.write_text(rows(damaged=25), encoding="utf-8")
    result = command(file, "--zone", "UTC")
    assert result.exit_code == 0
    assert result.stdout.count("damaged  line") == 20
    assert "... and 5 more" in result.stdout
    assert "\x1b" not in result.stdout
    assert len(answer(command(file, "--zone", "UTC", "--json"))[0]["damaged"]) == 25


def test_holes_are_findings(command, file):
    lines = rows(200).splitlines()
    del lines[50:120]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert "quality  hole: EURUSD" in command(file, "--zone", "UTC").stdout


def test_one_bad_file_does_not_stop_the_others(command, file, tmp_path):
    junk = tmp_path / "GBPUSD_M1.csv"
    junk.write_bytes(b"\x00\x01\x02")
    result = command(junk, tmp_path / "AUDUSD_M1.csv", file, "--zone", "UTC", "--out", tmp_path / "out")
    assert result.exit_code == 5
    assert (tmp_path / "out" / "EURUSD_M1_20240104_20240104.csv.gz").exists()
    assert "GBPUSD_M1.csv" in result.stderr
    assert "AUDUSD_M1.csv" in result.stderr
    assert "rows     60 read, 60 kept" in result.stdout
    told = json.loads(command(junk, file, "--zone", "UTC", "--json").stdout)
    assert ["error" in entry for entry in told] == [True, False]


@pytest.mark.parametrize("zone", ["Atlantis", "", "UTC+abc"])
def test_an_impossible_zone_is_said(command, file, zone):
    result = command(file, "--zone", zone)
    assert result.exit_code == 5
    assert len(result.stderr.splitlines()) == 1


def test_two_files_of_the_same_days_do_not_overwrite_each_other(command, file, tmp_path):
    twin = tmp_path / "EURUSD_M1_again.csv"
    twin.write_text(rows(price=1.2), encoding="utf-8")
    result = command(file, twin, "--zone", "UTC", "--out", tmp_path / "out")
    assert result.exit_code == 5
    assert "EURUSD_M1_again.csv" in result.stderr
    bars = import_file(tmp_path / "out" / "EURUSD_M1_20240104_20240104.csv.gz").bars
    assert bars is not None
    assert bars.open[0] == 1.1


def test_a_file_is_never_written_over_itself(command, file, tmp_path):
    [told] = answer(command(file, "--zone", "UTC", "--out", tmp_path, "--json"))
    again = command(told["written"], "--out", tmp_path)
    assert again.exit_code == 5
    assert "overwritten" in again.stderr


def test_a_bid_and_an_ask_file_are_one_history(command, tmp_path):
    for side, price in (("bid", 1.1), ("ask", 1.1002)):
        (tmp_path / f"FXCM_EURUSD_M1_{side}_2024.csv").write_text(rows(price=price), encoding="utf-8")
    [told] = answer(command(tmp_path / "FXCM_EURUSD_M1_ask_2024.csv", tmp_path / "FXCM_EURUSD_M1_bid_2024.csv", "--zone", "UTC", "--json"))
    assert (told["path"][-12:], told["ask_path"][-12:], told["spread"]) == ("bid_2024.csv", "ask_2024.csv", True)


def test_halves_without_their_other_half_stay_single():
    one, two = Path("a/EURUSD_bid.csv"), Path("b/EURUSD_ask.csv")
    assert pairs([one, two, one]) == [(one, None), (two, None)]
    assert pairs([Path("Bidder_EURUSD.csv"), Path("Asker_EURUSD.csv")]) == [
        (Path("Bidder_EURUSD.csv"), None),
        (Path("Asker_EURUSD.csv"), None),
    ]
