from __future__ import annotations

import pytest
from pydantic import SecretStr

from config.settings import Settings
from config.sources import section_models
from config.wording import allowed_values, is_secret, unknown_name, written

FIELDS = {name: field for model in section_models(Settings).values() for name, field in model.model_fields.items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("risk_percent", "number > 0 and <= 5"),
        ("mt5_login", "whole number >= 1"),
        ("mt5_path", "path"),
        ("use_lstm", "true or false"),
        ("trade_mode", "paper | live"),
        ("symbols", "comma-separated names"),
        ("blocked_hours", "comma-separated values, each a whole number >= 0 and <= 23"),
        ("model_signing_key", "text length >= 32"),
        ("mt5_server", "text"),
    ],
)
def test_what_a_field_allows_is_said_in_words(name: str, expected: str) -> None:
    assert allowed_values(FIELDS[name]) == expected


def test_only_the_secrets_are_secret() -> None:
    assert {name for name, field in FIELDS.items() if is_secret(field)} == {"mt5_password", "model_signing_key"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), (0.5, "0.5"), (("A", "B"), "A,B"), ("x", "x"), (SecretStr("y"), "********")]
)
def test_a_value_is_written_as_in_the_file(value: object, text: str) -> None:
    assert written(value) == text


def test_an_unknown_name_far_from_any_setting_points_to_the_list() -> None:
    assert unknown_name("zzz", Settings) == "ZZZ: there is no such setting; .env.example lists every name"
