from __future__ import annotations

import json
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import ArtifactError
from strategy.learning.artifact import FileEntry, Manifest, check_slot, check_suffix, manifest_of, parse_name, stem
from tests.fakes_registry import FILES, KEY, draft


def manifest(**changes) -> Manifest:
    return manifest_of(draft(**changes), 3, FILES).signed(KEY)


def test_a_manifest_survives_its_own_text():
    written = manifest()
    assert Manifest.trusted(written.to_json(), KEY) == written
    assert Manifest.from_json(written.to_json()) == written
    assert written.stem == "scalper_v3"


def test_it_says_size_and_hash_of_every_file():
    files = json.loads(manifest().to_json())["files"]
    assert files[".pkl"] == {"size": 11, "sha256": FileEntry.of(b"model bytes").sha256}


def test_the_signature_is_over_content_not_layout():
    payload = json.loads(manifest().to_json())
    shuffled = json.dumps(dict(reversed(payload.items()))).encode()
    assert Manifest.trusted(shuffled, KEY) == manifest()


@pytest.mark.parametrize("name", [n for n in Manifest.__dataclass_fields__ if n != "signature"])
def test_a_change_of_any_field_breaks_the_signature(name):
    payload = json.loads(manifest().to_json())
    payload[name] = {"other": 1} if isinstance(payload[name], dict) else "other"
    with pytest.raises(ArtifactError, match="signature is wrong"):
        Manifest.trusted(json.dumps(payload).encode(), KEY)


def test_another_key_breaks_the_signature():
    assert manifest().is_signed_with(KEY)
    assert not manifest().is_signed_with(b"other" * 8)
    with pytest.raises(ArtifactError, match="another key"):
        Manifest.trusted(manifest().to_json(), b"other" * 8)


@pytest.mark.parametrize("signature", [None, "", 5, [], True])
def test_no_signature_is_said_to_be_none(signature):
    payload = {**json.loads(manifest().to_json()), "signature": signature}
    with pytest.raises(ArtifactError, match="unsigned"):
        Manifest.trusted(json.dumps(payload).encode(), KEY)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\x00", b"NaN", b"[1]", b"null", b"[" * 100_000, b'{"signature": "\\ud800"}'])
def test_garbage_is_an_artifact_error(data):
    with pytest.raises(ArtifactError, match="manifest"):
        Manifest.trusted(data, KEY)


WRONG = {
    "version": "3",
    "rows": 9000.5,
    "seed": None,
    "features": "abc",
    "symbols": [1],
    "metrics": [],
    "parent": "1",
    "libraries": {"a": 1},
    "slot": 1,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_named(name):
    payload = {**json.loads(manifest().to_json()), name: WRONG[name]}
    with pytest.raises(ArtifactError, match=rf"manifest: field {name}"):
        Manifest.from_json(json.dumps(payload).encode())


@pytest.mark.parametrize("name", [n for n in Manifest.__dataclass_fields__ if n != "signature"])
def test_a_missing_field_is_named(name):
    payload = json.loads(manifest().to_json())
    del payload[name]
    with pytest.raises(ArtifactError, match=rf"manifest: field {name}"):
        Manifest.from_json(json.dumps(payload).encode())


def test_an_unknown_field_is_named_even_where_it_is_signed():
    payload = {**json.loads(manifest().to_json()), "surprise": 1}
    with pytest.raises(ArtifactError, match="manifest: field surprise"):
        Manifest.from_json(json.dumps(payload).encode())


@pytest.mark.parametrize("entry", [{"size": -1, "sha256": "0" * 64}, {"size": 1, "sha256": "xyz"}, {"size": 1}])
def test_a_malformed_file_entry_is_named(entry):
    payload = json.loads(manifest().to_json())
    payload["files"][".pkl"] = entry
    with pytest.raises(ArtifactError, match=r"field files\.\.pkl"):
        Manifest.from_json(json.dumps(payload).encode())


def test_numpy_scalars_and_read_only_mappings_are_written_as_plain_values():
    written = manifest(metrics=MappingProxyType({"a": np.float64(0.1), "b": np.float32(0.5), "n": np.int64(7), "ok": np.bool_(True)}))
    assert Manifest.trusted(written.to_json(), KEY).metrics == {"a": 0.1, "b": 0.5, "n": 7, "ok": True}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), np.float64("nan")])
def test_what_json_cannot_hold_is_refused_by_field(value):
    with pytest.raises(ArtifactError, match="field metrics"):
        manifest(metrics={"a": value})


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=5), VALUES | st.lists(VALUES, max_size=3), max_size=4))
def test_any_metrics_keep_their_values_and_their_signature(metrics):
    written = manifest(metrics=metrics)
    assert Manifest.trusted(written.to_json(), KEY).metrics == metrics


@pytest.mark.parametrize(
    "slot", ["scalper", "lstm_EURUSD", "lstm_EURUSD.m", "lstm_#AAPL", "lstm_BTCUSD+", "lstm_US30_v2", "console", "com10"]
)
def test_ordinary_slots_are_allowed(slot):
    check_slot(slot)
    assert parse_name(f"{stem(slot, 12)}_scaler.pkl") == (slot, 12, "_scaler.pkl")


BAD_SLOTS = [
    "",
    "a/b",
    "a\\b",
    "a:b",
    "a*",
    "a?",
    'a"',
    "<a",
    "a>",
    "a|b",
    "a.",
    "a ",
    " a",
    ".a",
    "CON",
    "nul",
    "aux.m",
    "com1",
    "LPT9.x",
    "a\nb",
    "a\0",
    "x" * 101,
]


@pytest.mark.parametrize("slot", BAD_SLOTS)
def test_a_slot_that_cannot_name_a_file_on_windows_is_refused(slot):
    with pytest.raises(ArtifactError, match="cannot name files"):
        check_slot(slot)


@pytest.mark.parametrize("suffix", [".pkl", "_features.pkl", ".pth", "_target_scaler.pkl", "_golden.npz", ".onnx"])
def test_the_fixed_suffixes_are_allowed(suffix):
    check_suffix(suffix)


@pytest.mark.parametrize(
    "suffix", ["", ".json", "pkl", "/../x.pkl", "_v2.pkl", "_a_v2_b.pkl", "_..pkl", ".", "_a b.pkl", "_a\\b.pkl", "_scaler.pkl."]
)
def test_a_suffix_that_leads_elsewhere_is_refused(suffix):
    with pytest.raises(ArtifactError, match="is not allowed"):
        check_suffix(suffix)


@pytest.mark.parametrize(
    "name", ["lstm_EURUSD.pth", "scalper_v.pkl", "scalper_v0.pkl", "scalper_v01.pkl", "_v1.pkl", "scalper_v1", "active.json"]
)
def test_other_names_are_no_version(name):
    assert parse_name(name) is None
