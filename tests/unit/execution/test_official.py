"""The official module is taken only where it is there and says what we say."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from config.errors import TerminalUnavailable
from execution.official import official_module
from execution.terminal import Execution, ModuleTerminal
from tests.unit.execution.test_mt5_client import client_of


def test_a_missing_module_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "MetaTrader5", None)
    with pytest.raises(TerminalUnavailable, match="Windows"):
        official_module()


def test_a_module_with_other_constants_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "MetaTrader5", SimpleNamespace(ORDER_TYPE_BUY=5))
    with pytest.raises(TerminalUnavailable, match="ORDER_TYPE_BUY"):
        official_module()


def test_the_module_is_taken_where_its_constants_agree(monkeypatch):
    module = SimpleNamespace(ORDER_TYPE_BUY=Execution.ORDER_TYPE_BUY, last_error=lambda: (1, "Success"), positions_get=lambda: ())
    monkeypatch.setitem(sys.modules, "MetaTrader5", module)
    assert client_of(ModuleTerminal(official_module())).positions() == ()
