"""The gate: every rule a candidate must pass before it may serve, each a small function with its figures.

Profiles: `strict` applies every rule; `threshold` applies the accuracy floor of the trees and the
loss floor of the BiLSTM alone, which proves nothing about profit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from config.settings import GateSettings
from market_data.bars import FloatArray, IntArray
from strategy.ensemble import combine_many
from strategy.learning.dataset import Dataset
from strategy.learning.recipes import Candidate, class_probabilities, side_result
from strategy.learning.validation import blocks_of, log_loss_rows, lower_bound
from strategy.predictor import Forecasts

SEED = 20_260_101
"""Seed of every bootstrap: a verdict does not depend on the hour at which it was asked for."""

MAX_CALIBRATION_GAP = 0.15
"""Largest difference between a mean forecast probability and the frequency it stands for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found.

    Attributes:
        rule: its name.
        passed: whether the candidate may go on.
        detail: the figures and by how much it passed or failed.
    """

    rule: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """The verdict on a candidate, as it is logged, journalled and stored in the manifest."""

    passed: bool
    profile: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    metrics: Mapping[str, float]

    def as_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def summary(self) -> str:
        """One line: the verdict and, if it failed, why."""
        return f"passed the {self.profile} gate" if self.passed else "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Peer:
    """A serving model's forecasts on the candidate's final rows.

    Attributes:
        threshold: its operating threshold.
        train_end: when the last label that taught it was known, epoch seconds.
        recipe: hash of the recipe that made it.
    """

    forecasts: Forecasts
    threshold: float
    train_end: int
    recipe: str


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a rule may look at.

    Attributes:
        champion: the serving version of the candidate's own slot.
        others: serving versions of the other slots, by slot.
        unseen_from: end of the newest final window that an earlier try of the slot saw, epoch
            seconds; 0 where there was none.
        recipe: hash of the candidate's recipe.
    """

    slot: str
    candidate: Candidate
    settings: GateSettings
    min_votes: int
    champion: Peer | None
    others: Mapping[str, Peer]
    unseen_from: int
    recipe: str

    @property
    def taken(self) -> NDArray[np.bool_]:
        """Final rows on which the candidate takes a side."""
        return self.candidate.forecasts.expected_r >= self.candidate.inference.threshold

    @property
    def final(self) -> Dataset:
        """The final window."""
        return self.candidate.final

    @property
    def result(self) -> FloatArray:
        """Net R of the candidate's side on every final row."""
        return side_result(self.final, self.candidate.forecasts.side)

    @property
    def block(self) -> IntArray:
        """Bootstrap block of every final row."""
        return blocks_of(self.final.time, self.candidate.block_seconds)

    def bound(self, values: FloatArray, rows: NDArray[np.bool_]) -> float:
        """Lower confidence bound of the mean of `values` over some final rows."""
        return lower_bound(values[rows], self.block[rows], self.settings.gate_confidence, self.settings.gate_resamples, SEED)


Rule = Callable[[Case], Finding]


def _verdict(rule: str, passed: object, detail: str) -> Finding:
    return Finding(rule, bool(passed), detail)


def finite(case: Case) -> Finding:
    """Every forecast is a number, and they are not all the same."""
    values = case.candidate.forecasts.expected_r
    spread = float(np.ptp(values)) if np.isfinite(values).all() else 0.0
    return _verdict("finite", spread > 1e-9, f"forecasts span {spread:.4f} R")


def enough_sides(case: Case) -> Finding:
    """The model takes a side often enough to be judged."""
    sides, least = int(case.taken.sum()), case.settings.min_directional_rows
    return _verdict("directional rows", sides >= least, f"{sides} of {len(case.final)} final rows, {least} needed")


def accuracy_floor(case: Case) -> Finding:
    """Share of directional rows after which price moved to the predicted side over the horizon."""
    accuracy, least = _accuracy(case), case.settings.min_accuracy
    return _verdict("accuracy", accuracy >= least, f"accuracy {accuracy:.3f}, floor {least:.3f} ({accuracy - least:+.3f})")


def validation_loss(case: Case) -> Finding:
    """Held-out loss over the loss of the trivial forecast."""
    ratio, most = case.candidate.val_loss_ratio, case.settings.max_val_loss
    return _verdict("validation loss", ratio < most, f"validation loss {ratio:.4f} of the trivial one, must be below {most:.4f}")


def beats_zero_return(case: Case) -> Finding:
    """The predicted return is closer to what came than zero is, in the final window."""
    ratio = _zero_ratio(case)
    return _verdict("zero return", ratio < 1.0, f"final squared error {ratio:.4f} of predicting zero, must be below 1")


