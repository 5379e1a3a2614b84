"""How the slots' forecasts become one side: a vote of those that expect enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from execution.orders import Side
from strategy.predictor import Forecast, Forecasts

# Weighted sums nearer than this are a tie: 0.1 + 0.2 must not outvote 0.3.
TIE = 1e-12

FULL_SKILL = 0.1
"""Skill in R a trade at which a vote counts as one."""

LEAST_WEIGHT, MOST_WEIGHT = 0.5, 2.0
"""Bounds of a vote: skill is an estimate, and the luckiest version must not silence all others."""

NO_FORECAST = "no model gave a forecast"

Sides = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the slots say together.

    Attributes:
        side: the side to take; None: stay out.
        votes: slot -> +1 long, -1 short, 0 abstains.
        expected_r: mean expected R of the slots that voted for `side`; 0.0 without one.
        reason: why, in words.
    """

    side: Side | None
    votes: Mapping[str, int]
    expected_r: float
    reason: str


def weights_of(skills: Mapping[str, float], how: Literal["equal", "skill"]) -> dict[str, float] | None:
    """What each slot's vote counts; None: the same for all.

    A weight hangs on the slot's own version alone: it does not change with who else answers.

    Args:
        skills: slot -> net R a trade that its gate saw, less one standard error.
        how: `ENSEMBLE_WEIGHTS`.

    >>> weights_of({"scalper": 0.15, "xgboost": -0.01}, "skill")
    {'scalper': 1.5, 'xgboost': 0.5}
    """
    if how == "equal":
        return None
    return {slot: round(min(max(skill / FULL_SKILL, LEAST_WEIGHT), MOST_WEIGHT), 2) for slot, skill in skills.items()}


def combine(
    forecasts: Mapping[str, Forecast], thresholds: Mapping[str, float], min_votes: int, weights: Mapping[str, float] | None = None
) -> Verdict:
    """One side from the slots' forecasts.

    A slot votes for its forecast's side where it expects at least its threshold, and abstains
    else. The side with the greater sum of weights wins, if at least `min_votes` slots voted for it.

    Args:
        forecasts: slot -> forecast, of the slots that answered.
        thresholds: slot -> expected R from which it votes; needed for every slot in `forecasts`.
        min_votes: votes that the winning side needs.
        weights: slot -> weight, not negative; 1.0 where absent.

    Raises:
        KeyError: if a slot has no threshold.

    >>> models = {"scalper": Forecast(0.5, 0.2, Side.LONG, 0.25), "xgboost": Forecast(0.4, 0.3, Side.LONG, 0.15)}
    >>> combine(models, {"scalper": 0.05, "xgboost": 0.05}, min_votes=2).reason
    '2 of 2 models long (expected 0.20 R)'
    """
    votes: dict[str, int] = {}
    lead = 0.0
    for slot in sorted(forecasts):  # a fixed order, so that the sum does not hang on the caller's
        forecast = forecasts[slot]
        votes[slot] = vote = int(forecast.side) if forecast.expected_r >= thresholds[slot] else 0
        lead += vote * (1.0 if weights is None else weights.get(slot, 1.0))
    sign = _sign(lead)
    agreeing = [forecasts[slot].expected_r for slot, vote in votes.items() if vote == sign]
    if sign == 0 or len(agreeing) < min_votes:
        return Verdict(None, votes, 0.0, _why_not(forecasts, thresholds, votes, sign, min_votes) + _weighed(votes, weights))
    expected = sum(agreeing) / len(agreeing)
    reason = f"{len(agreeing)} of {len(votes)} models {_WORDS[sign]} (expected {expected:.2f} R)"
    return Verdict(Side(sign), votes, expected, reason + _weighed(votes, weights))


