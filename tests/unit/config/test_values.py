from __future__ import annotations

from pathlib import Path

import pytest

from config.values import FAULTS, broker_zone, distinct, plain_path, sim_faults, split_fault, split_list, trading_sessions


@pytest.mark.parametrize(
    ("given", "expected"),
    [("A,B", ("A", "B")), (" A , ,B,", ("A", "B")), ("", ()), (("A",), ("A",)), (3, 3)],
)
def test_text_is_split_at_commas_and_the_rest_is_left_alone(given: object, expected: object) -> None:
    assert split_list(given) == expected


def test_distinct_keeps_the_order() -> None:
    assert distinct(("B", "A")) == ("B", "A")


def test_distinct_names_all_that_stand_twice() -> None:
    with pytest.raises(ValueError, match="A, B"):
        distinct(("B", "A", "B", "A", "C"))


@pytest.mark.parametrize(
    "zone", ["America/New_York+7", "Europe/Athens", "UTC", "UTC+2", "America/Port-au-Prince", "America/Argentina/Ushuaia"]
)
def test_zones_that_exist_pass(zone: str) -> None:
    assert broker_zone(zone) == zone


@pytest.mark.parametrize(
    "zone", ["", "Nowhere/Here", "EET+", "UTC+15", "UTC-5", "Etc/GMT+2", "../etc/passwd", "America/New_York +7", "/UTC", "America"]
)
def test_zones_that_do_not_exist_or_mislead_are_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        broker_zone(zone)


def test_a_path_with_an_escape_read_as_a_tab_is_refused() -> None:
    with pytest.raises(ValueError, match="without double quotes"):
        plain_path(Path("C:\\MetaTrader 5\terminal64.exe"))


def test_a_plain_path_passes() -> None:
    assert plain_path(Path("C:\\MetaTrader 5\\terminal64.exe")) == Path("C:\\MetaTrader 5\\terminal64.exe")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("London 08:00-17:00", "Europe/London 08:00-17:00"),
        ("new york 08:00-17:00", "America/New_York 08:00-17:00"),
        ("Asia/Tokyo 22:00-02:00", "Asia/Tokyo 22:00-02:00"),
        ("UTC 00:00-23:59", "UTC 00:00-23:59"),
    ],
)
def test_a_session_is_stored_with_its_zone_in_full(given, stored):
    assert trading_sessions((given,)) == (stored,)


@pytest.mark.parametrize(
    "text",
    ["London", "08:00-17:00", "London 8:00-17:00", "London 08:00-24:00", "London 08:00-08:00", "Atlantis 08:00-17:00", "/ 08:00-17:00"],
)
def test_what_is_no_session_is_refused(text):
    with pytest.raises(ValueError, match=r"session|time zone"):
        trading_sessions((text,))


@pytest.mark.parametrize(
    ("text", "parts"),
    [("requote:0.02", ("requote", 0.02, 0)), ("lost@3", ("lost", 0.0, 3)), ("hang:1", ("hang", 1.0, 0)), ("none:.5", ("none", 0.5, 0))],
)
def test_a_fault_is_a_kind_and_what_it_strikes(text, parts):
    assert split_fault(text) == parts
    assert sim_faults((text,)) == (text,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("requotes:0.02", f"there is no fault 'requotes'; there are {', '.join(FAULTS)}"),
        ("requote", "'requote' is no fault; write its kind and the share"),
        ("requote:2", "'requote:2' is no fault"),
        ("requote:-0.1", "is no fault"),
        ("lost@0", "is no fault"),
        ("lost@1.5", "is no fault"),
        ("", "is no fault"),
    ],
)
def test_what_is_no_fault_is_refused_and_the_kinds_are_named(text, expected):
    with pytest.raises(ValueError, match=expected):
        sim_faults(("hang:0.1", text))
