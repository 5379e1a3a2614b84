"""`models`: the registry by hand."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from config.home import hold_home, open_home, signing_key
from market_data.clock import ManualClock, utc_text
from strategy.decision import ModelEvent
from strategy.learning import lifecycle
from strategy.learning.active import Trial
from strategy.learning.catalogue import marks_of
from strategy.learning.lifecycle import Failure, LifeRules
from tests.contracts.recorder_contract import START, an_outcome
from tests.fakes_commands import answer, commands, home_with_journal, registry_in, state_of
from tests.fakes_registry import FILES, NOW, accept, draft, make_registry, publish, successor
from utils.journal_queries import JournalReader
from utils.trade_journal import TradeJournal


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


@pytest.mark.parametrize("content", [b'{"generation"', None])
def test_verify_tells_of_a_pointer_that_was_damaged_or_lost(models, registry, home, content):
    """Though opening the registry has mended it already."""
    path = home.models / "active.json"
    path.unlink() if content is None else path.write_bytes(content)
    result = models("verify")
    assert result.exit_code == 5
    assert "refused: active.json: active.json is " in result.stderr
    assert models("verify").stdout == "ok: 3 versions\n"


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


# --- diff ---------------------------------------------------------------------------------------


@pytest.fixture
def two(home):
    """A version, and one of other columns, settings and figures."""
    registry = registry_in(home)
    registry.publish(draft(), FILES, accept)
    changes = {
        "features": ("atr_14", "return_1", "spread"),
        "hyper_parameters": {"trees": 200},
        "metrics": {"accuracy": 0.55, "folds": {"1": {"rows": 70}}},
        "rows": 12_000,
    }
    registry.publish(successor(registry, **changes), FILES, accept)
    return registry


def test_diff_tells_what_differs(models, two):
    told = answer(models("diff", "scalper", "1", "2", "--json"))
    assert told["versions"] == [1, 2]
    assert told["facts"]["rows"] == [9_000, 12_000]
    assert "seed" not in told["facts"]  # the same in both
    assert told["features"] == {"added": ["spread"], "removed": [], "reordered": True}
    assert told["settings"] == {"hyper_parameters.trees": [150, 200]}
    assert told["metrics"]["folds.1.rows"] == [None, 70]


def test_diff_compares_with_the_active_version(models, two):
    assert answer(models("diff", "scalper", "1", "--json"))["versions"] == [1, 2]
    text = models("diff", "scalper", "1").stdout
    for words in ("version 1  version 2", "columns added: spread", "columns removed: none", "another order", "+0.018765"):
        assert words in text


def test_diff_of_a_version_with_itself_finds_nothing(models, two):
    told = answer(models("diff", "scalper", "2", "2", "--json"))
    assert (told["settings"], told["features"]) == ({}, {"added": [], "removed": [], "reordered": False})
    assert set(told["facts"]) == {"created", "first_bar", "last_bar", "rows"}
    assert "same settings" in models("diff", "scalper", "2", "2").stdout


def test_diff_refuses_what_is_altered_and_what_nobody_made(models, two, home):
    assert models("diff", "scalper", "1", "7").exit_code == 2
    (home.models / "scalper_v1.pkl").write_bytes(b"MODEL bytes")
    assert models("diff", "scalper", "1", "2").exit_code == 5


# --- import -------------------------------------------------------------------------------------

OLD_FILES = ("lstm_EURUSD.pth", "lstm_EURUSD_scaler.pkl", "scalper.pkl", "xgboost_features.pkl", "notes.pkl")


@pytest.fixture
def older(home):
    """A home over the models of an older installation."""
    for name in OLD_FILES:
        (home.models / name).write_bytes(b"old")
    with closing(state_of(home)) as state:
        yield state


def test_import_sets_old_files_aside_and_queues_their_slots(models, older, home):
    told = answer(models("import", "--json"))
    assert set(told["files"]) == {f"legacy/{name}" for name in OLD_FILES}
    assert told["retrain"] == older.get("control.retrain") == ["lstm_EURUSD", "scalper", "xgboost"]
    assert models("list").stdout.count("legacy, never loaded") == len(OLD_FILES)
    assert models("import").stdout == "nothing to import: no file in models/ is without a manifest\n"
    assert models("verify").stdout == "ok: 0 versions\n"


def test_a_dry_run_of_import_moves_and_queues_nothing(models, older, home):
    text = models("import", "--dry-run").stdout
    assert "would set aside scalper.pkl" in text
    assert "would be queued: lstm_EURUSD, scalper, xgboost" in text
    assert (home.models / "scalper.pkl").exists()
    assert older.get("control.retrain") is None


def test_import_adds_to_what_was_asked_for_before(models, older):
    older.set("control.retrain", ["lstm_GBPUSD"])
    models("import")
    assert older.get("control.retrain") == ["lstm_EURUSD", "lstm_GBPUSD", "scalper", "xgboost"]


def test_a_name_that_tells_no_slot_queues_nothing(models, home):
    (home.models / "notes.pkl").write_bytes(b"old")
    assert "no retrain queued" in models("import").stdout
    with closing(state_of(home)) as state:
        assert state.get("control.retrain") is None


# --- log ----------------------------------------------------------------------------------------


def at(minute: int) -> str:
    return utc_text(START + timedelta(minutes=minute))


@pytest.fixture
def lived(tmp_path):
    """Versions 1 and 2 promoted at minutes 10 and 20, back to 1 at 30; the journal's decisions at 0, 1 and 2 used another."""
    home = home_with_journal(tmp_path / "home")
    for minute, act in ((10, publish), (20, publish), (30, lambda registry: registry.rollback("scalper"))):
        act(make_registry(home.models, key=signing_key(home, None), now=START + timedelta(minutes=minute)))
    return home