def combine_many(
    forecasts: Mapping[str, Forecasts], thresholds: Mapping[str, float], min_votes: int, weights: Mapping[str, float] | None = None
) -> Sides:
    """`combine` for every row at once.

    Args:
        forecasts: slot -> forecasts of the same n rows; at least one slot.
        thresholds: as for `combine`.
        min_votes: as for `combine`.
        weights: as for `combine`.

    Returns:
        Shape (n,): +1 long, -1 short, 0 stay out.

    Raises:
        KeyError: if a slot has no threshold.
        ValueError: without slots, or where they differ in length.
    """
    slots = sorted(forecasts)
    votes = np.stack([np.where(forecasts[slot].expected_r >= thresholds[slot], forecasts[slot].side, 0) for slot in slots])  # (slots, n)
    lead = np.zeros(votes.shape[1])
    for slot, row in zip(slots, votes, strict=True):  # the order of `combine`, so that rounding is the same
        lead += row * (1.0 if weights is None else weights.get(slot, 1.0))
    sign = np.where(np.abs(lead) > TIE, np.sign(lead), 0.0).astype(np.int64)
    enough = (votes == sign).sum(axis=0) >= min_votes
    return np.where(enough, sign, 0)


def silence(forecasts: Mapping[str, Forecasts], thresholds: Mapping[str, float]) -> Mask:
    """Rows on which no slot votes, so that `combine` stays out for the reason that `silences` says, (n,).

    Args:
        forecasts: slot -> forecasts of the same n rows; at least one slot.
        thresholds: as for `combine`.
    """
    silent: Mask = np.logical_and.reduce([told.expected_r < thresholds[slot] for slot, told in forecasts.items()])
    return silent


def silences(forecasts: Mapping[str, Forecasts], thresholds: Mapping[str, float], weights: Mapping[str, float] | None = None) -> list[str]:
    """The reasons of `combine` for rows on which no slot votes.

    >>> told = Forecasts(*(np.array([value]) for value in (0.4, 0.3, 1, 0.04)))
    >>> silences({"scalper": told}, {"scalper": 0.05})
    ['no model takes a side (best scalper 0.04 R, needs 0.05 R)']
    """
    slots = sorted(forecasts)
    expected = np.stack([forecasts[slot].expected_r for slot in slots])  # (slots, n)
    best = (expected - np.array([[thresholds[slot]] for slot in slots])).argmax(axis=0)
    weighed = _weighed(dict.fromkeys(slots, 0), weights)
    found = zip(best.tolist(), expected[best, np.arange(len(best))].tolist(), strict=True)
    return [_nearest_words(slots[place], value, thresholds[slots[place]]) + weighed for place, value in found]


_WORDS = {1: "long", -1: "short"}


def _sign(lead: float) -> int:
    if abs(lead) <= TIE:
        return 0
    return 1 if lead > 0 else -1


def _weighed(votes: Mapping[str, int], weights: Mapping[str, float] | None) -> str:
    """The weights of those that answered, where they count."""
    if weights is None or not votes:
        return ""
    return "; weights " + ", ".join(f"{slot} {weights.get(slot, 1.0):.2f}" for slot in votes)


def _why_not(
    forecasts: Mapping[str, Forecast], thresholds: Mapping[str, float], votes: Mapping[str, int], sign: int, min_votes: int
) -> str:
    if not forecasts:
        return NO_FORECAST
    cast = {slot: vote for slot, vote in votes.items() if vote != 0}
    if not cast:
        return _nearest(forecasts, thresholds)
    said = ", ".join(f"{slot} {_WORDS[vote]} {forecasts[slot].expected_r:.2f} R" for slot, vote in cast.items())
    if len(set(cast.values())) == 2:
        return f"models disagree: {said}"
    if sign == 0:
        return f"the models that vote carry no weight: {said}"
    return f"{len(cast)} of {len(votes)} models {_WORDS[sign]}, {min_votes} needed: {said}"


def _nearest(forecasts: Mapping[str, Forecast], thresholds: Mapping[str, float]) -> str:
    best = max(sorted(forecasts), key=lambda slot: forecasts[slot].expected_r - thresholds[slot])
    return _nearest_words(best, forecasts[best].expected_r, thresholds[best])


def _nearest_words(slot: str, expected: float, threshold: float) -> str:
    return f"no model takes a side (best {slot} {expected:.2f} R, needs {threshold:.2f} R)"