def beats_priors(case: Case) -> Finding:
    """Log-loss is below that of the class shares of the rows that taught."""
    gain = float(_log_loss_gain(case).mean())
    return _verdict("log-loss", gain > 0, f"log-loss {gain:+.4f} nats a row better than class priors, must be above 0")


def expectancy(case: Case) -> Finding:
    """Net R per directional row: the lower bound is above the minimum."""
    bound, least = case.bound(case.result, case.taken), case.settings.min_expectancy_r
    mean = _mean(case.result[case.taken])
    sure = f"{100 * case.settings.gate_confidence:g} % lower bound {bound:+.3f} R"
    return _verdict("expectancy", bound > least, f"net {mean:+.3f} R a trade, {sure}, must exceed {least:+.3f} R")


def recipe_expectancy(case: Case) -> Finding:
    """The recipe made money on the held rows as well, which models of other fits judged."""
    held = case.candidate.held
    taken = case.candidate.held_forecasts.expected_r >= case.candidate.inference.threshold
    mean, least = _mean(side_result(held, case.candidate.held_forecasts.side)[taken]), case.settings.min_expectancy_r
    return _verdict("recipe", mean > least, f"net {mean:+.3f} R on {int(taken.sum())} held rows, must exceed {least:+.3f} R")


def calibrated(case: Case) -> Finding:
    """Mean probabilities agree with frequencies."""
    gap = _calibration_gap(case)
    return _verdict("calibration", gap <= MAX_CALIBRATION_GAP, f"largest gap {gap:.3f}, at most {MAX_CALIBRATION_GAP:.2f}")


def new_evidence(case: Case) -> Finding:
    """Enough final rows that no earlier try of the slot was judged by."""
    unseen = int((case.final.time > case.unseen_from).sum())
    least = case.settings.min_new_rows
    return _verdict("new evidence", unseen >= least, f"{unseen} final rows no earlier try has seen, {least} needed")


def beats_champion(case: Case) -> Finding:
    """On rows that taught neither model, the candidate makes at least what the champion makes."""
    if case.champion is None:
        return _verdict("champion", True, "no champion serves")
    clean = case.final.time > max(case.candidate.train_end, case.champion.train_end) + case.candidate.block_seconds // 2
    blocks = len(np.unique(case.block[clean]))
    if blocks < case.settings.min_compare_blocks:
        return _too_few_blocks(case, blocks)
    ours = np.where(case.taken, case.result, 0.0)[clean]
    theirs = _peer_result(case, case.champion)[clean]
    gain = float((ours - theirs).mean())
    return _verdict("champion", gain >= 0, f"{gain:+.4f} R a row against the champion over {blocks} clean blocks, must not be below 0")


def _too_few_blocks(case: Case, blocks: int) -> Finding:
    same = case.champion is not None and case.champion.recipe == case.recipe
    detail = f"{blocks} clean blocks, {case.settings.min_compare_blocks} needed to compare: "
    return _verdict("champion", True, detail + ("same recipe, a refresh" if same else _UNPROVEN))


_UNPROVEN = "changed recipe, it stays in shadow until there are"


def unproven(report: GateReport) -> bool:
    """Whether the candidate passed without having been compared with the champion of another recipe."""
    return any(finding.rule == "champion" and finding.detail.endswith(_UNPROVEN) for finding in report.findings)


def in_ensemble(case: Case) -> Finding:
    """The vote with the candidate in its slot makes money in the final window."""
    voters = {name: (peer.forecasts, peer.threshold) for name, peer in case.others.items()}
    voters[case.slot] = (case.candidate.forecasts, case.candidate.inference.threshold)
    votes = {name: forecasts for name, (forecasts, _) in voters.items()}
    side = combine_many(votes, {name: threshold for name, (_, threshold) in voters.items()}, min(case.min_votes, len(votes)))
    mean = _mean(side_result(case.final, side)[side != 0])
    least = case.settings.min_expectancy_r
    return _verdict("ensemble", mean > least, f"net {mean:+.3f} R over {int((side != 0).sum())} rows by vote of {sorted(voters)}")


LEAST_SYMBOL_ROWS = 30


def passing_symbols(case: Case) -> tuple[str, ...]:
    """The symbols whose own final rows speak for the candidate; it votes for no others.

    With one symbol the rules have judged it already. With several, `strict` asks each for net
    expectancy above the minimum on at least LEAST_SYMBOL_ROWS directional rows, `threshold` for
    nothing more.
    """
    names = case.final.symbols
    if len(names) == 1 or case.settings.gate_profile == "threshold":
        return names
    return tuple(name for index, name in enumerate(names) if _symbol_passes(case, index))