@pytest.mark.parametrize(("minute", "version", "by"), [(5, None, None), (10, 1, "promoted"), (29, 2, "promoted"), (31, 1, "rolled back")])
def test_the_log_says_which_version_served_at_a_time(models, lived, minute, version, by):
    (row,) = answer(models("log", "--at", at(minute), "--json"))["slots"]
    assert (row["slot"], row["active"], row["by"]) == ("scalper", version, by)


def test_the_log_says_what_the_decisions_used(models, lived):
    (row,) = answer(models("log", "--at", at(1), "--json"))["slots"]
    with closing(JournalReader(lived.journal, account="simulated/1", mode="simulated")) as journal:
        used = {made["bar_time"]: made["versions"].get("scalper") for made in journal.decisions(9)}
    assert row["bar"] == max(bar for bar in used if bar <= at(1))
    assert row["decided_with"] == used[row["bar"]]


def test_a_time_may_have_a_zone_or_none_and_must_be_one(models, lived):
    local = (START + timedelta(minutes=29)).astimezone(timezone(timedelta(hours=2)))
    for text in (local.isoformat(), at(29), at(29).removesuffix("Z")):
        assert answer(models("log", "--at", text, "--json"))["at"] == at(29)
    assert models("log", "--at", "yesterday").exit_code == 2


def test_the_log_lists_changes_newest_first(models, lived):
    rows = answer(models("log", "--json"))
    assert [(row["event"], row["before"], row["after"]) for row in rows] == [
        ("rolled back", 2, 1),
        ("promoted", 1, 2),
        ("promoted", None, 1),
    ]
    assert len(answer(models("log", "scalper", "--limit", "1", "--json"))) == 1
    assert "rolled back" in models("log").stdout
    assert models("log", "foo").exit_code == 2


def test_what_is_older_than_the_record_comes_from_the_journal(models, lived):
    """A home whose record began after its first promotion."""
    registry = registry_in(lived)
    slot = registry.state().slot("scalper")
    registry._file.write(registry.state().with_slot("scalper", replace(slot, history=slot.history[1:])))
    path = lived.models / "promotions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with closing(TradeJournal(lived.journal, account="simulated/1", mode="simulated", clock=ManualClock(START))) as journal:
        for minute, event, version in ((-10, "rejected", 0), (10, "promoted", 1), (20, "promoted", 2)):
            journal.record_model_event(ModelEvent(START + timedelta(minutes=minute), "scalper", event, version, "told by the trainer"))
    found = {minute: answer(models("log", "--at", at(minute), "--json"))["slots"][0]["active"] for minute in (-5, 9, 11, 21, 31)}
    assert found == {-5: None, 9: None, 11: 1, 21: 2, 31: 1}
    assert [row["generation"] for row in answer(models("log", "--json"))] == [3, 2, 0]


