"""From closed bars to a decision, with three models: warm, after a second of idling, beside the plain way and its own kernels.

What is timed begins with the terminal's array of rates and ends with the frozen decision: conversion, features, three
forecasts, vote, filters. The terminal's own time to answer is not ours and left out, and so are rows in the journal, which follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import numpy as np

from market_data.bars import RATES_DTYPE, Bars, Timeframe
from market_data.loader import BarLoader, Rates
from strategy.features import compute, newest
from strategy.predictor import select
from strategy.scalping_strategy import ScalpingStrategy
from tests.benchmarks import naive
from tests.benchmarks.harness import Call, Figure, Rounds, paired, percentiles, repeated, timed
from tests.benchmarks.service import FEATURES, SEQUENCE, SLOTS, SYMBOL, WINDOW, fresh_bars, predictors, served, strategy_over
from tests.fakes_learning import ALL

IDLE_S = 1.0

WARM = 8
"""Decisions in a row where the two ways take turns: the first of them finds the caches as the other way left them."""


class Feed:
    """A terminal that holds its answers in memory; every call of `step` closes one more bar."""

    def __init__(self, bars: Bars) -> None:
        self._rates = rates_of(bars)
        self._end = WINDOW

    def step(self) -> None:
        """Closes a bar; after the last one it begins again."""
        self._end = self._end + 1 if self._end < len(self._rates) else WINDOW

    def rates(self, symbol: str, timeframe: Timeframe, start: int, count: int) -> Rates:
        """The newest closed bars, as `copy_rates_from_pos` gives them."""
        return self._rates[self._end - count : self._end]


def rates_of(bars: Bars) -> Rates:
    """Bars as the terminal's records."""
    rates = np.zeros(len(bars), RATES_DTYPE)
    for name in ("time", "open", "high", "low", "close", "tick_volume", "spread"):
        rates[name] = getattr(bars, name)
    return rates


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 1."""
    feed = Feed(fresh_bars())
    loader = BarLoader(feed, Timeframe.M1, WINDOW, {SYMBOL: ALL})
    decide = _on_next_bar(feed, decider(loader, strategy_over(predictors())))
    kernels = bare_kernels(loader)
    yield from _warm(paired(decide, kernels, rounds=600 if quick else 3_000, warm_up=50))
    plain = repeated(plain_way(loader), WARM)
    yield from _against_the_plain_way(paired(repeated(decide, WARM), plain, rounds=12 if quick else 40, warm_up=2))
    yield from _cold(decide, 10 if quick else 30)


def decider(loader: BarLoader, strategy: ScalpingStrategy) -> Callable[[], object]:
    """What the loop does between the closed bar and the decision."""

    def decide() -> object:
        bars = loader.window(SYMBOL, WINDOW)
        return strategy.decide(bars, loader.declare(SYMBOL), bars.opened_at(-1) + timedelta(seconds=60))

    return decide


def _on_next_bar(feed: Feed, call: Call) -> Call:
    def run() -> object:
        feed.step()
        return call()

    return run


def bare_kernels(loader: BarLoader) -> Call:
    """One feature row and three runs of the runtime on inputs that are ready."""
    bars = loader.window(SYMBOL, WINDOW)
    runs = [_run_of(kind, bars) for kind in SLOTS]

    def kernels() -> None:
        newest(bars, FEATURES, 1)
        for run in runs:
            run()

    return kernels


def _run_of(kind: str, bars: Bars) -> Call:
    """The bare session of a model."""
    model: Any = served(kind).predictor
    given = select(kind, compute(bars, FEATURES), model.info.schema, model.info.rows)
    scorer, rows = (model.network, model.preprocess(given)) if kind == "lstm" else (model.scorer, given.values)
    session, outputs, inputs = scorer.session, (scorer.output_name,), {scorer.input_name: rows}
    return lambda: session.run(outputs, inputs, None)


def plain_way(loader: BarLoader) -> Call:
    """pandas for the features, each library's own call for the models, a vote."""
    forest, booster, network = (served(kind).native for kind in SLOTS)
    forest.set_params(n_jobs=1)
    booster.set_params(n_jobs=1)
    lstm: Any = served("lstm").predictor
    columns = list(lstm.info.schema.names)

    def decide() -> str:
        import torch

        table = naive.features(naive.frame_of(loader.window(SYMBOL, WINDOW)))[list(FEATURES.names)]
        row = table.iloc[-1:].to_numpy(np.float32)
        window = lstm.features.apply(table[columns].iloc[-SEQUENCE:].to_numpy(np.float32))
        with torch.no_grad():
            expected = float(network(torch.from_numpy(window[None]))[0])
        votes = [forest.predict_proba(row)[0].argmax(), booster.predict_proba(row)[0].argmax(), 1 if expected > 0 else 2]
        return f"{votes.count(1)} long, {votes.count(2)} short"

    return decide


def _warm(rounds: Rounds) -> Iterator[Figure]:
    p50, p99 = (1e6 * seconds for seconds in percentiles(rounds.seconds[0]))
    kernel = 1e6 * float(rounds.medians[1])
    note = f"{rounds.seconds.shape[1]} bars; kernels: one feature row, three bare session runs, timed between the decisions"
    yield Figure("decision_p50_us", p50, "us", "closed bar to decision, half of all", limit=kernel, budget=800.0, note=note)
    yield Figure("decision_p99_us", p99, "us", "closed bar to decision, 99 of 100", limit=kernel, budget=1_500.0)
    yield Figure("decision_over_kernels", rounds.ratio(), "x", "decision over its bare kernels, median of pairs", budget=1.5)
    least = 1e6 * rounds.seconds.min(axis=1)
    yield Figure(
        "decision_least_us", float(least[0]), "us", "the fastest decision: what a busy machine disturbs least", limit=float(least[1])
    )


def _against_the_plain_way(rounds: Rounds) -> Iterator[Figure]:
    is_ = "pandas rolling features, predict_proba of both tree models on one row with n_jobs=1, eager torch"
    seconds = rounds.medians / WARM
    yield Figure(
        "decision_speedup",
        rounds.ratio(1, 0),
        "x",
        "the plain way over the decision, median of pairs",
        budget=30.0,
        at_least=True,
        note=f"{1e3 * seconds[1]:.1f} ms against {1e3 * seconds[0]:.2f} ms, {rounds.seconds.shape[1]} pairs of {WARM} in a row; the plain way: {is_}",
    )


def _cold(decide: Call, times: int) -> Iterator[Figure]:
    """A live loop decides once a minute, with caches that others have used since."""
    idle, spent = Event(), []
    for _ in range(times):
        idle.wait(IDLE_S)
        spent.append(1e6 * timed(decide))
    yield Figure(
        "decision_idle_p50_us", percentiles(spent)[0], "us", "as decision_p50_us, each after a second of idling", note=f"{times} bars"
    )
    yield Figure("decision_idle_max_us", max(spent), "us", "the slowest of them")
