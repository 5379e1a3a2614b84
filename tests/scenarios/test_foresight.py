"""A replay that works many bars out at once leaves the journal of one that goes bar by bar."""

from __future__ import annotations

import json
import shutil

import pytest

from config.home import bound_home
from config.loading import load_settings
from strategy.foresight import PARITY
from strategy.learning.bundles import load_bundle
from tests.fakes_daemon import REPLAYED, differences, table
from tests.scenarios.conftest import OFTEN
from utils import bootstrap
from utils.cli.registry import registry_of
from utils.terminals import RunOptions

BARS = 30
REST = tuple(name for name in REPLAYED if name != "decisions")


def play(home, env, prices, fixed=None, **options):
    settings = load_settings(home / "no.env", {name.lower(): value for name, value in env.items()})
    return bootstrap.run(settings, RunOptions(prices, replay=True, bars=BARS, **options), home, fixed).summary


@pytest.mark.slow
def test_trees_decide_the_same_to_the_last_bit(trained, prices, tmp_path):
    given = {slot: load_bundle(registry_of(*bound_home(trained)).open(slot, 2)) for slot in ("scalper", "xgboost")}
    homes = {name: tmp_path / name for name in ("alone", "blocks", "held")}
    played = [
        play(homes["alone"], OFTEN, prices, given, foresight=False),
        play(homes["blocks"], OFTEN, prices, given),
        play(homes["held"], OFTEN, prices, given, commit_bars=7),
    ]
    assert played[0]["counts"]["trades"] > 0
    assert played[0] == played[1] == played[2]
    assert differences(homes["alone"], homes["blocks"]) == []
    assert differences(homes["alone"], homes["held"]) == []


@pytest.mark.slow
def test_a_network_differs_in_last_digits_and_in_nothing_else(trained, prices, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other", ignore=shutil.ignore_patterns("home.lock"))
    play(trained, OFTEN, prices, foresight=False)
    play(other, OFTEN, prices, commit_bars=11)
    assert differences(trained, other, tuple(name for name in REST if name not in ("orders", "trades"))) == []
    for one, two in zip(table(trained, "decisions"), table(other, "decisions"), strict=True):
        told = [json.loads(row.pop("forecasts")) for row in (one, two)]
        assert abs(one.pop("expected_r") - two.pop("expected_r")) < 4 * PARITY
        assert one == two
        assert told[0].keys() == told[1].keys()
        assert all(abs(told[0][slot][name] - told[1][slot][name]) < PARITY for slot in told[0] for name in ("p_long", "p_short"))