@pytest.mark.parametrize(
    ("beat", "decided", "dated"), [(None, 2, 30), (5, 2, 30), (40, 2, 40), (5, 50, 51)], ids=["change", "older", "heartbeat", "decision"]
)
def test_a_command_is_dated_by_the_newest_that_is_known_of_the_simulated_market(models, lived, beat, decided, dated):
    """Neither years after the daemon's own changes nor before them; what a heartbeat says may be hours of its bars old."""
    if beat is not None:
        with closing(state_of(lived)) as state:
            state.set("status", {"at": at(beat)})
    with closing(TradeJournal(lived.journal, account="simulated/2", mode="simulated", clock=ManualClock(START))) as journal:
        journal.record_decision(an_outcome(START + timedelta(minutes=decided)))
    models("promote", "scalper", "2")
    assert answer(models("log", "--limit", "1", "--json"))[0]["at"] == at(dated)


@pytest.mark.parametrize("damage", ["journal.db", "shared_state.db", "models/active.json"])
def test_what_cannot_be_read_dates_nothing_and_stops_nothing(models, lived, damage):
    (lived.path / damage).write_bytes(b"damaged " * 1_000)
    assert models("promote", "scalper", "2").exit_code == 0


def test_the_log_says_why(models, lived):
    registry = registry_in(lived)
    look = registry.state().slot("scalper")
    registry.move("scalper", lambda held: lifecycle.stopped(held, look, Failure(at(5), "it loses"), NOW))
    assert answer(models("log", "--limit", "1", "--json"))[0]["reason"] == "it loses"
    assert "it loses" in models("log").stdout
    registry.promote("scalper", 2)
    registry.move("scalper", lambda held: lifecycle.promoted(held, 1, "it has waited"))
    (row,) = answer(models("log", "--at", "2030-01-01", "--json"))["slots"]
    assert (row["active"], row["reason"]) == (1, "it has waited")
    assert "it has waited" in models("log", "--at", "2030-01-01").stdout


def stop(registry):
    look = registry.state().slot("scalper")
    registry.move("scalper", lambda held: lifecycle.stopped(held, look, Failure("2026-01-05T10:00:00.000Z", "it loses"), NOW))


def test_a_stopped_version_is_marked_and_can_be_resumed(models, registry):
    stop(registry)
    assert "active stopped" in models("list").stdout
    assert [row["marks"] for row in answer(models("list", "--json"))] == [["previous"], ["active", "stopped"], ["active"]]
    assert "version 2 is active, before: 2" in models("resume", "scalper").stdout
    assert registry.state().slot("scalper").voting == 2
    assert "nothing to change" in models("resume", "scalper").stdout


def test_a_stopped_version_is_not_told_as_if_it_voted(models, registry):
    models("rollback", "scalper")
    stop(registry)
    answered = models("rollback", "scalper")
    assert answered.exit_code == 0
    for words in ("nothing to change", "version 1 is active but stopped since 2026-01-05 12:00", "`models resume scalper`"):
        assert words in answered.stdout


def test_a_stopped_version_is_not_pinned(models, registry):
    stop(registry)
    refused = models("pin", "scalper")
    assert refused.exit_code == 5
    assert "version 2 is active but stopped" in refused.stderr
    assert "`models resume scalper`" in refused.stderr
    assert not registry.state().slot("scalper").pinned
    models("resume", "scalper")
    assert "stays active" in models("pin", "scalper").stdout


def test_a_second_rollback_does_not_ask_for_the_version_that_was_left(models, registry, home):
    assert models("rollback", "scalper").exit_code == 0
    (home.models / "scalper_v2.pkl").write_bytes(b"MODEL bytes")
    again = models("rollback", "scalper")
    assert (again.exit_code, again.stdout) == (0, "scalper: nothing to change; version 1 is active\n")


def test_an_order_for_the_version_on_probation_settles_it(models, registry):
    registry.rules = LifeRules(probation=True)
    publish(registry)
    assert answer(models("list", "--json"))[2]["marks"] == ["active", "probation"]
    assert "version 3 is active and settled" in models("promote", "scalper", "3").stdout
    assert registry.state().slot("scalper").probation is None
    assert "nothing to change" in models("promote", "scalper", "3").stdout


def test_versions_that_have_still_to_show_themselves_are_marked(models, registry):
    slot = registry.state().slot("scalper")
    tried = replace(slot, probation=Trial(1, "2026-01-05T10:00:00.000Z"), waiting=1, pinned=True)
    assert marks_of(tried, 2) == ("active", "probation", "pinned")
    assert marks_of(tried, 1) == ("previous", "waiting")
    assert marks_of(replace(slot, shadow=Trial(7, "2026-01-05T10:00:00.000Z")), 7) == ("shadow",)
