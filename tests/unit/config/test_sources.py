from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import SettingsError
from config.loading import load_settings
from config.settings import Settings
from config.sources import section_models, sections_by_field


def test_every_field_name_is_unique_over_all_sections() -> None:
    names = Counter(name for model in section_models(Settings).values() for name in model.model_fields)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_field_of_the_settings_is_a_section() -> None:
    assert list(section_models(Settings)) == list(Settings.model_fields)


def test_a_field_is_found_in_its_section() -> None:
    owners = sections_by_field(Settings)
    assert (owners["risk_percent"], owners["terminal"], owners["symbols"]) == ("risk", "terminal", "symbols")


def test_flat_names_reach_their_sections(write_env: Callable[..., Path]) -> None:
    loaded = load_settings(write_env("RISK_PERCENT=1.5", "horizon_bars=40", "export SYMBOLS=EURUSD,XAUUSD"))
    assert (loaded.risk.risk_percent, loaded.exits.horizon_bars, loaded.symbols.symbols) == (1.5, 40, ("EURUSD", "XAUUSD"))


def test_an_empty_value_means_the_default(write_env: Callable[..., Path]) -> None:
    assert load_settings(write_env("RISK_PERCENT=", "MT5_LOGIN=")) == load_settings()


def test_other_names_of_the_environment_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISK_PERCNT", "3")
    monkeypatch.setenv("DATA", "3")
    assert load_settings() == Settings()


@pytest.mark.parametrize("section", sorted(Settings.model_fields.keys() - sections_by_field(Settings).keys()))
def test_the_name_of_a_section_is_no_setting_unless_a_field_bears_it(section: str, write_env: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match=f"{section.upper()}: there is no such setting"):
        load_settings(write_env(f"{section.upper()}=1", "HISTORY_BARS=5000", "RISK_PERCENT=1"))
