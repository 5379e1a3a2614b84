"""A small piece of the promotion campaign, and the page that it writes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import binom

from strategy.learning.budget import Purse
from strategy.learning.validation import block_mean
from tests.campaigns import promotion
from tests.campaigns.promotion_table import document, share
from tests.fakes_learning import MemoryState


@pytest.fixture
def small(monkeypatch):
    """Truth on fewer bars, one short history a batch."""
    sizes = {"TRUTH_BARS": 12_000, "HISTORY_BARS": 14_000, "FINAL_SHARE": 0.7, "BATCH": 1, "LEAST": (200, 200)}
    for name, value in sizes.items():
        monkeypatch.setattr(promotion, name, value)
    promotion.truth_rows.cache_clear()
    yield
    promotion.truth_rows.cache_clear()


def market_of(*mechanisms, edge):
    return promotion.MARKETS.index((mechanisms, edge))


@pytest.mark.slow
def test_noise_is_turned_down_and_a_plain_edge_is_promoted(small, tmp_path):
    noise, edge = market_of(edge=0.0), market_of("flow", edge=1.5)
    units = [unit + len(promotion.MARKETS) for unit in (noise, edge)]  # the second round has no BiLSTM
    promotion.play("candidates", units, tmp_path / "candidates.0.jsonl")
    found = list(promotion.lines(tmp_path, "candidates"))
    assert [(line["market"], line["kind"]) for line in found] == [(m, k) for m in (noise, edge) for k in ("random_forest", "xgboost")]
    assert not any(line["promoted"] for line in found if line["market"] == noise)
    assert any(line["promoted"] and line["truth_r"] > 0 for line in found if line["market"] == edge)
    before = (tmp_path / "candidates.0.jsonl").read_bytes()
    promotion.play("candidates", units, tmp_path / "candidates.0.jsonl")
    assert (tmp_path / "candidates.0.jsonl").read_bytes() == before


def test_a_month_of_tries_by_coins_promotes_rarely():
    """240 slot-months of worthless forecasts without costs, each try another coin: the budget holds, and is used."""
    rng, promoted, spent, months = np.random.default_rng(3), 0, [], 240
    for _ in range(months):
        hit, alpha = _coin_month(rng)
        promoted += hit
        spent.append(alpha)
    assert promoted <= binom.ppf(0.999, months, 0.05)
    assert 0.03 < np.mean(spent) <= 0.05


def test_without_a_budget_the_same_months_promote_all_the_time():
    """The planted fault: every try at 1 %."""
    rng, months = np.random.default_rng(3), 40
    assert sum(_coin_month(rng, budget=False)[0] for _ in range(months)) > 0.15 * months


def _coin_month(rng, *, budget=True, blocks=75, rows=32):
    """Whether any try of a month was promoted, and the level spent; a try every 8 hours, 15 new blocks each."""
    purse, first, spent, hit = Purse(MemoryState(), "scalper"), datetime(2024, 3, 1, tzinfo=UTC), 0.0, False
    steps = 31 * 3
    path = np.cumsum(rng.standard_normal((15 * steps + blocks) * rows + 16))
    moved = np.clip((path[16:] - path[:-16]) / 4.0, -1.0, 1.0)
    block = np.repeat(np.arange(blocks), rows)
    for step in range(steps):
        now = first + step * timedelta(hours=8)
        final = moved[15 * step * rows : (15 * step + blocks) * rows]
        side = np.repeat(rng.choice([-1.0, 1.0], len(final) // 16), 16)
        end = int(now.timestamp())
        alpha = purse.draw(np.arange(end - 60 * len(final), end, 60), 100, 0.05, now).alpha if budget else 0.01
        spent += alpha
        hit = hit or block_mean(final * side, block).p_value(0.0) < alpha
    return hit, spent


# --- the page ---------------------------------------------------------------------------------


def _line(truth, promoted, trades=1_200, kind="xgboost", market=1, failed=()):
    return {
        "kind": kind,
        "market": market,
        "truth_r": truth,
        "truth_trades": trades,
        "promoted": promoted,
        "trades": trades,
        "failed": list(failed),
    }


def test_the_page_counts_what_was_wrong():
    found = [_line(-0.1, True), *[_line(-0.1, False)] * 99, _line(0.2, True), _line(0.2, False, failed=["log-loss"]), _line(None, False, 0)]
    months = [{"kind": "xgboost", "free": True, "tries": 100, "tested": 50, "promoted": 2, "spent": 0.04}]
    page = document(found, months, promotion.MARKETS)
    assert "| XGBoost | 101 | 1 | 0.99 % (0.03 to 5.39) |" in page
    assert "| XGBoost | >= 1,000 | 2 | 1 | 50.00 % (1.26 to 98.74) |" in page
    assert "log-loss 1." in page
    assert "| none | XGBoost | 1 | 100 | 50 | 1 | 100.00 % (2.50 to 100.00) | 0.0400 |" in page
    assert share(0, 0) == "none yet"


def test_a_line_that_was_cut_off_is_not_one(tmp_path):
    (tmp_path / "months.0.jsonl").write_text(json.dumps({"unit": 0}) + '\n{"unit": 1, "ki', encoding="utf-8")
    assert [line["unit"] for line in promotion.lines(tmp_path, "months")] == [0]
