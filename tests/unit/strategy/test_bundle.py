from __future__ import annotations

import pytest

from config.errors import ArtifactError, SchemaMismatch
from strategy.bundle import file_bytes, owner, pickled, require_columns, unpickled
from tests.fakes_models import SCHEMA, info_of


def test_a_value_survives_the_round_trip():
    assert unpickled("x v1", {".pkl": pickled({"a": [1, 2]})}, ".pkl") == {"a": [1, 2]}


def test_bytes_after_the_end_do_not_hold_up_the_reading():
    assert unpickled("x v1", {".pkl": pickled("a") + bytes(100_000)}, ".pkl") == "a"


def test_a_missing_file_is_named():
    with pytest.raises(ArtifactError, match=r"xgboost v1: file \*\.pkl is missing"):
        file_bytes(owner(info_of("xgboost")), {}, ".pkl")


@pytest.mark.parametrize("cut", [0, 1, 10, 200])
def test_a_truncated_pickle_is_an_artifact_error(cut):
    with pytest.raises(ArtifactError, match="cannot be read"):
        unpickled("x v1", {".pkl": pickled(list(range(1000)))[:cut]}, ".pkl")


@pytest.mark.parametrize("junk", [b"junk", b"\x80\x04junk", b"cno_such_module\nThing\n.", b"\x00" * 50])
def test_nonsense_is_an_artifact_error(junk):
    with pytest.raises(ArtifactError, match="cannot be read"):
        unpickled("x v1", {".pkl": junk}, ".pkl")


def test_columns_must_be_those_of_the_manifest():
    require_columns(info_of("xgboost"), list(SCHEMA.names))
    with pytest.raises(SchemaMismatch) as caught:
        require_columns(info_of("xgboost"), ["other", *SCHEMA.names[1:]])
    assert caught.value.missing == ("feature_0",)
    assert caught.value.unexpected == ("other",)


def test_columns_must_be_a_list():
    with pytest.raises(ArtifactError, match="a list is needed"):
        require_columns(info_of("xgboost"), {"feature_0": 1})
