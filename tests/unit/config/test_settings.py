from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from config.settings import ExitSettings, RiskSettings, Settings, SymbolSettings, TerminalSettings
from config.sources import section_models


def settings(**sections: Any) -> Settings:
    return Settings(**sections)


def test_the_defaults_are_sound() -> None:
    assert settings().risk.risk_percent == 0.5


def test_the_defaults_are_within_their_own_ranges() -> None:
    for section, model in section_models(Settings).items():
        given = {name: field.get_default() for name, field in model.model_fields.items()}
        assert model(**given) == getattr(settings(), section)


def test_every_setting_says_what_it_is() -> None:
    silent = [name for model in section_models(Settings).values() for name, field in model.model_fields.items() if not field.description]
    assert silent == []


def test_settings_and_sections_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings().risk.risk_percent = 5.0  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValidationError):
        settings().risk = RiskSettings()  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("value", [0, -1, 5.1, float("nan"), float("inf"), "much"])
def test_risk_outside_its_range_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        RiskSettings(risk_percent=value)


def test_no_number_is_infinite_even_where_no_upper_bound_stands() -> None:
    with pytest.raises(ValidationError, match="finite"):
        settings(simulation={"sim_balance": "inf"})


def test_an_unknown_name_in_a_section_is_refused() -> None:
    with pytest.raises(ValidationError):
        ExitSettings(horizon=5)


def test_symbols_are_split_and_kept_as_the_broker_writes_them() -> None:
    assert SymbolSettings(symbols="EURUSDm, GBPUSD.r ,").symbols == ("EURUSDm", "GBPUSD.r")


def test_a_symbol_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="named twice: EURUSD"):
        SymbolSettings(symbols="EURUSD,GBPUSD,EURUSD")


def test_no_symbol_at_all_is_refused() -> None:
    with pytest.raises(ValidationError):
        SymbolSettings(symbols=" , ")


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"gate": {"gate_profile": "threshold"}, "terminal": {"trade_mode": "live"}}, "GATE_PROFILE=threshold"),
        ({"models": {"use_lag_llama": True}}, "USE_LAG_LLAMA=true"),
        ({"exits": {"break_even_r": 0.5, "break_even_offset": 2.6}}, "BREAK_EVEN_OFFSET lies beyond"),
        ({"terminal": {"terminal": "mt5"}}, "TERMINAL=mt5 without MT5_LOGIN"),
        (
            {"terminal": {"mt5_login": 7, "mt5_server": "Demo"}, "simulation": {"sim_faults": "lost@1"}},
            "SIM_FAULTS with a real terminal",
        ),
        ({"models": {"model_path": "same", "xgb_model_path": "same"}}, "MODEL_PATH equals XGB_MODEL_PATH"),
        ({"models": {"use_random_forest": False, "use_xgboost": False, "use_lstm": False}}, "all false"),
    ],
)
def test_values_that_contradict_each_other_are_refused(sections: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        settings(**sections)


@pytest.mark.parametrize(
    ("chosen", "login", "real"),
    [("auto", None, False), ("auto", 7, True), ("mt5", 7, True), ("simulated", 7, False), ("simulated", None, False)],
)
def test_a_real_terminal_is_used_when_asked_for_or_when_a_login_is_set(chosen: str, login: int | None, real: bool) -> None:
    assert settings(terminal={"terminal": chosen, "mt5_login": login, "mt5_server": "Demo"}).uses_mt5 is real


def test_secrets_do_not_show_in_repr_or_text() -> None:
    given = settings(terminal=TerminalSettings(mt5_password=SecretStr("hunter2")), models={"model_signing_key": "k" * 40})
    assert "hunter2" not in repr(given) + str(given)
    assert "k" * 40 not in repr(given) + str(given)


def test_secrets_do_not_show_in_the_errors_of_pydantic() -> None:
    with pytest.raises(ValidationError) as caught:
        settings(models={"model_signing_key": "hunter2"})
    assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("terminal", ["auto", "mt5"])
def test_a_login_without_its_server_is_refused(terminal: str) -> None:
    """The server is half of the name by which a home knows whose prices it holds."""
    with pytest.raises(ValidationError, match="MT5_LOGIN without MT5_SERVER"):
        settings(terminal={"terminal": terminal, "mt5_login": 7})
    settings(terminal={"terminal": terminal, "mt5_login": 7, "mt5_server": "Demo"})
    settings(terminal={"terminal": "simulated", "mt5_login": 7})


def test_an_offset_that_break_even_can_reach_is_accepted() -> None:
    Settings(exits={"break_even_r": 0.5, "break_even_offset": 2.5})
    Settings(exits={"break_even_r": 0.0, "break_even_offset": 2.5})  # off
