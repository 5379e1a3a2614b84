"""Every code of the venue and of the module has a name, a class and a remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.errors import TerminalCallFailed, TerminalDisconnected
from execution.retcodes import RETCODES, Verdict, call_error, retcode
from execution.terminal import LAST_ERRORS

# The module's TRADE_RETCODE_* constants: 10004 and 10006..10045 without 10005 and 10037.
TRADE_CODES = {10004, *range(10006, 10046)} - {10037}
LAST_ERROR_CODES = {1, *range(-8, 0), *range(-10005, -9999)}
CONSTANTS = Path(__file__).parents[3] / ".." / "shared" / "docs" / "mt5_constants.json"


def test_every_trade_retcode_is_mapped():
    assert set(RETCODES) == TRADE_CODES
    assert len(TRADE_CODES) == 40


def test_every_last_error_is_mapped():
    assert set(LAST_ERRORS) == LAST_ERROR_CODES


@pytest.mark.skipif(not CONSTANTS.exists(), reason="the table of the module's constants is not here")
def test_the_sets_are_those_of_the_module():
    constants = json.loads(CONSTANTS.read_text(encoding="utf-8"))
    codes = {value: name.removeprefix("TRADE_RETCODE_") for name, value in constants.items() if name.startswith("TRADE_RETCODE_")}
    assert codes == {code: row.name for code, row in RETCODES.items()}
    assert {value for name, value in constants.items() if name.startswith("RES_")} == LAST_ERROR_CODES


def test_each_row_has_a_remedy():
    assert all(len(row.remedy) > 5 and row.code == code for code, row in RETCODES.items())


@pytest.mark.parametrize(
    ("verdict", "codes"),
    [
        (Verdict.ACCEPTED, {10008, 10009, 10010}),
        (Verdict.PRICE, {10004, 10020, 10021}),
        (Verdict.WAIT, {10024, 10028, 10031}),
        (Verdict.UNKNOWN, {10012}),
    ],
)
def test_classes(verdict, codes):
    assert {code for code, row in RETCODES.items() if row.verdict is verdict} == codes


@pytest.mark.parametrize("code", [0, 1, 10005, 10037, 10046, 99999])
def test_an_unknown_code_counts_as_refused(code):
    assert retcode(code).verdict is Verdict.REFUSED


@pytest.mark.parametrize("code", sorted(LAST_ERROR_CODES - {1}))
def test_each_last_error_becomes_one_of_our_errors(code):
    error = call_error("positions_get", code, "text")
    assert isinstance(error, TerminalCallFailed)
    assert isinstance(error, TerminalDisconnected) == (code <= -10000)
    assert error.code == code
    assert LAST_ERRORS[code] in str(error)


def test_an_unknown_last_error_is_a_failed_call():
    assert type(call_error("f", -77, "?")) is TerminalCallFailed
