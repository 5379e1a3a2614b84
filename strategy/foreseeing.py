"""The strategy of a replay that looks ahead: decisions from what was worked out before, one by one or a lull at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from market_data.bars import Bars, Capabilities
from market_data.clock import from_epoch
from strategy.active_models import Served
from strategy.asking import forecasts_of, out_of_scope
from strategy.decision import Decision, Lull
from strategy.ensemble import NO_FORECAST, silences
from strategy.foresight import Foresight
from strategy.predictor import Predictor
from strategy.scalping_strategy import ScalpingStrategy, reason_of, thresholds_of, versions_of


class ForeseeingStrategy(ScalpingStrategy):
    """Decides as `ScalpingStrategy` does, from rows and forecasts that were worked out before.

    Args:
        foresight: of the market that is played.
        Everything else as for `ScalpingStrategy`.
    """

    def __init__(self, foresight: Foresight, *rest: Any) -> None:
        super().__init__(*rest)
        self._foresight = foresight

    def decide_all(self, closed: Sequence[tuple[Bars, Capabilities]], now: datetime) -> list[Decision]:
        """The decisions on the newest bars of several symbols."""
        return [self.decide(bars, known, now) for bars, known in closed]

    def decide(self, bars: Bars, known: Capabilities, now: datetime) -> Decision:
        """The decision on the newest bar; see `ScalpingStrategy.decide`."""
        served = self._models.current()
        asked, absent = self._asked(served, bars.symbol, now)
        symbol, time = bars.symbol, bars.time.item(-1)
        found = self._foresight.look(symbol, time, known, asked)
        if found is not None:
            return self.judge(found[0], served, found[1], absent, now)
        seen = self._foresight.seen(symbol, time)
        if seen is None:
            return super().decide(bars, known, now)
        sight, window = seen
        return self.judge(sight, served, *forecasts_of(served.predictors, window, symbol, self._scope, now), now)

    def silent(self, symbol: str, time: int, now: datetime) -> int:
        """On how many bars behind the one that opened at a time, decided now, no model takes a side."""
        return self._foresight.silent(symbol, time, self._asked(self._models.current(), symbol, now)[0])

    def lull(self, symbol: str, time: int, passes: Sequence[int], now: datetime) -> Lull:
        """The decisions on the first bars that `silent` counts, as the models that serve now make them.

        Args:
            symbol: of the bars.
            time: when the bar before them opened, UTC epoch seconds.
            passes: in which each is decided.
            now: the instant.
        """
        served = self._models.current()
        asked, absent = self._asked(served, symbol, now)
        bars, ranges, hashes, forecasts = self._foresight.shown(symbol, time, len(passes), asked)
        said = silences(forecasts, thresholds_of(asked), self._weights(asked)) if asked else [NO_FORECAST] * len(passes)
        return Lull(
            symbol=symbol,
            absent=self._absent(symbol, served, absent),
            versions=versions_of(asked),
            forecasts=forecasts,
            passes=passes,
            times=bars.time.tolist(),
            reasons=[reason_of(words, served) for words in said],
            closes=bars.close.tolist(),
            ranges=np.where(ranges > 0, ranges, 0.0).tolist(),
            hashes=hashes,
        )

    def quiet_until(self, now: datetime) -> datetime | None:
        """When a version expires, None: none does. One that has is past that instant, and says at every bar how long ago it was made."""
        hours, served = self._scope.expiry_hours, self._models.current().predictors.values()
        ends = [from_epoch(model.info.made + int(3_600 * hours)) for model in served if hours and model.info.made]
        return min(ends, default=None)

    def _asked(self, served: Served, symbol: str, now: datetime) -> tuple[dict[str, Predictor], dict[str, str]]:
        """Who may be asked, and why the others may not."""
        asked, absent = dict(served.predictors), {}
        for slot, predictor in served.predictors.items():
            objection = out_of_scope(predictor, symbol, self._scope, now)
            if objection is not None:
                absent[slot] = objection
                del asked[slot]
        return asked, absent
