"""A short stretch of the campaign of regime changes: markets are what they say, and a change is noticed."""

import numpy as np
import pytest

import tests.campaigns.regimes as campaign
from strategy.learning.drift import surroundings
from tests.campaigns.regimes import CHANGES, LIVELY, NOTICED, STILL, WHOLE, Regime, lines, play, regime_market, regimes, run_case, share
from tests.campaigns.regimes_table import document, noticed, out_of_service
from tests.fakes_learning import POINT

CHANGE = 3_000


def told_right(bars, first, last):
    """How often the next ten bars go with the last ten."""
    close = bars.close[first:last]
    before, later = close[10:-10] - close[:-20], close[20:] - close[10:-10]
    return float((np.sign(before) == np.sign(later)).mean())


class TestMarkets:
    @pytest.mark.parametrize("kind", (*CHANGES, LIVELY, STILL))
    def test_nothing_changes_before_the_change_and_prices_are_whole(self, kind):
        bars, same = regime_market(4, kind, CHANGE, 6_000), regime_market(4, "none", CHANGE, 6_000)
        assert np.array_equal(bars.close[:CHANGE], same.close[:CHANGE])
        assert np.array_equal(bars.close[CHANGE:], same.close[CHANGE:]) == (kind == "none")
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()

    def test_a_turned_sign_turns_what_the_past_tells(self):
        bars = regime_market(4, "sign", 20_000, 40_000)
        assert told_right(bars, 0, 20_000) < 0.47
        assert told_right(bars, 20_000, 40_000) > 0.53

    def test_volatility_doubles(self):
        bars = regime_market(3, "volatility", 20_000, 40_000)
        volatility = surroundings(bars, bars.spread * POINT)[0][:, 0]
        assert np.median(volatility[21_000:]) / np.median(volatility[60:20_000]) == pytest.approx(2.0, rel=0.15)

    def test_an_edge_that_is_gone_tells_nothing(self):
        bars = regime_market(4, "gone", 20_000, 60_000)
        assert told_right(bars, 0, 20_000) < 0.47
        assert told_right(bars, 20_000, 60_000) == pytest.approx(0.5, abs=0.02)

    def test_the_mechanism_is_another_one(self):
        before, after = regimes(0, "mechanism")
        assert {before.mechanism, after.mechanism} == {"flow", "momentum"}
        assert regimes(1, "mechanism")[0] == Regime(after.mechanism, pytest.approx(after.strength, rel=0.2))


@pytest.mark.slow
def test_a_change_is_noticed_and_the_version_taken_out_of_service():
    case = run_case("sign", 501, after=2_400)
    assert case.served
    assert 0 < case.alarms[0] <= NOTICED
    assert "Page-Hinkley" in case.words[0]
    assert 0 < case.failed[0] <= 2_400
    assert "stopped" in case.failures[0]
    assert case.former_r < 0


def test_every_group_has_its_cases_whatever_the_seeds_bring(tmp_path, monkeypatch):
    ran = []

    def fake(kind, seed):
        ran.append((kind, seed))
        return campaign.Case(kind, seed, seed != 1, (400,), ("why",), (900,), ("stopped",), (), 5_000, -0.3, 0.2, 3)

    monkeypatch.setattr(campaign, "run_case", fake)
    results = tmp_path / "regimes.jsonl"
    wanted = {"changes": 3, LIVELY: 1, STILL: 1}
    play(results, {"changes": 1}, range(100))
    with results.open("a", encoding="utf-8") as file:
        file.write('{"kind": "sign", "se')
    with results.open("a", encoding="utf-8") as file:
        file.write("\n")
    play(results, wanted, range(100))
    assert sorted(ran) == [("gone", 2), ("mechanism", 1), ("none", 0), ("sign", 0), ("sign", 3), ("volatility", 0)]
    page = document(list(lines(results)))
    assert "1 of 6 so far" in page
    assert "3 of 3 (100 %" in page
    assert "1 false stops, 1.00 a month" in page


def told(**changes):
    return {"alarms": [], "failed": [], "put_back": [], "replaced": None, **changes}


def test_what_counts_as_noticed_and_as_out_of_service():
    assert (noticed(told()), out_of_service(told())) == (None, None)
    assert noticed(told(alarms=[700, 900], failed=[600])) == 600
    assert out_of_service(told(alarms=[700])) is None
    assert out_of_service(told(failed=[900], put_back=[800], replaced=WHOLE)) == 800


def test_bounds_are_exact():
    assert share(0, 10) == "0 of 10 (0 %, bounds 0 to 31 %)"
    assert share(10, 10) == "10 of 10 (100 %, bounds 69 to 100 %)"
    assert share(5, 10) == "5 of 10 (50 %, bounds 19 to 81 %)"