def _symbol_passes(case: Case, index: int) -> bool:
    rows = case.taken & (case.final.symbol == index)
    return int(rows.sum()) >= LEAST_SYMBOL_ROWS and _mean(case.result[rows]) > case.settings.min_expectancy_r


def some_symbol(case: Case) -> Finding:
    """At least one symbol's own evidence speaks for the candidate."""
    names = passing_symbols(case)
    return _verdict("symbols", names, f"own evidence of {', '.join(names) or 'no symbol'} out of {', '.join(case.final.symbols)}")


STRICT: tuple[Rule, ...] = (
    finite,
    enough_sides,
    accuracy_floor,
    validation_loss,
    beats_priors,
    expectancy,
    recipe_expectancy,
    calibrated,
    new_evidence,
    beats_champion,
    in_ensemble,
    some_symbol,
)


def rules_for(profile: str, kind: str) -> tuple[Rule, ...]:
    """The rules of a profile for a kind of model, in the order in which they are reported."""
    if profile == "threshold":
        return (finite, validation_loss) if kind == "lstm" else (finite, enough_sides, accuracy_floor)
    return (*STRICT, beats_zero_return) if kind == "lstm" else tuple(rule for rule in STRICT if rule is not validation_loss)


def with_latency(report: GateReport, milliseconds: float, most: float) -> GateReport:
    """The report with the last rule: one forecast, by the artifact as it will be served, fits the loop's time.

    The measured time stays out of the report: two replays must leave the same records.
    """
    fits = milliseconds <= most
    finding = Finding("latency", fits, f"forecast {'within' if fits else 'slower than'} {most:g} ms")
    reasons = report.reasons if fits else (*report.reasons, f"{finding.rule}: {finding.detail}")
    return replace(report, passed=report.passed and fits, reasons=reasons, findings=(*report.findings, finding))


def judge(case: Case) -> GateReport:
    """Applies every rule of the profile; none is skipped because another failed."""
    findings = tuple(rule(case) for rule in rules_for(case.settings.gate_profile, case.candidate.kind))
    reasons = tuple(f"{finding.rule}: {finding.detail}" for finding in findings if not finding.passed)
    return GateReport(not reasons, case.settings.gate_profile, reasons, findings, metrics_of(case))


def metrics_of(case: Case) -> dict[str, float]:
    """The figures of the final window, for the manifest and the reports."""
    taken, result = case.taken, case.result
    figures = {
        "final_rows": len(case.final),
        "directional_rows": int(taken.sum()),
        "accuracy": _accuracy(case),
        "expectancy_r": _mean(result[taken]),
        "expectancy_lower_r": case.bound(result, taken),
        "win_rate": _mean((result[taken] > 0).astype(np.float64)),
        "log_loss_gain": float(_log_loss_gain(case).mean()),
        "val_loss_ratio": case.candidate.val_loss_ratio,
        "calibration_gap": _calibration_gap(case),
        "threshold_r": case.candidate.inference.threshold,
        "max_drawdown_r": _drawdown(result[taken]),
    }
    if case.candidate.kind == "lstm":
        figures["zero_loss_ratio"] = _zero_ratio(case)
    return {name: round(float(value), 6) for name, value in figures.items() if np.isfinite(value)}


def _accuracy(case: Case) -> float:
    return _mean((np.sign(case.final.forward) == case.candidate.forecasts.side)[case.taken].astype(np.float64))


def _zero_ratio(case: Case) -> float:
    return float(((case.candidate.raw_final[:, 0] - case.final.forward) ** 2).mean() / (case.final.forward**2).mean())


def _log_loss_gain(case: Case) -> FloatArray:
    kind = case.final.kind
    priors = -np.log(np.clip(case.candidate.priors, 1e-9, 1.0))[kind]
    return np.asarray(priors - log_loss_rows(class_probabilities(case.candidate.forecasts), kind))


def _calibration_gap(case: Case) -> float:
    frequency = np.bincount(case.final.kind, minlength=3) / len(case.final)
    return float(np.abs(class_probabilities(case.candidate.forecasts).mean(axis=0) - frequency).max())


def _peer_result(case: Case, peer: Peer) -> FloatArray:
    result = side_result(case.final, peer.forecasts.side)
    return np.where(peer.forecasts.expected_r >= peer.threshold, result, 0.0)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("-inf")


def _drawdown(result: FloatArray) -> float:
    """Deepest fall of the running sum from its peak, R; overlapping rows make it an upper bound."""
    if len(result) == 0:
        return 0.0
    curve = np.cumsum(result)
    return float((np.maximum.accumulate(np.maximum(curve, 0.0)) - curve).max())
