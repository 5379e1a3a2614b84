"""Twenty-eight symbols that close a bar at once: two tree models for all of them, a network for each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from market_data.bars import Bars
from strategy.lstm_predictor import LSTMPredictor
from strategy.predictor import Predictor
from strategy.scalping_strategy import ScalpingStrategy
from tests.benchmarks.harness import Figure, paired
from tests.benchmarks.service import WINDOW, predictors, served, strategy_over
from tests.fakes_learning import ALL, market
from tests.fakes_models import inference_of

CURRENCIES = ("EUR", "GBP", "AUD", "NZD", "USD", "CAD", "CHF", "JPY")
SYMBOLS = tuple(left + right for place, left in enumerate(CURRENCIES) for right in CURRENCIES[place + 1 :])
SOME = (1, 7, 28)


def figures(quick: bool) -> Iterator[Figure]:
    """Acceptance 7."""
    strategy = strategy_over(models_of(SYMBOLS))
    histories = [market(WINDOW + 400, symbol=symbol, seed=seed) for seed, symbol in enumerate(SYMBOLS)]
    ready = [(Closing(strategy_over(models_of(SYMBOLS[:count])), histories[:count])) for count in SOME]
    alone = Closing(strategy, histories)
    rounds = paired(*ready, alone.one_by_one, rounds=12 if quick else 60, warm_up=3)
    one, _, all_, apart = (1e3 * rounds.medians).tolist()
    note = f"{rounds.seconds.shape[1]} closes; one symbol {one:.2f} ms; decided one by one {apart:.1f} ms"
    yield Figure(
        "symbols28_ms",
        all_,
        "ms",
        "28 symbols on one bar close, all decided",
        reference=len(SYMBOLS) * one,
        reference_is="28 times one symbol",
        budget=len(SYMBOLS) * one,
        note=note,
    )
    for place, count in enumerate(SOME[1:], 1):
        yield Figure(
            f"symbols{count}_each",
            rounds.ratio(place, 0) / count,
            "x",
            f"cost of each of {count} symbols over that of a single one, median of pairs",
            budget=1.0 if count == len(SYMBOLS) else None,
        )


def models_of(symbols: tuple[str, ...]) -> dict[str, Predictor]:
    """Models in service: each network with a session of its own, as the daemon loads them."""
    shared = predictors(symbols)
    return {slot: _own(predictor) if slot.startswith("lstm") else predictor for slot, predictor in shared.items()}


def _own(predictor: Any) -> Predictor:
    return LSTMPredictor.load_artifacts(predictor.info, inference_of("lstm"), served("lstm").files)


class Closing:
    """A strategy and the bars of its symbols; each call closes a bar of every symbol and decides them all."""

    def __init__(self, strategy: ScalpingStrategy, histories: list[Bars]) -> None:
        self._strategy, self._histories, self._end = strategy, histories, WINDOW

    def _next(self) -> list[Bars]:
        self._end = self._end + 1 if self._end < len(self._histories[0]) else WINDOW
        return [bars.slice(self._end - WINDOW, self._end) for bars in self._histories]

    def __call__(self) -> object:
        bars = self._next()
        return self._strategy.decide_all([(part, ALL) for part in bars], bars[0].opened_at(-1) + timedelta(seconds=60))

    def one_by_one(self) -> object:
        """The same, symbol after symbol."""
        return [self._strategy.decide(part, ALL, part.opened_at(-1) + timedelta(seconds=60)) for part in self._next()]
