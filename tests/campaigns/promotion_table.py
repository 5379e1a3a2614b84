"""The page about the promotion campaign: counts with exact bounds, by kind, by mechanism and by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from scipy.stats import beta

Line = dict[str, Any]

WORTH, TRADES, KNOWN = 0.15, 1_000, 200
NAMES = {"random_forest": "RandomForest", "xgboost": "XGBoost", "lstm": "BiLSTM"}

PAGE = """# The promotion campaign

How often is the gate wrong? Small models of every kind are made on synthetic markets with one of four
mechanisms, with three at once, and with none; `hours` is one that no single feature shows. Each is
judged by the gate that serves, at the level that a first try of a month is granted (1 %). Then it is run
on 200,000 fresh bars of its market: the mean net R of its trades there, one position at a time, is its
truth. Every second history asks for so many directional rows that a candidate makes 1,000 trades in its final
window. Bounds are Clopper and Pearson's, 95 % two-sided.

Made by `python -m tests.campaigns.promotion`.

## Candidates that are worth nothing: truth <= 0

| kind | candidates | promoted | share, 95 % bounds |
|---|---|---|---|
{false}

## Candidates that are worth promoting: truth >= 0.15 R over 200 trades or more

| kind | test trades | candidates | promoted | share, 95 % bounds |
|---|---|---|---|---|
{power}

Rules that turned down candidates with truth >= 0.15 R and at least 1,000 test trades, alone or among others: {rules}.

## By mechanism

| mechanism | edge | candidates | truth, median R | truth <= 0 | promoted of these | truth >= 0.15 R | promoted of these |
|---|---|---|---|---|---|---|---|
{markets}

## Months of retraining on a market without an edge

Each slot retrains through a calendar month at its shipped interval, with its budget and its champion. In
the free months trading costs nothing: the truth of every candidate is then exactly zero, which is as
near to a false promotion as noise can come.

| costs | kind | slot-months | tries | tested | months with a promotion | share, 95 % bounds | level spent, mean |
|---|---|---|---|---|---|---|---|
{months}
"""


def document(candidates: Sequence[Line], months: Sequence[Line], markets: Sequence[tuple[tuple[str, ...], float]]) -> str:
    """The page."""
    worth = [line for line in candidates if is_worth(line)]
    turned = Counter(rule for line in worth if line["trades"] >= TRADES for rule in line["failed"])
    return PAGE.format(
        false="\n".join(_by_kind([line for line in candidates if not at_least(line["truth_r"], 1e-12)])),
        power="\n".join([*_power(worth, f">= {TRADES:,}", TRADES, 10**9), *_power(worth, "200 to 999", 200, TRADES - 1)]),
        rules=", ".join(f"{rule} {count}" for rule, count in turned.most_common()) or "none",
        markets="\n".join(_markets(candidates, markets)),
        months="\n".join(_months(months)),
    )


def at_least(truth: float | None, least: float) -> bool:
    """Whether a truth reaches a figure; a candidate that never trades has earned nothing."""
    return truth is not None and truth >= least


def is_worth(line: Line) -> bool:
    """Whether a candidate should be promoted; of one that makes a few trades in 200,000 bars nobody knows."""
    return line["truth_trades"] >= KNOWN and at_least(line["truth_r"], WORTH)


def share(hits: int, of: int) -> str:
    """A share with its exact bounds.

    >>> share(0, 300)
    '0.00 % (0.00 to 1.22)'
    """
    if of == 0:
        return "none yet"
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return f"{100 * hits / of:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def _promoted(lines: Iterable[Line]) -> int:
    return sum(line["promoted"] for line in lines)


def _kinds(lines: Sequence[Line]) -> Iterable[tuple[str, list[Line]]]:
    for kind, name in NAMES.items():
        yield name, [line for line in lines if line["kind"] == kind]
    yield "all", list(lines)


def _by_kind(lines: Sequence[Line]) -> Iterable[str]:
    for name, own in _kinds(lines):
        hits = _promoted(own)
        yield f"| {name} | {len(own):,} | {hits:,} | {share(hits, len(own))} |"


def _power(lines: Sequence[Line], title: str, least: int, most: int) -> Iterable[str]:
    for name, own in _kinds([line for line in lines if least <= line["trades"] <= most]):
        hits = _promoted(own)
        yield f"| {name} | {title} | {len(own):,} | {hits:,} | {share(hits, len(own))} |"


def _markets(lines: Sequence[Line], markets: Sequence[tuple[tuple[str, ...], float]]) -> Iterable[str]:
    for market in sorted(set(markets)):
        own = [line for line in lines if markets[line["market"]] == market]
        truths = sorted(line["truth_r"] for line in own if line["truth_r"] is not None)
        if not truths:
            continue
        poor = [line for line in own if not at_least(line["truth_r"], 1e-12)]
        good = [line for line in own if is_worth(line)]
        name = " + ".join(market[0]) or "none"
        figures = f"{truths[len(truths) // 2]:+.3f} | {len(poor):,} | {_promoted(poor):,} | {len(good):,} | {_promoted(good):,}"
        yield f"| {name} | {market[1]:g} | {len(own):,} | {figures} |"


def _months(lines: Sequence[Line]) -> Iterable[str]:
    for free, costs in ((False, "recorded"), (True, "none")):
        for name, own in _kinds([line for line in lines if line["free"] == free]):
            if not own:
                continue
            hits = sum(line["promoted"] > 0 for line in own)
            tries, tested = (sum(line[what] for line in own) for what in ("tries", "tested"))
            spent = sum(line["spent"] for line in own) / len(own)
            yield f"| {costs} | {name} | {len(own):,} | {tries:,} | {tested:,} | {hits:,} | {share(hits, len(own))} | {spent:.4f} |"
