"""`models`: the registry by hand."""

import json

import pytest

from config.home import hold_home, open_home
from tests.fakes_commands import answer, commands, registry_in
from tests.fakes_registry import publish


@pytest.fixture
def home(tmp_path):
    return open_home(tmp_path / "home", "synthetic")


@pytest.fixture
def registry(home):
    registry = registry_in(home)
    publish(registry), publish(registry), publish(registry, "xgboost")
    return registry


@pytest.fixture
def models(monkeypatch, tmp_path, home):
    command = commands(monkeypatch, tmp_path)
    return lambda *arguments: command("models", *arguments, "--home", home.path)


def test_a_home_without_models_says_so(models):
    assert models("list").stdout == "no models yet\n"
    assert models("verify").stdout == "ok: 0 versions\n"
    assert models("prune").stdout == "nothing to delete\n"


def test_the_list_tells_what_serves_and_what_served_before(models, registry):
    rows = answer(models("list", "--json"))
    assert [(row["slot"], row["version"], row["active"], row["previous"]) for row in rows] == [
        ("scalper", 1, False, True),
        ("scalper", 2, True, False),
        ("xgboost", 1, True, False),
    ]
    assert [line.split()[2] for line in models("list").stdout.splitlines()] == ["state", "previous", "active", "active"]


def test_files_without_a_manifest_are_legacy(models, home):
    (home.models / "lstm_EURUSD.pth").write_bytes(b"old")
    assert "legacy, never loaded" in models("list").stdout


def test_show_tells_a_version_whole(models, registry):
    assert answer(models("show", "scalper", "--json"))["version"] == 2
    assert answer(models("show", "scalper", "1", "--json"))["version"] == 1
    text = models("show", "scalper").stdout
    for words in ("scalper version 2 (random_forest)", "EURUSD M1", "0.53123", "scalper_v2.pkl", "sha256"):
        assert words in text


def test_rollback_promote_and_rollback_to(models, registry):
    assert "version 1 is active, before: 2" in models("rollback", "scalper").stdout
    assert answer(models("promote", "scalper", "2", "--json"))["active"] == 2
    assert answer(models("rollback", "scalper", "--to", "1", "--json"))["active"] == 1
    again = answer(models("rollback", "scalper", "--to", "1", "--json"))
    assert (again["active"], again["changed"]) == (1, False)
    assert registry.state().slot("scalper").active == 1


def test_a_pinned_slot_stays_until_unpinned(models, registry):
    assert "version 2 stays active" in models("pin", "scalper").stdout
    refused = models("promote", "scalper", "1")
    assert refused.exit_code == 1
    assert "`models unpin scalper` first" in refused.stderr
    assert "may serve again" in models("unpin", "scalper").stdout
    assert models("promote", "scalper", "1").exit_code == 0


def test_the_answer_says_when_it_counts(models, registry, home):
    assert "serves when the daemon starts" in models("rollback", "scalper").stdout
    with hold_home(home):
        assert "the running daemon adopts it" in models("promote", "scalper", "2").stdout


@pytest.mark.parametrize(
    "arguments",
    [["show", "foo"], ["promote", "foo", "1"], ["promote", "scalper", "9"], ["rollback", "scalper", "--to", "9"], ["pin", "../x"]],
)
def test_a_slot_or_version_that_nobody_made_is_a_slip(models, registry, arguments):
    before = registry.state()
    result = models(*arguments)
    assert result.exit_code == 2
    assert "there are: " in result.stderr
    assert registry.state() == before


def test_nothing_to_roll_back_to_is_said(models, registry):
    result = models("rollback", "xgboost")
    assert result.exit_code == 1
    assert "no previous version" in result.stderr


@pytest.mark.parametrize("arguments", [["verify"], ["promote", "scalper", "1"], ["rollback", "scalper"], ["show", "scalper", "1"]])
def test_an_altered_file_is_a_failed_check_that_names_it(models, registry, home, arguments):
    (home.models / "scalper_v1.pkl").write_bytes(b"MODEL bytes")
    result = models(*arguments)
    assert result.exit_code == 5
    assert "scalper_v1.pkl" in result.stderr
    assert registry.state().slot("scalper").active == 2


def test_a_version_that_cannot_serve_is_not_pinned(models, registry, home):
    (home.models / "scalper_v2.pkl").write_bytes(b"MODEL bytes")
    result = models("pin", "scalper")
    assert result.exit_code == 5
    assert "scalper_v2.pkl" in result.stderr
    assert not registry.state().slot("scalper").pinned


def test_verify_as_json_still_fails(models, registry, home):
    (home.models / "scalper_v1.json").write_bytes(b"{}")
    result = models("verify", "--json")
    assert result.exit_code == 5
    assert [refusal["file"] for refusal in json.loads(result.stdout)["refused"]] == ["scalper_v1.json"]


def test_a_key_from_the_settings_is_the_one_that_counts(models, registry, monkeypatch):
    monkeypatch.setenv("MODEL_SIGNING_KEY", "another key " * 3)
    assert models("verify").exit_code == 5


def test_prune_names_what_it_deletes_and_a_dry_run_deletes_nothing(models, registry, home, monkeypatch):
    for _ in range(2):
        publish(registry)
    monkeypatch.setenv("KEEP_VERSIONS", "2")
    assert "would delete scalper_v1.pkl" in models("prune", "--dry-run").stdout
    assert (home.models / "scalper_v1.pkl").exists()
    assert "scalper_v1.pkl" in answer(models("prune", "--json"))["files"]
    assert not (home.models / "scalper_v1.pkl").exists()
