"""Which version of a library opens what another one wrote."""

import pytest

from strategy.learning import libraries
from strategy.learning.libraries import differs, installed, mismatch

HERE = {"scikit-learn": "1.9.1", "xgboost": "3.2.0", "TA-Lib": "0.8.2", "numpy": "2.4.6", "torch": "2.13.0+cpu", "onnxruntime": "1.32.0"}


@pytest.fixture(autouse=True)
def these(monkeypatch):
    monkeypatch.setattr(libraries, "installed", lambda name: HERE.get(name, ""))


@pytest.mark.parametrize(
    "name_and_version",
    [
        ("scikit-learn", "1.9.0"),
        ("xgboost", "3.2.5"),
        ("TA-Lib", "0.8.0"),
        ("numpy", "2.0.1"),
        ("torch", "2.8.0+cu121"),
        ("onnxruntime", "0.1"),
        ("something-else", "7"),
    ],
)
def test_what_can_be_opened(name_and_version):
    assert mismatch(dict([name_and_version])) is None
    assert differs(dict([name_and_version]))


@pytest.mark.parametrize(
    "name_and_version",
    [
        ("scikit-learn", "1.8.9"),
        ("scikit-learn", "2.9.1"),
        ("xgboost", "3.1.0"),
        ("TA-Lib", "0.6.7"),
        ("numpy", "1.26.4"),
        ("torch", "1.13.1"),
    ],
)
def test_what_is_refused_and_why(name_and_version):
    name, version = name_and_version
    assert mismatch({**HERE, name: version}) == f"made with {name} {version}, installed is {HERE[name]}; retrain this slot"


def test_a_library_that_is_gone_is_said(monkeypatch):
    monkeypatch.delitem(HERE, "torch")
    assert "installed is none" in (mismatch({"torch": "2.8.0"}) or "")


def test_the_same_libraries_differ_in_nothing():
    assert mismatch(HERE) is None
    assert not differs(HERE)
    assert mismatch({}) is None


def test_what_is_not_installed_has_no_version():
    assert installed("no-such-library-at-all") == ""
