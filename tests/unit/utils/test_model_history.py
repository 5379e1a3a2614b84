from contextlib import closing
from datetime import timedelta

import pytest

from market_data.clock import ManualClock
from strategy.decision import ModelEvent
from strategy.learning import lifecycle
from strategy.learning.active import ActiveState
from tests.fakes_registry import NOW, make_registry, publish
from utils.model_history import complete_history
from utils.trade_journal import TradeJournal


@pytest.fixture
def registry(tmp_path):
    return make_registry(tmp_path / "models")


@pytest.fixture
def journal(tmp_path):
    with closing(TradeJournal(tmp_path / "journal.db", account="simulated/1", mode="simulated", clock=ManualClock(NOW))) as journal:
        yield journal


def told(journal):
    return [(row["slot"], row["event"], row["version"]) for row in reversed(journal.model_events(100))]


def test_every_change_by_hand_is_journalled_once(registry, journal):
    publish(registry), publish(registry)
    registry.rollback("scalper")
    registry.pin("scalper")
    assert complete_history(journal, registry.state()) == 4
    assert complete_history(journal, registry.state()) == 0
    assert told(journal) == [
        ("scalper", "promoted", 1),
        ("scalper", "promoted", 2),
        ("scalper", "rolled_back", 1),
        ("scalper", "pinned", 1),
    ]


def test_what_the_trainer_journalled_is_not_told_twice(registry, journal):
    publish(registry)
    journal.record_model_event(ModelEvent(NOW + timedelta(seconds=2), "scalper", "promoted", 1, "passed the strict gate", {"passed": True}))
    assert complete_history(journal, registry.state()) == 0


def test_what_the_trainer_published_into_a_pinned_slot_is_not_told_twice(registry, journal):
    publish(registry), registry.pin("scalper"), publish(registry)
    journal.record_model_event(ModelEvent(NOW, "scalper", "promoted", 1, "passed the strict gate"))
    journal.record_model_event(ModelEvent(NOW, "scalper", "published", 2, "passed the strict gate"))
    assert complete_history(journal, registry.state()) == 1
    assert told(journal)[-1] == ("scalper", "pinned", 1)


def test_what_waited_and_was_promoted_in_the_same_instant_is_told_with_its_reason(tmp_path, journal):
    registry = make_registry(tmp_path / "models")
    publish(registry), registry.pin("scalper"), publish(registry), registry.pin("scalper", pinned=False)
    journal.record_model_event(ModelEvent(NOW, "scalper", "promoted", 1, "passed the strict gate"))
    journal.record_model_event(ModelEvent(NOW, "scalper", "published", 2, "passed the strict gate"))
    registry.move("scalper", lambda held: lifecycle.promoted(held, 2, "it waited"))
    assert complete_history(journal, registry.state()) == 3
    assert told(journal)[-1] == ("scalper", "promoted", 2)
    assert journal.model_events(1)[0]["detail"].endswith("version 1 served until then: it waited")
    assert complete_history(journal, registry.state()) == 0


def test_a_later_promotion_of_the_same_version_by_hand_is_told(tmp_path, journal):
    registry = make_registry(tmp_path / "models")
    publish(registry), publish(registry)
    for version in (1, 2):
        journal.record_model_event(ModelEvent(NOW, "scalper", "promoted", version, "passed the strict gate"))
    later = make_registry(tmp_path / "models")
    later._clock.set(NOW + timedelta(hours=1))
    later.promote("scalper", 1)
    assert complete_history(journal, later.state()) == 1
    assert told(journal)[-1] == ("scalper", "promoted", 1)
    assert "version 2 served until then" in journal.model_events(1)[0]["detail"]


def test_so_is_one_in_the_same_instant(registry, journal):
    """A replay that ends with a promotion, and commands after it."""
    publish(registry), publish(registry)
    for version in (1, 2):
        journal.record_model_event(ModelEvent(NOW, "scalper", "promoted", version, "passed the strict gate"))
    registry.rollback("scalper")
    registry.promote("scalper", 2)
    assert complete_history(journal, registry.state()) == 2
    assert told(journal)[-2:] == [("scalper", "rolled_back", 1), ("scalper", "promoted", 2)]
    assert complete_history(journal, registry.state()) == 0


@pytest.mark.parametrize("stamp", ["yesterday", "2026-01-05T12:00:00"])
def test_a_time_that_nobody_can_read_stops_nothing(registry, journal, stamp):
    publish(registry), publish(registry, "xgboost")
    text = registry.state().to_json().replace(b"2026-01-05T12:00:00.000Z", stamp.encode(), 1)
    assert complete_history(journal, ActiveState.from_json(text)) == 1
    assert told(journal) == [("xgboost", "promoted", 1)]
