"""A registry of small versions that know their market, or take the wrong side of it, on bars that go on."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from config.errors import TerminalDisconnected
from execution.simulated import default_spec
from market_data.clock import ManualClock, from_epoch, utc_text
from strategy.learning import jobs
from strategy.learning.artifact import Draft
from strategy.learning.jobs import Workshop
from strategy.learning.registry import Registry
from tests.fakes_learning import FOREST, fresh_purse, small_settings
from tests.fakes_registry import KEY, accept, no_wait
from utils.checks import SKIPPED
from utils.model_history import complete_history
from utils.probation_check import life_rules
from utils.trade_journal import TradeJournal

TAUGHT = 2_600
LOOSE = {"gate": {"gate_profile": "threshold", "min_accuracy": 0.0, "min_directional_rows": 10}}
HOUR = timedelta(hours=1)


def taught(bars, folder):
    """A small forest that knows the market."""
    world = Versions(bars, folder, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "compile_onnx", lambda *args, **options: None)
        manifest = world.shop.run(FOREST, fresh_purse(), threading.Event()).manifest
    world.journal.close()
    return world.registry.open("scalper", manifest.version)


def lost_for(symbol, history):
    """Bars as before, but for one symbol, at which the terminal is gone."""

    def asked(name, most):
        if name == symbol:
            raise TerminalDisconnected("copy_rates_from_pos", -10_004, "no connection")
        return history(name, most)

    return asked


class Versions:
    """A home whose bars come as its clock goes on."""

    def __init__(self, bars, root, life):
        settings = small_settings(**LOOSE, life=life)
        self.bars = bars
        self.clock = ManualClock(from_epoch(int(bars.time[TAUGHT])))
        self.registry = Registry(
            root / "models",
            origin="synthetic",
            key=KEY,
            keep_versions=5,
            clock=self.clock,
            wait=no_wait,
            rules=life_rules(settings.life),
        )
        self.shop = Workshop(
            settings=settings,
            origin="synthetic",
            history=self.history,
            known=lambda symbol: bars.capabilities,
            instrument=default_spec,
            registry=self.registry,
            now=self.clock.now,
        )
        self.journal = TradeJournal(root / "journal.db", account="1@sim", mode="simulated", clock=self.clock)
        self.asked, self.store = 0, {}
        self.state = type("State", (), {"get": self.store.get, "set": self.store.__setitem__})
        self.check = self.new_check()

    def new_check(self):
        """The check that looks on; a daemon that starts again makes another."""

    def record(self):
        complete_history(self.journal, self.registry.state())

    def history(self, symbol, most):
        self.asked += 1
        closed = int((self.bars.time + 60 <= self.clock.now().timestamp()).sum())
        return self.bars.slice(max(0, closed - most), closed)

    def publish(self, artifact, *, reverse=False, recipe=None, said=(), **options):
        """The forest again; `reverse` takes the other side of everything."""
        asked = dict(said)
        said = {**{name: getattr(artifact.manifest, name) for name in Draft.__dataclass_fields__}, **asked}
        inference = dict(said["inference"])
        if reverse:
            for name in ("weights", "bias"):
                flat, long, short = inference[name]
                inference[name] = [flat, short, long]
        if recipe is not None:
            inference["recipe"] = recipe
        # What a job writes: the version in service, which the candidate was compared with.
        beside = {"parent": self.registry.serving(said["slot"]), "created": utc_text(self.clock.now())}
        draft = Draft(**{**said, **beside, **asked, "inference": inference})
        return self.registry.publish(draft, artifact.files, accept, **options).version

    def go_on(self, hours=1.0):
        self.clock.set(self.clock.now() + hours * HOUR)
        return self.check.run(self.clock.now())

    def until_something_happens(self, most=200):
        for _ in range(most):
            result = self.go_on()
            if result.outcome != SKIPPED:
                return result
        raise AssertionError("nothing happened")

    @property
    def slot(self):
        return self.registry.state().slot("scalper")

    def events(self):
        return [row["event"] for row in reversed(self.journal.model_events(1_000))]
